//! What an MP4 says of the title: Apple's item list, with codes or with keys, and QuickTime's user data.

use super::boxes::{Bytes, FourCode};
use super::error::Mp4Error;
use crate::container::tags::Tag;
use crate::metadata::PictureKind;
use crate::{TrackMetadata, memory};

/// Longer texts are skipped.
pub(super) const MAX_TEXT: u64 = 64 << 10;
/// What tells of a picture what it is: the head of a `data` box.
pub(super) const PICTURE_HEAD: usize = 16;
/// All texts together.
const MAX_TOTAL: usize = 256 << 10;
/// Items that are looked at, and names of keys.
const MAX_ITEMS: usize = 1024;

const GAPLESS: (&[u8], &[u8]) = (b"com.apple.iTunes", b"iTunSMPB");
/// What QuickTime puts in front of its keys.
const QUICKTIME: &[u8] = b"com.apple.quicktime.";

#[derive(Default)]
pub(super) struct Tags {
    tag: Tag,
    /// The names of items that have numbers for codes.
    keys: Vec<Vec<u8>>,
    items: usize,
    total: usize,
    itunsmpb: Option<String>,
}

impl Tags {
    /// Takes one item of the list; one that can't be read is left out.
    pub fn take(&mut self, item: Bytes<'_>) {
        self.items += 1;
        if !item.kind().is(b"covr") {
            self.total = self.total.saturating_add(item.rest().len());
        }
        if self.items > MAX_ITEMS || self.total > MAX_TOTAL {
            return;
        }
        if self.read(item).is_err() {
            tracing::debug!(item = %item.kind(), "mp4: an unreadable tag is left out");
        }
    }

    /// Takes the front of a picture of so many bytes that is not read.
    pub fn take_picture_head(&mut self, head: &[u8], length: u64) {
        let format = head.get(9..12).map_or(0, |format| {
            format
                .iter()
                .fold(0, |format, byte| format << 8 | u32::from(*byte))
        });
        let length = length.saturating_sub(PICTURE_HEAD as u64);
        self.tag
            .passed_over(PictureKind::Front, media_type(format), length);
    }

    /// Takes the names of items (QuickTime, *Metadata Item Keys Atom*).
    pub fn take_keys(&mut self, mut keys: Bytes<'_>) -> Result<(), Mp4Error> {
        keys.full_box()?;
        let count = keys.u32()?;
        self.keys.clear();
        for _ in 0..count.min(MAX_ITEMS as u32) {
            let size = keys.u32()? as usize;
            keys.skip(4)?;
            let name = keys.take(size.saturating_sub(8))?;
            let name = name.strip_prefix(QUICKTIME).unwrap_or(name);
            memory::push(&mut self.keys, memory::copy(name)?)?;
        }
        Ok(())
    }

    /// Takes a text of QuickTime's user data: its length, its language, itself.
    pub fn take_user_text(&mut self, mut item: Bytes<'_>) {
        let text = item.u16().and_then(|length| {
            item.skip(2)?;
            item.take(length.into())
        });
        if let (Ok(text), Some(name)) = (text, name_of(item.kind())) {
            self.tag.bytes(name, text);
        }
    }

    /// iTunes' gapless comment: ` 00000000 <delay> <padding> <frames> …` in hexadecimal.
    pub fn take_itunsmpb(&mut self) -> Option<String> {
        self.itunsmpb.take()
    }

    pub fn into_metadata(self) -> TrackMetadata {
        let mut metadata = TrackMetadata::default();
        self.tag.fill(&mut metadata);
        metadata
    }

    fn read(&mut self, mut item: Bytes<'_>) -> Result<(), Mp4Error> {
        let kind = item.kind();
        let (mut mean, mut name): (&[u8], &[u8]) = (b"", b"");
        while let Some(mut child) = item.next_box()? {
            match &child.kind().0 {
                b"mean" => {
                    child.full_box()?;
                    mean = child.rest();
                }
                b"name" => {
                    child.full_box()?;
                    name = child.rest();
                }
                b"data" => {
                    child.skip(1)?;
                    let format = child.u24()?;
                    child.skip(4)?;
                    if kind.is(b"----") {
                        self.named(mean, name, child.rest());
                    } else {
                        self.value(kind, format, child.rest());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A value with a name of its own.
    fn named(&mut self, mean: &[u8], name: &[u8], data: &[u8]) {
        if (mean, name) == GAPLESS {
            self.itunsmpb
                .get_or_insert_with(|| String::from_utf8_lossy(data).into_owned());
        } else {
            self.tag.bytes(name, data);
        }
    }

    /// `format` is one of the well-known types of QuickTime metadata.
    fn value(&mut self, kind: FourCode, format: u32, data: &[u8]) {
        match (&kind.0, data) {
            (b"covr", _) => self
                .tag
                .picture(PictureKind::Front, media_type(format), data),
            (b"trkn" | b"disk", [_, _, n1, n2, t1, t2, ..]) => {
                let number = u16::from_be_bytes([*n1, *n2]);
                let total = u16::from_be_bytes([*t1, *t2]);
                let name: &[u8] = if kind.is(b"trkn") { b"TRACK" } else { b"DISC" };
                self.tag.named(name, &format!("{number}/{total}"));
            }
            // A number of ID3v1's, and one more.
            (b"gnre", [high, low, ..]) => {
                let number = u16::from_be_bytes([*high, *low]).checked_sub(1);
                if let Some(number) = number {
                    self.tag.named(b"GENRE", &number.to_string());
                }
            }
            _ => {
                let at = u32::from_be_bytes(kind.0)
                    .checked_sub(1)
                    .map(|at| at as usize);
                let key = at.and_then(|at| self.keys.get(at));
                if let Some(name) = name_of(kind).or(key.map(|name| &name[..])) {
                    self.tag.bytes(name, data);
                }
            }
        }
    }
}

/// What an item is called elsewhere. The first byte of most is the copyright sign of Mac Roman and Latin-1.
fn name_of(kind: FourCode) -> Option<&'static [u8]> {
    Some(match &kind.0 {
        b"\xa9nam" => b"TITLE",
        b"\xa9ART" => b"ARTIST",
        b"\xa9alb" => b"ALBUM",
        b"aART" => b"ALBUMARTIST",
        b"\xa9wrt" | b"\xa9com" => b"COMPOSER",
        b"\xa9day" => b"DATE",
        b"\xa9gen" => b"GENRE",
        b"\xa9cmt" => b"COMMENT",
        b"desc" => b"DESCRIPTION",
        _ => return None,
    })
}

fn media_type(format: u32) -> &'static str {
    match format {
        12 => "image/gif",
        13 => "image/jpeg",
        14 => "image/png",
        27 => "image/bmp",
        _ => "application/octet-stream",
    }
}
