//! Sharded pools of reusable buffers: once warm, taking and returning one allocates nothing.
//!
//! A [`SharedPool`] hands out buffers that come back by themselves when they are dropped. It is split into shards, each
//! with its own short lock, and every thread has a home shard, so that threads seldom meet.
//!
//! ```text
//!  get() ──► home shard ──empty?──► the others, in turn ──all empty?──► T::default()
//!
//!  drop  ──► Reuse::reuse (clear, trim) ──► shard not full, byte budget kept? ──yes──► home shard
//!                                                       └──no──► freed
//! ```
//!
//! Two pools serve the whole process: [`byte_pool`] and [`pcm_pool`]. [`global_pool!`] declares another.
//!
//! It is not an allocator (buffers have no fixed size, they grow as their users fill them), it knows nothing of audio,
//! and it isn't for the audio thread: taking and returning lock a mutex, though only for a push or a pop.
//!
//! Start reading at [`SharedPool`].
//!
//! ```
//! use kithara_bufpool::byte_pool;
//!
//! let mut buf = byte_pool().get();
//! buf.extend_from_slice(b"some bytes");
//! drop(buf); // back in the pool, empty, its memory kept
//! ```

mod global;
mod handle;
mod pool;
mod reuse;
mod shared;
mod slice;

pub use global::{ByteBuf, BytePool, PcmBuf, PcmPool, byte_pool, pcm_pool};
pub use handle::{Pooled, PooledOwned};
pub use pool::{Pool, PoolLimits};
pub use reuse::Reuse;
pub use shared::SharedPool;
pub use slice::{PooledSlice, PooledSliceOwned};
