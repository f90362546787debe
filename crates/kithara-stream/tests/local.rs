//! Local files: what may be opened, and what happens when somebody changes them.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kithara_stream::{LocalSource, MediaInfo, Run, Source, StreamError};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("a file is written");
        path
    }
}

fn run_of(path: &Path) -> Result<Run, StreamError> {
    let mut source = LocalSource::new(path, MediaInfo::default());
    source.next_run().map(|run| run.expect("a file is one run"))
}

fn read_error(run: &mut Run) -> StreamError {
    let mut rest = Vec::new();
    let error = run
        .bytes
        .read_to_end(&mut rest)
        .expect_err("the change is noticed");
    StreamError::from_io(&error).expect("a stream error is inside")
}

#[test]
fn a_file_is_one_run_read_from_anywhere() {
    let folder = Folder::new();
    let path = folder.file("Song.FLAC", b"0123456789");
    let mut source = LocalSource::new(&path, MediaInfo::default());
    let mut run = source.next_run().unwrap().expect("one run");
    assert_eq!(run.info.extension.as_deref(), Some("flac"));
    assert_eq!(run.bytes.byte_len(), Some(10));
    assert!(run.bytes.is_seekable() && !run.bytes.is_remote());
    let mut text = String::new();
    run.bytes.seek(SeekFrom::End(-3)).unwrap();
    run.bytes.read_to_string(&mut text).unwrap();
    assert_eq!(text, "789");
    run.bytes.seek(SeekFrom::Start(99)).unwrap();
    assert_eq!(
        run.bytes.read(&mut [0; 4]).unwrap(),
        0,
        "behind the end is the end"
    );
    assert!(run.bytes.seek(SeekFrom::End(-11)).is_err());
    assert!(source.next_run().unwrap().is_none(), "and then no other");
}

#[test]
fn what_is_no_regular_file_is_refused_by_name() {
    let folder = Folder::new();
    for (path, what) in [
        (folder.0.path().to_owned(), "a directory"),
        (PathBuf::from("/dev/zero"), "a device, pipe or socket"),
    ] {
        let error = run_of(&path).expect_err("refused");
        let StreamError::NotAFile {
            path: named,
            what: told,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((named, told), (path, what));
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_without_a_writer_is_refused_and_not_waited_for() {
    let folder = Folder::new();
    let path = folder.0.path().join("pipe.mp3");
    let made = std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    assert!(matches!(run_of(&path), Err(StreamError::NotAFile { .. })));
}

#[test]
fn a_missing_file_is_named() {
    let error = run_of(Path::new("no/such/file.mp3")).expect_err("missing");
    let StreamError::Io { path, source } = error else {
        panic!("{error}");
    };
    assert_eq!(path, Path::new("no/such/file.mp3"));
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_file_cut_while_it_is_read_is_truncated_and_not_ended() {
    let folder = Folder::new();
    let path = folder.file("a.wav", &[7; 100_000]);
    let mut run = run_of(&path).unwrap();
    run.bytes.read_exact(&mut [0; 1000]).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(500)
        .unwrap();
    let error = read_error(&mut run);
    assert!(
        matches!(
            error,
            StreamError::Truncated {
                expected: 100_000,
                got: 500,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_file_rewritten_while_it_is_read_has_changed() {
    let folder = Folder::new();
    let path = folder.file("a.wav", &[7; 100_000]);
    let mut run = run_of(&path).unwrap();
    run.bytes.read_exact(&mut [0; 1000]).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(&[8; 100_000]).unwrap();
    // The clock of the file system may be coarse.
    file.set_modified(SystemTime::now() + Duration::from_secs(5))
        .unwrap();
    assert!(matches!(
        read_error(&mut run),
        StreamError::ContentChanged { .. }
    ));
}

#[test]
fn a_file_replaced_while_it_is_read_stays_the_one_that_was_opened() {
    let folder = Folder::new();
    let path = folder.file("a.wav", &[7; 1000]);
    let mut run = run_of(&path).unwrap();
    let other = folder.file("b.wav", &[8; 1000]);
    fs::rename(other, &path).unwrap();
    let mut all = Vec::new();
    run.bytes.read_to_end(&mut all).unwrap();
    assert_eq!(all, [7; 1000]);
}

#[test]
fn a_file_that_grew_is_read_to_the_length_it_had() {
    let folder = Folder::new();
    let path = folder.file("a.wav", &[7; 1000]);
    let mut run = run_of(&path).unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(&[8; 10])
        .unwrap();
    let mut all = Vec::new();
    run.bytes.read_to_end(&mut all).unwrap();
    assert_eq!(all, [7; 1000]);
}

#[test]
fn a_raised_interrupt_ends_reads_until_it_is_cleared() {
    let folder = Folder::new();
    let path = folder.file("a.wav", &[7; 10]);
    let mut source = LocalSource::new(&path, MediaInfo::default());
    let interrupt = source.interrupt();
    let mut run = source.next_run().unwrap().expect("one run");
    interrupt.raise();
    let error = run.bytes.read(&mut [0; 4]).expect_err("interrupted");
    assert_ne!(
        error.kind(),
        std::io::ErrorKind::Interrupted,
        "std would try again for ever"
    );
    assert!(matches!(
        StreamError::from_io(&error),
        Some(StreamError::Interrupted)
    ));
    interrupt.clear();
    assert_eq!(run.bytes.read(&mut [0; 4]).unwrap(), 4);
}
