//! From bytes to the demuxer of the right container.

use kithara_stream::{ContainerFormat, MediaInfo};

use crate::container::adts::AdtsSyntax;
use crate::container::mpeg_header::MpegSyntax;
use crate::container::tags::ForPlayers;
use crate::container::{adts, aiff, caf, flac, frames, iso, mkv, mpeg, ogg, tags, ts, wav};
use crate::demux::{Demux, Track};
use crate::fault::{Fault, Result};
use crate::input::Input;
use crate::sniff::{self, Sniffed};
use crate::stamp::TrackStamp;
use crate::trim::GaplessComment;
use crate::{Notice, TrackMetadata, limits};

/// ID3v2 tags in a row.
const MAX_TAGS: usize = 16;
/// Looked at first; most containers are known by then.
const FIRST_LOOK: usize = 4 * 1024;

/// Finds out what the bytes are and opens the demuxer for them.
pub(crate) fn open(mut input: Input, info: &MediaInfo) -> Result<(Track, Box<dyn Demux>)> {
    if input.peek(1)?.is_empty() {
        return Err(Fault::Empty);
    }
    let mut metadata = TrackMetadata::default();
    let for_players = skip_tags(&mut input, &mut metadata)?;
    let start = input.pos();
    let recognised = recognise(&mut input, info);
    let (container, junk) = recognised.inspect_err(|_| input.parts().blame(start))?;
    input.seek(start + junk);
    if let ContainerFormat::MpegAudio | ContainerFormat::Adts | ContainerFormat::Flac = container {
        tags::tail(&mut input, &mut metadata);
    }
    let (mut track, mut demux) =
        open_container(input, container, metadata.clone(), for_players.gapless)?;
    // What a container says itself goes before what was put around it.
    tags::fill(metadata, &mut track.metadata);
    if let Some(time) = for_players.transport_time {
        track.stamp = track.stamp.or(Some(TrackStamp::in_ticks(time)));
        demux.begins_at(time);
    }
    if junk > 0 {
        track.notices.push(Notice::JunkSkipped {
            offset: start,
            bytes: junk,
        });
    }
    Ok((track, demux))
}

fn open_container(
    mut input: Input,
    container: ContainerFormat,
    metadata: TrackMetadata,
    gapless: Option<GaplessComment>,
) -> Result<(Track, Box<dyn Demux>)> {
    match container {
        ContainerFormat::MpegAudio => mpeg::open(input, metadata, gapless),
        ContainerFormat::Adts => adts::open(input, metadata),
        ContainerFormat::Flac => flac::open(input),
        ContainerFormat::Wav => wav::open(input),
        ContainerFormat::Aiff => aiff::open(input),
        ContainerFormat::Ogg => ogg::open(input).map_err(|unopened| unopened.fault),
        ContainerFormat::Caf => caf::open(input),
        ContainerFormat::Mkv => mkv::open(input),
        ContainerFormat::MpegTs => ts::open(input),
        ContainerFormat::Mp4 | ContainerFormat::Fmp4 => {
            input.seek(0);
            iso::open(input)
        }
        other => Err(Fault::unsupported(other.to_string())),
    }
}

/// Goes behind the ID3v2 tags at the beginning, by their stated sizes.
fn skip_tags(input: &mut Input, metadata: &mut TrackMetadata) -> Result<ForPlayers> {
    let mut said = ForPlayers::default();
    for _ in 0..MAX_TAGS {
        let head = input.peek(10)?;
        if head.len() < 10
            || !head.starts_with(b"ID3")
            || head[6..10].iter().any(|byte| byte & 0x80 != 0)
        {
            break;
        }
        let size = tags::id3_bytes(head);
        said = tags::id3v2(input, size, metadata)?.or(said);
    }
    Ok(said)
}

/// What lies at the position: of a stretch out of a title only its first part, since the next may be of another kind.
fn look_at(input: &mut Input, bytes: usize) -> Result<&[u8]> {
    match input.is_part() {
        true => input.peek_in_part(bytes),
        false => input.peek(bytes),
    }
}

fn recognise(input: &mut Input, info: &MediaInfo) -> Result<(ContainerFormat, u64)> {
    let mut sniffed = None;
    for look in [FIRST_LOOK, limits::SNIFF_BYTES + FIRST_LOOK] {
        let window = look_at(input, look)?;
        let at_end = window.len() < look;
        sniffed = sniff::sniff(window, at_end);
        if sniffed.is_some() || at_end {
            break;
        }
    }
    let window = input.peek(4)?;
    match sniffed {
        Some(Sniffed::Container(container, junk)) if junk <= limits::SNIFF_BYTES => {
            Ok((container, junk as u64))
        }
        Some(Sniffed::Unsupported(name)) => Err(Fault::unsupported(name)),
        Some(Sniffed::NotMedia(name)) => Err(Fault::WrongContent(name.to_owned())),
        _ if sniff::is_free_format(window) => {
            Err(Fault::unsupported("MPEG audio in the free format"))
        }
        _ => by_claim(input, info),
    }
}

/// What carries no mark, by what it is claimed to be.
fn by_claim(input: &mut Input, info: &MediaInfo) -> Result<(ContainerFormat, u64)> {
    for claim in sniff::claimed(info) {
        if let Some(found) = find_claimed(input, claim)? {
            return Ok(found);
        }
    }
    let unknown = "unknown content";
    // Another stretch of the title may be what this one should have been.
    if input.is_part() {
        return Err(Fault::WrongContent(unknown.to_owned()));
    }
    Err(match sniff::claimed(info).next() {
        Some(claim) => Fault::unsupported(format!("content that claims to be {claim} but is not")),
        None => Fault::unsupported(unknown),
    })
}

/// Looks for a container where nothing but a claim speaks for it, if that can be told from anything else by more than that.
fn find_claimed(input: &mut Input, claim: &str) -> Result<Option<(ContainerFormat, u64)>> {
    if input.is_part() {
        // Of two frames by chance there are many in a segment of noise.
        return Ok(None);
    }
    let window = input.peek(limits::CLAIMED_BYTES)?;
    let at_end = window.len() < limits::CLAIMED_BYTES;
    let (container, found) = match claim {
        "MPEG audio" => (
            ContainerFormat::MpegAudio,
            frames::find_claimed::<MpegSyntax>(window, at_end),
        ),
        "ADTS" => (
            ContainerFormat::Adts,
            frames::find_claimed::<AdtsSyntax>(window, at_end),
        ),
        "Ogg" => (ContainerFormat::Ogg, find(window, b"OggS\0\x02")),
        "FLAC" => (ContainerFormat::Flac, find(window, b"fLaC\0\0\0\x22")),
        _ => return Ok(None),
    };
    Ok(found.map(|junk| (container, junk as u64)))
}

/// Where a mark begins that is long enough not to be there by chance.
fn find(window: &[u8], mark: &[u8]) -> Option<usize> {
    window.windows(mark.len()).position(|word| word == mark)
}
