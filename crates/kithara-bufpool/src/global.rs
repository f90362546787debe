//! The pools that serve the whole process.

use crate::{PoolLimits, PooledOwned, SharedPool};

/// Pools of byte buffers.
pub type BytePool = SharedPool<32, Vec<u8>>;

/// Pools of sample buffers.
pub type PcmPool = SharedPool<32, Vec<f32>>;

/// A byte buffer on loan.
pub type ByteBuf = PooledOwned<32, Vec<u8>>;

/// A sample buffer on loan.
pub type PcmBuf = PooledOwned<32, Vec<f32>>;

/// Declares a function that returns a pool of the whole process, made when it is first called.
///
/// ```
/// use kithara_bufpool::{PoolLimits, SharedPool, global_pool};
///
/// global_pool! {
///     /// Buffers for line breaks.
///     pub fn offset_pool() -> SharedPool<4, Vec<u64>> =
///         PoolLimits { buffers_per_shard: 4, bytes_per_buffer: 8192, idle_bytes: 65536 };
/// }
///
/// offset_pool().get().push(17);
/// assert_eq!(offset_pool().pool().idle_buffers(), 1);
/// ```
#[macro_export]
macro_rules! global_pool {
    ($(#[$doc:meta])* $vis:vis fn $name:ident() -> $pool:ty = $limits:expr;) => {
        $(#[$doc])*
        $vis fn $name() -> &'static $pool {
            static POOL: ::std::sync::LazyLock<$pool> = ::std::sync::LazyLock::new(|| <$pool>::new($limits));
            &POOL
        }
    };
}

// A demuxer's packet or a piece of a download is some tens of KiB, a decoded block of eight channels some hundreds. The
// budgets are small beside what one open stream uses, and hold what a dozen need between two blocks.

global_pool! {
    /// The byte buffers of the process: at most 4 MiB idle, at most 256 KiB each.
    pub fn byte_pool() -> BytePool =
        PoolLimits { buffers_per_shard: 32, bytes_per_buffer: 256 << 10, idle_bytes: 4 << 20 };
}

global_pool! {
    /// The sample buffers of the process: at most 4 MiB idle, at most 256 KiB (65,536 samples) each.
    pub fn pcm_pool() -> PcmPool =
        PoolLimits { buffers_per_shard: 32, bytes_per_buffer: 256 << 10, idle_bytes: 4 << 20 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_caller_gets_the_same_pool() {
        assert!(std::ptr::eq(byte_pool(), byte_pool()));
        assert!(std::ptr::eq(
            pcm_pool(),
            std::thread::spawn(pcm_pool).join().unwrap()
        ));
    }
}
