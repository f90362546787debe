//! Arbitrary bytes as a file.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::time::Duration;

use kithara::decode::{DecoderFactory, DecoderOptions, InnerDecoder};
use kithara::stream::ByteSource;
use kithara::{MediaInfo, SeekMode};

/// A few bytes can be hours of silence; this much is enough.
const MOST_FRAMES: u64 = 400_000;
const CLAIMS: [(&str, &str); 12] = [
    ("", ""),
    ("mp3", "audio/mpeg"),
    ("flac", "audio/flac"),
    ("wav", "audio/wav"),
    ("aiff", "audio/aiff"),
    ("caf", "audio/x-caf"),
    ("m4a", "audio/mp4"),
    ("aac", "audio/aac"),
    ("ogg", "audio/ogg"),
    ("webm", "audio/webm"),
    ("mkv", "audio/x-matroska"),
    ("html", "text/html"),
];

/// The first byte claims a container, the second says how the bytes can be read, the rest are the file.
pub fn run(data: &[u8]) {
    let [claim, flags, file @ ..] = data else {
        return;
    };
    open(*claim, *flags, file.to_vec());
}

/// Opens the file, decodes it, seeks in it, and checks that blocks are whole and in order.
pub fn open(claim: u8, flags: u8, file: Vec<u8>) {
    let (extension, media_type) = CLAIMS[usize::from(claim) % CLAIMS.len()];
    let claimed = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let info = MediaInfo {
        name: "fuzz".to_owned(),
        extension: claimed(extension),
        media_type: claimed(media_type),
        part_of_title: flags & 0x20 != 0,
        ..MediaInfo::default()
    };
    let options = DecoderOptions::default();
    let middle = Duration::from_millis(u64::from(claim) * 20);
    let Ok(mut decoder) = DecoderFactory::open(Box::new(Bytes::new(file, flags)), &info, &options)
    else {
        return;
    };
    let _ = (decoder.duration(), decoder.metadata());
    let budget = if flags & 0x10 == 0 {
        MOST_FRAMES
    } else {
        5_000
    };
    decode(decoder.as_mut(), None, budget);
    for (to, mode) in [
        (middle, SeekMode::Fast),
        (middle / 3, SeekMode::Exact),
        (Duration::MAX, SeekMode::Fast),
    ] {
        if let Ok(landing) = decoder.seek(to, mode) {
            decode(decoder.as_mut(), Some(landing.frame), 20_000);
        }
    }
    let _ = decoder.take_notices();
}

fn decode(decoder: &mut dyn InnerDecoder, mut expected: Option<u64>, budget: u64) {
    let spec = decoder.spec();
    let channels = usize::from(spec.channels.get());
    let mut frames = 0;
    while frames < budget {
        match decoder.next_chunk() {
            Ok(Some(chunk)) => {
                assert!(!chunk.pcm.is_empty(), "an empty block");
                assert_eq!(chunk.pcm.len() % channels, 0, "half a frame");
                assert_eq!(chunk.spec, spec, "the layout changed");
                if let Some(expected) = expected {
                    assert_eq!(chunk.frame, expected, "blocks are in order");
                }
                frames += chunk.frames() as u64;
                expected = Some(chunk.frame + chunk.frames() as u64);
            }
            Ok(None) => {
                assert!(
                    matches!(decoder.next_chunk(), Ok(None)),
                    "the end is the end"
                );
                return;
            }
            Err(_) => {
                assert!(decoder.next_chunk().is_err(), "an error stays");
                return;
            }
        }
    }
}

/// Bytes in memory that can be read as the flags say.
struct Bytes {
    bytes: Cursor<Vec<u8>>,
    remote: bool,
    seekable: bool,
    knows_length: bool,
    /// Bytes given at a time.
    step: usize,
}

impl Bytes {
    fn new(file: Vec<u8>, flags: u8) -> Self {
        Self {
            bytes: Cursor::new(file),
            remote: flags & 1 != 0,
            seekable: flags & 6 != 6,
            knows_length: flags & 8 == 0,
            step: if flags & 0xe0 == 0xe0 { 7 } else { usize::MAX },
        }
    }
}

impl Read for Bytes {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let step = out.len().min(self.step);
        self.bytes.read(&mut out[..step])
    }
}

impl Seek for Bytes {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if self.seekable {
            self.bytes.seek(to)
        } else {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

impl ByteSource for Bytes {
    fn byte_len(&self) -> Option<u64> {
        self.knows_length.then(|| self.bytes.get_ref().len() as u64)
    }

    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn is_remote(&self) -> bool {
        self.remote
    }
}
