//! Why a run cannot be decoded.

use kithara_stream::StreamError;

/// Why a run cannot be decoded, or not any further. The same error is returned until a seek or a reopen.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A read failed. [`StreamError::Interrupted`] comes through here: nothing is wrong, and the next call goes on at
    /// the same frame.
    #[error("the bytes cannot be read")]
    Stream(#[source] StreamError),

    /// The container, codec or profile is known but not supported here.
    #[error("{name}: {what} is not supported")]
    Unsupported {
        /// The redacted name of the run.
        name: String,
        /// What it is, by name.
        what: String,
    },

    /// The bytes are damaged beyond what can be bridged.
    #[error("{name}: damaged at frame {frame}: {what}")]
    Corrupt {
        /// The redacted name of the run.
        name: String,
        /// The frame that could not be had.
        frame: u64,
        /// What is wrong.
        what: String,
    },

    /// The bytes end before the media does. Everything before was delivered.
    #[error("{name}: ends early, after {frames} frames")]
    Truncated {
        /// The redacted name of the run.
        name: String,
        /// The frames that could be decoded.
        frames: u64,
        /// The frames that were promised, where that is known.
        expected: Option<u64>,
    },

    /// The bytes are not audio.
    #[error("{name}: {what}, not audio")]
    WrongContent {
        /// The redacted name of the run.
        name: String,
        /// What they are instead.
        what: String,
    },

    /// The bytes are fragments of an MP4 whose beginning, which says what they hold, is somewhere else.
    #[error("{name}: fragments of an MP4 without its beginning")]
    Headless {
        /// The redacted name of the run.
        name: String,
    },

    /// There are no bytes.
    #[error("{name} is empty")]
    Empty {
        /// The redacted name of the run.
        name: String,
    },

    /// They are media, but in a stretch of a title there is nothing to be heard.
    #[error("there is no sound in {name}")]
    Silent {
        /// The redacted name of the run.
        name: String,
    },

    /// A size or count in the bytes exceeds a limit.
    #[error("{name}: {what} exceeds the limit of {limit}")]
    TooLarge {
        /// The redacted name of the run.
        name: String,
        /// What is too large.
        what: String,
        /// The limit it exceeds.
        limit: u64,
    },

    /// There is not enough memory for what the bytes ask for. They may be sound: opening again can succeed when there is
    /// more.
    #[error("{name}: there is no memory for {bytes} bytes")]
    OutOfMemory {
        /// The redacted name of the run.
        name: String,
        /// How many bytes could not be had in one piece.
        bytes: u64,
    },

    /// The decoder itself failed; other decoders are unaffected.
    #[error("{name}: {fault}")]
    Worker {
        /// The redacted name of the run.
        name: String,
        /// How.
        fault: WorkerFault,
    },
}

/// How a decoder itself failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerFault {
    /// It panicked.
    Panicked(String),
    /// It computed for too long over one packet.
    Spun,
    /// Too many threads of this process are stuck in codecs.
    Quarantined,
    /// The watchdog thread could not be started.
    Unwatched,
}

impl std::fmt::Display for WorkerFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panicked(what) => write!(f, "the decoder panicked ({what})"),
            Self::Spun => f.write_str("the decoder spent too long on one packet"),
            Self::Quarantined => f.write_str("too many decoders of this process are stuck"),
            Self::Unwatched => f.write_str("the decode watchdog could not be started"),
        }
    }
}

impl DecodeError {
    /// Whether the failure is only that the reader was interrupted on purpose.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Stream(StreamError::Interrupted))
    }

    /// Whether the run only ends here, in the middle of its media: the next one has what follows. All whole packets before
    /// were delivered.
    pub fn is_cut_off(&self) -> bool {
        matches!(self, Self::Stream(StreamError::CutOff))
    }
}
