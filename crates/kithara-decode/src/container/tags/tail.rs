//! Tags behind the audio: looked for where the end costs nothing.

use super::{ape, id3v1, reading};
use crate::TrackMetadata;
use crate::fault::Result;
use crate::input::Input;
use crate::{limits, memory};

/// Reads what stands at the end of a file near by: ID3v1, and an APE tag before it. The input stays where it is, and that
/// nothing can be read there is told when it is played.
pub(crate) fn tail(input: &mut Input, metadata: &mut TrackMetadata) {
    let here = input.pos();
    if reading::is_near(input) {
        drop(read(input, metadata));
    }
    input.seek(here);
}

fn read(input: &mut Input, metadata: &mut TrackMetadata) -> Result<()> {
    let here = input.pos();
    let Some(len) = input.len() else {
        return Ok(());
    };
    let mut end = len;
    let mut last = Vec::new();
    if let Some(at) = before(end, id3v1::BYTES as u64, here) {
        input.seek(at);
        last = memory::copy(input.peek(id3v1::BYTES)?)?;
        if id3v1::is_one(&last) {
            end = at;
        }
    }
    if let Some(at) = before(end, ape::FOOTER as u64, here) {
        input.seek(at);
        let size = ape::size(input.peek(ape::FOOTER)?);
        let size = size.filter(|size| *size <= limits::TAG_BYTES);
        if let Some((size, at)) = size.and_then(|size| Some((size, before(end, size, here)?))) {
            input.seek(at);
            ape::ape(&input.take_copy(size)?, metadata);
        }
    }
    // Its texts are cut: they are believed last.
    id3v1::id3v1(&last, metadata);
    Ok(())
}

/// Where so many bytes begin that end there, if that is not in front of what is to be played.
fn before(end: u64, bytes: u64, here: u64) -> Option<u64> {
    end.checked_sub(bytes).filter(|at| *at >= here)
}
