//! Keys and init sections: what is in force where, each kept once.

use std::collections::HashMap;
use std::ops::Range;

use kithara_drm::Iv;

use crate::attributes::Tag;
use crate::error::{Limit, PlaylistError, Problem};
use crate::limits::KEY_FORMATS;
use crate::note::{Notes, Oddity};
use crate::text::{Reference, Shown};
use crate::value::{byte_range, vector};

/// What no key or no init section is in force for.
pub(crate) const NONE: u16 = u16::MAX;

/// How a segment or an init section is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encryption<'a> {
    /// It is not.
    Clear,
    /// AES-128 over all of it (RFC 8216 §4.3.2.4).
    Aes128 {
        /// Where its key is.
        key: &'a Reference,
        /// The vector its chain begins with: the stated one, or that of its media sequence number.
        iv: Iv,
    },
    /// In a way that this library does not decrypt.
    Unsupported {
        /// The method, and the format of its keys if that is not the plain one; cut and escaped.
        method: &'a str,
    },
}

/// An init section (EXT-X-MAP), which a decoder needs before the segments behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InitSection<'a> {
    /// The same number is the same init section of the same playlist.
    pub index: usize,
    /// Where it is.
    pub reference: &'a Reference,
    /// Which bytes of that; all of them if `None`.
    pub range: Option<Range<u64>>,
    /// How it is encrypted.
    pub encryption: Encryption<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Protection {
    Aes128 { key: Compared, iv: Option<Iv> },
    Refused(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Map {
    reference: Compared,
    range: Option<Range<u64>>,
    protection: u16,
}

/// A reference by which a key or an init section is found again.
#[derive(Clone, Debug, Eq, Hash)]
#[allow(clippy::derived_hash_with_manual_eq)] // Equal as it would be, but tests count it.
struct Compared(Reference);

impl PartialEq for Compared {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(test)]
        tests::COMPARISONS.set(tests::COMPARISONS.get() + 1);
        self.0 == other.0
    }
}

/// What the entries of a playlist point at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    protections: Vec<Protection>,
    maps: Vec<Map>,
}

impl Shelf {
    pub(crate) fn encryption(&self, index: u16, sequence: u64) -> Encryption<'_> {
        match self.protections.get(usize::from(index)) {
            None => Encryption::Clear,
            Some(Protection::Aes128 { key, iv }) => Encryption::Aes128 {
                key: &key.0,
                iv: iv.unwrap_or_else(|| Iv::from_sequence(sequence)),
            },
            Some(Protection::Refused(method)) => Encryption::Unsupported { method },
        }
    }

    pub(crate) fn init_section(&self, index: u16) -> Option<InitSection<'_>> {
        let map = self.maps.get(usize::from(index))?;
        Some(InitSection {
            index: usize::from(index),
            reference: &map.reference.0,
            range: map.range.clone(),
            // An encrypted one states its vector, or the playlist was refused.
            encryption: self.encryption(map.protection, 0),
        })
    }

    /// What it takes in memory, beside itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        let text = |protection: &Protection| match protection {
            Protection::Aes128 { key, .. } => key.0.as_str().len(),
            Protection::Refused(method) => method.len(),
        };
        let texts: usize = self.protections.iter().map(text).sum();
        let references = self.maps.iter().map(|map| map.reference.0.as_str().len());
        self.protections.capacity() * size_of::<Protection>()
            + self.maps.capacity() * size_of::<Map>()
            + texts
            + references.sum::<usize>()
    }

    pub(crate) fn shrink(&mut self) {
        self.protections.shrink_to_fit();
        self.maps.shrink_to_fit();
    }
}

/// A key in force.
#[derive(Debug)]
struct Live {
    format: Box<str>,
    protection: Protection,
    /// Where it is kept, once something was encrypted with it: it may be long, and is in force for as many tags as there are.
    place: Option<u16>,
}

/// What is in force while a playlist is read, and what it fills.
#[derive(Debug)]
pub(crate) struct Keeper {
    shelf: Shelf,
    /// The keys in force, by format (RFC 8216 §4.3.2.4): the newest of each.
    live: Vec<Live>,
    known_protections: HashMap<Protection, u16>,
    known_maps: HashMap<Map, u16>,
    /// What the next segment is encrypted with.
    pub(crate) protection: u16,
    /// What the next segment needs.
    pub(crate) map: u16,
    most: usize,
}

