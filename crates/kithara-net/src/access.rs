//! The user and password that a caller's own URL had, for everything else of the same origin.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::headers::{Credentials, Origin};

/// What the requests of one open know of the user and password in the URL that it was opened by: one for each title, put on each
/// of its requests.
///
/// They are for that URL's origin, and so for what its playlists name there, by whatever URL. They are in no URL and no print.
#[derive(Clone, Default)]
pub struct Access {
    /// Requests of one title run at the same time on whatever tasks; held for a comparison.
    own: Arc<Mutex<Option<Credentials>>>,
}

impl Access {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the caller's own word has for its origin. The first counts: the rest of a title is where it came from.
    pub(crate) fn remember(&self, credentials: &Credentials) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.get_or_insert_with(|| credentials.clone());
    }

    /// What there is for this origin.
    pub(crate) fn at(&self, origin: &Origin) -> Option<Credentials> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.clone().filter(|own| own.origin == *origin)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(..)")
    }
}
