//! Packets and tables of MPEG-2 transport streams (ISO/IEC 13818-1 §2.4).

/// Bytes of a packet.
pub(crate) const PACKET: usize = 188;
/// What a packet begins with.
pub(crate) const SYNC: u8 = 0x47;
/// A section is no longer than its 12 bits of length allow.
const MAX_SECTION: usize = 3 + 4095;

/// One packet (§2.4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TsPacket<'a> {
    pub(crate) pid: u16,
    /// A section or a PES packet begins in it.
    pub(crate) starts: bool,
    /// Counts the packets of a PID that have a payload.
    pub(crate) continuity: u8,
    /// The count may jump here.
    pub(crate) may_jump: bool,
    pub(crate) scrambled: bool,
    /// Empty where there is none.
    pub(crate) payload: &'a [u8],
}

impl<'a> TsPacket<'a> {
    /// `None` for bytes that are none, or that were damaged before they came here.
    pub(crate) fn parse(bytes: &'a [u8; PACKET]) -> Option<Self> {
        let [sync, high, low, flags, body @ ..] = bytes;
        if *sync != SYNC || high & 0x80 != 0 {
            return None;
        }
        let (has_field, has_payload) = (flags & 0x20 != 0, flags & 0x10 != 0);
        let field = if has_field {
            usize::from(body[0]) + 1
        } else {
            0
        };
        let may_jump = field > 1 && body[1] & 0x80 != 0;
        let payload = body.get(field..).filter(|_| has_payload);
        Some(Self {
            pid: u16::from(high & 0x1f) << 8 | u16::from(*low),
            starts: high & 0x40 != 0,
            continuity: flags & 0x0f,
            may_jump,
            scrambled: flags & 0xc0 != 0,
            payload: payload.unwrap_or_default(),
        })
    }
}

/// Puts the sections of one PID together (§2.4.4).
#[derive(Clone, Debug, Default)]
pub(crate) struct Sections {
    held: Vec<u8>,
    /// The beginning was seen.
    begun: bool,
}

impl Sections {
    /// Takes the payload of a packet; a section whose sum is right, if it is whole now.
    pub(crate) fn push(&mut self, packet: &TsPacket<'_>) -> Option<&[u8]> {
        let mut payload = packet.payload;
        if packet.starts {
            let (pointer, rest) = payload.split_first()?;
            // What lies before it ends an older section, which will come again.
            payload = rest.get(usize::from(*pointer)..)?;
            self.held.clear();
            self.begun = true;
        }
        if !self.begun || self.held.len() + payload.len() > MAX_SECTION + PACKET {
            return None;
        }
        self.held.extend_from_slice(payload);
        let length = usize::from(*self.held.get(1)? & 0x0f) << 8 | usize::from(*self.held.get(2)?);
        let section = self.held.get(..3 + length)?;
        self.begun = false;
        (crc32(section) == 0).then_some(section)
    }
}

/// The sum of annex A: 0 over a section with its own.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

/// The PID of the first programme's map (§2.4.4.3).
pub(crate) fn map_pid(section: &[u8]) -> Option<u16> {
    let programmes = section.get(8..section.len().checked_sub(4)?)?;
    let mut programmes = programmes.as_chunks().0.iter();
    let is_programme = |[high, low, ..]: &&[u8; 4]| (*high, *low) != (0, 0);
    let [_, _, high, low] = programmes.find(is_programme).filter(|_| section[0] == 0)?;
    Some(u16::from(high & 0x1f) << 8 | u16::from(*low))
}

/// What a stream of a programme is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// MPEG audio of any layer.
    Mpeg,
    /// AAC with ADTS headers.
    Adts,
    /// Audio of another kind, by name.
    Other(&'static str),
}

/// The audio of a programme (§2.4.4.9): the first that can be played, or else the first.
pub(crate) fn audio(section: &[u8]) -> Option<(u16, StreamKind)> {
    let body = section.get(..section.len().checked_sub(4)?)?;
    if section[0] != 2 {
        return None;
    }
    let skipped = usize::from(*body.get(10)? & 0x0f) << 8 | usize::from(*body.get(11)?);
    let mut rest = body.get(12 + skipped..)?;
    let mut other = None;
    while let [kind, high, low, long, short, after @ ..] = rest {
        let length = usize::from(long & 0x0f) << 8 | usize::from(*short);
        let descriptors = after.get(..length)?;
        let pid = u16::from(high & 0x1f) << 8 | u16::from(*low);
        match stream_kind(*kind, descriptors) {
            Some(StreamKind::Other(name)) => {
                other = other.or(Some((pid, StreamKind::Other(name))));
            }
            Some(kind) => return Some((pid, kind)),
            None => {}
        }
        rest = &after[length..];
    }
    other
}

