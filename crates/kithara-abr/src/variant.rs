//! What there is to choose from.

/// One variant, as the rule sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Its number in the caller's list. The rule hands it back and reads nothing into it.
    pub variant_index: usize,
    /// Bits per second that playing it takes. 0 where nobody knows: then it is taken for the lowest.
    pub bandwidth_bps: u64,
}

/// One variant, as a listener who chooses by hand sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct VariantInfo {
    /// What [`AbrMode::Manual`](crate::AbrMode::Manual) takes.
    pub index: usize,
    /// Bits per second, where announced.
    pub bandwidth_bps: Option<u64>,
    /// What a playlist calls it.
    pub name: Option<String>,
    /// Its codecs, as announced (RFC 6381).
    pub codecs: Option<String>,
    /// Its container, where it is known.
    pub container: Option<String>,
}

impl VariantInfo {
    /// A variant of which nothing more is known.
    #[must_use]
    pub fn new(index: usize) -> Self {
        Self {
            index,
            ..Self::default()
        }
    }
}