impl Keeper {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shelf: Shelf::default(),
            live: Vec::new(),
            known_protections: HashMap::new(),
            known_maps: HashMap::new(),
            protection: NONE,
            map: NONE,
            most,
        }
    }

    pub(crate) fn into_shelf(mut self) -> Shelf {
        self.shelf.shrink();
        self.shelf
    }

    /// EXT-X-KEY.
    pub(crate) fn handle_key(
        &mut self,
        tag: &Tag<'_>,
        notes: &mut Notes,
    ) -> Result<(), PlaylistError> {
        let method = tag.need("METHOD")?;
        if method == "NONE" {
            self.live.clear();
            self.protection = NONE;
            return Ok(());
        }
        let format = tag.text("KEYFORMAT")?.unwrap_or("identity".into());
        let plain = format.eq_ignore_ascii_case("identity");
        let protection = if !plain {
            notes.add(tag.line, Oddity::KeyFormat);
            let (method, format) = (Shown(&method), Shown(&format));
            Protection::Refused(format!("{method} with keys of {format}").into())
        } else if method == "AES-128" {
            Protection::Aes128 {
                key: Compared(Reference::new(&tag.need("URI")?)),
                iv: stated_vector(tag)?,
            }
        } else {
            Protection::Refused(Shown(&method).to_string().into())
        };
        self.replace(tag.line, &format.to_ascii_lowercase(), protection)?;
        // Of several formats, the plain one is the one that is understood.
        let plain = |live: &Live| &*live.format == "identity";
        let counts = self.live.iter().position(plain).unwrap_or(0);
        self.protection = self.place(tag.line, counts)?;
        Ok(())
    }

    /// EXT-X-MAP.
    pub(crate) fn handle_map(&mut self, tag: &Tag<'_>) -> Result<(), PlaylistError> {
        let reference = Compared(Reference::new(&tag.need("URI")?));
        let range = match tag.text("BYTERANGE")? {
            None => None,
            Some(text) => {
                let read = byte_range(&text).filter(|(length, _)| *length > 0);
                let invalid = tag.wrong(Problem::Invalid("BYTERANGE"));
                let (length, start) = read.ok_or(invalid)?;
                let start = start.unwrap_or(0);
                let end = start.checked_add(length);
                Some(start..end.ok_or_else(|| tag.wrong(Problem::Overflow))?)
            }
        };
        // RFC 8216 §4.3.2.5: an init section has no number to make a vector of.
        let protection = self.shelf.protections.get(usize::from(self.protection));
        if matches!(protection, Some(Protection::Aes128 { iv: None, .. })) {
            return Err(tag.wrong(Problem::Missing("IV of its key")));
        }
        let map = Map {
            reference,
            range,
            protection: self.protection,
        };
        self.map = self.intern_map(tag.line, map)?;
        Ok(())
    }

    fn replace(
        &mut self,
        line: u32,
        format: &str,
        protection: Protection,
    ) -> Result<(), PlaylistError> {
        let new = Live {
            format: format.into(),
            protection,
            place: None,
        };
        if let Some(old) = self.live.iter_mut().find(|old| old.format == new.format) {
            *old = new;
        } else if self.live.len() == KEY_FORMATS {
            return Err(too_many(Limit::KeyFormats, KEY_FORMATS, line));
        } else {
            self.live.push(new);
        }
        Ok(())
    }

    /// Where a key in force is kept.
    fn place(&mut self, line: u32, live: usize) -> Result<u16, PlaylistError> {
        let Some(live) = self.live.get_mut(live) else {
            return Ok(NONE);
        };
        if let Some(place) = live.place {
            return Ok(place);
        }
        let place = match self.known_protections.get(&live.protection) {
            Some(known) => *known,
            None if self.shelf.protections.len() >= self.most => {
                return Err(too_many(Limit::Keys, self.most, line));
            }
            None => {
                let place = self.shelf.protections.len() as u16;
                self.shelf.protections.push(live.protection.clone());
                self.known_protections
                    .insert(live.protection.clone(), place);
                place
            }
        };
        live.place = Some(place);
        Ok(place)
    }

    fn intern_map(&mut self, line: u32, map: Map) -> Result<u16, PlaylistError> {
        if let Some(index) = self.known_maps.get(&map) {
            return Ok(*index);
        }
        if self.shelf.maps.len() >= self.most {
            return Err(too_many(Limit::InitSections, self.most, line));
        }
        let index = self.shelf.maps.len() as u16;
        self.shelf.maps.push(map.clone());
        self.known_maps.insert(map, index);
        Ok(index)
    }
}

fn stated_vector(tag: &Tag<'_>) -> Result<Option<Iv>, PlaylistError> {
    let Some(text) = tag.text("IV")? else {
        return Ok(None);
    };
    let invalid = tag.wrong(Problem::Invalid("IV"));
    vector(&text).map(Some).ok_or(invalid)
}

fn too_many(limit: Limit, most: usize, line: u32) -> PlaylistError {
    PlaylistError::TooLarge {
        limit,
        most: most as u64,
        line,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::variables::Definitions;

    thread_local! {
        pub(super) static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// How many keys and init sections are compared where there are so many of each, twice each.
    fn comparisons(count: usize) -> usize {
        let (none, mut notes) = (Definitions::new(0), Notes::default());
        let mut keeper = Keeper::new(count);
        COMPARISONS.set(0);
        for index in (0..count).chain(0..count) {
            let key = format!("METHOD=AES-128,URI=\"key-{index}\",IV=0x{index:032x}");
            let key = Tag::read(1, "EXT-X-KEY", &key, &none).expect("few attributes");
            keeper.handle_key(&key, &mut notes).expect("few keys");
            let map = format!("URI=\"init-{index}\"");
            let map = Tag::read(1, "EXT-X-MAP", &map, &none).expect("few attributes");
            keeper.handle_map(&map).expect("few init sections");
        }
        assert_eq!(keeper.shelf.protections.len(), count);
        assert_eq!(keeper.shelf.maps.len(), count);
        COMPARISONS.get()
    }

    #[test]
    fn a_key_is_found_by_few_comparisons_however_many_there_are() {
        for count in [64, 1024, 4096] {
            // Once where it is found again, and seldom with another that looks alike.
            let compared = comparisons(count);
            assert!(compared >= 2 * count, "{compared}");
            assert!(compared <= 6 * count + 100, "{compared} for {count}");
        }
    }
}
