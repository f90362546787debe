//! ID3v2.2, 2.3 and 2.4: the tag, and the frames in it.

mod fields;
mod strings;

use super::{ForPlayers, Tag};
use crate::container::tags::reading;
use crate::fault::Result;
use crate::input::Input;
use crate::{TrackMetadata, memory};

/// The size of a tag's header.
const HEAD: usize = 10;
/// Frames of a tag.
const MAX_FRAMES: usize = 10_000;

/// The size of an ID3v2 tag from its ten-byte header, header and footer included (ID3v2.4 §3.1).
pub(crate) fn id3_bytes(head: &[u8]) -> u64 {
    let footer = if head[5] & 0x10 != 0 { HEAD as u64 } else { 0 };
    HEAD as u64 + u64::from(syncsafe(&head[6..10])) + footer
}

/// Reads the tag of so many bytes at the position, of which no more is read than is needed for what it holds, and moves
/// behind it.
pub(crate) fn id3v2(
    input: &mut Input,
    size: u64,
    metadata: &mut TrackMetadata,
) -> Result<ForPlayers> {
    let at = input.pos();
    let front = input.take_copy(size.min(reading::FRONT))?;
    let (mut tag, done) = read(&front, size);
    if !done
        && size > front.len() as u64
        && size <= reading::whole(input.is_remote(), input.is_seekable())
    {
        input.seek(at);
        let all = input.take_copy(size)?;
        (tag, _) = read(&all, size);
    }
    let for_players = tag.for_players;
    tag.fill(metadata);
    input.seek(at.saturating_add(size));
    Ok(for_players)
}

/// The same, if there is one, in a chunk of so many bytes.
pub(super) fn id3v2_within(
    input: &mut Input,
    length: u64,
    metadata: &mut TrackMetadata,
) -> Result<()> {
    let head = input.peek(HEAD)?;
    if head.len() < HEAD || length < HEAD as u64 || !head.starts_with(b"ID3") {
        return Ok(());
    }
    let size = id3_bytes(head).min(length);
    id3v2(input, size, metadata).map(drop)
}

/// What the front of a tag of `size` bytes says, and whether that is all.
fn read(front: &[u8], size: u64) -> (Tag, bool) {
    let mut tag = Tag::default();
    let Some((head, body)) = front.split_at_checked(HEAD) else {
        return (tag, true);
    };
    let (version, flags) = (head[3], head[5]);
    // Of 2.2 this flag means that all of it is compressed, in a way that was never said.
    if !(2..=4).contains(&version) || version == 2 && flags & 0x40 != 0 {
        return (tag, true);
    }
    let left = usize::try_from(size)
        .unwrap_or(usize::MAX)
        .saturating_sub(HEAD);
    let resolved;
    let mut frames = Frames {
        version,
        rest: body,
        left,
        unsynchronised: flags & 0x80 != 0,
    };
    // Until 2.3 the whole was changed, and the sizes in it are those before.
    if frames.unsynchronised && version < 4 {
        let Ok(bytes) = synchronised(body) else {
            return (tag, true);
        };
        resolved = bytes;
        frames.left = left - (body.len() - resolved.len());
        frames.rest = &resolved;
        frames.unsynchronised = false;
    }
    if flags & 0x40 != 0 {
        frames.skip_extended_header();
    }
    for _ in 0..MAX_FRAMES {
        match frames.next() {
            Next::Frame(frame) => fields::take(&frame, &mut tag),
            Next::End => return (tag, true),
            Next::Cut(frame) => {
                fields::take_cut(&frame, &mut tag);
                return (tag, false);
            }
        }
    }
    (tag, true)
}

/// A frame: its name without its version, and what is in it.
struct Frame<'a> {
    name: &'a [u8],
    body: &'a [u8],
    /// The bytes it has, of which `body` may be the front.
    length: usize,
    unsynchronised: bool,
}

impl Frame<'_> {
    const UNKNOWN: Self = Self {
        name: b"",
        body: b"",
        length: 0,
        unsynchronised: false,
    };
}

enum Next<'a> {
    Frame(Frame<'a>),
    /// Not all of it is at hand.
    Cut(Frame<'a>),
    End,
}

/// The frames of a tag.
struct Frames<'a> {
    version: u8,
    rest: &'a [u8],
    /// Bytes left of the tag, of which `rest` are at hand.
    left: usize,
    unsynchronised: bool,
}

