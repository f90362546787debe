//! What a playlist hands to the listener without it changing what is played.

use std::fmt;
use std::time::Duration;

use crate::attributes::Tag;
use crate::date::ProgramTime;
use crate::error::PlaylistError;
use crate::text::Reference;
use crate::value::duration;

/// A stretch of the world's time that something is said about (EXT-X-DATERANGE): a programme, an advertisement, a song.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DateRange {
    /// Its name within the playlist.
    pub id: String,
    /// What sort of thing it is.
    pub class: Option<String>,
    /// When it begins.
    pub start: ProgramTime,
    /// When it ends, where that is said.
    pub end: Option<ProgramTime>,
    /// How long it is, where that is said.
    pub duration: Option<Duration>,
    /// How long it is thought to become.
    pub planned_duration: Option<Duration>,
    /// Whether it ends where the next one of its class begins.
    pub end_on_next: bool,
    /// Everything else it says, names and values, in order.
    pub attributes: Vec<(String, String)>,
}

/// Something said about the whole session (EXT-X-SESSION-DATA): a title, an artist, or where to read more.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionData {
    /// What is said, as a reversed domain name.
    pub id: String,
    /// The text.
    pub value: Option<String>,
    /// Where it is, if it is not said here.
    pub reference: Option<Reference>,
    /// The language it is in (RFC 5646).
    pub language: Option<String>,
}

/// Attributes of a date range that have a place of their own.
const KNOWN: [&str; 7] = [
    "ID",
    "CLASS",
    "START-DATE",
    "END-DATE",
    "DURATION",
    "PLANNED-DURATION",
    "END-ON-NEXT",
];

impl DateRange {
    /// `None` if it says neither what nor when.
    pub(crate) fn read(tag: &Tag<'_>) -> Result<Option<Self>, PlaylistError> {
        let (id, start) = (tag.text("ID")?, tag.text("START-DATE")?);
        let start = start.and_then(|text| ProgramTime::parse(&text));
        let (Some(id), Some(start)) = (id, start) else {
            return Ok(None);
        };
        let end = tag.text("END-DATE")?;
        let mut attributes = Vec::new();
        for (name, _) in tag.all().iter().filter(|(name, _)| !KNOWN.contains(name)) {
            let value = tag.text(name)?.unwrap_or_default();
            attributes.push(((*name).to_owned(), value.into_owned()));
        }
        Ok(Some(Self {
            id: id.into_owned(),
            class: tag.text("CLASS")?.map(Into::into),
            start,
            end: end.and_then(|text| ProgramTime::parse(&text)),
            duration: tag.get("DURATION").and_then(duration),
            planned_duration: tag.get("PLANNED-DURATION").and_then(duration),
            end_on_next: tag.says_yes("END-ON-NEXT"),
            attributes,
        }))
    }
}

impl SessionData {
    /// `None` if it doesn't say what it is, or is nothing.
    pub(crate) fn read(tag: &Tag<'_>) -> Result<Option<Self>, PlaylistError> {
        let (id, value) = (tag.text("DATA-ID")?, tag.text("VALUE")?);
        let reference = tag.text("URI")?.map(|text| Reference::new(&text));
        let Some(id) = id.filter(|_| value.is_some() || reference.is_some()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            id: id.into_owned(),
            value: value.map(Into::into),
            reference,
            language: tag.text("LANGUAGE")?.map(Into::into),
        }))
    }
}

// What else they hold may be secrets of a server.
impl fmt::Debug for DateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DateRange")
            .field("id", &self.id)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionData")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
