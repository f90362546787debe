//! The one error of this crate: what kind it is, what it says, what caused it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use kithara_assets::Reason;
use kithara_audio::AudioError;
use kithara_decode::DecodeError;
#[cfg(feature = "hls")]
use kithara_hls::{HlsError, PlaylistError};
use kithara_net::{NetError, TimeoutPhase};
use kithara_storage::StorageError;
use kithara_stream::StreamError;

/// Why a resource cannot be opened or read any further.
///
/// [`kind`](Self::kind) is what a program decides by; `Display` is for people and names the redacted URL or the path, the
/// byte or frame; [`source`](StdError::source) leads to the cause. Cheap to clone: a failed resource tells the same error
/// on every read until a seek.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    cause: Cause,
}

/// What a program can decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server or the way to it failed; retries did not help.
    Network,
    /// The server did not answer, or stopped sending, for too long.
    Timeout(TimeoutPhase),
    /// The server answered with this status.
    Http(u16),
    /// The access worked before and has expired: a new URL or token is needed.
    Expired,
    /// The server does not serve byte ranges, so this place cannot be reached yet.
    RangeUnsupported,
    /// The title changed at its origin while it was read. Open it again.
    ContentChanged,
    /// The media ends before its own end.
    Truncated,
    /// It is not audio at all, or not the bytes that were asked for.
    WrongContent,
    /// A playlist cannot be played: it is none, says nothing sensible, or names nothing to play.
    Playlist,
    /// What came in place of a decryption key is none, or the caller's hook refused it.
    Key,
    /// What was encrypted could not be decrypted, or is no media then.
    Decrypt,
    /// Something in the input exceeds a limit, or the memory that could be had.
    TooLarge,
    /// A rule of the library forbids it: a scheme, an address, a redirect, a file outside of a playlist's folder.
    Policy,
    /// A container, codec, profile or protocol that is not supported.
    Unsupported,
    /// The media is damaged beyond what can be bridged.
    Corrupt,
    /// A file on this machine, or one that a playlist there refers to, could not be opened or read.
    Io(io::ErrorKind),
    /// What was fetched could not be kept or read back.
    Storage,
    /// The disk is full.
    StorageFull,
    /// Another process is filling the cache with this title.
    CacheBusy,
    /// The caller's cancellation token was cancelled.
    Cancelled,
    /// The resource was closed.
    Closed,
    /// A thread or codec of the library failed; other resources are unaffected.
    Worker,
    /// The caller's own input makes no sense.
    Config,
}

#[derive(Clone)]
enum Cause {
    Text(String),
    Audio(AudioError),
    Stream(StreamError),
    Net(Arc<NetError>),
}

impl Error {
    /// What a program can decide by.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn config(what: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Config,
            cause: Cause::Text(what.into()),
        }
    }

    pub(crate) fn scheme(what: &str) -> Self {
        Self {
            kind: ErrorKind::Policy,
            cause: Cause::Text(format!(
                "{what:?} is not opened: use http, https, file or a path"
            )),
        }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Unsupported,
            cause: Cause::Text(what.into()),
        }
    }

    pub(crate) fn cancelled() -> Self {
        StreamError::Cancelled.into()
    }

    /// The error that says what happened: the layers above it only passed it on.
    fn heart(&self) -> Option<&(dyn StdError + 'static)> {
        let stream = match &self.cause {
            Cause::Text(_) => return None,
            Cause::Net(error) => return Some(&**error),
            Cause::Audio(AudioError::Stream(error)) | Cause::Stream(error) => error,
            Cause::Audio(AudioError::Decode(error)) => return Some(error),
            Cause::Audio(error) => return Some(error),
        };
        match stream {
            StreamError::Net(error) => Some(&**error),
            StreamError::Storage(error) => Some(&**error),
            StreamError::Protocol(error) => Some(&**error),
            other => Some(other),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.cause, self.heart()) {
            (Cause::Text(what), _) => f.write_str(what),
            (_, Some(heart)) => fmt::Display::fmt(heart, f),
            (_, None) => write!(f, "{:?}", self.kind),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)?;
        let mut source = self.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.heart()?.source()
    }
}

