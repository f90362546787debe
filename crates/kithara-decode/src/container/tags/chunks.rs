//! Chunks of WAVE and AIFF that hold tags.

use super::{Tag, id3v2, info, reading};
use crate::TrackMetadata;
use crate::fault::Result;
use crate::input::Input;

/// Chunks looked at behind the audio.
const MAX_BEHIND: usize = 1000;

/// Reads what a chunk of this name says, if it is one of tags; the input stands at its body, and may move within.
pub(crate) fn chunk(
    input: &mut Input,
    name: [u8; 4],
    length: u32,
    metadata: &mut TrackMetadata,
) -> Result<()> {
    let known: &[u8] = match &name {
        b"id3 " | b"ID3 " => return id3v2::id3v2_within(input, length.into(), metadata),
        b"LIST" => {
            if input.peek(4)? == b"INFO" {
                info::riff_info(&reading::take(input, length.into())?, metadata);
            }
            return Ok(());
        }
        b"NAME" => b"TITLE",
        b"AUTH" => b"ARTIST",
        b"ANNO" => b"COMMENT",
        _ => return Ok(()),
    };
    let mut tag = Tag::default();
    tag.bytes(known, &reading::take(input, length.into())?);
    tag.fill(metadata);
    Ok(())
}

/// Reads the tags in the chunks from an offset on, where looking there costs nothing. What is wrong there is nobody's
/// business: the audio is in front of it.
pub(crate) fn chunks_behind(
    input: &mut Input,
    at: u64,
    length_of: fn([u8; 4]) -> u32,
    metadata: &mut TrackMetadata,
) {
    let here = input.pos();
    if reading::is_near(input) && input.len().is_some_and(|len| at < len) {
        input.seek(at);
        drop(read_on(input, length_of, metadata));
    }
    input.seek(here);
}

fn read_on(
    input: &mut Input,
    length_of: fn([u8; 4]) -> u32,
    metadata: &mut TrackMetadata,
) -> Result<()> {
    for _ in 0..MAX_BEHIND {
        let [a, b, c, d, length @ ..]: [u8; 8] = input.array()?;
        let length = length_of(length);
        let body = input.pos();
        chunk(input, [a, b, c, d], length, metadata)?;
        input.seek(body + u64::from(length) + u64::from(length & 1));
    }
    Ok(())
}