/// Table 2-34, and what others have put beside it.
fn stream_kind(kind: u8, descriptors: &[u8]) -> Option<StreamKind> {
    Some(match kind {
        0x03 | 0x04 => StreamKind::Mpeg,
        0x0f => StreamKind::Adts,
        0x11 => StreamKind::Other("AAC in LATM"),
        0x80 => StreamKind::Other("PCM of a disc"),
        0x81 => StreamKind::Other("AC-3"),
        0x82 | 0x85 | 0x86 => StreamKind::Other("DTS"),
        0x87 => StreamKind::Other("E-AC-3"),
        // SAMPLE-AES.
        0xcf | 0xc1 | 0xc2 => StreamKind::Other("encrypted MPEG-TS"),
        0x06 => StreamKind::Other(private(descriptors)?),
        _ => return None,
    })
}

/// A private stream says by its descriptors what it is.
fn private(mut descriptors: &[u8]) -> Option<&'static str> {
    while let [tag, length, rest @ ..] = descriptors {
        let body = rest.get(..usize::from(*length))?;
        let name = match tag {
            0x05 if body.starts_with(b"Opus") => Some("Opus in MPEG-TS"),
            0x05 if body.starts_with(b"AC-3") => Some("AC-3"),
            0x6a => Some("AC-3"),
            0x7a => Some("E-AC-3"),
            0x7b => Some("DTS"),
            0x7c => Some("AAC in LATM"),
            _ => None,
        };
        if name.is_some() {
            return name;
        }
        descriptors = &rest[body.len()..];
    }
    None
}

/// What the front of a PES packet turns out to be (§2.4.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PesFront {
    /// More bytes are needed.
    Unfinished,
    /// No PES packet of audio.
    Foreign,
    /// So many bytes, behind which its data begin, and when the first frame that begins in them plays, in 90ths of a
    /// millisecond modulo 2³³.
    Header(usize, Option<u64>),
}