impl<'a> Frames<'a> {
    /// ID3v2.3 §3.2, ID3v2.4 §3.2.
    fn skip_extended_header(&mut self) {
        let Some(head) = self.rest.get(..4) else {
            self.left = 0;
            return;
        };
        let size = if self.version == 4 {
            syncsafe(head) as usize
        } else {
            (plain(head) as usize).saturating_add(4)
        };
        self.skip(size);
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        self.left = self.left.saturating_sub(bytes);
    }

    fn next(&mut self) -> Next<'a> {
        loop {
            let (id, head) = if self.version == 2 { (3, 6) } else { (4, 10) };
            if self.left < head {
                return Next::End;
            }
            let Some(header) = self.rest.get(..head) else {
                return Next::Cut(Frame::UNKNOWN);
            };
            // Zeros are padding; anything else is no frame, and nothing tells where the next is.
            if !is_name(&header[..id]) {
                return Next::End;
            }
            let length = self.length(header);
            if length > self.left - head {
                return Next::End;
            }
            let body = &self.rest[head..self.rest.len().min(head + length)];
            let is_whole = body.len() == length;
            let frame = self.opened(header, body, length);
            self.skip(head + length);
            match frame {
                Some(frame) if is_whole => return Next::Frame(frame),
                Some(frame) => return Next::Cut(frame),
                // What cannot be read is passed over, if what is behind it is at hand.
                None if is_whole => {}
                None => return Next::Cut(Frame::UNKNOWN),
            }
        }
    }

    fn length(&self, header: &[u8]) -> usize {
        match self.version {
            2 => u32::from_be_bytes([0, header[3], header[4], header[5]]) as usize,
            3 => plain(&header[4..8]) as usize,
            _ => {
                let (safe, plain) = (
                    syncsafe(&header[4..8]) as usize,
                    plain(&header[4..8]) as usize,
                );
                // Some writers of 2.4 write sizes as in 2.3: another frame, or padding, behind it proves it.
                let is_plain = header[4..8].iter().any(|byte| byte & 0x80 != 0)
                    || safe != plain && !self.ends_well(safe) && self.ends_well(plain);
                if is_plain { plain } else { safe }
            }
        }
    }

    /// Whether a frame of 2.4 of this length is followed by what may follow one.
    fn ends_well(&self, length: usize) -> bool {
        let end = HEAD.saturating_add(length);
        match self.rest.get(end..) {
            Some([]) | None => self.left == end,
            Some(behind) => {
                let behind = &behind[..behind.len().min(4)];
                behind.iter().all(|byte| *byte == 0) || is_name(behind)
            }
        }
    }

    /// The frame without what its flags add; `None` if it is compressed or encrypted.
    fn opened(&self, header: &'a [u8], body: &'a [u8], length: usize) -> Option<Frame<'a>> {
        let mut frame = Frame {
            name: &header[..if self.version == 2 { 3 } else { 4 }],
            body,
            length,
            unsynchronised: false,
        };
        let flags = header.get(9).copied().unwrap_or(0);
        let added = match self.version {
            2 => 0,
            // Compressed, encrypted; in a group.
            3 if flags & 0xc0 != 0 => return None,
            3 => usize::from(flags & 0x20 != 0),
            _ if flags & 0x0c != 0 => return None,
            _ => usize::from(flags & 0x40 != 0) + if flags & 1 != 0 { 4 } else { 0 },
        };
        frame.unsynchronised = self.version == 4 && (self.unsynchronised || flags & 2 != 0);
        frame.body = frame.body.get(added..).unwrap_or_default();
        frame.length = frame.length.saturating_sub(added);
        Some(frame)
    }
}

fn is_name(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes[0].is_ascii_uppercase()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Four bytes of seven bits each.
fn syncsafe(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .fold(0, |size, byte| size << 7 | u32::from(byte & 0x7f))
}

fn plain(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .fold(0, |size, byte| size << 8 | u32::from(*byte))
}

/// Without the zeros that were put behind each 0xff so that nothing looks like a frame of audio (ID3v2.3 §5).
fn synchronised(bytes: &[u8]) -> std::result::Result<Vec<u8>, memory::NoMemory> {
    let mut out = memory::room(bytes.len())?;
    let mut last = 0;
    for byte in bytes {
        if last != 0xff || *byte != 0 {
            out.push(*byte);
        }
        last = *byte;
    }
    Ok(out)
}
