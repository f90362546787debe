//! Text that a server chose: what may be shown of it.

use std::fmt;

/// The most characters that are shown.
const MOST: usize = 64;

/// A reference as the playlist has it, with its variables replaced: relative or absolute, and not yet judged by anybody.
///
/// It may carry tokens, so it shows itself in no print. Resolving it, and deciding whether it may be followed, is for
/// whoever has the URL of the playlist and the one policy on URLs.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference(Box<str>);

impl Reference {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The reference itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reference(..)")
    }
}

/// Shows the front of a server's text, on one line.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars().take(MOST) {
            write!(f, "{}", character.escape_debug())?;
        }
        Ok(())
    }
}

/// The front of a server's text, to keep.
pub(crate) fn front(text: &str) -> String {
    text.chars().take(MOST).collect()
}
