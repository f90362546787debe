//! Boxes: their headers, and bounded reading of their bodies (ISO/IEC 14496-12 §4.2).

use std::fmt;

use super::error::Mp4Error;

/// A four-character code: the type of a box, a sample entry, a handler or a protection scheme.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FourCode(pub [u8; 4]);

impl FourCode {
    pub(super) fn is(self, kind: &[u8; 4]) -> bool {
        self.0 == *kind
    }
}

impl fmt::Display for FourCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for FourCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where a box lies in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BoxHeader {
    pub kind: FourCode,
    /// Offset of the size field.
    pub start: u64,
    /// Offset of the first byte after the header.
    pub body: u64,
    /// Offset of the first byte after the box; `None` for a box that reaches to the end of the file (size 0).
    pub end: Option<u64>,
}

impl BoxHeader {
    /// Reads a header of which `bytes` are the first 8 to 32, as many as the stream still has.
    pub fn parse(start: u64, bytes: &[u8]) -> Result<Self, Mp4Error> {
        let mut bytes = Bytes::new(FourCode(*b"box "), bytes);
        let size32 = bytes.u32()?;
        let kind = bytes.code()?;
        let size = match size32 {
            0 => None,
            1 => Some(bytes.u64()?),
            n => Some(u64::from(n)),
        };
        let mut header_len = if size32 == 1 { 16 } else { 8 };
        if kind.0 == *b"uuid" {
            header_len += 16;
        }
        let overflow = || Mp4Error::malformed(kind, "its end lies beyond any file");
        let body = start.checked_add(header_len).ok_or_else(overflow)?;
        let end = match size {
            None => None,
            Some(size) if size < header_len => {
                return Err(Mp4Error::malformed(kind, "smaller than its own header"));
            }
            // Offsets are kept within i64, which is what seeking and symphonia's buffer count in.
            Some(size) => Some(
                start
                    .checked_add(size)
                    .filter(|end| i64::try_from(*end).is_ok())
                    .ok_or_else(overflow)?,
            ),
        };
        Ok(Self {
            kind,
            start,
            body,
            end,
        })
    }

    /// In a stretch out of a title anything may lie where boxes should: what has no name is none, and neither is what has no end,
    /// unless it is media.
    pub fn check_plausible(&self) -> Result<(), Mp4Error> {
        let named = |byte: &u8| matches!(byte, b' '..=b'~' | 0xa9);
        let is_named = self.kind.0.iter().all(named);
        let is_open = self.end.is_none() && !self.is(b"mdat");
        match is_named && !is_open {
            true => Ok(()),
            false => Err(Mp4Error::malformed(self.kind, "no box of a segment")),
        }
    }

    pub fn is(&self, kind: &[u8; 4]) -> bool {
        self.kind.0 == *kind
    }

    /// The length of the body; `None` if it reaches to the end of the file.
    pub fn body_len(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.body))
    }
}

/// The bytes of one box that are not read yet. Reading past them is [`Mp4Error::Malformed`], never a panic.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    kind: FourCode,
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub fn new(kind: FourCode, rest: &'a [u8]) -> Self {
        Self { kind, rest }
    }

    pub fn kind(&self) -> FourCode {
        self.kind
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn fail(&self, why: &'static str) -> Mp4Error {
        Mp4Error::malformed(self.kind, why)
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Mp4Error> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| self.fail("ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn sub(&mut self, len: usize) -> Result<Bytes<'a>, Mp4Error> {
        let kind = self.kind;
        Ok(Bytes::new(kind, self.take(len)?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Mp4Error> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| self.fail("ends early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn skip(&mut self, len: usize) -> Result<(), Mp4Error> {
        self.take(len).map(drop)
    }

    pub fn u8(&mut self) -> Result<u8, Mp4Error> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, Mp4Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u24(&mut self) -> Result<u32, Mp4Error> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    pub fn u32(&mut self) -> Result<u32, Mp4Error> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Mp4Error> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Mp4Error> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn code(&mut self) -> Result<FourCode, Mp4Error> {
        self.array().map(FourCode)
    }

    /// A 32-bit field in version 0 of a full box, a 64-bit field in version 1 (for instance §8.8.12.2).
    pub fn u32_or_u64(&mut self, version: u8) -> Result<u64, Mp4Error> {
        if version == 0 {
            self.u32().map(u64::from)
        } else {
            self.u64()
        }
    }

    /// The version and flags of a full box (§4.2.2).
    pub fn full_box(&mut self) -> Result<(u8, u32), Mp4Error> {
        Ok((self.u8()?, self.u24()?))
    }

    /// The next child box, `None` at the end. A child of size 0 takes the rest; fewer than 8 bytes are padding, which
    /// QuickTime writers leave (a 32-bit zero ends their user data).
    pub fn next_box(&mut self) -> Result<Option<Bytes<'a>>, Mp4Error> {
        if self.rest.len() < 8 {
            self.rest = &[];
            return Ok(None);
        }
        let header = BoxHeader::parse(0, self.rest)?;
        let too_long = || Mp4Error::malformed(header.kind, "longer than the box around it");
        let whole_len = match header.end {
            Some(end) => usize::try_from(end).map_err(|_| too_long())?,
            None => self.rest.len(),
        };
        let (whole, rest) = self.rest.split_at_checked(whole_len).ok_or_else(too_long)?;
        self.rest = rest;
        let body = usize::try_from(header.body)
            .ok()
            .and_then(|body| whole.get(body..))
            .ok_or_else(too_long)?;
        Ok(Some(Bytes::new(header.kind, body)))
    }
}
