//! What an origin said about a resource, to tell whether it still is the same.

use bincode::{Decode, Encode};

/// What an origin said about a resource: enough to ask whether it has changed, and to go on where a download stopped.
///
/// These texts are the origin's and are kept beside the bytes; anything longer than 512 bytes is treated as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Facts {
    /// Its whole length in bytes.
    pub total: Option<u64>,
    /// Its `ETag`, as sent.
    pub etag: Option<String>,
    /// Its `Last-Modified`, as sent.
    pub last_modified: Option<String>,
    /// Its `Content-Type`, as sent.
    pub media_type: Option<String>,
}

/// Whether the origin lets its bytes be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// They may be kept.
    #[default]
    Yes,
    /// They may not (`Cache-Control: no-store`): they live in a temporary file without a name, as long as the entry.
    No,
}

/// The origin has something else than what is stored: the two must not be mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The length differs.
    #[error("the resource had {stored} bytes and now has {found}")]
    Length {
        /// The length of what is stored, in bytes.
        stored: u64,
        /// The length the origin tells now, in bytes.
        found: u64,
    },
    /// The entity tag differs.
    #[error("the resource has another entity tag")]
    ETag,
    /// The date of change differs, and there are no entity tags to say otherwise.
    #[error("the resource has another date of change")]
    LastModified,
}

const MAX_TEXT: usize = 512;

impl Facts {
    /// Whether equal facts prove equal bytes: only a strong entity tag does (RFC 9110, section 8.8.1).
    pub fn is_strong(&self) -> bool {
        self.etag.as_deref().is_some_and(|tag| !is_weak(tag))
    }

    /// What speaks against `found` being the same resource. Facts that only one side has speak for nothing.
    pub fn conflict(&self, found: &Self) -> Option<Conflict> {
        if let (Some(stored), Some(found)) = (self.total, found.total)
            && stored != found
        {
            return Some(Conflict::Length { stored, found });
        }
        if let (Some(stored), Some(found)) = (&self.etag, &found.etag) {
            // The weak comparison (RFC 9110, section 8.8.3.2): another opaque tag means another content either way.
            return (opaque(stored) != opaque(found)).then_some(Conflict::ETag);
        }
        match (&self.last_modified, &found.last_modified) {
            (Some(stored), Some(found)) if stored != found => Some(Conflict::LastModified),
            _ => None,
        }
    }

    /// These facts, and what only `newer` knows.
    pub(crate) fn merged(self, newer: Self) -> Self {
        Self {
            total: self.total.or(newer.total),
            etag: self.etag.or(newer.etag),
            last_modified: self.last_modified.or(newer.last_modified),
            media_type: self.media_type.or(newer.media_type),
        }
    }

    /// Without texts that are too long to keep.
    pub(crate) fn bounded(mut self) -> Self {
        for text in [
            &mut self.etag,
            &mut self.last_modified,
            &mut self.media_type,
        ] {
            text.take_if(|text| text.len() > MAX_TEXT);
        }
        self
    }

    /// The form in which they lie beside the bytes.
    pub(crate) fn to_label(&self) -> Vec<u8> {
        bincode::encode_to_vec(self, bincode::config::standard())
            .expect("three short texts and a number can be encoded")
    }

    /// `None` for anything that [`to_label`](Self::to_label) didn't write.
    pub(crate) fn from_label(label: &[u8]) -> Option<Self> {
        let config = bincode::config::standard().with_limit::<4096>();
        let (facts, read) = bincode::decode_from_slice::<Self, _>(label, config).ok()?;
        (read == label.len()).then_some(facts)
    }
}

fn is_weak(tag: &str) -> bool {
    tag.starts_with("W/")
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(total: u64, etag: &str, date: &str) -> Facts {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Facts {
            total: (total > 0).then_some(total),
            etag: text(etag),
            last_modified: text(date),
            media_type: None,
        }
    }

    #[test]
    fn another_content_is_noticed_by_whatever_both_sides_know() {
        let length = Some(Conflict::Length {
            stored: 5,
            found: 6,
        });
        let cases = [
            (facts(5, "", ""), facts(5, "", ""), None),
            (facts(5, "", ""), facts(6, "", ""), length),
            (facts(5, "\"a\"", ""), facts(6, "\"a\"", ""), length),
            (facts(0, "\"a\"", ""), facts(9, "\"a\"", ""), None),
            (
                facts(5, "\"a\"", ""),
                facts(5, "\"b\"", ""),
                Some(Conflict::ETag),
            ),
            (
                facts(5, "W/\"a\"", ""),
                facts(5, "W/\"b\"", ""),
                Some(Conflict::ETag),
            ),
            (facts(5, "W/\"a\"", ""), facts(5, "\"a\"", ""), None),
            // Equal tags outweigh a date that only says when a copy was made.
            (facts(5, "\"a\"", "Mon"), facts(5, "\"a\"", "Tue"), None),
            (
                facts(5, "", "Mon"),
                facts(5, "", "Tue"),
                Some(Conflict::LastModified),
            ),
            (
                facts(5, "\"a\"", "Mon"),
                facts(5, "", "Tue"),
                Some(Conflict::LastModified),
            ),
            (facts(5, "\"a\"", ""), facts(5, "", "Tue"), None),
        ];
        for (stored, found, expected) in cases {
            assert_eq!(stored.conflict(&found), expected, "{stored:?} {found:?}");
            assert_eq!(found.conflict(&stored).is_some(), expected.is_some());
        }
    }

    #[test]
    fn only_a_strong_tag_proves_equal_bytes() {
        assert!(facts(5, "\"a\"", "").is_strong());
        assert!(!facts(5, "W/\"a\"", "Mon").is_strong());
    }

    #[test]
    fn a_label_reads_as_it_was_written_and_garbage_reads_as_nothing() {
        let longest = facts(u64::MAX, &"e".repeat(9000), &"m".repeat(512)).bounded();
        assert_eq!(longest.etag, None);
        let label = longest.to_label();
        assert!(label.len() <= 4096);
        assert_eq!(Facts::from_label(&label), Some(longest));
        for len in 0..label.len() {
            assert_eq!(Facts::from_label(&label[..len]), None);
        }
        assert_eq!(Facts::from_label(&[0xff; 64]), None);
    }
}
