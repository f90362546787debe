//! The two handles on a resource: many readers, one writer.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc as StdArc;
use std::task::{Context, Poll};

use crate::gate::{Gate, Missing};
use crate::sync::Arc;
use crate::{
    Coverage, Driver, FileDriver, Interrupt, Kept, MemDriver, OpenMode, Place, ResourceStatus,
    StorageError, WaitOutcome,
};

/// Reading a resource while it grows.
pub trait ResourceExt {
    /// Copies what is covered contiguously from `offset`, at most `buf.len()` bytes; returns how many.
    ///
    /// 0 means that nothing is covered there (or that `buf` is empty): [`wait_range`](Self::wait_range) tells the end
    /// from "not yet". Bytes that were never written are never returned. Doesn't wait for the writer, but may block on
    /// the disk; not for an audio thread.
    ///
    /// # Errors
    /// [`StorageError::Lost`] if bytes that had been stored are gone or damaged: they no longer count as covered. Waiting
    /// for them then tells whether they may come again: it blocks while there is a writer.
    /// [`StorageError::Io`] if reading fails.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, StorageError>;

    /// Blocks until the whole range, cut at the length if that is known, can be read.
    ///
    /// There is no timer: a writer's progress, end, failure or disappearance, [`StorageResource::close`] and
    /// `interrupt` wake it. If the bytes are there already it takes one short lock and allocates nothing. Never for an
    /// audio thread.
    ///
    /// # Errors
    /// Only for bytes that aren't covered: [`StorageError::Failed`], [`StorageError::Abandoned`], or, in a committed
    /// resource, [`StorageError::Lost`]. [`StorageError::Closed`] whatever is covered.
    fn wait_range(
        &self,
        range: Range<u64>,
        interrupt: &Interrupt,
    ) -> Result<WaitOutcome, StorageError>;

    /// The same for a task: pending until the whole range can be read.
    ///
    /// A task may wait for several ranges at once. Dropping the future needs no farewell: what it leaves behind is
    /// forgotten when its range arrives, or when newer polls need the room.
    ///
    /// # Errors
    /// As [`wait_range`](Self::wait_range). Never [`WaitOutcome::Interrupted`].
    fn poll_range(
        &self,
        cx: &mut Context<'_>,
        range: Range<u64>,
    ) -> Poll<Result<WaitOutcome, StorageError>>;

    /// What the resource is up to.
    fn status(&self) -> ResourceStatus;

    /// Which bytes can be read now: a snapshot.
    fn coverage(&self) -> Coverage;

    /// The end of the contiguous covered stretch at `offset`; `offset` itself if nothing is covered there.
    fn covered_from(&self, offset: u64) -> u64;

    /// The length in bytes, once the resource is committed.
    fn committed_len(&self) -> Option<u64>;
}

struct Shared {
    gate: Gate,
    driver: Box<dyn Driver>,
}

impl Shared {
    fn place(&self, offset: Option<u64>) -> Place {
        Place {
            path: self.driver.path().map(Path::to_path_buf),
            offset,
        }
    }
}

/// A reader's handle on one resource. Clones are cheap and read the same bytes.
#[derive(Clone)]
pub struct StorageResource {
    shared: Arc<Shared>,
}

impl StorageResource {
    /// A growing resource in memory.
    pub fn memory() -> (ResourceWriter, Self) {
        Self::with_driver(Box::new(MemDriver::new()))
    }

    /// A growing resource in a temporary file without a name, in `dir` or the system's folder for such files.
    ///
    /// It disappears with the last handle, however the process ends. Only the user can read it.
    ///
    /// # Errors
    /// [`StorageError::Io`] or [`StorageError::Full`] if the file can't be made.
    pub fn temporary(dir: Option<&Path>) -> Result<(ResourceWriter, Self), StorageError> {
        Ok(Self::with_driver(Box::new(FileDriver::temporary(dir)?)))
    }

    /// A growing resource in a file at `path`, readable by the user alone. See [`OpenMode`] for what happens to a file
    /// that is already there.
    ///
    /// # Errors
    /// [`StorageError::NotAFile`] for a symbolic link, a file with a second name, or anything that isn't a regular file;
    /// [`StorageError::Io`] or [`StorageError::Full`] if it can't be opened or made.
    pub fn create(path: &Path, mode: OpenMode) -> Result<(ResourceWriter, Self), StorageError> {
        let driver = FileDriver::create(path, mode)?;
        if mode == OpenMode::ReadOnly {
            let len = driver.len()?;
            return Ok(Self::new(Gate::committed(len), Box::new(driver)));
        }
        Ok(Self::with_driver(Box::new(driver)))
    }

