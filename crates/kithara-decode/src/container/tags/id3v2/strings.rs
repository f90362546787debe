//! The four encodings of texts in ID3v2 (ID3v2.4 §4).

use std::borrow::Cow;

use super::super::{MAX_TEXT, front};

/// Values of one frame.
const MAX_VALUES: usize = 64;

/// How a text is written.
#[derive(Clone, Copy)]
pub(super) enum Encoding {
    /// Bytes, whose end is one zero.
    Latin1,
    Utf8,
    /// Pairs, whose end is two zeros: the lower byte first where no mark says otherwise.
    Utf16,
    Utf16Be,
}

impl Encoding {
    pub(super) fn by_number(number: u8) -> Self {
        match number {
            0 => Self::Latin1,
            1 => Self::Utf16,
            2 => Self::Utf16Be,
            _ => Self::Utf8,
        }
    }

    /// The text up to its end mark, still encoded, and what is behind that.
    pub(super) fn split(self, bytes: &[u8]) -> (&[u8], &[u8]) {
        match self {
            Self::Latin1 | Self::Utf8 => {
                let end = bytes.iter().position(|byte| *byte == 0);
                let end = end.unwrap_or(bytes.len());
                (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
            }
            Self::Utf16 | Self::Utf16Be => {
                let mut pairs = bytes.chunks_exact(2);
                let end = pairs.position(|pair| pair == [0, 0]);
                let end = end.map_or(bytes.len(), |pair| pair * 2);
                (&bytes[..end], bytes.get(end + 2..).unwrap_or_default())
            }
        }
    }

    /// The values in a text, which have end marks between.
    pub(super) fn values(self, bytes: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest = bytes;
        let mut encoding = self;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let value;
            (value, rest) = encoding.split(rest);
            // A mark holds for those behind it that have none.
            if value.starts_with(&[0xfe, 0xff]) && matches!(encoding, Self::Utf16) {
                encoding = Self::Utf16Be;
            }
            Some(encoding.decode(value))
        })
        .take(MAX_VALUES)
    }

    /// A text without end mark, or the front of it if it is long.
    pub(super) fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Latin1 => bytes
                .iter()
                .take(MAX_TEXT)
                .copied()
                .map(char::from)
                .collect(),
            Self::Utf8 => String::from_utf8_lossy(front(bytes)),
            Self::Utf16 => match bytes {
                [0xfe, 0xff, units @ ..] => utf_16(units, u16::from_be_bytes),
                units => utf_16(units, u16::from_le_bytes),
            },
            Self::Utf16Be => match bytes {
                [0xff, 0xfe, units @ ..] => utf_16(units, u16::from_le_bytes),
                units => utf_16(units, u16::from_be_bytes),
            },
        }
    }
}

/// Half a unit at the end is left out, and half a pair is not to be told.
fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Cow<'_, str> {
    let units = bytes
        .chunks_exact(2)
        .take(MAX_TEXT)
        .map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}
