//! Apple's item list: title, artist and the like, as symphonia's tags.

use std::sync::Arc;

use symphonia::core::meta::well_known::METADATA_ID_ISOMP4;
use symphonia::core::meta::{
    MetadataBuilder, MetadataInfo, MetadataRevision, RawTag, RawValue, StandardTag, Tag,
};

use super::boxes::{Bytes, FourCode};
use super::error::Mp4Error;

/// Longer items are skipped, pictures with them: nobody asks for those.
pub(super) const MAX_ITEM: u64 = 16 << 10;
/// All items together.
const MAX_TOTAL: usize = 256 << 10;
/// Items that are kept.
const MAX_TAGS: usize = 256;

/// Makes a standard tag of a number.
type CountTag = fn(u64) -> StandardTag;

const GAPLESS: &str = "com.apple.iTunes:iTunSMPB";

#[derive(Default)]
pub(super) struct Tags {
    tags: Vec<Tag>,
    total: usize,
    itunsmpb: Option<String>,
}

impl Tags {
    /// Takes one item of the list; one that can't be read is left out.
    pub fn take(&mut self, item: Bytes<'_>) {
        self.total = self.total.saturating_add(item.rest().len());
        if self.total > MAX_TOTAL || self.tags.len() >= MAX_TAGS {
            return;
        }
        if self.read(item).is_err() {
            tracing::debug!(item = %item.kind(), "mp4: an unreadable tag is left out");
        }
    }

    /// iTunes' gapless comment: ` 00000000 <delay> <padding> <frames> …` in hexadecimal.
    pub fn take_itunsmpb(&mut self) -> Option<String> {
        self.itunsmpb.take()
    }

    pub fn into_revision(self) -> Option<MetadataRevision> {
        if self.tags.is_empty() {
            return None;
        }
        let mut builder = MetadataBuilder::new(MetadataInfo {
            metadata: METADATA_ID_ISOMP4,
            short_name: "isomp4",
            long_name: "ISO Base Media File Format",
        });
        for tag in self.tags {
            builder.add_tag(tag);
        }
        Some(builder.build())
    }

    fn read(&mut self, mut item: Bytes<'_>) -> Result<(), Mp4Error> {
        let kind = item.kind();
        let (mut mean, mut name) = (String::new(), String::new());
        while let Some(mut child) = item.next_box()? {
            match &child.kind().0 {
                b"mean" | b"name" => {
                    child.full_box()?;
                    let text = String::from_utf8_lossy(child.rest()).into_owned();
                    if child.kind().0 == *b"mean" {
                        mean = text;
                    } else {
                        name = text;
                    }
                }
                b"data" => {
                    child.skip(1)?;
                    let format = child.u24()?;
                    child.skip(4)?;
                    let key = if kind.0 == *b"----" {
                        format!("{mean}:{name}")
                    } else {
                        latin(kind)
                    };
                    self.value(kind, key, format, child.rest());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// `format` is one of the well-known types of QuickTime metadata: 1 UTF-8, 21 a signed integer.
    fn value(&mut self, kind: FourCode, key: String, format: u32, data: &[u8]) {
        match (&kind.0, format, data) {
            (b"trkn" | b"disk", _, [_, _, n1, n2, t1, t2, ..]) => {
                let number = u64::from(u16::from_be_bytes([*n1, *n2]));
                let total = u64::from(u16::from_be_bytes([*t1, *t2]));
                let disc = kind.0 == *b"disk";
                let (of, all): (CountTag, CountTag) = if disc {
                    (StandardTag::DiscNumber, StandardTag::DiscTotal)
                } else {
                    (StandardTag::TrackNumber, StandardTag::TrackTotal)
                };
                for (count, tag) in [(number, of), (total, all)] {
                    if count > 0 {
                        self.tags
                            .push(Tag::new_std(RawTag::new(key.clone(), count), tag(count)));
                    }
                }
            }
            (_, 1, _) => {
                let text = Arc::new(String::from_utf8_lossy(data).into_owned());
                if key == GAPLESS {
                    self.itunsmpb.get_or_insert_with(|| text.as_ref().clone());
                }
                let standard = standard(&kind.0).map(|tag| tag(text.clone()));
                self.tags.push(Tag {
                    raw: RawTag::new(key, RawValue::String(text)),
                    std: standard,
                });
            }
            (_, 21, [one]) => self.tags.push(Tag::new(RawTag::new(key, *one as i8))),
            (_, 21, [a, b]) => self
                .tags
                .push(Tag::new(RawTag::new(key, i16::from_be_bytes([*a, *b])))),
            (_, 21, [a, b, c, d]) => {
                self.tags.push(Tag::new(RawTag::new(
                    key,
                    i32::from_be_bytes([*a, *b, *c, *d]),
                )));
            }
            _ => {}
        }
    }
}

/// The codes begin with a copyright sign in Mac Roman and Latin-1.
fn latin(kind: FourCode) -> String {
    kind.0.iter().map(|byte| char::from(*byte)).collect()
}

fn standard(kind: &[u8; 4]) -> Option<fn(Arc<String>) -> StandardTag> {
    Some(match kind {
        b"\xa9nam" => StandardTag::TrackTitle,
        b"\xa9ART" => StandardTag::Artist,
        b"\xa9alb" => StandardTag::Album,
        b"aART" => StandardTag::AlbumArtist,
        b"\xa9wrt" => StandardTag::Composer,
        b"\xa9day" => StandardTag::ReleaseDate,
        b"\xa9gen" => StandardTag::Genre,
        b"\xa9cmt" => StandardTag::Comment,
        _ => return None,
    })
}