impl From<AudioError> for Error {
    fn from(error: AudioError) -> Self {
        let kind = match &error {
            AudioError::Stream(stream) => of_stream(stream),
            AudioError::Decode(decode) => of_decode(decode),
            AudioError::BufferTooSmall { .. } | AudioError::WrongPlanes { .. } => ErrorKind::Config,
            AudioError::Closed => ErrorKind::Closed,
            _ => ErrorKind::Worker,
        };
        Self {
            kind,
            cause: Cause::Audio(error),
        }
    }
}

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Self {
        Self {
            kind: of_stream(&error),
            cause: Cause::Stream(error),
        }
    }
}

impl From<NetError> for Error {
    fn from(error: NetError) -> Self {
        Self {
            kind: of_net(&error),
            cause: Cause::Net(Arc::new(error)),
        }
    }
}

fn of_stream(error: &StreamError) -> ErrorKind {
    match error {
        StreamError::Net(net) => of_net(net),
        StreamError::Io { source, .. } => ErrorKind::Io(source.kind()),
        StreamError::NotAFile { .. } => ErrorKind::Unsupported,
        StreamError::RangeUnsupported { .. } => ErrorKind::RangeUnsupported,
        StreamError::ContentChanged { .. } => ErrorKind::ContentChanged,
        // The run that has the rest has not come.
        StreamError::Truncated { .. } | StreamError::EndsEarly { .. } | StreamError::CutOff => {
            ErrorKind::Truncated
        }
        StreamError::TooLarge { .. } => ErrorKind::TooLarge,
        StreamError::Transform { .. } => ErrorKind::Decrypt,
        StreamError::Protocol(error) => of_protocol(&**error),
        StreamError::WrongContent { .. } | StreamError::NoSound { .. } => ErrorKind::WrongContent,
        StreamError::Missing { source, .. } => of_net(source),
        StreamError::Damaged { .. } => ErrorKind::Corrupt,
        StreamError::NotKept { reason, .. } => match reason {
            Some(Reason::SharedByProcess) => ErrorKind::CacheBusy,
            Some(Reason::Full) => ErrorKind::StorageFull,
            _ => ErrorKind::Storage,
        },
        StreamError::Storage(storage) => match &**storage {
            StorageError::Full { .. } => ErrorKind::StorageFull,
            _ => ErrorKind::Storage,
        },
        StreamError::Cancelled => ErrorKind::Cancelled,
        StreamError::Interrupted | StreamError::Closed => ErrorKind::Closed,
        _ => ErrorKind::Worker,
    }
}

