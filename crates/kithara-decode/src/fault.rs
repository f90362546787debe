//! What goes wrong below the decoder, before it is given the name of the run and the frame.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kithara_stream::StreamError;
use symphonia::core::errors::{Error as CodecError, SeekErrorKind};

use crate::DecodeError;
use crate::memory::NoMemory;

/// A failure without its place.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Stream(StreamError),
    /// A failed read that carries no stream error.
    Io(Arc<io::Error>),
    Unsupported(String),
    Corrupt(String),
    /// The bytes end early; the frames that were promised, where known.
    Truncated(Option<u64>),
    WrongContent(String),
    Empty,
    Silent,
    Headless,
    TooLarge {
        what: &'static str,
        limit: u64,
    },
    NoMemory(NoMemory),
}

/// There was no packet in one of the parts that the bytes are made of; as symphonia's errors carry it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no sound in a part")]
pub(crate) struct Silent;

impl From<Silent> for io::Error {
    fn from(silent: Silent) -> Self {
        Self::other(silent)
    }
}

pub(crate) type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }

    /// The public error, at this frame of this run.
    pub(crate) fn at(self, name: &str, frame: u64) -> DecodeError {
        let name = name.to_owned();
        match self {
            Self::Stream(source) => DecodeError::Stream(source),
            Self::Io(source) => DecodeError::Stream(StreamError::Io {
                path: PathBuf::from(name),
                source,
            }),
            Self::Unsupported(what) => DecodeError::Unsupported { name, what },
            Self::Corrupt(what) => DecodeError::Corrupt { name, frame, what },
            Self::Truncated(expected) => DecodeError::Truncated {
                name,
                frames: frame,
                expected,
            },
            Self::WrongContent(what) => DecodeError::WrongContent { name, what },
            Self::Empty => DecodeError::Empty { name },
            Self::Silent => DecodeError::Silent { name },
            Self::Headless => DecodeError::Headless { name },
            Self::TooLarge { what, limit } => DecodeError::TooLarge {
                name,
                what: what.to_owned(),
                limit,
            },
            Self::NoMemory(NoMemory { bytes }) => DecodeError::OutOfMemory { name, bytes },
        }
    }
}

impl From<NoMemory> for Fault {
    fn from(error: NoMemory) -> Self {
        Self::NoMemory(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        // Through symphonia's readers ours come as this.
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        if let Some(NoMemory { bytes }) = inner {
            return Self::NoMemory(NoMemory { bytes: *bytes });
        }
        if error.get_ref().is_some_and(|inner| inner.is::<Silent>()) {
            return Self::Silent;
        }
        match StreamError::from_io(&error) {
            Some(stream) => Self::Stream(stream),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated(None),
            None => Self::Io(Arc::new(error)),
        }
    }
}

impl From<CodecError> for Fault {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::IoError(error) => error.into(),
            CodecError::DecodeError(what) => Self::corrupt(what),
            CodecError::Unsupported(what) => Self::unsupported(what),
            CodecError::LimitError(what) => Self::TooLarge { what, limit: 0 },
            CodecError::SeekError(SeekErrorKind::OutOfRange) => Self::Truncated(None),
            CodecError::SeekError(_) => Self::unsupported("seeking here"),
            CodecError::ResetRequired => Self::unsupported("a change of streams within the run"),
            _ => Self::corrupt("the demuxer failed"),
        }
    }
}
