//! Request headers of the caller, and the origins they belong to.

use std::fmt;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::error::NetError;
use crate::redact::escaped;

/// Header fields to send. Their values count as secrets and are never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(HeaderMap);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// These headers and `name: value`; a field of that name is replaced. Fails with [`NetError::InvalidHeader`].
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, NetError> {
        self.insert(name, value)?;
        Ok(self)
    }

    /// Sets `name` to `value`. Fails with [`NetError::InvalidHeader`] where either is not allowed in HTTP.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), NetError> {
        let invalid = || NetError::InvalidHeader {
            name: escaped(name),
        };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
        value.set_sensitive(true);
        self.0.insert(key, value);
        Ok(())
    }

    /// The value of `name`, if it is set and is text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds all of `other`, which wins where both have a field.
    pub fn extend(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            self.0.insert(name, value.clone());
        }
    }

    pub(crate) fn as_map(&self) -> &HeaderMap {
        &self.0
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.keys().map(HeaderName::as_str))
            .finish()
    }
}

/// Scheme, host and port: what credentials belong to (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an http or https URL; `None` for any other.
    pub fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        Some(Self {
            scheme: url.scheme().to_owned(),
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// User and password taken out of a URL, for one origin.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub origin: Origin,
    pub user: String,
    pub password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.origin)
    }
}

/// Removes user and password from `url` and hands them back. They are percent-decoded (RFC 3986 §3.2.1).
pub(crate) fn take_credentials(url: &mut Url) -> Option<Credentials> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let text = |encoded| String::from_utf8_lossy(&percent_decoded(encoded)).into_owned();
    let user = text(url.username());
    let password = url.password().map(text);
    // Both can only fail on URLs without a host, which have no user either.
    let cleared = url.set_username("").is_ok() && url.set_password(None).is_ok();
    let origin = Origin::of(url)?;
    cleared.then_some(Credentials {
        origin,
        user,
        password,
    })
}

/// The bytes that a part of a URL stands for (RFC 3986 §2.1).
pub(crate) fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let decoded = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(decoded.unwrap_or(byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_value_is_never_printed() {
        let headers = Headers::new().with("X-Api-Key", "canary").unwrap();
        assert_eq!(format!("{headers:?}"), "[\"x-api-key\"]");
        // The layers below go by this mark, HPACK's shared table included.
        assert!(headers.as_map().values().all(HeaderValue::is_sensitive));
        let error = Headers::new()
            .with("X-A", "canary\r\nX-B: canary")
            .unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert!(matches!(
            Headers::new().with("bad name", "v"),
            Err(NetError::InvalidHeader { .. })
        ));
    }

    #[test]
    fn user_and_password_leave_the_url() {
        let mut url = Url::parse("https://us%40er:p%3Aw%25@h.example/a").unwrap();
        let credentials = take_credentials(&mut url).unwrap();
        assert_eq!(url.as_str(), "https://h.example/a");
        assert_eq!(credentials.user, "us@er");
        assert_eq!(credentials.password.as_deref(), Some("p:w%"));
        assert!(!format!("{credentials:?}").contains("p:w"));
        assert_eq!(take_credentials(&mut url), None);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |url: &str| Origin::of(&Url::parse(url).unwrap());
        assert_eq!(
            origin("https://H.example/a"),
            origin("https://h.example:443/b")
        );
        assert_ne!(
            origin("https://h.example/a"),
            origin("https://h.example:444/a")
        );
        assert_ne!(origin("https://h.example/a"), origin("http://h.example/a"));
        assert_ne!(
            origin("https://h.example/a"),
            origin("https://x.h.example/a")
        );
        assert_eq!(origin("file:///a"), None);
    }
}
