//! What came back: the facts of the headers, and the body.

use url::Url;

use crate::address::AddressClass;
use crate::body::Body;
use crate::policy::Zone;
use crate::redact::RedactedUrl;
use crate::request::Validator;

/// A response that was accepted.
#[derive(Debug)]
pub struct Response {
    /// What the headers say.
    pub head: ResponseHead,
    /// The bytes from [`ResponseHead::start`] on.
    pub body: Body,
}

/// Whether the server serves byte ranges of this resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RangeSupport {
    /// It did, or says so.
    Yes,
    /// It ignored one, or says so.
    No,
    /// It was not asked and says nothing.
    #[default]
    Unknown,
}

/// A URL that references are relative to. It may carry secrets, and prints none.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// What a reference means here (RFC 3986 §5); `None` if it is no URL. Whether it may be asked for is not judged.
    #[must_use]
    pub fn join(&self, reference: &str) -> Option<Url> {
        self.0.join(reference).ok()
    }

    /// The URL itself.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl From<Url> for BaseUrl {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

impl std::fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BaseUrl({})", RedactedUrl::new(&self.0))
    }
}

/// The facts a response states about a resource and about this body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResponseHead {
    /// 200 or 206.
    pub status: u16,
    /// The offset of the first byte of this body in the resource: 0 where the server ignored the range.
    pub start: u64,
    /// One past the last byte this body will have, where known.
    pub end: Option<u64>,
    /// The length of the whole resource, where known.
    pub total: Option<u64>,
    /// Whether ranges work.
    pub ranges: RangeSupport,
    /// The `Content-Type` without parameters, in lower case.
    pub media_type: Option<String>,
    /// What identifies this state of the resource.
    pub validators: Validators,
    /// Whether the response must not be kept (`Cache-Control: no-store`, `Vary: *`).
    pub no_store: bool,
    /// Where it came from in the end.
    pub final_url: RedactedUrl,
    /// The same in full: what references in this body are relative to.
    pub base: BaseUrl,
    /// Whether the framing of the body proves its end: a length or chunks. If not (HTTP/1.0 style, or HTTP/2 without a
    /// length), a body that ends may as well have been cut off.
    pub length_proof: bool,
    /// What documents in this body may refer to.
    pub zone: Zone,
}

impl ResponseHead {
    /// A head that states nothing but its status and where it came from; every field can be set afterwards.
    pub fn new(status: u16, url: &Url) -> Self {
        Self {
            status,
            start: 0,
            end: None,
            total: None,
            ranges: RangeSupport::Unknown,
            media_type: None,
            validators: Validators::default(),
            no_store: false,
            final_url: RedactedUrl::new(url),
            base: BaseUrl(url.clone()),
            length_proof: true,
            zone: Zone::new(AddressClass::Public, url),
        }
    }

    /// The head of a whole resource of `total` bytes (200).
    pub fn whole(url: &Url, total: u64) -> Self {
        Self {
            end: Some(total),
            total: Some(total),
            ..Self::new(200, url)
        }
    }

    /// The head of the bytes `start..end` of `total` (206).
    pub fn partial(url: &Url, start: u64, end: u64, total: Option<u64>) -> Self {
        Self {
            start,
            end: Some(end),
            total,
            ranges: RangeSupport::Yes,
            ..Self::new(206, url)
        }
    }
}

/// An entity tag (RFC 9110 §8.8.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Etag(String);

impl Etag {
    /// Parses the value of an `ETag` header: `"…"` or `W/"…"`; `None` for anything else or over 1 KiB.
    pub fn parse(text: &str) -> Option<Self> {
        let opaque = text.strip_prefix("W/").unwrap_or(text);
        let inner = opaque.strip_prefix('"')?.strip_suffix('"')?;
        let valid = text.len() <= 1024
            && inner
                .bytes()
                .all(|byte| byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80);
        valid.then(|| Self(text.to_owned()))
    }

    /// Whether equal tags mean equal bytes.
    pub fn is_strong(&self) -> bool {
        !self.0.starts_with("W/")
    }

    /// The tag as the server wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn opaque(&self) -> &str {
        self.0.strip_prefix("W/").unwrap_or(&self.0)
    }
}

/// What identifies one state of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Validators {
    /// The entity tag.
    pub etag: Option<Etag>,
    /// The `Last-Modified` date, as the server wrote it.
    pub last_modified: Option<String>,
}

impl Validators {
    /// The validator that can guard a range request: a strong entity tag, else the date, else nothing.
    pub fn if_range(&self) -> Option<Validator> {
        match (&self.etag, &self.last_modified) {
            (Some(etag), _) if etag.is_strong() => Some(Validator::Etag(etag.clone())),
            (_, Some(date)) => Some(Validator::LastModified(date.clone())),
            _ => None,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// The first property that both state and that differs; `None` where nothing speaks against their being the same.
    ///
    /// Equal entity tags settle it: the dates of two servers of one farm may differ.
    pub fn conflict(&self, other: &Self) -> Option<&'static str> {
        if let (Some(mine), Some(theirs)) = (&self.etag, &other.etag) {
            return (mine.opaque() != theirs.opaque()).then_some("entity tag");
        }
        match (&self.last_modified, &other.last_modified) {
            (Some(mine), Some(theirs)) if mine != theirs => Some("modification date"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_entity_tag_is_one() {
        for (text, strong) in [
            ("\"a\"", Some(true)),
            ("W/\"a\"", Some(false)),
            ("\"\"", Some(true)),
        ] {
            assert_eq!(
                Etag::parse(text).map(|etag| etag.is_strong()),
                strong,
                "{text}"
            );
        }
        for text in [
            "",
            "a",
            "\"",
            "\"a",
            "w/\"a\"",
            "\"a b\"",
            "\"a\"b\"",
            "\"a\r\n\"",
        ] {
            assert_eq!(Etag::parse(text), None, "{text:?}");
        }
        assert_eq!(Etag::parse(&format!("\"{}\"", "x".repeat(2000))), None);
    }

    #[test]
    fn a_weak_tag_never_guards_a_range() {
        let date = Some("Wed, 21 Oct 2015 07:28:00 GMT".to_owned());
        let weak = Validators {
            etag: Etag::parse("W/\"a\""),
            last_modified: date.clone(),
        };
        assert_eq!(weak.if_range(), date.map(Validator::LastModified));
        let only_weak = Validators {
            etag: Etag::parse("W/\"a\""),
            last_modified: None,
        };
        assert_eq!(only_weak.if_range(), None);
    }

    #[test]
    fn a_change_is_seen_only_where_both_sides_speak() {
        let of = |etag: &str, date: &str| Validators {
            etag: Etag::parse(etag),
            last_modified: Some(date.to_owned()).filter(|date| !date.is_empty()),
        };
        assert_eq!(of("\"a\"", "x").conflict(&of("\"a\"", "y")), None);
        assert_eq!(
            of("\"a\"", "x").conflict(&of("\"b\"", "x")),
            Some("entity tag")
        );
        assert_eq!(
            of("", "x").conflict(&of("\"b\"", "y")),
            Some("modification date")
        );
        assert_eq!(of("", "x").conflict(&of("\"b\"", "")), None);
        assert_eq!(of("", "").conflict(&of("", "")), None);
    }
}
