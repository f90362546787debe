//! Small files replaced as a whole.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::positional::{directory_of, sync_directory};
use crate::{OpenMode, Place, ResourceExt, StorageError, StorageResource};

const PREFIX: &str = ".atomic-";
const SUFFIX: &str = ".tmp";

/// A file that is only ever replaced as a whole: at every moment, also after a crash, its name leads to the complete old
/// contents or to the complete new ones.
///
/// For small files such as an index. Blocks on the disk; not for an audio thread. Two writers at once don't mix, the
/// later one wins.
#[derive(Clone, Debug)]
pub struct Atomic {
    path: PathBuf,
}

impl Atomic {
    /// The file at `path`, which need not exist yet. Its directory must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Replaces the contents. When it returns, they would survive a power failure.
    ///
    /// # Errors
    /// [`StorageError::Full`] or [`StorageError::Io`]. The old contents are still there, unless only the very last step,
    /// making the name durable, failed: then the new ones are, and might be gone after a power failure.
    pub fn write(&self, bytes: &[u8]) -> Result<(), StorageError> {
        replace(&RealSteps, &self.path, bytes)
    }

    /// The contents, if the file exists.
    ///
    /// # Errors
    /// [`StorageError::TooLarge`] if there are more than `max_len` bytes, before anything is allocated for them; else as
    /// [`open`](Self::open) and [`ResourceExt::read_at`].
    pub fn read(&self, max_len: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(resource) = self.open()? else {
            return Ok(None);
        };
        let len = resource.committed_len().unwrap_or_default();
        let too_large = || StorageError::TooLarge {
            len,
            max_len,
            place: Place::file(&self.path),
        };
        if len > max_len {
            return Err(too_large());
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| too_large())?];
        // Reads all of it, or finds it cut short and says so.
        resource.read_at(0, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// The contents as they are now, if the file exists: later replacements don't change what this resource reads.
    ///
    /// # Errors
    /// [`StorageError::NotAFile`] for a symbolic link, a file with a second name, or anything that isn't a regular file;
    /// [`StorageError::Io`] if it can't be opened.
    pub fn open(&self) -> Result<Option<StorageResource>, StorageError> {
        match StorageResource::create(&self.path, OpenMode::ReadOnly) {
            Ok((_, resource)) => Ok(Some(resource)),
            Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a file of this name was left behind by a process that died in [`write`](Self::write), so that the owner of
    /// the directory may delete it.
    pub fn is_leftover(name: &OsStr) -> bool {
        let name = name.as_encoded_bytes();
        name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
    }
}

/// The steps that may fail, or after which the power may.
trait Steps {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    fn sync(&self, file: &File) -> io::Result<()>;
    fn rename(&self, file: NamedTempFile, to: &Path) -> io::Result<()>;
    fn sync_directory_of(&self, path: &Path) -> io::Result<()>;
}

struct RealSteps;

impl Steps for RealSteps {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, file: NamedTempFile, to: &Path) -> io::Result<()> {
        file.persist(to).map(drop).map_err(|error| error.error)
    }

    fn sync_directory_of(&self, path: &Path) -> io::Result<()> {
        sync_directory(directory_of(path))
    }
}

/// The order must not change.
fn replace(disk: &impl Steps, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let failed = |action| move |error| StorageError::io(action, Place::file(path), error);
    let directory = directory_of(path);
    // 1. A new file in the same directory: a rename is atomic only within one file system. Nobody looks for this name.
    //    It is deleted if any step up to the rename fails.
    let mut file = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .tempfile_in(directory)
        .map_err(failed("make a temporary file for"))?;
    // 2. The bytes.
    disk.write(file.as_file_mut(), bytes)
        .map_err(failed("write"))?;
    // 3. The bytes are durable before the name leads to them: the other way round a crash could leave the name with an
    //    empty file. A sync that fails once must not be tried again: the system may have dropped the bytes already.
    disk.sync(file.as_file()).map_err(failed("sync"))?;
    // 4. The name leads to the new file, in one step.
    disk.rename(file, path).map_err(failed("replace"))?;
    // 5. The name is durable: without this a crash could bring the old contents back after the caller was told.
    disk.sync_directory_of(path)
        .map_err(failed("sync the directory of"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    type Step = (&'static str, Option<Vec<u8>>);

    /// Does the steps for real, notes them with what the final name shows before each, and fails at the `fail_at`-th.
    struct Watched<'a> {
        path: &'a Path,
        fail_at: usize,
        steps: RefCell<Vec<Step>>,
    }

    impl Watched<'_> {
        fn step(&self, name: &'static str) -> io::Result<()> {
            let mut steps = self.steps.borrow_mut();
            steps.push((name, std::fs::read(self.path).ok()));
            if steps.len() == self.fail_at {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(())
            }
        }
    }

    impl Steps for Watched<'_> {
        fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
            // A full disk takes some of the bytes before it refuses.
            file.write_all(&bytes[..bytes.len() / 2])?;
            self.step("write")?;
            file.write_all(&bytes[bytes.len() / 2..])
        }

        fn sync(&self, file: &File) -> io::Result<()> {
            self.step("sync")?;
            RealSteps.sync(file)
        }

        fn rename(&self, file: NamedTempFile, to: &Path) -> io::Result<()> {
            self.step("rename")?;
            assert_eq!(
                std::fs::read(file.path()).unwrap(),
                b"new contents",
                "complete before it is named"
            );
            RealSteps.rename(file, to)
        }

        fn sync_directory_of(&self, path: &Path) -> io::Result<()> {
            self.step("sync directory")?;
            RealSteps.sync_directory_of(path)
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_final_name_shows_the_old_contents_until_the_new_ones_are_durable() {
        for old in [None, Some(b"old".to_vec())] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("index");
            if let Some(old) = &old {
                Atomic::new(&path).write(old).unwrap();
            }
            let disk = Watched {
                path: &path,
                fail_at: usize::MAX,
                steps: RefCell::default(),
            };
            replace(&disk, &path, b"new contents").unwrap();
            let expected = [
                ("write", old.clone()),
                ("sync", old.clone()),
                ("rename", old.clone()),
                ("sync directory", Some(b"new contents".to_vec())),
            ];
            assert_eq!(*disk.steps.borrow(), expected);
            assert_eq!(names(directory.path()), ["index"]);
        }
    }

    #[test]
    fn whichever_step_fails_the_contents_are_the_old_or_the_new_ones_and_no_litter_stays() {
        for fail_at in 1..=4 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("index");
            Atomic::new(&path).write(b"old").unwrap();
            let disk = Watched {
                path: &path,
                fail_at,
                steps: RefCell::default(),
            };
            let error = replace(&disk, &path, b"new contents").unwrap_err();
            assert!(matches!(error, StorageError::Full { .. }), "{error:?}");
            assert_eq!(
                disk.steps.borrow().len(),
                fail_at,
                "nothing is done after a failed step"
            );
            let expected: &[u8] = if fail_at < 4 { b"old" } else { b"new contents" };
            assert_eq!(Atomic::new(&path).read(100).unwrap().unwrap(), expected);
            assert_eq!(names(directory.path()), ["index"]);
        }
    }

    #[test]
    fn an_opened_snapshot_keeps_its_contents_when_the_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let file = Atomic::new(directory.path().join("index"));
        file.write(b"first").unwrap();
        let snapshot = file.open().unwrap().unwrap();
        file.write(b"second!").unwrap();
        let mut buf = [0; 16];
        assert_eq!(
            (snapshot.read_at(0, &mut buf).unwrap(), &buf[..5]),
            (5, &b"first"[..])
        );
        assert_eq!(file.read(100).unwrap().unwrap(), b"second!");
    }

    #[test]
    fn what_is_missing_is_none_and_what_is_too_large_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = Atomic::new(directory.path().join("index"));
        assert!(file.read(100).unwrap().is_none());
        file.write(&[1; 101]).unwrap();
        assert!(matches!(
            file.read(100),
            Err(StorageError::TooLarge {
                len: 101,
                max_len: 100,
                ..
            })
        ));
    }

    #[test]
    fn leftovers_are_known_by_their_names() {
        let directory = tempfile::tempdir().unwrap();
        let left = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(SUFFIX)
            .tempfile_in(directory.path())
            .unwrap();
        assert!(Atomic::is_leftover(left.path().file_name().unwrap()));
        assert!(!Atomic::is_leftover(OsStr::new("index")));
    }
}