pub(crate) fn pes_front(bytes: &[u8]) -> PesFront {
    let prefix = [0, 0, 1];
    let known = bytes.len().min(3);
    if bytes[..known] != prefix[..known] {
        return PesFront::Foreign;
    }
    let (Some(flags), Some(length)) = (bytes.get(7), bytes.get(8)) else {
        return PesFront::Unfinished;
    };
    let header = 9 + usize::from(*length);
    if bytes.len() < header {
        return PesFront::Unfinished;
    }
    let time = bytes
        .get(9..14)
        .filter(|_| flags & 0x80 != 0 && *length >= 5);
    let time = time.map(|time| {
        let part = |at: usize| u64::from(time[at]);
        (part(0) >> 1 & 7) << 30
            | part(1) << 22
            | (part(2) >> 1) << 15
            | part(3) << 7
            | part(4) >> 1
    });
    PesFront::Header(header, time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(table: u8, body: &[u8]) -> Vec<u8> {
        let length = body.len() + 9;
        let mut section = vec![table, 0xb0 | (length >> 8) as u8, length as u8];
        section.extend([0, 1, 0xc1, 0, 0]);
        section.extend_from_slice(body);
        let crc = crc32(&section);
        section.extend(crc.to_be_bytes());
        section
    }

    fn packet(payload: &[u8], starts: bool) -> TsPacket<'_> {
        TsPacket {
            pid: 0,
            starts,
            continuity: 0,
            may_jump: false,
            scrambled: false,
            payload,
        }
    }

    #[test]
    fn a_packet_is_taken_apart() {
        let mut bytes = [0xaa; PACKET];
        bytes[..6].copy_from_slice(&[SYNC, 0x41, 0x00, 0x37, 2, 0x80]);
        let parsed = TsPacket::parse(&bytes).expect("a packet");
        assert_eq!(
            (parsed.pid, parsed.starts, parsed.continuity),
            (0x100, true, 7)
        );
        assert_eq!((parsed.may_jump, parsed.payload.len()), (true, 181));
        // A field that fills it, and one that would be longer.
        for length in [183, 184, 255] {
            bytes[4] = length;
            let parsed = TsPacket::parse(&bytes).expect("a packet");
            assert_eq!(parsed.payload.len(), 0, "{length}");
        }
        bytes[3] = 0x27;
        assert_eq!(
            TsPacket::parse(&bytes).map(|packet| packet.payload.len()),
            Some(0)
        );
        for (at, damage) in [(0, 0x46), (1, 0xc1)] {
            let mut bytes = bytes;
            bytes[at] = damage;
            assert_eq!(TsPacket::parse(&bytes), None);
        }
    }

    #[test]
    fn tables_are_put_together_and_believed_if_their_sum_is_right() {
        let table = section(0, &[0, 0, 0xe0, 0x10, 0, 1, 0xf0, 0x00]);
        assert_eq!(map_pid(&table), Some(0x1000));
        let mut sections = Sections::default();
        let (front, back) = table.split_at(9);
        let front = [&[1, 0xff][..], front].concat();
        assert_eq!(sections.push(&packet(back, false)), None, "no beginning");
        assert_eq!(sections.push(&packet(&front, true)), None, "half");
        assert_eq!(sections.push(&packet(back, false)), Some(&table[..]));
        let mut wrong = table.clone();
        wrong[11] ^= 1;
        let wrong = [&[0][..], &wrong].concat();
        assert_eq!(sections.push(&packet(&wrong, true)), None, "another sum");
        for cut in 0..table.len() {
            let part = [&[0][..], &table[..cut]].concat();
            assert_eq!(sections.push(&packet(&part, true)), None);
            assert!(map_pid(&table[..cut]).is_none_or(|pid| pid < 0x2000));
        }
        assert_eq!(sections.push(&packet(&[200, 0], true)), None);
        assert_eq!(sections.push(&packet(&[], true)), None);
    }

    #[test]
    fn the_first_audio_that_can_be_played_is_chosen() {
        let stream = |kind: u8, pid: u8, descriptors: &[u8]| {
            [
                &[kind, 0xe1, pid, 0xf0, descriptors.len() as u8],
                descriptors,
            ]
            .concat()
        };
        let map = |streams: &[Vec<u8>]| {
            let head = [0xe1, 0x00, 0xf0, 0x02, 0x0c, 0x00];
            section(2, &[&head[..], &streams.concat()].concat())
        };
        let (video, aac, mp3) = (
            stream(0x1b, 0, &[]),
            stream(0x0f, 1, &[0x0a, 1, 0]),
            stream(3, 2, &[]),
        );
        let (ac3, dvb) = (stream(0x81, 3, &[]), stream(6, 4, &[0x59, 0, 0x7a, 1, 0]));
        let opus = stream(6, 5, b"\x05\x04Opus");
        for (streams, expected) in [
            (vec![], None),
            (vec![video.clone()], None),
            (vec![stream(6, 9, &[0x59, 0]), stream(0x15, 9, &[])], None),
            (
                vec![video, ac3.clone(), aac.clone(), mp3.clone()],
                Some((0x101, StreamKind::Adts)),
            ),
            (vec![mp3, aac], Some((0x102, StreamKind::Mpeg))),
            (
                vec![ac3, dvb.clone()],
                Some((0x103, StreamKind::Other("AC-3"))),
            ),
            (vec![dvb], Some((0x104, StreamKind::Other("E-AC-3")))),
            (
                vec![opus],
                Some((0x105, StreamKind::Other("Opus in MPEG-TS"))),
            ),
        ] {
            let map = map(&streams);
            assert_eq!(audio(&map), expected);
            for cut in 0..map.len() {
                let _ = audio(&map[..cut]);
            }
        }
    }

    #[test]
    fn a_pes_packet_says_when_it_plays() {
        let time = [0x21, 0x00, 0x07, 0xd8, 0x61];
        let head = [&[0, 0, 1, 0xc0, 0, 0, 0x80, 0x80, 6][..], &time, &[0xff]].concat();
        // 126,000: 1.4 s.
        assert_eq!(pes_front(&head), PesFront::Header(15, Some(126_000)));
        for cut in 0..15 {
            assert_eq!(pes_front(&head[..cut]), PesFront::Unfinished, "{cut}");
        }
        let last = [
            0, 0, 1, 0xc0, 0, 0, 0x80, 0x80, 5, 0x2f, 0xff, 0xff, 0xff, 0xff,
        ];
        assert_eq!(pes_front(&last), PesFront::Header(14, Some((1 << 33) - 1)));
        let none = [0, 0, 1, 0xc0, 0, 0, 0x80, 0, 0];
        assert_eq!(pes_front(&none), PesFront::Header(9, None));
        // It claims a time and has no room for it.
        let short = [0, 0, 1, 0xc0, 0, 0, 0x80, 0x80, 0];
        assert_eq!(pes_front(&short), PesFront::Header(9, None));
        assert_eq!(pes_front(&[0, 1]), PesFront::Foreign);
    }
}
