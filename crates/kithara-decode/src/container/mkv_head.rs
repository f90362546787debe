//! What stands in a Matroska file before the first cluster (RFC 9559 §5.1), and its tags.

use super::ebml::{self, Element};
use super::mkv_track::{MkvTrack, read_tracks};
use super::tags;
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::{MediaDuration, TrackMetadata};

const EBML: u32 = 0x1a45_dfa3;
pub(crate) const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114d_9b74;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
pub(crate) const CUES: u32 = 0x1c53_bb6b;
const TAGS: u32 = 0x1254_c367;
const ATTACHMENTS: u32 = 0x1941_a469;
pub(crate) const CLUSTER: u32 = 0x1f43_b675;
/// Elements above the blocks.
const MAX_TOP: usize = 10_000;
/// Nanoseconds of a tick: a quarter of an hour is more than anybody writes, and leaves room to calculate with.
const MAX_SCALE: u64 = 1 << 40;
const MAX_INFO: u64 = 1 << 20;
/// Elements of tags and attachments behind the audio.
const MAX_TAGS: usize = 16;

/// What stands before the first cluster.
pub(crate) struct Head {
    /// The offset of the segment's body, and the one behind it.
    pub(crate) segment: u64,
    pub(crate) end: Option<u64>,
    /// Nanoseconds of a tick.
    pub(crate) scale: u64,
    pub(crate) ticks: f64,
    pub(crate) cues: Option<u64>,
    /// Where tags and attachments are said to be.
    pub(crate) tags: Vec<u64>,
    pub(crate) track: Option<MkvTrack>,
    /// What tags call that track.
    pub(crate) track_uid: Option<u64>,
    pub(crate) metadata: TrackMetadata,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            segment: 0,
            end: None,
            scale: 1_000_000,
            ticks: 0.0,
            cues: None,
            tags: Vec::new(),
            track: None,
            track_uid: None,
            metadata: TrackMetadata::default(),
        }
    }
}

impl Head {
    /// Reads up to the first cluster.
    pub(crate) fn read(&mut self, input: &mut Input) -> Result<()> {
        for _ in 0..MAX_TOP {
            let at = input.pos();
            let Some(element) = ebml::next(input)? else {
                return Err(Fault::Truncated(None));
            };
            match element.id {
                EBML => {}
                SEGMENT => {
                    (self.segment, self.end) = (element.body, element.end());
                    continue;
                }
                SEEK_HEAD => self.read_seek_head(&ebml::body(input, &element, MAX_INFO)?),
                INFO => self.read_info(&ebml::body(input, &element, MAX_INFO)?),
                TRACKS => {
                    let body = ebml::body(input, &element, MAX_INFO)?;
                    self.track = read_tracks(&body)?;
                    self.track_uid = self
                        .track
                        .as_ref()
                        .and_then(|track| uid(&body, track.number));
                }
                TAGS | ATTACHMENTS => self.read_tags(input, &element)?,
                CUES => self.cues = Some(at),
                CLUSTER => {
                    drop(self.read_tags_behind(input, at));
                    input.seek(at);
                    return Ok(());
                }
                _ => {}
            }
            let end = element
                .end()
                .ok_or_else(|| Fault::corrupt("an element without end"))?;
            input.seek(end);
        }
        Err(Fault::TooLarge {
            what: "the number of elements",
            limit: MAX_TOP as u64,
        })
    }

    fn read_seek_head(&mut self, body: &[u8]) {
        for (_, seek) in ebml::children(body).filter(|(id, _)| *id == 0x4dbb) {
            let field = |wanted| {
                ebml::children(seek)
                    .find(|(id, _)| *id == wanted)
                    .map(|(_, body)| ebml::unsigned(body))
            };
            let (Some(id), Some(position)) = (field(0x53ab), field(0x53ac)) else {
                continue;
            };
            let Some(offset) = self.segment.checked_add(position) else {
                continue;
            };
            match u32::try_from(id) {
                Ok(CUES) => self.cues = Some(offset),
                Ok(TAGS | ATTACHMENTS) if self.tags.len() < MAX_TAGS => self.tags.push(offset),
                _ => {}
            }
        }
    }

    /// Reads an element of tags or attachments; the input stands at its body, and may move.
    fn read_tags(&mut self, input: &mut Input, element: &Element) -> Result<()> {
        let size = element.size.unwrap_or(0);
        if element.id == TAGS {
            let body = tags::take(input, size)?;
            tags::matroska_tags(&body, self.track_uid, &mut self.metadata);
            return Ok(());
        }
        if !tags::is_near(input) {
            tags::matroska_attachments(&tags::take(input, size)?, &mut self.metadata);
            return Ok(());
        }
        // One by one: of all fonts and pictures together most is not wanted.
        let end = element.body.saturating_add(size);
        for _ in 0..MAX_TOP {
            let file = ebml::next(input)?.filter(|file| file.body < end);
            let Some((size, next)) = file.and_then(|file| Some((file.size?, file.end()?))) else {
                break;
            };
            tags::matroska_attachment(&tags::take(input, size)?, &mut self.metadata);
            input.seek(next);
        }
        Ok(())
    }

    /// Reads what lies behind the audio, where it costs nothing to look there. What is wrong there takes nothing away.
    fn read_tags_behind(&mut self, input: &mut Input, cluster: u64) -> Result<()> {
        let offsets = std::mem::take(&mut self.tags);
        for offset in offsets.into_iter().filter(|offset| *offset > cluster) {
            if !tags::is_near(input) {
                break;
            }
            input.seek(offset);
            if let Some(element) = ebml::next(input)?
                && matches!(element.id, TAGS | ATTACHMENTS)
            {
                self.read_tags(input, &element)?;
            }
        }
        Ok(())
    }

    fn read_info(&mut self, body: &[u8]) {
        for (id, value) in ebml::children(body) {
            match id {
                0x2a_d7b1 => self.scale = ebml::unsigned(value).clamp(1, MAX_SCALE),
                0x4489 => self.ticks = ebml::float(value),
                0x7ba9 => tags::title(value, &mut self.metadata),
                _ => {}
            }
        }
    }

    pub(crate) fn duration(&self) -> Option<MediaDuration> {
        let seconds = self.ticks * self.scale as f64 / 1e9;
        let duration = std::time::Duration::try_from_secs_f64(seconds).ok();
        duration
            .filter(|duration| !duration.is_zero())
            // In ticks, which no frame keeps to.
            .map(MediaDuration::Estimate)
    }
}

/// The UID of the track with this number.
fn uid(tracks: &[u8], number: u64) -> Option<u64> {
    let field = |entry, wanted| {
        let mut fields = ebml::children(entry);
        fields.find_map(|(id, value)| (id == wanted).then(|| ebml::unsigned(value)))
    };
    let mut entries = ebml::children(tracks).filter(|(id, _)| *id == 0xae);
    entries.find_map(|(_, entry)| {
        let own = field(entry, 0xd7) == Some(number);
        own.then(|| field(entry, 0x73c5)).flatten()
    })
}