/// What a protocol found in its documents, or did not find.
fn of_protocol(error: &(dyn StdError + Send + Sync + 'static)) -> ErrorKind {
    #[cfg(feature = "hls")]
    if let Some(error) = error.downcast_ref() {
        return of_hls(error);
    }
    let _ = error;
    ErrorKind::Worker
}

#[cfg(feature = "hls")]
fn of_hls(error: &HlsError) -> ErrorKind {
    match error {
        HlsError::Load { source, .. } | HlsError::Segment { source, .. } => of_stream(source),
        HlsError::Playlist { source, .. } => match source {
            PlaylistError::TooLarge { .. } | PlaylistError::NoMemory { .. } => ErrorKind::TooLarge,
            _ => ErrorKind::Playlist,
        },
        HlsError::Reference { .. } | HlsError::Empty { .. } | HlsError::NoInitSection { .. } => {
            ErrorKind::Playlist
        }
        HlsError::Missing { .. } => ErrorKind::Truncated,
        // A key of many bytes is none.
        HlsError::KeyLoad { source, .. } => match of_stream(source) {
            ErrorKind::TooLarge | ErrorKind::WrongContent => ErrorKind::Key,
            other => other,
        },
        HlsError::Key { .. } | HlsError::KeyRefused { .. } => ErrorKind::Key,
        HlsError::Encryption { .. } => ErrorKind::Unsupported,
        HlsError::Stuck { .. } => ErrorKind::Timeout(TimeoutPhase::Live),
        _ => ErrorKind::Worker,
    }
}

fn of_decode(error: &DecodeError) -> ErrorKind {
    match error {
        DecodeError::Stream(stream) => of_stream(stream),
        DecodeError::Unsupported { .. } => ErrorKind::Unsupported,
        DecodeError::Corrupt { .. } => ErrorKind::Corrupt,
        DecodeError::Truncated { .. } => ErrorKind::Truncated,
        DecodeError::WrongContent { .. }
        | DecodeError::Empty { .. }
        | DecodeError::Silent { .. }
        | DecodeError::Headless { .. } => ErrorKind::WrongContent,
        DecodeError::TooLarge { .. } | DecodeError::OutOfMemory { .. } => ErrorKind::TooLarge,
        _ => ErrorKind::Worker,
    }
}

fn of_net(error: &NetError) -> ErrorKind {
    match error {
        NetError::Timeout { phase, .. } => ErrorKind::Timeout(*phase),
        NetError::Http { status, .. } => ErrorKind::Http(*status),
        NetError::Expired { .. } => ErrorKind::Expired,
        NetError::RangeUnsupported { .. } => ErrorKind::RangeUnsupported,
        NetError::ContentChanged { .. } | NetError::RangeNotSatisfiable { .. } => {
            ErrorKind::ContentChanged
        }
        NetError::Truncated { .. } => ErrorKind::Truncated,
        NetError::WrongContent { .. } | NetError::WrongRange { .. } | NetError::Playlist { .. } => {
            ErrorKind::WrongContent
        }
        NetError::TooLarge { .. } => ErrorKind::TooLarge,
        NetError::Policy { .. } => ErrorKind::Policy,
        NetError::Unsupported { .. } => ErrorKind::Unsupported,
        NetError::RetryExhausted { last, .. } => of_net(last),
        NetError::File { source, .. } => ErrorKind::Io(source.kind()),
        NetError::InvalidHeader { .. } | NetError::Client(_) => ErrorKind::Config,
        _ => ErrorKind::Network,
    }
}

#[cfg(all(test, feature = "hls"))]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name() -> String {
        "http://h.test/?...".to_owned()
    }

    #[test]
    fn what_goes_wrong_with_hls_is_of_the_kind_that_a_program_expects() {
        let gone = || StreamError::Net(Arc::new(NetError::BodyFailed));
        let wrong = || StreamError::WrongContent {
            name: name(),
            what: "noise".to_owned(),
        };
        let too_large = || StreamError::TooLarge {
            name: name(),
            most: 64,
        };
        let playlist = |source| HlsError::Playlist {
            name: name(),
            source,
        };
        let key = |source| HlsError::KeyLoad {
            name: name(),
            sequence: 5,
            source,
        };
        let segment = |source| HlsError::Segment {
            variant: 0,
            sequence: 5,
            name: name(),
            source,
        };
        let still = Duration::from_secs(40);
        for (error, kind) in [
            (playlist(PlaylistError::Nested), ErrorKind::Playlist),
            (
                playlist(PlaylistError::NoMemory { bytes: 1 }),
                ErrorKind::TooLarge,
            ),
            (HlsError::Empty { name: name() }, ErrorKind::Playlist),
            (
                HlsError::Reference {
                    name: name(),
                    what: "key",
                },
                ErrorKind::Playlist,
            ),
            (
                HlsError::NoInitSection {
                    name: name(),
                    sequence: 5,
                    segment: name(),
                },
                ErrorKind::Playlist,
            ),
            (segment(gone()), ErrorKind::Network),
            (segment(wrong()), ErrorKind::WrongContent),
            (segment(too_large()), ErrorKind::TooLarge),
            (key(gone()), ErrorKind::Network),
            (key(wrong()), ErrorKind::Key),
            (key(too_large()), ErrorKind::Key),
            (
                HlsError::KeyRefused {
                    name: name(),
                    sequence: 5,
                    reason: "no".into(),
                },
                ErrorKind::Key,
            ),
            (
                HlsError::Encryption {
                    sequence: 5,
                    method: "SAMPLE-AES".to_owned(),
                },
                ErrorKind::Unsupported,
            ),
            (
                HlsError::Missing {
                    variant: 0,
                    sequence: 5,
                },
                ErrorKind::Truncated,
            ),
            (
                HlsError::Stuck {
                    name: name(),
                    still,
                },
                ErrorKind::Timeout(TimeoutPhase::Live),
            ),
        ] {
            let told = error.to_string();
            let error = Error::from(StreamError::from(error));
            assert_eq!(error.kind(), kind, "{told}");
            assert_eq!(error.to_string(), told);
        }
    }
}
