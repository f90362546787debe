//! One resource: a sequence of bytes that is written once, can be read while it grows, and is whole or clearly partial
//! after a crash.
//!
//! ```text
//!  ResourceWriter ──1. bytes──► Driver ◄──3. bytes── StorageResource   (as many readers as you like)
//!      (one)                 memory │ file │ map           ▲
//!        │                                                 │ woken when its range is there
//!        └──2. "these bytes are there"──► gate ────────────┘
//!                        coverage, end, commit, failure, close
//! ```
//!
//! The unique [`ResourceWriter`] stores bytes in any order. A [`StorageResource`] reads what is covered, and waits, as a
//! blocked thread or as a task, for what isn't. Nobody waits with a timeout: everything that could let a waiter go on
//! wakes it, and nothing else does. What is covered never changes.
//!
//! [`Atomic`] is for small files that are replaced as a whole.
//!
//! It is not a cache (no keys, no budget, no eviction, no memory of coverage between two runs of the program), it fetches
//! nothing, and it needs no async runtime. Nothing here is for an audio thread, save [`Interrupt::raise`].
//!
//! Start reading at [`ResourceExt`], then `gate.rs`.
//!
//! ```
//! use kithara_storage::{Interrupt, ResourceExt, StorageResource, WaitOutcome};
//!
//! # fn main() -> Result<(), kithara_storage::StorageError> {
//! let (mut writer, resource) = StorageResource::memory();
//! let reader = std::thread::spawn(move || {
//!     let outcome = resource.wait_range(0..5, &Interrupt::new())?;
//!     assert_eq!(outcome, WaitOutcome::Ready);
//!     let mut buf = [0; 16];
//!     let count = resource.read_at(0, &mut buf)?;
//!     assert_eq!(&buf[..count], b"hello");
//!     Ok::<_, kithara_storage::StorageError>(())
//! });
//! writer.write_at(0, b"hello")?;
//! writer.commit(5)?;
//! reader.join().expect("the reader does not panic")
//! # }
//! ```

mod atomic;
mod coverage;
mod driver;
mod error;
mod file;
mod gate;
mod interrupt;
mod memory;
#[cfg(feature = "mmap")]
mod mmap;
mod resource;
mod sync;
mod waiters;

pub use atomic::Atomic;
pub use coverage::Coverage;
pub use driver::Driver;
pub use error::{Place, StorageError};
pub use file::{FileDriver, OpenMode};
pub use gate::{ResourceStatus, WaitOutcome};
pub use interrupt::Interrupt;
pub use memory::MemDriver;
#[cfg(feature = "mmap")]
pub use mmap::MmapDriver;
pub use resource::{ResourceExt, ResourceWriter, StorageResource};
