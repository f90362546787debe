//! Why bytes could not be kept or had.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where an I/O call failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, if the bytes have a name.
    pub path: Option<PathBuf>,
    /// The byte at which the call began, if it was about bytes.
    pub offset: Option<u64>,
}

impl Place {
    pub(crate) fn file(path: &Path) -> Self {
        Self {
            path: Some(path.to_path_buf()),
            offset: None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(offset) = self.offset {
            write!(f, "byte {offset} of ")?;
        }
        match &self.path {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str("unnamed storage"),
        }
    }
}

/// Why bytes could not be kept or had. Each variant is a decision the caller can take.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// An I/O call failed.
    #[error("cannot {action} {place}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        place: Place,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// The disk, or the user's share of it, is full. Nothing of the refused bytes counts as written.
    #[error("no space left to {action} {place}")]
    Full {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        place: Place,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// The writer gave up before these bytes arrived.
    #[error("bytes {}..{} never arrived", range.start, range.end)]
    Failed {
        /// The first missing bytes of those asked for.
        range: Range<u64>,
        /// Why the writer gave up. To find out its type, downcast this: `source()` hands out the `Arc` around it.
        #[source]
        cause: Arc<dyn Error + Send + Sync>,
    },

    /// The writer went away without a word before these bytes arrived.
    #[error("bytes {}..{} were abandoned by their writer", range.start, range.end)]
    Abandoned {
        /// The first missing bytes of those asked for.
        range: Range<u64>,
    },

    /// The resource was closed.
    #[error("the resource was closed")]
    Closed,

    /// The resource can't be committed: bytes are missing.
    #[error("bytes {}..{} of {final_len} are missing", gap.start, gap.end)]
    Incomplete {
        /// The first gap.
        gap: Range<u64>,
        /// The length that was to be committed.
        final_len: u64,
    },

    /// Bytes that had been stored are gone: the file was cut short or damaged, or its disk can't read it any more.
    ///
    /// They no longer count as covered, so that a writer can fetch them again. While there is a writer, waiting for them
    /// is waiting for that.
    #[error("stored bytes {}..{} are gone from {place}", range.start, range.end)]
    Lost {
        /// The missing bytes of those asked for.
        range: Range<u64>,
        /// Where they were.
        place: Place,
    },

    /// The path names something that must not be used as storage.
    #[error("{} is {what}, not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },

    /// There are more bytes than the caller wants to take.
    #[error("{place} has {len} bytes, more than {max_len}")]
    TooLarge {
        /// How many there are.
        len: u64,
        /// How many were allowed.
        max_len: u64,
        /// Where.
        place: Place,
    },

    /// A write reaches past the announced end, or past what a 64-bit offset can name.
    #[error("a write of {len} bytes at {offset} reaches past the end at {end}")]
    PastEnd {
        /// Where the write began.
        offset: u64,
        /// Its length in bytes.
        len: u64,
        /// Where the resource ends.
        end: u64,
    },

    /// Files of this resource were written by a newer version of this library. Leave them alone: they may be whole.
    #[error("{place} is of format {version}, newer than this program knows")]
    NewerFormat {
        /// The version the file names.
        version: u32,
        /// The file.
        place: Place,
    },

    /// The bytes offered are not the ones that were stored here.
    #[error("bytes {}..{} differ from those recorded for {place}", range.start, range.end)]
    Differs {
        /// The bytes in question.
        range: Range<u64>,
        /// The file.
        place: Place,
    },

    /// A sync of this file failed before: nobody knows what it holds. Remove it and begin anew.
    #[error("{place} cannot be trusted since a sync of it failed")]
    Distrusted {
        /// The file.
        place: Place,
    },

    /// The resource is committed: its bytes no longer change.
    #[error("the resource is committed and no longer changes")]
    ReadOnly,
}

impl StorageError {
    /// Sorts an I/O error into "full" and the rest.
    pub(crate) fn io(action: &'static str, place: Place, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full {
                action,
                place,
                source,
            },
            _ => Self::Io {
                action,
                place,
                source,
            },
        }
    }
}
