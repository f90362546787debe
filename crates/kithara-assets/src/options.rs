//! What a store is told when it is built.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

/// Where a store keeps its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a folder of its own; `None` means `kithara` in the user's cache folder: `XDG_CACHE_HOME` or `~/.cache`,
    /// `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows. Missing folders are made.
    Disk(Option<PathBuf>),
    /// In memory: everything is forgotten with the store. `max_bytes` then means bytes of memory.
    Memory,
}

/// Which part of a URL names what it leads to. Two URLs with one name share one copy.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum KeyRule {
    /// Host, port, path, and the query without what merely signs it; neither scheme, user nor fragment.
    ///
    /// Left out of the query, whatever the case of the name:
    /// - `X-Amz-…`, `X-Goog-…`, `X-Oss-…`, `q-sign-…`, `q-ak`, `q-header-list`, `q-url-param-list`, `q-signature`;
    /// - `AWSAccessKeyId`, `GoogleAccessId`, `OSSAccessKeyId`, `Key-Pair-Id`, `Policy`, `Signature`, `Expires`,
    ///   `Hash-Algorithm`, `security-token`;
    /// - `token`, `access_token`, `auth_token`, `auth_key`, `jwt`, `sig`, `hmac`, `hdnea`, `hdnts`, `hdntl`, `__token__`,
    ///   `__gda__`, `Edge-Cache-Token`, `verify`, `txSecret`;
    /// - only beside `sig`: `se`, `st`, `sp`, `sv`, `sr`, `spr`, `sip`, `si`, `sks`, `ske`, `skt`, `skv`, `skoid`, `sktid`;
    /// - only beside `Signature`: `URLPrefix`, `KeyName`;
    /// - only beside `Expires`: `md5`;
    /// - only beside `txSecret`: `txTime`.
    ///
    /// The last four kinds are short or common enough to mean something else where nothing is signed; taking two titles
    /// for one is worse than fetching one twice.
    #[default]
    Default,
    /// As the default, but with the whole query: for servers whose query parameters named above tell titles apart.
    Whole,
    /// As the default, but without any query: for servers where the path says it all.
    Path,
    /// The caller's own: the same text for the same content. The text is hashed and never stored.
    Custom(Arc<dyn Fn(&Url) -> String + Send + Sync>),
}

impl fmt::Debug for KeyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "Default",
            Self::Whole => "Whole",
            Self::Path => "Path",
            Self::Custom(_) => "Custom",
        })
    }
}

impl PartialEq for KeyRule {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Default, Self::Default)
            | (Self::Whole, Self::Whole)
            | (Self::Path, Self::Path) => true,
            (Self::Custom(one), Self::Custom(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// When what is stored is compared with its origin. It is always played at once; the comparison happens beside that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revalidate {
    /// Not at all.
    Never,
    /// Once the last comparison is older than this, or lies in the future (a clock was moved).
    After(Duration),
    /// Each time it is opened.
    Always,
}

impl Revalidate {
    /// Whether something last compared at `validated_at` is to be compared `now`; both in seconds since 1970.
    pub fn is_due(&self, validated_at: Option<u64>, now: u64) -> bool {
        match (self, validated_at) {
            (Self::Never, _) => false,
            (Self::Always, _) | (_, None) => true,
            // Both ways: after the clock was set back, "in the future" would otherwise mean "for years".
            (Self::After(age), Some(then)) => now.abs_diff(then) >= age.as_secs(),
        }
    }
}

/// What a store is told when it is built. `StoreOptions::default()` is a good start.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoreOptions {
    /// Where the bytes are kept. The user's cache folder by default.
    pub location: Location,
    /// How many bytes are kept at most, all titles together: 1 GiB. What is pinned counts; what is open is never removed
    /// to make room. A title that would never fit, beside what is pinned, is not kept, and nothing is removed for it.
    ///
    /// What may not be kept lies in temporary files, which are not counted here: all of them together take as many bytes
    /// again at most, each of unknown length 64 MiB. What is beyond is held in a bounded window of memory.
    pub max_bytes: u64,
    /// How many titles are kept at most: 10,000.
    pub max_assets: usize,
    /// How many bytes of the disk are left to others: 256 MiB. Of the one for temporary files too.
    pub min_free: u64,
    /// How many files the store holds open at most: 64, and never fewer than 4. Locks, two for each open title, come on
    /// top.
    pub open_handles: usize,
    /// The caller promises that nobody else uses the folder, no other process and no other machine: `false`. It is then
    /// used also where its file system has no locks, as some network file systems; otherwise the store keeps to memory
    /// there, with [`StoreEvent::MemoryOnly`](crate::StoreEvent::MemoryOnly). Where there are locks it changes nothing.
    pub sole_user: bool,
    /// Keeps apart what shares a folder: users whose rights differ, say. Part of each key, never stored.
    pub namespace: String,
    /// Which part of a URL names what it leads to.
    pub key_rule: KeyRule,
    /// When what is stored is compared with its origin: after 24 hours.
    pub revalidate: Revalidate,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            location: Location::Disk(None),
            max_bytes: 1 << 30,
            max_assets: 10_000,
            min_free: 256 << 20,
            open_handles: 64,
            sole_user: false,
            namespace: String::new(),
            key_rule: KeyRule::Default,
            revalidate: Revalidate::After(Duration::from_secs(24 * 60 * 60)),
        }
    }
}

impl StoreOptions {
    /// A store in this folder, otherwise as the default.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self {
            location: Location::Disk(Some(dir.into())),
            ..Self::default()
        }
    }

    /// A store in memory of at most `max_bytes`, otherwise as the default.
    pub fn in_memory(max_bytes: u64) -> Self {
        Self {
            location: Location::Memory,
            max_bytes,
            min_free: 0,
            ..Self::default()
        }
    }
}

/// The folder for [`Location::Disk`]`(None)`; `None` where the environment names no home.
pub(crate) fn user_cache_dir() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            // The XDG specification: a relative path is to be ignored.
            .filter(|path| path.is_absolute())
    };
    let base = if cfg!(windows) {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library/Caches"))
    } else {
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("kithara"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_compared_both_ways_so_that_a_moved_clock_delays_nothing_for_years() {
        const DAY: u64 = 86_400;
        const YEARS: u64 = 10 * 365 * DAY;
        let now = 40 * YEARS;
        let daily = Revalidate::After(Duration::from_secs(DAY));
        let cases = [
            (daily, None, true),
            (daily, Some(now), false),
            (daily, Some(now - DAY + 1), false),
            (daily, Some(now - DAY), true),
            (daily, Some(now + DAY - 1), false),
            (daily, Some(now + YEARS), true),
            (daily, Some(now - YEARS), true),
            (daily, Some(0), true),
            (daily, Some(u64::MAX), true),
            (Revalidate::Never, None, false),
            (Revalidate::Never, Some(0), false),
            (Revalidate::Always, Some(now), true),
        ];
        for (rule, then, due) in cases {
            assert_eq!(rule.is_due(then, now), due, "{rule:?} {then:?}");
        }
    }
}
