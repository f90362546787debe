//! Tags that were made to do harm: memory stays bounded, and the audio plays.

mod support;

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kithara_decode::TrackMetadata;
use kithara_stream::ByteSource;
use kithara_tests::fixtures::{fixture, mp4_with_cover, tagged};
use support::{drain, open_source, whole};

/// Bytes with a hole of zeros, of any size, at one place.
struct Holed {
    bytes: Vec<u8>,
    hole: std::ops::Range<u64>,
    pos: u64,
    remote: bool,
    read: Arc<AtomicU64>,
}

impl Read for Holed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = if self.hole.contains(&self.pos) {
            let left = usize::try_from(self.hole.end - self.pos).unwrap_or(usize::MAX);
            let count = out.len().min(left);
            out[..count].fill(0);
            count
        } else {
            let size = self.hole.end - self.hole.start;
            let (at, end) = if self.pos < self.hole.start {
                (self.pos, self.hole.start)
            } else {
                (self.pos - size, self.bytes.len() as u64)
            };
            let rest = &self.bytes[(at as usize).min(self.bytes.len())..end as usize];
            let count = out.len().min(rest.len());
            out[..count].copy_from_slice(&rest[..count]);
            count
        };
        self.pos += count as u64;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Holed {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(pos) = to else {
            panic!("only from the start");
        };
        self.pos = pos;
        Ok(pos)
    }
}

impl ByteSource for Holed {
    fn byte_len(&self) -> Option<u64> {
        Some(self.bytes.len() as u64 + self.hole.end - self.hole.start)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        self.remote
    }
}

const COVER: u64 = 500_000_000;

fn find(bytes: &[u8], word: &[u8]) -> usize {
    let at = bytes.windows(word.len()).position(|window| window == word);
    at.unwrap_or_else(|| panic!("no {word:x?}"))
}

/// Adds the size of the hole to a number of four bytes, or the last seven of eight.
fn grow(bytes: &mut [u8], at: usize, width: usize) {
    let field = &mut bytes[at..at + width];
    let old = field
        .iter()
        .fold(0, |size, byte| size << 8 | u64::from(*byte));
    field.copy_from_slice(&(old + COVER).to_be_bytes()[8 - width..]);
}

/// An MP4 whose movie box is behind the media, and where the hole in its cover begins.
fn mp4() -> (Vec<u8>, usize) {
    let mut bytes = mp4_with_cover("m4a-aac-last.m4a", 1000);
    let last = |name: &[u8]| {
        bytes
            .windows(4)
            .rposition(|word| word == name)
            .expect("a box")
            - 4
    };
    let boxes = [b"moov", b"udta", b"meta", b"ilst", b"covr"].map(|name| last(name));
    let covr = boxes[4];
    for at in boxes {
        grow(&mut bytes, at, 4);
    }
    grow(&mut bytes, covr + 8, 4);
    (bytes, covr + 100)
}

/// A Matroska file with an attached picture before the first cluster.
fn mka() -> (Vec<u8>, usize) {
    let mut bytes = tagged("ffmpeg.mka");
    let segment = find(&bytes, b"\x18\x53\x80\x67\x01");
    let cluster = find(&bytes, b"\x1f\x43\xb6\x75");
    let sized = |id: &[u8], body: &[u8]| {
        let size = (body.len() as u64 | 1 << 56).to_be_bytes();
        [id, &size, body].concat()
    };
    let name = sized(b"\x46\x6e", b"cover.png");
    let kind = sized(b"\x46\x60", b"image/png");
    let data = sized(b"\x46\x5c", b"\x89PNG");
    let file = sized(b"\x61\xa7", &[name, kind, data].concat());
    let mut attachments = sized(b"\x19\x41\xa4\x69", &file);
    let data = find(&attachments, b"\x46\x5c") + 3;
    for at in [5, 12 + 3, data] {
        grow(&mut attachments, at, 7);
    }
    let hole = cluster + attachments.len();
    let more = attachments.len() as u64;
    bytes.splice(cluster..cluster, attachments);
    grow(&mut bytes, segment + 5, 7);
    let field = &mut bytes[segment + 5..segment + 12];
    let size = field
        .iter()
        .fold(0, |size, byte| size << 8 | u64::from(*byte));
    field.copy_from_slice(&(size + more).to_be_bytes()[1..]);
    (bytes, hole)
}

fn samples(source: impl ByteSource + 'static, case: &str) -> (Vec<f32>, TrackMetadata) {
    let mut decoder = open_source(source, case).unwrap_or_else(|error| panic!("{case}: {error}"));
    let (samples, end) = drain(decoder.as_mut(), case);
    end.unwrap_or_else(|error| panic!("{case}: {error}"));
    (samples, decoder.metadata().clone())
}

