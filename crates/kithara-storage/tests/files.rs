//! What is made at a path, and what is refused there.

use std::io;
use std::path::Path;

use kithara_storage::{OpenMode, ResourceExt, StorageError, StorageResource};

const MODES: [OpenMode; 3] = [OpenMode::Auto, OpenMode::ReadWrite, OpenMode::ReadOnly];

fn what(result: Result<impl Sized, StorageError>) -> &'static str {
    match result {
        Err(StorageError::NotAFile { what, .. }) => what,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn a_temporary_resource_has_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, resource) = StorageResource::temporary(Some(directory.path())).unwrap();
    writer.write_at(0, &[7; 100]).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    writer.commit(100).unwrap();
    drop(writer);
    assert_eq!(resource.read_at(0, &mut [0; 200]).unwrap(), 100);
}

#[test]
fn auto_keeps_what_it_finds_but_does_not_trust_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("found");
    std::fs::write(&path, b"found").unwrap();
    let (mut writer, resource) = StorageResource::create(&path, OpenMode::Auto).unwrap();
    assert_eq!(resource.read_at(0, &mut [0; 10]).unwrap(), 0);
    writer.write_at(0, b"F").unwrap();
    assert_eq!(resource.coverage().total(), 1);
    assert_eq!(std::fs::read(&path).unwrap(), b"Found");
}

#[test]
fn read_write_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("found");
    std::fs::write(&path, b"found").unwrap();
    let (mut writer, _resource) = StorageResource::create(&path, OpenMode::ReadWrite).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    writer.write_at(0, b"new").unwrap();
    writer.commit(3).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
}

#[test]
fn read_only_finds_a_finished_resource_and_refuses_to_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("found");
    assert!(matches!(
        StorageResource::create(&path, OpenMode::ReadOnly),
        Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound
    ));
    std::fs::write(&path, b"found").unwrap();
    let (mut writer, resource) = StorageResource::create(&path, OpenMode::ReadOnly).unwrap();
    assert!(matches!(
        writer.write_at(0, b"x"),
        Err(StorageError::ReadOnly)
    ));
    drop(writer);
    assert_eq!(resource.committed_len(), Some(5));
}

#[test]
fn a_missing_folder_is_named() {
    let path = Path::new("/nonexistent/folder/file");
    for mode in MODES {
        let error = StorageResource::create(path, mode).unwrap_err();
        assert!(
            matches!(&error, StorageError::Io { place, .. } if place.path.as_deref() == Some(path)),
            "{error:?}"
        );
        assert_eq!(error.to_string(), "cannot open /nonexistent/folder/file");
    }
    assert!(matches!(
        StorageResource::open(path),
        Err(StorageError::Io { .. })
    ));
    assert!(matches!(
        StorageResource::temporary(Some(path)),
        Err(StorageError::Io { .. })
    ));
}

#[test]
fn a_directory_is_not_a_file() {
    let directory = tempfile::tempdir().unwrap();
    for mode in MODES {
        assert_eq!(
            what(StorageResource::create(directory.path(), mode)),
            "a directory"
        );
    }
    assert_eq!(what(StorageResource::open(directory.path())), "a directory");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    #[test]
    fn only_the_user_can_read_what_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("private");
        let _pair = StorageResource::create(&path, OpenMode::Auto).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_planted_link_is_refused_and_its_target_untouched() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link, second) = (
            directory.path().join("target"),
            directory.path().join("link"),
            directory.path().join("second"),
        );
        std::fs::write(&target, b"precious").unwrap();
        symlink(&target, &link).unwrap();
        for mode in MODES {
            assert_eq!(
                what(StorageResource::create(&link, mode)),
                "a symbolic link"
            );
        }
        assert_eq!(
            StorageResource::open(&link).unwrap().committed_len(),
            Some(8),
            "people may link their own files"
        );
        std::fs::hard_link(&target, &second).unwrap();
        for mode in MODES {
            assert_eq!(
                what(StorageResource::create(&second, mode)),
                "a file with several names"
            );
        }
        #[cfg(feature = "mmap")]
        assert_eq!(what(StorageResource::open_mapped(&link)), "a symbolic link");
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    }

    #[test]
    fn pipes_sockets_and_devices_are_refused_without_waiting_for_them() {
        let directory = tempfile::tempdir().unwrap();
        let (pipe, socket) = (
            directory.path().join("pipe"),
            directory.path().join("socket"),
        );
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&pipe, &socket, Path::new("/dev/null")] {
            for mode in MODES {
                assert_eq!(
                    what(StorageResource::create(path, mode)),
                    "a pipe, socket or device"
                );
            }
            assert_eq!(
                what(StorageResource::open(path)),
                "a pipe, socket or device"
            );
        }
    }
}

#[cfg(feature = "mmap")]
#[test]
fn a_mapped_resource_reads_to_its_end_and_an_empty_one_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("finished");
    for len in [0, 1, 5000] {
        let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let resource = StorageResource::open_mapped(&path).unwrap();
        let mut buf = vec![0; len as usize + 10];
        assert_eq!(resource.read_at(0, &mut buf).unwrap() as u64, len);
        assert_eq!(buf[..len as usize], bytes);
        assert_eq!(resource.read_at(len, &mut buf).unwrap(), 0);
    }
}

#[test]
fn what_somebody_cut_off_is_lost_and_never_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let (mut writer, resource) = StorageResource::create(&path, OpenMode::ReadWrite).unwrap();
    writer.write_at(0, &[7; 1000]).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(500)
        .unwrap();
    writer.write_at(900, &[7; 200]).unwrap();
    let kept: Vec<_> = resource.coverage().iter().collect();
    assert_eq!(
        kept,
        [0..500, 1000..1100],
        "900..1000 was there: it is not written twice"
    );
    writer.write_at(500, &[7; 500]).unwrap();
    let mut bytes = [0; 1100];
    assert_eq!(resource.read_at(0, &mut bytes).unwrap(), 1100);
    assert_eq!(bytes, [7; 1100]);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(500)
        .unwrap();
    writer.commit(1100).unwrap_err();
}
