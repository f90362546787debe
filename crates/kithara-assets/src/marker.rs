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

/// Makes the folder a cache folder, with its missing parents, unless it is one already: then nothing is changed.
pub(crate) fn prepare(disk: &dyn Disk, layout: &Layout) -> Result<(), Refusal> {
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

    #[test]
    fn a_newer_or_foreign_folder_is_left_alone() {
        for version in [2, 3, u32::MAX] {
            let (_, prepared) = prepared(Some(&marker(version)));
            assert!(matches!(prepared, Err(Refusal::Newer(found)) if found == version));
        }
        let mut flipped = marker(2);
        flipped[12] ^= 1;
        for bytes in [&b"#!/bin/sh\nexit 0\n\n\n\n"[..], &flipped] {
            assert!(matches!(prepared(Some(bytes)).1, Err(Refusal::Unusable(_))));
        }
    }
}
