//! Whether a folder is ours, and making it so.

use std::io;
use std::path::Path;

use kithara_storage::{Access, Disk};
use sha2::{Digest, Sha256};

use crate::layout::Layout;

/// The newest format known here.
const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"kthrcach";

/// `magic | version | check`: the same in all versions, for ever.
const MARKER: usize = 20;

/// See <https://bford.info/cachedir/>: backups leave the folder out.
const TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n\
# This folder is a cache of kithara. It may be removed at any time.\n";

/// Why a folder isn't used.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A newer version of this library made it.
    Newer(u32),
    /// It can't be made, read or written, or a file of somebody else has our marker's name.
    Unusable(io::Error),
}

fn marker(version: u32) -> [u8; MARKER] {
    let mut bytes = [0; MARKER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let check = Sha256::digest(&bytes[..12]);
    bytes[12..].copy_from_slice(&check[..8]);
    bytes
}

/// What the marker's file says.
enum Marked {
    Ours,
    /// There is none, or what a power cut left of one.
    Not,
    Refused(Refusal),
}

fn read(disk: &dyn Disk, path: &Path) -> Marked {
    let file = match disk.open(path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Marked::Not,
        Err(error) => return Marked::Refused(Refusal::Unusable(error)),
    };
    let mut bytes = [0; MARKER];
    let count = match file.read_at(0, &mut bytes) {
        Ok(count) => count,
        Err(error) => return Marked::Refused(Refusal::Unusable(error)),
    };
    let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if count == MARKER && bytes == marker(version) {
        return if version > VERSION {
            Marked::Refused(Refusal::Newer(version))
        } else {
            Marked::Ours
        };
    }
    // Torn: any mixture of the marker and zeros. Anything else was written by somebody else.
    let torn = bytes
        .iter()
        .zip(marker(VERSION))
        .all(|(found, ours)| *found == ours || *found == 0);
    if torn {
        Marked::Not
    } else {
        let foreign = io::Error::new(io::ErrorKind::AlreadyExists, "not a cache folder");
        Marked::Refused(Refusal::Unusable(foreign))
    }
}

/// Where in the user's folder a store's files lie.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) layout: Layout,
    /// The version of what lies there already, if that is a newer one: it is left alone, and ours lies beside it.
    pub(crate) beside: Option<u32>,
}

/// Finds the place for a store's files, and prepares it.
///
/// What a newer version keeps in the folder stays as it is; ours goes into a folder in it, whose name is set aside for our
/// version in all versions, for ever.
pub(crate) fn settle(disk: &dyn Disk, root: &Path) -> Result<Site, Refusal> {
    let layout = Layout::new(root.to_path_buf());
    match prepare(disk, &layout) {
        Err(Refusal::Newer(version)) => {
            let layout = Layout::beside_newer(root, VERSION);
            prepare(disk, &layout)?;
            let beside = Some(version);
            Ok(Site { layout, beside })
        }
        done => done.map(|()| Site {
            layout,
            beside: None,
        }),
    }
}

/// Makes the folder a cache folder, with its missing parents, unless it is one already: then nothing is changed.
pub(crate) fn prepare(disk: &dyn Disk, layout: &Layout) -> Result<(), Refusal> {
    if layout.is_side {
        // Before anything in it is looked at: a link there is nobody's wish. And where there is nothing any more that it
        // could lie beside, it isn't made again, as the next run would not look for it.
        disk.create_dir(&layout.root).map_err(Refusal::Unusable)?;
    }
    let path = layout.root.join(Layout::MARKER);
    match read(disk, &path) {
        Marked::Ours => return Ok(()),
        Marked::Refused(refusal) => return Err(refusal),
        Marked::Not => {}
    }
    make(disk, layout, &path).map_err(Refusal::Unusable)
}

fn make(disk: &dyn Disk, layout: &Layout, path: &Path) -> io::Result<()> {
    make_dirs(disk, &layout.root)?;
    disk.create_dir(&layout.index())?;
    let write = |path: &Path, bytes: &[u8]| {
        let file = disk.open(path, Access::Create)?;
        file.write_at(0, bytes)?;
        file.sync()
    };
    let tag = layout.root.join(Layout::TAG);
    // A tag of somebody else says the same.
    if disk.open(&tag, Access::Read).is_err() {
        write(&tag, TAG)?;
    }
    write(path, &marker(VERSION))?;
    disk.sync_dir(&layout.root)
}

