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
//! wakes it, and nothing else does. What is covered never changes; it can only turn out to be lost.
//!
//! How a resource outlives the program:
//!
//! ```text
//!  ResourceFiles ──begin──► Partial ──────commit──────► Committed
//!        └───────open────►  NAME.part: bytes where they belong    NAME: bytes | sums | label | footer
//!                           NAME.log:  header | extent, sum | …     │ repair
//!                              └───────────► CheckedFile ◄───────────┘
//!                                    no byte without its sum checked
//!  all of it on a Disk:  RealDisk │ MemDisk │ SimDisk (feature `sim`)
//! ```
//!
//! What is stored is cut into extents of at most 64 KiB, each with a sum that also depends on its place and its download.
//! Reading checks it. So a hole, a flipped bit, a torn write, a foreign file or the remains of a power cut are not given out
//! but [lost](Kept::Lost), to be fetched again; and nothing needs to be synced but the commit, whose five steps stand in
//! `partial.rs`. `docs/cache-format.md` draws the files byte by byte.
//!
//! [`Atomic`] is for small files that are replaced as a whole.
//!
//! It is not a cache (no keys, no budget, no eviction, and who may change which files is settled by its user, with the
//! locks of [`Disk::lock`]), it fetches nothing, and it needs no async runtime. Nothing here is for an audio thread, save
//! [`Interrupt::raise`].
//!
//! Start reading at [`ResourceExt`], then `gate.rs`; for the files at [`ResourceFiles`], then `format.rs`.
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
mod checked;
mod committed;
mod coverage;
#[cfg(feature = "sim")]
mod crash_images;
mod disk;
mod driver;
mod error;
mod extents;
mod file;
mod format;
mod gate;
mod index_file;
mod interrupt;
mod mem_disk;
mod memory;
#[cfg(feature = "mmap")]
mod mmap;
mod partial;
mod positional;
mod real_disk;
mod resource;
mod resource_files;
#[cfg(feature = "sim")]
mod sim_disk;
mod sync;
mod tree;
mod waiters;

pub use atomic::Atomic;
pub use checked::CheckedFile;
pub use committed::Committed;
pub use coverage::Coverage;
#[cfg(feature = "sim")]
pub use crash_images::CrashImage;
pub use disk::{Access, Disk, DiskFile, DiskLock, Listed, ListedKind, LockKind, too_many_open};
pub use driver::{Driver, Kept};
pub use error::{Place, StorageError};
pub use file::{FileDriver, OpenMode};
pub use format::{EXTENT, MAX_LABEL};
pub use gate::{ResourceStatus, WaitOutcome};
pub use index_file::MAX_INDEX;
pub use interrupt::Interrupt;
pub use mem_disk::MemDisk;
pub use memory::MemDriver;
#[cfg(feature = "mmap")]
pub use mmap::MmapDriver;
pub use partial::Partial;
pub use real_disk::RealDisk;
pub use resource::{ResourceExt, ResourceWriter, StorageResource};
pub use resource_files::{ResourceFiles, Stored};
#[cfg(feature = "sim")]
pub use sim_disk::{Call, CallKind, SimDisk};
