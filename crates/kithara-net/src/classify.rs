//! What an error of the HTTP stack means. Decided from types only.

use std::error::Error;
use std::fmt;
use std::io;

use crate::error::{NetError, TimeoutPhase};
use crate::policy::PolicyRule;
use crate::redact::RedactedUrl;

/// The connect hook refused every address of a name.
#[derive(Debug)]
pub(crate) struct AddressRefused;

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("every address of the name was refused")
    }
}

impl Error for AddressRefused {}

/// The error of a request that got no response headers.
pub(crate) fn request_error(error: reqwest::Error, url: RedactedUrl) -> NetError {
    if find::<AddressRefused>(&error).is_some() {
        let rule = PolicyRule::Address;
        return NetError::Policy { url, rule };
    }
    if error.is_connect() && error.is_timeout() {
        let phase = TimeoutPhase::Connect;
        return NetError::Timeout { url, phase };
    }
    if find::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse) {
        let what = "not valid HTTP, or too large";
        return NetError::Headers { url, what };
    }
    let (dns, tls, connect) = (
        error.is_dns(),
        find::<rustls::Error>(&error).is_some(),
        error.is_connect(),
    );
    let source = Box::new(error.without_url());
    if dns {
        NetError::Dns { url, source }
    } else if tls {
        NetError::Tls { url, source }
    } else if connect {
        NetError::Connect { url, source }
    } else {
        NetError::Broken { url, source }
    }
}

/// The error of a body that had begun.
pub(crate) fn body_error(error: reqwest::Error, url: RedactedUrl) -> NetError {
    let source = Box::new(error.without_url());
    NetError::Broken { url, source }
}

/// Whether a request failed because its connection was gone, before a byte of a response: on a reused connection
/// that is the server's right (RFC 9112 §9.3.1) and says nothing about the request.
pub(crate) fn is_lost_connection(error: &reqwest::Error) -> bool {
    let by_hyper = find::<hyper::Error>(error).is_some_and(|hyper| {
        hyper.is_incomplete_message() || hyper.is_canceled() || hyper.is_closed()
    });
    let by_io = find::<io::Error>(error).is_some_and(|io| {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        matches!(
            io.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected
        )
    });
    let by_h2 = find::<h2::Error>(error)
        .is_some_and(|h2| h2.is_go_away() || h2.is_reset() && h2.is_remote());
    !error.is_connect() && !error.is_timeout() && (by_hyper || by_io || by_h2)
}

/// Whether a body ended before the end its framing announced.
pub(crate) fn is_early_end(error: &NetError) -> bool {
    error
        .source()
        .and_then(find::<hyper::Error>)
        .is_some_and(hyper::Error::is_incomplete_message)
        || error
            .source()
            .and_then(find::<io::Error>)
            .is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof)
}

/// The first error of this type in the chain, those that an I/O error carries included.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // `io::Error::source` skips the error it carries.
        let carried = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match carried {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
