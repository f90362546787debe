//! How keys are fetched, and what a caller may do with them.

use std::fmt;
use std::sync::Arc;

use kithara_drm::{Iv, Zeroizing};
use kithara_stream::Transform;
use kithara_stream::net::{Headers, Origin, RedactedUrl};
use url::Url;

/// A key that is needed.
#[derive(Clone)]
#[non_exhaustive]
pub struct KeyRequest {
    /// Where the playlist says that it is. It may carry secrets.
    pub url: Url,
}

/// Prints no query and no user information.
impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRequest({})", RedactedUrl::new(&self.url))
    }
}

/// A segment, or its init section, that is encrypted with AES-128.
#[derive(Clone)]
#[non_exhaustive]
pub struct Encrypted {
    /// The media sequence number of the segment.
    pub sequence: u64,
    /// Where the playlist says that its key is. It may carry secrets.
    pub key: Url,
    /// The vector that the playlist states, or that its sequence number makes.
    pub iv: Iv,
}

/// Prints no query and no user information.
impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = RedactedUrl::new(&self.key);
        write!(f, "Encrypted(segment {}, {key})", self.sequence)
    }
}

type Replace = dyn Fn(&Encrypted) -> Option<Arc<dyn Transform>> + Send + Sync;
type Provide = dyn Fn(&KeyRequest) -> Option<Result<Zeroizing<Vec<u8>>, String>> + Send + Sync;
type Unwrap = dyn Fn(&KeyRequest, &[u8]) -> Result<Zeroizing<Vec<u8>>, String> + Send + Sync;

/// How keys are had. Hooks run on the I/O thread of all streams: they must not block or panic.
#[derive(Clone, Default)]
pub struct KeyOptions {
    headers: Vec<(Origin, Headers)>,
    query: Vec<(Origin, String, String)>,
    provide: Option<Arc<Provide>>,
    unwrap: Option<Arc<Unwrap>>,
    replace: Option<Arc<Replace>>,
}

impl KeyOptions {
    /// Nothing but what the playlist says.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends these headers with requests for keys at the origin of `url`, and nowhere else.
    #[must_use]
    pub fn with_headers(mut self, url: &Url, headers: Headers) -> Self {
        if let Some(origin) = Origin::of(url) {
            self.headers.push((origin, headers));
        }
        self
    }

    /// Adds this parameter to the query of requests for keys at the origin of `url`, and nowhere else.
    #[must_use]
    pub fn with_query(mut self, url: &Url, name: &str, value: &str) -> Self {
        if let Some(origin) = Origin::of(url) {
            self.query.push((origin, name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Asks `provide` before the network. `None` leaves a key to the network; an error, in a few words without the key, refuses
    /// it.
    #[must_use]
    pub fn with_provider(
        mut self,
        provide: impl Fn(&KeyRequest) -> Option<Result<Zeroizing<Vec<u8>>, String>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.provide = Some(Arc::new(provide));
        self
    }

    /// Lets `unwrap` make the 16 bytes of a key out of what the server sent, at most 64 bytes.
    #[must_use]
    pub fn with_unwrap(
        mut self,
        unwrap: impl Fn(&KeyRequest, &[u8]) -> Result<Zeroizing<Vec<u8>>, String>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.unwrap = Some(Arc::new(unwrap));
        self
    }

    /// Lets a transform of the caller's take the place of decryption, wherever `replace` has one: no key is fetched then. What
    /// it makes of a segment is stored and kept as what this library decrypts is.
    ///
    /// `replace` may be asked several times for the same. A transform runs on the I/O thread, as hooks do.
    #[must_use]
    pub fn with_transform(
        mut self,
        replace: impl Fn(&Encrypted) -> Option<Arc<dyn Transform>> + Send + Sync + 'static,
    ) -> Self {
        self.replace = Some(Arc::new(replace));
        self
    }

    /// What the caller has in place of decryption.
    pub(crate) fn transform(&self, of: &Encrypted) -> Option<Arc<dyn Transform>> {
        self.replace.as_ref()?(of)
    }

    /// What the caller has in place of the network.
    pub(crate) fn provided(&self, url: &Url) -> Option<Result<Zeroizing<Vec<u8>>, String>> {
        let request = KeyRequest { url: url.clone() };
        self.provide.as_ref()?(&request)
    }

    /// The bytes of a key, made of what the server sent.
    pub(crate) fn unwrapped(&self, url: &Url, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        match &self.unwrap {
            Some(unwrap) => unwrap(&KeyRequest { url: url.clone() }, body),
            None => Ok(Zeroizing::new(body.to_vec())),
        }
    }

    /// The request for a key: its URL and headers.
    pub(crate) fn request(&self, url: &Url) -> (Url, Headers) {
        let (mut asked, mut headers) = (url.clone(), Headers::new());
        let Some(origin) = Origin::of(url) else {
            return (asked, headers);
        };
        for (_, name, value) in self.query.iter().filter(|(at, ..)| *at == origin) {
            asked.query_pairs_mut().append_pair(name, value);
        }
        for (_, more) in self.headers.iter().filter(|(at, _)| *at == origin) {
            headers.extend(more);
        }
        (asked, headers)
    }
}

/// Names nothing of what is sent.
impl fmt::Debug for KeyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyOptions")
            .field("origins", &(self.headers.len() + self.query.len()))
            .field("provides", &self.provide.is_some())
            .field("unwraps", &self.unwrap.is_some())
            .field("transforms", &self.replace.is_some())
            .finish()
    }
}
