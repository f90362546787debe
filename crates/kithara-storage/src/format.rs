//! The bytes around the bytes: log header, log record and footer, as docs/cache-format.md draws them.
//!
//! Everything is little-endian. Whatever is parsed here may come from anybody: every length is bounded before it is
//! believed, and nothing counts before its check has been made.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::extents::Extent;

/// The most bytes that are summed, written and dropped together: 64 KiB. An extent never crosses a multiple of it.
pub const EXTENT: usize = 64 * 1024;

/// The longest label in bytes.
pub const MAX_LABEL: usize = 4096;

/// The most extents in one file, full ones or not: 64 GiB of full ones. It bounds what a forged file can make us
/// allocate.
pub(crate) const MAX_EXTENTS: u64 = 1 << 20;

/// The version written, and the newest one understood.
pub(crate) const VERSION: u32 = 1;

pub(crate) const STAMP: usize = 16;
pub(crate) const HEADER: usize = 48;
pub(crate) const RECORD: usize = 32;
pub(crate) const FOOTER: usize = 56;

pub(crate) const LOG_MAGIC: [u8; 8] = *b"kthr-log";
pub(crate) const FILE_MAGIC: [u8; 8] = *b"kthr-cas";

/// The sum of an extent. The seed ties it to its place and its generation: the same bytes elsewhere, or those of another
/// download, have another sum.
pub(crate) fn extent_sum(generation: u64, start: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, generation.wrapping_add(start))
}

/// What 16 bytes at a fixed place say about the rest of a file. Their layout is the same in all versions, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// Of our version.
    Ours,
    /// Of a version yet to come.
    Newer(u32),
    /// Not a file of ours, or damaged.
    Foreign,
}

impl Stamp {
    /// `magic | version | low half of the sum of both`: a flipped bit must not look like a newer version, which nobody
    /// would ever dare to remove.
    pub(crate) fn write(magic: [u8; 8], version: u32) -> [u8; STAMP] {
        let mut bytes = [0; STAMP];
        bytes[..8].copy_from_slice(&magic);
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        let check = xxh3_64_with_seed(&bytes[..12], 0) as u32;
        bytes[12..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub(crate) fn read(magic: [u8; 8], bytes: &[u8; STAMP]) -> Self {
        let version = u32_at(bytes, 8);
        if *bytes != Self::write(magic, version) || version == 0 {
            Self::Foreign
        } else if version > VERSION {
            Self::Newer(version)
        } else {
            Self::Ours
        }
    }
}

/// The beginning of a log, behind its stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) generation: u64,
    pub(crate) label_len: usize,
    pub(crate) label_sum: u64,
}

impl Header {
    pub(crate) fn new(generation: u64, label: &[u8]) -> Self {
        Self {
            generation,
            label_len: label.len(),
            label_sum: xxh3_64_with_seed(label, generation),
        }
    }

    pub(crate) fn write(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..STAMP].copy_from_slice(&Stamp::write(LOG_MAGIC, VERSION));
        put_u64(&mut bytes, 16, self.generation);
        put_u32(&mut bytes, 24, self.label_len as u32);
        put_u64(&mut bytes, 32, self.label_sum);
        let check = xxh3_64_with_seed(&bytes[..40], 0);
        put_u64(&mut bytes, 40, check);
        bytes
    }

    /// `None` unless it is whole; the stamp has been looked at before.
    pub(crate) fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let header = Self {
            generation: u64_at(bytes, 16),
            label_len: u32_at(bytes, 24) as usize,
            label_sum: u64_at(bytes, 32),
        };
        (header.label_len <= MAX_LABEL && header.write() == *bytes).then_some(header)
    }

    pub(crate) fn fits(&self, label: &[u8]) -> bool {
        *self == Self::new(self.generation, label)
    }
}

/// One line of a log: these bytes have been written, and this is their sum.
pub(crate) fn write_record(generation: u64, extent: &Extent) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    put_u64(&mut bytes, 0, extent.start);
    put_u32(&mut bytes, 8, extent.len);
    put_u64(&mut bytes, 16, extent.sum);
    // The seed keeps the records of an earlier log from counting, should its blocks turn up in this one.
    let check = xxh3_64_with_seed(&bytes[..24], generation);
    put_u64(&mut bytes, 24, check);
    bytes
}

/// `None` for a torn, damaged or impossible record, and for one of another generation.
pub(crate) fn read_record(generation: u64, bytes: &[u8; RECORD]) -> Option<Extent> {
    let extent = Extent {
        start: u64_at(bytes, 0),
        len: u32_at(bytes, 8),
        sum: u64_at(bytes, 16),
    };
    (extent.is_possible() && write_record(generation, &extent) == *bytes).then_some(extent)
}

/// The end of a committed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// How many bytes of the file are the resource.
    pub(crate) len: u64,
    pub(crate) generation: u64,
    pub(crate) label_len: usize,
    /// The sum over the table of sums and the label.
    pub(crate) table_sum: u64,
}

impl Footer {
    /// `table` is the table of sums with the label behind it.
    pub(crate) fn new(len: u64, generation: u64, table: &[u8], label_len: usize) -> Self {
        Self {
            len,
            generation,
            label_len,
            table_sum: xxh3_64_with_seed(table, generation),
        }
    }

    pub(crate) fn write(&self) -> [u8; FOOTER] {
        let mut bytes = [0; FOOTER];
        put_u64(&mut bytes, 0, self.len);
        put_u64(&mut bytes, 8, self.generation);
        put_u32(&mut bytes, 16, self.label_len as u32);
        put_u64(&mut bytes, 24, self.table_sum);
        let check = xxh3_64_with_seed(&bytes[..32], 0);
        put_u64(&mut bytes, 32, check);
        bytes[40..].copy_from_slice(&Stamp::write(FILE_MAGIC, VERSION));
        bytes
    }

    /// `None` unless it is whole and a file of `file_len` bytes is exactly what it describes; the stamp has been looked
    /// at before.
    pub(crate) fn read(bytes: &[u8; FOOTER], file_len: u64) -> Option<Self> {
        let footer = Self {
            len: u64_at(bytes, 0),
            generation: u64_at(bytes, 8),
            label_len: u32_at(bytes, 16) as usize,
            table_sum: u64_at(bytes, 24),
        };
        let possible = footer.label_len <= MAX_LABEL && footer.sums() <= MAX_EXTENTS;
        let described = footer
            .len
            .checked_add((footer.table_len() + FOOTER) as u64)
            .filter(|_| possible)?;
        (described == file_len && footer.write() == *bytes).then_some(footer)
    }

    /// How many sums there are: one for each 64 KiB begun.
    pub(crate) fn sums(&self) -> u64 {
        self.len.div_ceil(EXTENT as u64)
    }

    /// The length of the table with its label, in bytes.
    pub(crate) fn table_len(&self) -> usize {
        (self.sums().min(MAX_EXTENTS) as usize) * 8 + self.label_len
    }

    pub(crate) fn fits(&self, table: &[u8]) -> bool {
        table.len() == self.table_len()
            && *self == Self::new(self.len, self.generation, table, self.label_len)
    }
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

pub(crate) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
