//! All disks are the same to who uses them, and refuse the same.
#![allow(clippy::unwrap_used)] // A test's helpers fail as the test itself does.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use kithara_storage::{
    Access, Disk, Listed, ListedKind, LockKind, MemDisk, RealDisk, ResourceFiles, SimDisk,
};

/// Each disk, with a directory to work in.
fn each_disk(check: impl Fn(Arc<dyn Disk>, &Path)) {
    let directory = tempfile::tempdir().unwrap();
    check(Arc::new(RealDisk), directory.path());
    for disk in [
        Arc::new(MemDisk::new()) as Arc<dyn Disk>,
        Arc::new(SimDisk::new()),
    ] {
        disk.create_dir(Path::new("/work")).unwrap();
        check(disk, Path::new("/work"));
    }
}

fn refused<T>(result: std::io::Result<T>) -> ErrorKind {
    result.err().expect("it is refused").kind()
}

#[test]
fn files_are_made_written_read_cut_and_read_on_after_they_have_lost_their_name() {
    each_disk(|disk, directory| {
        let path = directory.join("file");
        for access in [Access::Read, Access::Write] {
            assert_eq!(refused(disk.open(&path, access)), ErrorKind::NotFound);
        }
        let file = disk.open(&path, Access::Create).unwrap();
        file.write_at(5000, b"behind a hole").unwrap();
        assert_eq!(file.len().unwrap(), 5013);
        let mut buf = [7; 20];
        assert_eq!(file.read_at(4990, &mut buf).unwrap(), 20);
        assert_eq!(&buf, b"\0\0\0\0\0\0\0\0\0\0behind a h");
        file.set_len(5003).unwrap();
        file.set_len(6000).unwrap();
        assert_eq!(file.read_at(5000, &mut buf).unwrap(), 20);
        assert_eq!(
            &buf[..6],
            b"beh\0\0\0",
            "what was cut off does not come back"
        );
        assert_eq!(file.read_at(6000, &mut buf).unwrap(), 0);
        let same = disk.open(&path, Access::Create).unwrap();
        assert_eq!(same.len().unwrap(), 6000, "nothing is emptied");
        let reader = disk.open(&path, Access::Read).unwrap();
        assert!(reader.write_at(0, b"x").is_err());
        file.sync().unwrap();
        disk.remove_file(&path).unwrap();
        assert_eq!(reader.read_at(5000, &mut buf[..3]).unwrap(), 3);
        assert_eq!(refused(disk.remove_file(&path)), ErrorKind::NotFound);
        assert!(disk.free_bytes(directory).unwrap() > 0);
    });
}

#[test]
fn names_are_listed_replaced_and_removed() {
    each_disk(|disk, directory| {
        let (old, new, inner) = (
            directory.join("old"),
            directory.join("new"),
            directory.join("inner"),
        );
        for (path, len) in [(&old, 3), (&new, 5)] {
            let file = disk.open(path, Access::Create).unwrap();
            file.write_at(0, &vec![1; len]).unwrap();
        }
        disk.create_dir(&inner).unwrap();
        disk.create_dir(&inner).unwrap();
        assert_eq!(refused(disk.create_dir(&old)), ErrorKind::NotADirectory);
        assert_eq!(
            refused(disk.create_dir(&directory.join("no/where"))),
            ErrorKind::NotFound
        );
        disk.rename(&old, &new).unwrap();
        assert_eq!(refused(disk.rename(&old, &new)), ErrorKind::NotFound);
        disk.sync_dir(directory).unwrap();
        let mut listed = disk.list(directory).unwrap();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        let entry = |name: &str, kind, len| Listed {
            name: name.into(),
            kind,
            len,
        };
        let expected = [
            entry("inner", ListedKind::Directory, 0),
            entry("new", ListedKind::File, 3),
        ];
        assert_eq!(listed, expected);
        for access in [Access::Read, Access::Write, Access::Create] {
            let opened = disk.open(&inner, access);
            assert_eq!(refused(opened), ErrorKind::InvalidInput, "{access:?}");
        }
        assert!(disk.remove_file(&inner).is_err());
        disk.open(&inner.join("file"), Access::Create).unwrap();
        assert_eq!(
            refused(disk.remove_dir(&inner)),
            ErrorKind::DirectoryNotEmpty
        );
        disk.remove_file(&inner.join("file")).unwrap();
        disk.remove_dir(&inner).unwrap();
        assert_eq!(refused(disk.list(&inner)), ErrorKind::NotFound);
    });
}

#[test]
fn locks_are_shared_or_exclusive_and_let_go_when_dropped() {
    each_disk(|disk, directory| {
        let path = directory.join("lease");
        let lock = |kind| disk.lock(&path, kind).unwrap();
        let (one, two) = (lock(LockKind::Shared), lock(LockKind::Shared));
        assert!(one.is_some() && two.is_some());
        assert!(lock(LockKind::Exclusive).is_none());
        drop(one);
        assert!(lock(LockKind::Exclusive).is_none());
        drop(two);
        let alone = lock(LockKind::Exclusive);
        assert!(alone.is_some());
        assert!(lock(LockKind::Shared).is_none() && lock(LockKind::Exclusive).is_none());
        // A lock belongs to the file, not to its name.
        disk.remove_file(&path).unwrap();
        let replaced = lock(LockKind::Exclusive);
        assert!(replaced.is_some());
        drop(alone);
        assert!(lock(LockKind::Shared).is_none(), "that was another file");
        drop(replaced);
        assert!(lock(LockKind::Shared).is_some());
    });
}

