//! What a title and its resources are called: hashes, of which nobody reads a URL.

use std::fmt;

use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

use crate::KeyRule;

/// One title: a hash of the store's namespace and what the [`KeyRule`] makes of the URL, or of a name the caller gave.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssetId(pub(crate) [u8; 32]);

/// One resource of one title. A progressive file is the only resource of its title.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    pub(crate) asset: AssetId,
    pub(crate) resource: [u8; 16],
}

impl ResourceKey {
    /// The title it belongs to.
    pub fn asset(&self) -> AssetId {
        self.asset
    }

    /// Its name within its title: 32 hexadecimal digits, that tell nothing of a URL.
    pub fn name(&self) -> String {
        self.resource
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The resource of that [`name`](Self::name) in the same title; `None` if that is no name.
    #[must_use]
    pub fn sibling(&self, name: &str) -> Option<Self> {
        let mut resource = [0; 16];
        if name.len() != 2 * resource.len() || !name.is_ascii() {
            return None;
        }
        for (byte, digits) in resource.iter_mut().zip(name.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self {
            asset: self.asset,
            resource,
        })
    }
}

/// Names things the way one store does.
#[derive(Clone, Debug)]
pub(crate) struct Namer {
    pub(crate) namespace: String,
    pub(crate) rule: KeyRule,
}

impl Namer {
    pub(crate) fn asset(&self, title: &Url) -> AssetId {
        AssetId(self.hash("asset url", &self.rule.text(title)))
    }

    pub(crate) fn named_asset(&self, title: &str) -> AssetId {
        AssetId(self.hash("asset name", title))
    }

    pub(crate) fn key(&self, title: &Url, resource: &Url) -> ResourceKey {
        ResourceKey {
            asset: self.asset(title),
            resource: half(self.hash("resource url", &self.rule.text(resource))),
        }
    }

    pub(crate) fn named(&self, title: &str, resource: &str) -> ResourceKey {
        ResourceKey {
            asset: self.named_asset(title),
            resource: half(self.hash("resource name", resource)),
        }
    }

    /// Without name and part the same as [`key`](Self::key).
    pub(crate) fn part_key(
        &self,
        title: &Url,
        name: Option<&str>,
        resource: &Url,
        part: &str,
    ) -> ResourceKey {
        let asset = name.map_or_else(|| self.asset(title), |name| self.named_asset(name));
        let mut text = self.rule.text(resource);
        if !part.is_empty() {
            // No URL that was parsed has such a character.
            text.push('\n');
            text.push_str(part);
        }
        ResourceKey {
            asset,
            resource: half(self.hash("resource url", &text)),
        }
    }

    /// Each part is preceded by its length, so that no two lists of parts read the same.
    fn hash(&self, kind: &str, text: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in ["kithara 1", kind, &self.namespace, text] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// 128 bits are enough to tell the resources of one title apart.
fn half(hash: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

impl KeyRule {
    /// What is hashed for `url`.
    fn text(&self, url: &Url) -> String {
        let query = match self {
            Self::Custom(rule) => return rule(url),
            Self::Path => String::new(),
            Self::Whole => url.query().unwrap_or_default().to_owned(),
            Self::Default => unsigned(url.query().unwrap_or_default()),
        };
        // `Url` has put the host in lower case, resolved dot segments and dropped a scheme's own port.
        let port = url.port().map(|port| format!(":{port}"));
        let place = [
            url.host_str().unwrap_or_default(),
            port.as_deref().unwrap_or_default(),
            url.path(),
        ];
        let mut text = place.concat();
        if !query.is_empty() {
            text.push('?');
            text.push_str(&query);
        }
        text
    }
}

const SIGNING_PREFIXES: [&str; 4] = ["x-amz-", "x-goog-", "x-oss-", "q-sign-"];

const SIGNING: [&str; 28] = [
    "q-ak",
    "q-header-list",
    "q-url-param-list",
    "q-signature",
    "awsaccesskeyid",
    "googleaccessid",
    "ossaccesskeyid",
    "key-pair-id",
    "policy",
    "signature",
    "expires",
    "hash-algorithm",
    "security-token",
    "token",
    "access_token",
    "auth_token",
    "auth_key",
    "jwt",
    "sig",
    "hmac",
    "hdnea",
    "hdnts",
    "hdntl",
    "__token__",
    "__gda__",
    "edge-cache-token",
    "verify",
    "txsecret",
];

/// Names that sign only beside another.
const SIGNING_BESIDE: [(&str, &[&str]); 4] = [
    (
        "sig",
        &[
            "se", "st", "sp", "sv", "sr", "spr", "sip", "si", "sks", "ske", "skt", "skv", "skoid",
            "sktid",
        ],
    ),
    ("signature", &["urlprefix", "keyname"]),
    ("expires", &["md5"]),
    ("txsecret", &["txtime"]),
];

/// The query without its signing parameters, the others as they were and in their order.
fn unsigned(query: &str) -> String {
    let name = |pair: &str| {
        form_urlencoded::parse(pair.as_bytes())
            .next()
            .map_or_else(String::new, |(name, _)| name.to_ascii_lowercase())
    };
    let present: Vec<String> = query.split('&').map(name).collect();
    let signs = |name: &str| {
        SIGNING.contains(&name)
            || SIGNING_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix))
            || SIGNING_BESIDE.iter().any(|(beside, names)| {
                names.contains(&name) && present.iter().any(|other| other == beside)
            })
    };
    let kept: Vec<&str> = query
        .split('&')
        .zip(&present)
        .filter(|(pair, name)| !pair.is_empty() && !signs(name))
        .map(|(pair, _)| pair)
        .collect();
    kept.join("&")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that `text` spells, if it is exactly their lower-case spelling.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssetId({})", hex(&self.0[..6]))
    }
}

impl fmt::Debug for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ResourceKey({}/{})",
            hex(&self.asset.0[..6]),
            hex(&self.resource[..6])
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn namer(rule: KeyRule) -> Namer {
        Namer {
            namespace: String::new(),
            rule,
        }
    }

