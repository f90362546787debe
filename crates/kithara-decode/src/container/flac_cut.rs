//! Cuts a native FLAC stream into frames (RFC 9639 §9). A frame does not say how long it is: it ends where another begins
//! and the sum before that is right. What has no right sum is passed over; where the next frame lies shows how much is gone.

use symphonia::core::checksum::Crc16Ansi;
use symphonia::core::io::Monitor;

use super::flac_frame::{self, MAX_HEADER, Place, StreamInfo};
use crate::fault::Result;
use crate::input::Input;

/// Bytes asked for at a time.
const STEP: usize = 2 * 1024;
/// Headers seen in a frame, by chance, before it is given up.
const MAX_CHANCES: usize = 8;
/// An ID3v1 tag, which may lie behind the last frame.
const TAG: usize = 128;

/// A frame of a FLAC stream, whose first byte is where the input stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) bytes: usize,
    pub(super) place: Place,
}

/// What lies behind a header.
enum Behind {
    /// A frame of this many bytes.
    Frame(usize),
    /// Damage; look on after this many bytes.
    Damage(usize),
}

/// The next frame; the input is moved to its first byte. `None` at the end of the bytes.
pub(super) fn next(input: &mut Input, info: &StreamInfo) -> Result<Option<Cut>> {
    while let Some(place) = find(input, info)? {
        match measure(input, info, place)? {
            Behind::Frame(bytes) => return Ok(Some(Cut { bytes, place })),
            Behind::Damage(bytes) => input.skip(bytes as u64),
        }
    }
    Ok(None)
}

/// Moves to the next header.
fn find(input: &mut Input, info: &StreamInfo) -> Result<Option<Place>> {
    loop {
        let window = input.peek(STEP)?;
        let (len, found) = (window.len(), flac_frame::find(window, info));
        if let Some((at, place)) = found {
            input.skip(at as u64);
            return Ok(Some(place));
        }
        if len < STEP {
            return Ok(None);
        }
        // A header may have begun.
        input.skip((len - MAX_HEADER) as u64);
    }
}

/// How long the frame is whose header stands at the front of the input.
fn measure(input: &mut Input, info: &StreamInfo, place: Place) -> Result<Behind> {
    let mut sum = Sum::default();
    // The first byte of the header is no other header's.
    let (mut looked, mut chances, mut resume) = (1, 0, None);
    let mut wanted = STEP;
    loop {
        let window = input.peek(wanted)?;
        let ended = window.len() < wanted;
        // A header that is there in part is looked at once it is whole.
        let limit = window.len() - if ended { 0 } else { MAX_HEADER };
        while let Some(at) = next_sync(window, looked, limit) {
            looked = at + 1;
            let Some(next) = flac_frame::place(&window[at..], info) else {
                continue;
            };
            if sum.is_right(&window[..at]) {
                return Ok(Behind::Frame(at));
            }
            if next.frame == place.frame + u64::from(place.frames) {
                return Ok(Behind::Damage(at));
            }
            chances += 1;
            let resume = *resume.get_or_insert(at);
            if chances == MAX_CHANCES {
                return Ok(Behind::Damage(resume));
            }
        }
        looked = looked.max(limit);
        if ended {
            return Ok(last(window, &sum, resume));
        }
        if window.len() > info.longest_frame() {
            return Ok(Behind::Damage(resume.unwrap_or(looked)));
        }
        wanted += STEP;
    }
}

/// What the rest of all bytes is.
fn last(window: &[u8], sum: &Sum, resume: Option<usize>) -> Behind {
    let untagged = window.len().checked_sub(TAG);
    let untagged = untagged.filter(|at| window[*at..].starts_with(b"TAG"));
    for end in [Some(window.len()), untagged].into_iter().flatten() {
        if end >= sum.bytes && sum.copy().is_right(&window[..end]) {
            return Behind::Frame(end);
        }
    }
    Behind::Damage(resume.unwrap_or(window.len()))
}

/// The first place from `from` on and before `limit` where two bytes look like the beginning of a header.
fn next_sync(window: &[u8], from: usize, limit: usize) -> Option<usize> {
    let mut at = from;
    while at < limit {
        // Most of a frame goes by sixteen at a time.
        if let Some(many) = window[at..limit].first_chunk::<16>()
            && !many.iter().fold(false, |any, byte| any | (*byte == 0xff))
        {
            at += 16;
            continue;
        }
        let end = limit.min(at + 16);
        for place in at..end {
            if window[place] == 0xff
                && window
                    .get(place + 1)
                    .is_some_and(|next| next & 0xfe == 0xf8)
            {
                return Some(place);
            }
        }
        at = end;
    }
    None
}

/// The sum over a frame so far (§9.3).
struct Sum {
    crc: Crc16Ansi,
    bytes: usize,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            crc: Crc16Ansi::new(0),
            bytes: 0,
        }
    }
}

impl Sum {
    fn copy(&self) -> Self {
        Self {
            crc: Crc16Ansi::new(self.crc.crc()),
            bytes: self.bytes,
        }
    }

    /// Goes on to the end of `frame`, which begins as before; whether a frame may end there.
    fn is_right(&mut self, frame: &[u8]) -> bool {
        self.crc.process_buf_bytes(&frame[self.bytes..]);
        self.bytes = frame.len();
        // That of the sum itself, too, leaves nothing.
        self.crc.crc() == 0
    }
}