#[test]
fn a_lock_on_a_file_that_has_lost_its_name_is_not_taken_for_one() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    each_disk(|disk, directory| {
        let path = directory.join("fill");
        let (inside, entered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let Some(lock) = disk.lock(&path, LockKind::Exclusive).unwrap() else {
                            std::thread::yield_now();
                            continue;
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                        entered.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        // Who waits with this file open must notice that it is no longer the one.
                        disk.remove_file(&path).unwrap();
                        drop(lock);
                    }
                });
            }
        });
        assert!(entered.load(Ordering::Relaxed) > 0);
    });
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_user_can_read_what_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let (inner, file, lock) = (
            directory.path().join("inner"),
            directory.path().join("inner/file"),
            directory.path().join("inner/lock"),
        );
        RealDisk.create_dir(&inner).unwrap();
        let _file = RealDisk.open(&file, Access::Create).unwrap();
        let _lock = RealDisk.lock(&lock, LockKind::Shared).unwrap();
        assert_eq!(
            [mode(&inner), mode(&file), mode(&lock)],
            [0o700, 0o600, 0o600]
        );
    }

    /// Plants something at a path.
    type Plant = fn(&Path, &Path);

    const PLANTS: [Plant; 5] = [
        |target, path| symlink(target, path).unwrap(),
        |_, path| symlink("/nonexistent/target", path).unwrap(),
        |target, path| std::fs::hard_link(target, path).unwrap(),
        |_, path| {
            let made = std::process::Command::new("mkfifo").arg(path).status();
            assert!(made.unwrap().success());
        },
        |_, path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
    ];

    #[test]
    fn links_pipes_and_sockets_are_refused_without_waiting_or_following() {
        for (number, plant) in PLANTS.iter().enumerate() {
            let directory = tempfile::tempdir().unwrap();
            let (target, path) = (
                directory.path().join("target"),
                directory.path().join("path"),
            );
            std::fs::write(&target, b"precious").unwrap();
            plant(&target, &path);
            for access in [Access::Read, Access::Write, Access::Create] {
                let opened = RealDisk.open(&path, access);
                assert_eq!(
                    refused(opened),
                    ErrorKind::InvalidInput,
                    "{number} {access:?}"
                );
            }
            let locked = RealDisk.lock(&path, LockKind::Exclusive);
            assert_eq!(refused(locked), ErrorKind::InvalidInput, "{number}");
            assert_eq!(
                refused(RealDisk.create_dir(&path)),
                ErrorKind::NotADirectory
            );
        }
    }

    #[test]
    fn a_link_to_a_directory_is_no_directory() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink(directory.path(), &link).unwrap();
        assert_eq!(
            refused(RealDisk.create_dir(&link)),
            ErrorKind::NotADirectory
        );
        let listed = RealDisk.list(directory.path()).unwrap();
        assert_eq!(listed[0].kind, ListedKind::Other);
    }

    #[test]
    fn whatever_is_planted_at_our_names_counts_as_absent_and_what_it_leads_to_stays_untouched() {
        for plant in PLANTS {
            for suffix in ["", ".part", ".log"] {
                let directory = tempfile::tempdir().unwrap();
                let target = directory.path().join("target");
                std::fs::write(&target, b"precious").unwrap();
                let files = ResourceFiles::new(Arc::new(RealDisk), directory.path().join("name"));
                let mut partial = files.begin(b"label", 1).unwrap();
                partial.save(0, b"bytes").unwrap();
                let planted = directory.path().join(format!("name{suffix}"));
                let _ours = std::fs::remove_file(&planted);
                plant(&target, &planted);
                let opened = files.open().unwrap();
                assert_eq!(opened.is_some(), suffix.is_empty(), "the rest still counts");
                let mut partial = files.begin(b"label", 2).unwrap();
                partial.save(0, b"bytes").unwrap();
                partial.commit(5, b"label").unwrap();
                assert_eq!(std::fs::read(&target).unwrap(), b"precious");
            }
        }
    }

    #[test]
    fn a_directory_at_one_of_our_names_is_left_alone() {
        for suffix in ["", ".part", ".log"] {
            let directory = tempfile::tempdir().unwrap();
            let planted = directory.path().join(format!("name{suffix}"));
            std::fs::create_dir(&planted).unwrap();
            std::fs::write(planted.join("file"), b"precious").unwrap();
            let files = ResourceFiles::new(Arc::new(RealDisk), directory.path().join("name"));
            assert!(files.open().unwrap().is_none());
            assert!(files.begin(b"label", 1).is_err() && files.remove().is_err());
            assert_eq!(std::fs::read(planted.join("file")).unwrap(), b"precious");
        }
    }

    #[test]
    fn a_resource_lives_on_a_real_disk_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("name");
        let files = ResourceFiles::new(Arc::new(RealDisk), path.clone());
        let bytes: Vec<u8> = (0..150_000_u32).map(|at| (at / 7) as u8).collect();
        let mut partial = files.begin(b"label", 5).unwrap();
        for (number, extent) in bytes.chunks(kithara_storage::EXTENT).enumerate() {
            partial
                .save((number * kithara_storage::EXTENT) as u64, extent)
                .unwrap();
        }
        partial.commit(150_000, b"label").unwrap();
        let found = std::fs::read(&path).unwrap();
        assert!(found.starts_with(&bytes));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        // Only readable: then it is read.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
        let Some(kithara_storage::Stored::Committed(whole)) = files.open().unwrap() else {
            panic!("it was committed");
        };
        let mut buf = [0; 10];
        whole.checked().read_at(140_000, &mut buf).unwrap();
        assert_eq!(buf, bytes[140_000..140_010]);
    }
}