    /// A finished resource: an existing file, read only. Symbolic links are followed, as people expect of their own
    /// files; for files in a folder of our own use [`create`](Self::create) with [`OpenMode::ReadOnly`], which refuses them.
    ///
    /// # Errors
    /// [`StorageError::NotAFile`] for a directory, pipe or device; [`StorageError::Io`] if it can't be opened.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let driver = FileDriver::open(path)?;
        let len = driver.len()?;
        Ok(Self::new(Gate::committed(len), Box::new(driver)).1)
    }

    /// A finished resource: a file of the library's own, mapped into memory. See [`MmapDriver`](crate::MmapDriver) for
    /// when that is safe.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    #[cfg(feature = "mmap")]
    pub fn open_mapped(path: &Path) -> Result<Self, StorageError> {
        let driver = crate::MmapDriver::open(path)?;
        let len = driver.len();
        Ok(Self::new(Gate::committed(len), Box::new(driver)).1)
    }

    /// A growing, empty resource whose bytes `driver` keeps.
    pub fn with_driver(driver: Box<dyn Driver>) -> (ResourceWriter, Self) {
        Self::new(Gate::new(), driver)
    }

    /// A resource of which `driver` has kept `coverage` from an earlier run, and `end`, its length, if that is known. It
    /// is committed if all of it is there.
    ///
    /// The writer may bring again what turns out to be lost, also of a committed resource: that is then
    /// [active](ResourceStatus::Active) until it is committed anew.
    pub fn with_stored(
        driver: Box<dyn Driver>,
        coverage: Coverage,
        end: Option<u64>,
    ) -> (ResourceWriter, Self) {
        Self::new(Gate::stored(coverage, end), driver)
    }

    fn new(gate: Gate, driver: Box<dyn Driver>) -> (ResourceWriter, Self) {
        let resource = Self {
            shared: Arc::new(Shared { gate, driver }),
        };
        (
            ResourceWriter {
                resource: resource.clone(),
            },
            resource,
        )
    }

    /// Wakes everyone who waits to look again. Waits go on unless something has changed.
    pub fn interrupt_all(&self) {
        self.shared.gate.interrupt_all();
    }

    /// Ends every wait, now and later, with [`StorageError::Closed`], and refuses further writes. What is covered can
    /// still be [read](ResourceExt::read_at).
    pub fn close(&self) {
        self.shared.gate.close();
    }

    /// Says in which file the bytes were that the gate reports as lost: the gate knows no files.
    fn locate(
        &self,
        answer: Result<WaitOutcome, StorageError>,
    ) -> Result<WaitOutcome, StorageError> {
        answer.map_err(|error| match error {
            StorageError::Lost { range, .. } => StorageError::Lost {
                range,
                place: self.shared.place(None),
            },
            other => other,
        })
    }
}

impl ResourceExt for StorageResource {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, StorageError> {
        let Shared { gate, driver } = &*self.shared;
        // The lock is held only to look: covered bytes never change, so copying them needs none.
        let covered = gate.covered_from(offset) - offset;
        let wanted = usize::try_from(covered)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let mut got = 0;
        while got < wanted {
            let at = offset + got as u64;
            match driver.read_at(at, &mut buf[got..wanted]) {
                // The commit cut off what lies behind the end, or another reader noticed the loss first.
                Ok(Kept::Lost(_)) if gate.covered_from(at) == at => return Ok(got),
                Ok(Kept::Lost(lost)) => {
                    let range = at..lost.end.clamp(at, offset + wanted as u64);
                    gate.lose(lost.clone());
                    driver.lost(lost);
                    return Err(StorageError::Lost {
                        range,
                        place: self.shared.place(None),
                    });
                }
                // Nothing was copied and nothing said to be lost: no driver does that, and asking again would not end.
                Ok(Kept::Bytes(0)) => return Ok(got),
                Ok(Kept::Bytes(count)) => got += count,
                Err(error) => {
                    return Err(StorageError::io("read", self.shared.place(Some(at)), error));
                }
            }
        }
        Ok(got)
    }

    fn wait_range(
        &self,
        range: Range<u64>,
        interrupt: &Interrupt,
    ) -> Result<WaitOutcome, StorageError> {
        self.locate(self.shared.gate.wait(&range, interrupt))
    }

    fn poll_range(
        &self,
        cx: &mut Context<'_>,
        range: Range<u64>,
    ) -> Poll<Result<WaitOutcome, StorageError>> {
        self.shared
            .gate
            .poll(cx, &range)
            .map(|answer| self.locate(answer))
    }

    fn status(&self) -> ResourceStatus {
        self.shared.gate.status()
    }

    fn coverage(&self) -> Coverage {
        self.shared.gate.coverage()
    }

    fn covered_from(&self, offset: u64) -> u64 {
        self.shared.gate.covered_from(offset)
    }

    fn committed_len(&self) -> Option<u64> {
        self.shared.gate.committed_len()
    }
}