/// Makes a directory and those above it that are missing. Links above it are the user's own.
fn make_dirs(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                make_dirs(disk, parent)?;
                disk.create_dir(path)?;
                // The name of the last one is made safe when something in it is.
                disk.sync_dir(parent.parent().unwrap_or(parent))
            }
            _ => Err(error),
        },
        // The user may have put the cache elsewhere by a link at its own name, or at one above.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            disk.list(path).map(|_| ()).map_err(|_| error)
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use kithara_storage::MemDisk;

    use super::*;

    fn prepared(bytes: Option<&[u8]>) -> (MemDisk, Result<(), Refusal>) {
        let disk = MemDisk::new();
        let layout = Layout::new("/a/b/cache".into());
        if let Some(bytes) = bytes {
            make_dirs(&disk, &layout.root).unwrap();
            let path = layout.root.join(Layout::MARKER);
            let file = disk.open(&path, Access::Create).unwrap();
            file.write_at(0, bytes).unwrap();
        }
        let prepared = prepare(&disk, &layout);
        (disk, prepared)
    }

    #[test]
    fn a_new_empty_or_torn_folder_becomes_ours_and_stays_so() {
        let whole = marker(VERSION);
        let mut torn = whole;
        torn[5..11].fill(0);
        for bytes in [
            None,
            Some(&[][..]),
            Some(&whole[..7]),
            Some(&[0; 20]),
            Some(&torn),
            Some(&whole),
        ] {
            let (disk, prepared) = prepared(bytes);
            prepared.unwrap();
            let path = Path::new("/a/b/cache").join(Layout::MARKER);
            assert!(matches!(read(&disk, &path), Marked::Ours), "{bytes:?}");
        }
    }

    fn put(disk: &MemDisk, path: &Path, bytes: &[u8]) {
        let file = disk.open(path, Access::Create).unwrap();
        file.write_at(0, bytes).unwrap();
    }

    #[test]
    fn a_newer_folder_stays_as_it_is_and_ours_is_found_beside_it_every_time() {
        let root = Path::new("/a/b/cache");
        let side = root.join("v1");
        for version in [2, 3, u32::MAX] {
            let (disk, prepared) = prepared(Some(&marker(version)));
            assert!(matches!(prepared, Err(Refusal::Newer(found)) if found == version));
            for _ in 0..2 {
                let site = settle(&disk, root).unwrap();
                assert_eq!(
                    (site.layout.root, site.beside),
                    (side.clone(), Some(version))
                );
            }
            let names = |path: &Path| {
                let listed = disk.list(path).unwrap().into_iter();
                let mut names: Vec<_> = listed.map(|one| one.name).collect();
                names.sort();
                names
            };
            assert_eq!(names(root), ["kithara.cache", "v1"]);
            assert_eq!(names(&side), ["CACHEDIR.TAG", "_index", "kithara.cache"]);
            // That one is a newer version's too, which is nothing this program understands.
            put(&disk, &side.join(Layout::MARKER), &marker(9));
            let settled = settle(&disk, root);
            assert!(matches!(settled, Err(Refusal::Newer(9))), "{settled:?}");
            assert_eq!(names(&side), ["CACHEDIR.TAG", "_index", "kithara.cache"]);
        }
    }

    #[test]
    fn what_is_no_folder_beside_a_newer_one_is_not_used_and_none_is_made_beside_nothing() {
        let root = Path::new("/a/b/cache");
        let (disk, _) = prepared(Some(&marker(2)));
        put(&disk, &root.join("v1"), b"somebody's");
        let settled = settle(&disk, root);
        assert!(matches!(settled, Err(Refusal::Unusable(_))));
        let (disk, _) = prepared(Some(&marker(2)));
        let site = settle(&disk, root).unwrap();
        for path in ["v1/kithara.cache", "v1/CACHEDIR.TAG", "kithara.cache"] {
            disk.remove_file(&root.join(path)).unwrap();
        }
        for path in ["v1/_index", "v1", ""] {
            disk.remove_dir(&root.join(path)).unwrap();
        }
        let again = prepare(&disk, &site.layout);
        assert!(matches!(again, Err(Refusal::Unusable(_))));
    }

    #[test]
    fn a_foreign_folder_is_left_alone() {
        let mut flipped = marker(2);
        flipped[12] ^= 1;
        for bytes in [&b"#!/bin/sh\nexit 0\n\n\n\n"[..], &flipped] {
            assert!(matches!(prepared(Some(bytes)).1, Err(Refusal::Unusable(_))));
        }
    }
}
