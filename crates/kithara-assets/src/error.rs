//! Why a store could not do what it was asked.

use kithara_storage::StorageError;

/// Why a store could not do what it was asked. Opening and reading never fail this way: they go on in memory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetError {
    /// This process has the folder open already, with other options.
    #[error("the cache folder is in use with other options")]
    Busy,

    /// The folder can't be used as a cache, and the caller insisted on one.
    #[error("the cache folder cannot be used")]
    Unusable(#[source] StorageError),

    /// A newer version of this library made the folder, and also the one in it that is meant for this version; both are left
    /// alone.
    #[error("the cache folder is of format {version}, newer than this program knows")]
    NewerFormat {
        /// The version it names.
        version: u32,
    },

    /// There is no cache on disk at the moment, so nothing can be kept for good.
    #[error("there is no cache on disk")]
    MemoryOnly,

    /// What is pinned would not fit: unpin something, or raise the limit.
    #[error("{needed} bytes would be pinned, more than the {limit} the cache may hold")]
    PinnedTooMuch {
        /// What would be pinned in all, in bytes.
        needed: u64,
        /// What the cache may hold, in bytes.
        limit: u64,
    },

    /// The title is open, here or in another process.
    #[error("the title is in use")]
    InUse,

    /// The disk said no.
    #[error("the cache folder could not be changed")]
    Storage(#[source] StorageError),

    /// The bytes could not be stored or read.
    #[error("the bytes could not be stored")]
    Bytes(#[from] StorageError),
}