    fn same(rule: &KeyRule, one: &str, other: &str) -> bool {
        let namer = namer(rule.clone());
        let id = |text: &str| namer.asset(&Url::parse(text).unwrap());
        id(one) == id(other)
    }

    #[test]
    fn what_merely_signs_a_url_does_not_name_a_title() {
        const SAME: [(&str, &str); 14] = [
            ("https://h/a.mp3", "http://h/a.mp3"),
            ("https://h/a.mp3", "https://H:443/a.mp3#t=3"),
            ("https://h/a.mp3", "https://user:secret@h/a.mp3"),
            ("https://h/x/../a.mp3", "https://h/x/%2e%2E/a.mp3"),
            ("https://h/a?X-Amz-Date=1&X-Amz-Signature=2", "https://h/a"),
            (
                "https://h/a?Expires=1&Signature=b&Key-Pair-Id=c",
                "https://h/a?Expires=2&Signature=d&Key-Pair-Id=c",
            ),
            ("https://h/a?id=7&token=1", "https://h/a?token=2&id=7"),
            ("https://h/a?id=7&TOKEN=1", "https://h/a?id=7"),
            ("https://h/a?id=7&%74oken=1", "https://h/a?id=7"),
            ("https://h/a?sv=1&se=2&sr=b&sp=r&sig=x", "https://h/a"),
            (
                "https://h/a?hdnea=exp=1~acl=/*~hmac=2",
                "https://h/a?hdnts=3",
            ),
            ("https://h/a?md5=1&expires=2", "https://h/a"),
            ("https://h/a?", "https://h/a"),
            ("https://h/a?id=1&&", "https://h/a?id=1"),
        ];
        for (one, other) in SAME {
            assert!(same(&KeyRule::Default, one, other), "{one} and {other}");
        }
    }

    #[test]
    fn different_titles_have_different_names() {
        const DIFFERENT: [(&str, &str); 16] = [
            ("https://h/a.mp3", "https://i/a.mp3"),
            ("https://h/a.mp3", "https://h:8443/a.mp3"),
            ("https://h/one/a.mp3", "https://h/two/a.mp3"),
            ("https://h/a.mp3", "https://h/A.mp3"),
            ("https://h/a%00", "https://h/a"),
            ("https://h/a%00b", "https://h/a%00c"),
            ("https://h/a%2fb", "https://h/a/b"),
            ("https://h/..%2fa", "https://h/a"),
            ("https://h/caf%C3%A9", "https://h/cafe%CC%81"),
            ("https://h/a?id=1", "https://h/a?id=2"),
            ("https://h/a?id=1&id=2", "https://h/a?id=2&id=1"),
            ("https://h/a?st=10", "https://h/a?st=20"),
            ("https://h/a?sv=1", "https://h/a?sv=2"),
            ("https://h/a?md5=1", "https://h/a?md5=2"),
            ("https://h/a?tokens=1", "https://h/a?tokens=2"),
            ("https://h/con", "https://h/aux"),
        ];
        for (one, other) in DIFFERENT {
            assert!(!same(&KeyRule::Default, one, other), "{one} and {other}");
        }
        let long = |end: char| format!("https://h/{}{end}", "x".repeat(64 * 1024));
        assert!(!same(&KeyRule::Default, &long('a'), &long('b')));
    }

    #[test]
    fn the_caller_may_choose_the_rule() {
        let (one, other) = ("https://h/a?token=1", "https://h/a?token=2");
        assert!(!same(&KeyRule::Whole, one, other));
        assert!(same(&KeyRule::Path, "https://h/a?id=1", "https://h/a?id=2"));
        assert!(!same(&KeyRule::Path, "https://h/a", "https://h/b"));
        let last = KeyRule::Custom(Arc::new(|url: &Url| url.query().unwrap_or("").to_owned()));
        assert!(same(&last, "https://h/a?id=1", "https://i/b?id=1"));
    }

    #[test]
    fn namespaces_names_and_urls_never_meet() {
        let url = Url::parse("https://h/a").unwrap();
        let of = |namespace: &str| Namer {
            namespace: namespace.to_owned(),
            rule: KeyRule::Default,
        };
        assert_ne!(of("one").asset(&url), of("two").asset(&url));
        assert_ne!(of("").asset(&url), of("").named_asset("h/a"));
        assert_ne!(of("ab").named_asset("c"), of("a").named_asset("bc"));
        assert_ne!(
            of("").named("a", "b").resource,
            of("").named("a", "c").resource
        );
    }

    #[test]
    fn no_byte_of_a_url_is_read_in_a_name() {
        let url = Url::parse("https://secret.example/canary?token=canary").unwrap();
        let key = namer(KeyRule::Default).key(&url, &url);
        for text in [
            format!("{key:?}"),
            format!("{:?}", key.asset()),
            key.asset().to_string(),
            hex(&key.resource),
        ] {
            assert!(
                !text.contains("canary") && !text.contains("secret"),
                "{text}"
            );
        }
        assert_eq!(unhex(&key.asset().to_string()), Some(key.asset.0));
        assert_eq!(unhex::<2>("00fF"), None);
        assert_eq!(unhex::<2>("0ff"), None);
    }
}