impl fmt::Debug for StorageResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageResource")
            .field("path", &self.shared.driver.path())
            .field("status", &self.status())
            .field("coverage", &self.coverage())
            .finish()
    }
}

/// The one handle that writes a resource.
///
/// Bytes may come in any order. What is covered never changes: the part of a write that is already there is left as it
/// is, unless it was lost: then it may be written again, after a commit too. Dropping the writer before [`commit`](Self::commit) or [`fail`](Self::fail) tells everyone who waits for bytes
/// that won't come: [`StorageError::Abandoned`].
pub struct ResourceWriter {
    resource: StorageResource,
}

impl ResourceWriter {
    /// Stores `bytes` at `offset` and wakes those whose range is now complete.
    ///
    /// Blocks as long as the disk does. The bytes count as covered only once all of them are stored: a failed write
    /// changes nothing that readers see, and may be repeated.
    ///
    /// # Errors
    /// [`StorageError::Full`], [`StorageError::Io`], [`StorageError::Closed`], [`StorageError::ReadOnly`] after the
    /// commit, [`StorageError::PastEnd`] behind a known end.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let len = bytes.len() as u64;
        let end = offset.checked_add(len).ok_or(StorageError::PastEnd {
            offset,
            len,
            end: u64::MAX,
        })?;
        let range = offset..end;
        let Shared { gate, driver } = &*self.resource.shared;
        let mut gone = Vec::new();
        let mut write = |part: &Range<u64>| {
            let slice = &bytes[(part.start - offset) as usize..(part.end - offset) as usize];
            let place = || self.resource.shared.place(Some(part.start));
            let made_room = driver
                .write_at(part.start, slice)
                .map_err(|error| StorageError::io("write", place(), error))?;
            gone.extend(made_room);
            Ok(())
        };
        let parts;
        let missing = match gate.admit(&range)? {
            Missing::Nothing => return Ok(()),
            Missing::All => std::slice::from_ref(&range),
            Missing::Parts(several) => {
                parts = several;
                &parts[..]
            }
        };
        let written = missing.iter().try_for_each(&mut write);
        // What the first parts pushed out is gone, though the last one may have been refused. Only what was written is
        // covered: what was there before may have been found lost meanwhile.
        let covered = if written.is_ok() { missing } else { &[] };
        gate.cover(covered, &gone);
        written
    }

    /// Declares the resource complete: its first `final_len` bytes, which must all be covered.
    ///
    /// If it has a path, the file is cut to that length and made durable first, so that success means that it survives a
    /// power failure. Blocks for that long. Repeating it with the same length does nothing.
    ///
    /// # Errors
    /// [`StorageError::Incomplete`] names the first gap, which may be bytes found lost meanwhile. [`StorageError::Io`] or [`StorageError::Full`] if the file can't
    /// be made durable: it isn't committed, and a file whose sync failed shouldn't be trusted again. Also
    /// [`StorageError::Closed`], and [`StorageError::ReadOnly`] if it is committed with another length.
    pub fn commit(&mut self, final_len: u64) -> Result<(), StorageError> {
        let Shared { gate, driver } = &*self.resource.shared;
        match gate.committed_len() {
            Some(len) if len == final_len => return Ok(()),
            Some(_) => return Err(StorageError::ReadOnly),
            None => gate.may_commit(final_len)?,
        }
        let place = || self.resource.shared.place(None);
        // Bytes behind the end leave the file before it is declared whole, and all of it is durable before anyone is
        // told that it is.
        gate.lose(final_len..u64::MAX);
        driver
            .commit(final_len)
            .map_err(|error| StorageError::io("commit", place(), error))?;
        gate.commit(final_len)
    }

    /// Announces the length: reads at or behind it see the end, even while bytes before it are missing.
    ///
    /// May be corrected by calling it again, or by [`commit`](Self::commit). Does nothing after the commit.
    pub fn end_at(&mut self, len: u64) {
        self.resource.shared.gate.end_at(len);
    }

    /// Gives up: whoever waits for missing bytes gets [`StorageError::Failed`] with this cause. Covered bytes stay
    /// readable. Does nothing after the commit.
    pub fn fail(&mut self, cause: StdArc<dyn Error + Send + Sync>) {
        self.resource.shared.gate.fail(cause);
    }

    /// Goes on after [`fail`](Self::fail): waits block again.
    pub fn reactivate(&mut self) {
        self.resource.shared.gate.reactivate();
    }

    /// A reader's handle.
    pub fn resource(&self) -> StorageResource {
        self.resource.clone()
    }
}

impl Drop for ResourceWriter {
    fn drop(&mut self) {
        self.resource.shared.gate.abandon();
    }
}

impl fmt::Debug for ResourceWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResourceWriter")
            .field(&self.resource)
            .finish()
    }
}
