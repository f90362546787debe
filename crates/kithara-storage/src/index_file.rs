//! `NAME.index`: what a reader of a resource has found out about where things lie in it, kept to find them again.
//!
//! It proves nothing and is needed by nobody: damaged, torn, of another download or of another version, it is as if it
//! weren't there. So it is written in place and never synced.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::format::{STAMP, Stamp, VERSION, put_u32, put_u64, u32_at};
use crate::{Access, Disk, DiskFile};

use std::io;
use std::path::Path;

/// The most bytes that an index may have: 1 MiB.
pub const MAX_INDEX: usize = 1 << 20;

const MAGIC: [u8; 8] = *b"kthr-idx";

/// `stamp | generation | length | 0 | sum of the bytes | check`.
const HEAD: usize = 48;

/// Reads the index of a resource of this generation; `None` if there is none that counts.
///
/// # Errors
/// If the file is there and can't be opened or read for now.
pub(crate) fn read(disk: &dyn Disk, path: &Path, generation: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, Access::Read) {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut head = [0; HEAD];
    if !fill(&*file, 0, &mut head)? {
        return Ok(None);
    }
    let len = u32_at(&head, 24) as usize;
    if len > MAX_INDEX || file.len()? < (HEAD + len) as u64 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(len).is_err() {
        return Ok(None);
    }
    bytes.resize(len, 0);
    // The whole head follows from the bytes and their generation.
    let whole = fill(&*file, HEAD as u64, &mut bytes)? && head == self::head(generation, &bytes);
    Ok(whole.then_some(bytes))
}

/// Writes the index of a resource of this generation, in place of the one before.
pub(crate) fn write(disk: &dyn Disk, path: &Path, generation: u64, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(path, Access::Create)?;
    file.write_at(0, &head(generation, bytes))?;
    file.write_at(HEAD as u64, bytes)?;
    file.set_len((HEAD + bytes.len()) as u64)
}

fn head(generation: u64, bytes: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..STAMP].copy_from_slice(&Stamp::write(MAGIC, VERSION));
    put_u64(&mut head, 16, generation);
    put_u32(&mut head, 24, bytes.len() as u32);
    put_u64(&mut head, 32, xxh3_64_with_seed(bytes, generation));
    let check = xxh3_64_with_seed(&head[..40], 0);
    put_u64(&mut head, 40, check);
    head
}

/// Whether there were enough bytes.
fn fill(file: &dyn DiskFile, offset: u64, buf: &mut [u8]) -> io::Result<bool> {
    let mut have = 0;
    while have < buf.len() {
        match file.read_at(offset + have as u64, &mut buf[have..])? {
            0 => return Ok(false),
            count => have += count,
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemDisk;

    const PATH: &str = "/name.index";

    fn read_back(disk: &MemDisk, generation: u64) -> Option<Vec<u8>> {
        read(disk, Path::new(PATH), generation).expect("a disk that works")
    }

    #[test]
    fn an_index_reads_as_it_was_written_and_only_for_its_own_download() {
        let disk = MemDisk::new();
        assert_eq!(read_back(&disk, 7), None, "nothing was written");
        for bytes in [&b"a long index of some bytes"[..], b"shorter", b""] {
            write(&disk, Path::new(PATH), 7, bytes).expect("a disk that works");
            assert_eq!(read_back(&disk, 7).as_deref(), Some(bytes));
            assert_eq!(read_back(&disk, 8), None, "another download");
        }
    }

    #[test]
    fn a_damaged_torn_or_forged_index_is_none() {
        let disk = MemDisk::new();
        let path = Path::new(PATH);
        write(&disk, path, 7, b"an index").expect("a disk that works");
        let file = disk.open(path, Access::Write).expect("it is there");
        for at in 0..HEAD as u64 + 8 {
            let mut byte = [0];
            file.read_at(at, &mut byte).expect("a disk that works");
            file.write_at(at, &[byte[0] ^ 0x10])
                .expect("a disk that works");
            assert_eq!(read_back(&disk, 7), None, "byte {at}");
            file.write_at(at, &byte).expect("a disk that works");
            assert!(read_back(&disk, 7).is_some(), "byte {at} put right");
        }
        for len in 0..HEAD as u64 + 8 {
            file.set_len(len).expect("a disk that works");
            assert_eq!(read_back(&disk, 7), None, "cut to {len}");
            write(&disk, path, 7, b"an index").expect("a disk that works");
        }
        // A length that is no length costs no memory.
        let mut forged = head(7, b"an index");
        put_u32(&mut forged, 24, u32::MAX);
        let check = xxh3_64_with_seed(&forged[..40], 0);
        put_u64(&mut forged, 40, check);
        file.write_at(0, &forged).expect("a disk that works");
        assert_eq!(read_back(&disk, 7), None);
    }
}