#[test]
fn a_cover_of_500_megabytes_is_named_and_not_read() {
    let m4a = whole(fixture("m4a-aac-last.m4a"));
    let mka_samples = samples(Cursor::new(tagged("ffmpeg.mka")), "ffmpeg.mka").0;
    for (file, (bytes, at), right, title) in [
        ("m4a", mp4(), m4a, "Front"),
        ("mka", mka(), mka_samples, "A title é"),
    ] {
        for remote in [true, false] {
            let source = Holed {
                bytes: bytes.clone(),
                hole: at as u64..at as u64 + COVER,
                pos: 0,
                remote,
                read: Arc::default(),
            };
            let read = Arc::clone(&source.read);
            let (got, known) = samples(source, file);
            assert!(got == right, "{file}: the audio");
            assert_eq!(known.title.as_deref(), Some(title), "{file}");
            let picture = known
                .pictures
                .iter()
                .find(|picture| picture.bytes().is_none());
            let picture = picture.unwrap_or_else(|| panic!("{file}: {known:?}"));
            assert!(picture.byte_len() > COVER, "{file}: {picture:?}");
            let read = read.load(Ordering::Relaxed);
            assert!(read <= 200_000, "{file}: {read} bytes");
        }
    }
}

/// Every field that could be a length says something else: whatever is made of the tag, the audio is the same or the file is
/// refused by name.
#[test]
fn a_changed_byte_in_a_tag_takes_no_memory_and_no_thread() {
    let files = [
        "id3v23.mp3",
        "id3v24.mp3",
        "ape.mp3",
        "id3.aac",
        "metaflac.flac",
        "picture.ogg",
        "picture.oga",
        "itunes.m4a",
        "keys.mp4",
        "ffmpeg.mov",
        "ffmpeg.mka",
        "ffmpeg.wav",
        "id3.wav",
        "id3.aiff",
        "ffmpeg.caf",
    ];
    let mut opened = 0;
    for file in files {
        let bytes = tagged(file);
        for at in (0..bytes.len()).step_by(bytes.len() / 50) {
            for value in [0, 0x7f, 0xff, bytes[at] ^ 1] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let Ok(decoder) = open_source(Cursor::new(bytes), file) else {
                    continue;
                };
                opened += 1;
                let metadata = decoder.metadata();
                let held = metadata
                    .pictures
                    .iter()
                    .filter_map(|picture| picture.bytes());
                assert!(held.map(<[u8]>::len).sum::<usize>() <= 8 << 20, "{file}");
                assert!(metadata.pictures.len() <= 16, "{file}");
            }
        }
        for end in (0..bytes.len()).step_by(bytes.len() / 40) {
            drop(open_source(Cursor::new(bytes[..end].to_vec()), file));
        }
    }
    assert!(opened > 1500, "{opened} were opened");
}

/// A picture for each kind there is, and more than are kept.
#[test]
fn pictures_are_kept_up_to_a_number_and_a_size() {
    let flac = tagged("metaflac.flac");
    let picture = |size: usize, fill: u8| {
        let mut block = [
            &3u32.to_be_bytes()[..],
            &9u32.to_be_bytes(),
            b"image/png",
            &[0; 20],
        ]
        .concat();
        block.extend((size as u32).to_be_bytes());
        block.resize(block.len() + size, fill);
        let head = (6 << 24 | block.len() as u32).to_be_bytes();
        [&head[..], &block].concat()
    };
    let with = |pictures: Vec<Vec<u8>>| {
        // Behind the first block.
        let blocks = pictures.concat();
        Cursor::new([&flac[..42], &blocks, &flac[42..]].concat())
    };
    let (right, _) = samples(Cursor::new(flac.clone()), "plain");
    let (got, known) = samples(with((0..40).map(|fill| picture(100, fill)).collect()), "40");
    assert_eq!((got == right, known.pictures.len()), (true, 16));
    // Of three of 3 MiB two fit into 8; one of more is not read at all; one that is there already is not kept twice.
    let large = vec![
        picture(3 << 20, 1),
        picture(3 << 20, 1),
        picture(3 << 20, 2),
        picture(3 << 20, 3),
        picture(9 << 20, 4),
    ];
    let (got, known) = samples(with(large), "large");
    assert!(got == right);
    let lengths: Vec<_> = known
        .pictures
        .iter()
        .map(|picture| (picture.byte_len() >> 20, picture.bytes().is_some()))
        .collect();
    assert_eq!(
        lengths,
        [(3, true), (3, true), (3, false), (9, false), (0, true)]
    );
    assert_eq!(known.title.as_deref(), Some("A title é"));
}
