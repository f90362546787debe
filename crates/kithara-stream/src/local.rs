//! Local files: one run, read by positional calls, without network, copy or thread.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::{ByteSource, Interrupt, MediaInfo, Run, RunCause, SeekRoute, Source, StreamError};

/// A file on this machine as a source of one run. The file is opened by the first [`Source::next_run`], on the thread
/// that calls it, because opening may block.
#[derive(Debug)]
pub struct LocalSource {
    path: PathBuf,
    info: MediaInfo,
    interrupt: Interrupt,
    given: bool,
}

impl LocalSource {
    /// A source for the file at `path`; `info` carries the caller's hints.
    pub fn new(path: impl Into<PathBuf>, info: MediaInfo) -> Self {
        Self {
            path: path.into(),
            info,
            interrupt: Interrupt::new(),
            given: false,
        }
    }

    fn run(&self) -> Result<Run, StreamError> {
        let mut info = self.info.clone();
        info.name = self.path.display().to_string();
        if info.extension.is_none() {
            let extension = self.path.extension().and_then(|text| text.to_str());
            info.extension = extension.map(str::to_ascii_lowercase);
        }
        let bytes = LocalReader::open(&self.path, self.interrupt.clone())?;
        Ok(Run::new(
            Duration::ZERO,
            info,
            RunCause::Start,
            Box::new(bytes),
        ))
    }
}

impl Source for LocalSource {
    fn next_run(&mut self) -> Result<Option<Run>, StreamError> {
        if self.given {
            return Ok(None);
        }
        let run = self.run()?;
        self.given = true;
        Ok(Some(run))
    }

    fn seek(&mut self, _to: Duration) -> Result<SeekRoute, StreamError> {
        Ok(SeekRoute::WithinRun)
    }

    fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }
}

/// Positional reads of a regular file whose length is fixed at open.
#[derive(Debug)]
struct LocalReader {
    file: File,
    path: PathBuf,
    len: u64,
    modified: Option<SystemTime>,
    position: u64,
    interrupt: Interrupt,
}

impl LocalReader {
    fn open(path: &Path, interrupt: Interrupt) -> Result<Self, StreamError> {
        let failed = |source: io::Error| StreamError::Io {
            path: path.to_owned(),
            source: Arc::new(source),
        };
        // Looked at before opening: opening a FIFO without a writer blocks for ever, and opening a device may act.
        let kind = std::fs::metadata(path).map_err(failed)?;
        require_regular(path, &kind)?;
        let file = OpenOptions::new().read(true).open(path).map_err(failed)?;
        // And again, because the name may mean something else by now.
        let opened = file.metadata().map_err(failed)?;
        require_regular(path, &opened)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            len: opened.len(),
            modified: opened.modified().ok(),
            position: 0,
            interrupt,
        })
    }

    fn failed(&self, source: io::Error) -> StreamError {
        StreamError::Io {
            path: self.path.clone(),
            source: Arc::new(source),
        }
    }

    /// Notices a file that was cut or rewritten in place. One that only grew is still the file that was opened, up to
    /// the length it had then; a longer one written over it cannot be told from that.
    fn require_unchanged(&self) -> Result<(), StreamError> {
        let now = self.file.metadata().map_err(|error| self.failed(error))?;
        if now.len() < self.len {
            return Err(StreamError::Truncated {
                name: self.path.display().to_string(),
                expected: self.len,
                got: now.len(),
            });
        }
        if now.len() == self.len && now.modified().ok() != self.modified {
            return Err(StreamError::ContentChanged {
                name: self.path.display().to_string(),
                what: "its modification time".into(),
            });
        }
        Ok(())
    }
}

fn require_regular(path: &Path, metadata: &Metadata) -> Result<(), StreamError> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    Err(StreamError::NotAFile {
        path: path.to_owned(),
        what: if kind.is_dir() {
            "a directory"
        } else {
            "a device, pipe or socket"
        },
    })
}

impl Read for LocalReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.interrupt.is_raised() {
            return Err(StreamError::Interrupted.into());
        }
        let rest = self.len.saturating_sub(self.position);
        let wanted = usize::try_from(rest).unwrap_or(usize::MAX).min(buf.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = read_at(&self.file, &mut buf[..wanted], self.position)
            .map_err(|error| self.failed(error))?;
        // After the read: whatever changed the bytes before it has changed the times by now.
        self.require_unchanged()?;
        self.position += read as u64;
        Ok(read)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

impl Seek for LocalReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek before the first byte")
        })?;
        Ok(self.position)
    }
}

impl ByteSource for LocalReader {
    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        false
    }
}
