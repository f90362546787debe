//! What the built-in demo serves: the same piece as one MP3, and as an HLS stream of four variants.

use crate::link::Stretch;

/// The link of the file is slow: about four times what the music needs.
pub const STEADY: &[Stretch] = &[(0, 64_000)];
/// That of the stream is slow, fast enough for the lossless variant, and less than the highest AAC needs.
pub const CHANGING: &[Stretch] = &[(40_000, 64_000), (170_000, 160_000), (0, 14_000)];

/// A file of the demo.
pub struct Music {
    pub bytes: &'static [u8],
    pub media_type: &'static str,
}

/// Made for this project; see `examples/assets/README.md`.
static MP3: &[u8] = include_bytes!("../assets/demo.mp3");

/// Everything of a variant, by its path.
macro_rules! variant {
    ($folder:literal: $($name:literal)*) => {
        [$((
            concat!($folder, "/", $name),
            include_bytes!(concat!("../assets/hls/", $folder, "/", $name)) as &[u8],
        )),*]
    };
}

macro_rules! segmented {
    ($folder:literal $($more:literal)?) => {
        variant!($folder: "media.m3u8" "init.mp4" "0.m4s" "1.m4s" "2.m4s" "3.m4s" "4.m4s" "5.m4s" "6.m4s" "7.m4s" "8.m4s"
            "9.m4s" $($more)?)
    };
}

static MULTIVARIANT: &[u8] = include_bytes!("../assets/hls/multivariant.m3u8");
static LOW: [(&str, &[u8]); 12] = segmented!("aac-40");
static MIDDLE: [(&str, &[u8]); 13] = segmented!("aac-64" "key-0.bin");
static HIGH: [(&str, &[u8]); 12] = segmented!("aac-112");
static LOSSLESS: [(&str, &[u8]); 12] = segmented!("fmp4-flac");

impl Music {
    /// The piece as one file.
    pub fn file() -> Self {
        Self {
            bytes: MP3,
            media_type: "audio/mpeg",
        }
    }

    /// A file of the stream.
    pub fn of_stream(path: &str) -> Option<Self> {
        let parts = [&LOW[..], &MIDDLE, &HIGH, &LOSSLESS].into_iter().flatten();
        let bytes = match path {
            "multivariant.m3u8" => MULTIVARIANT,
            path => parts.clone().find(|(name, _)| *name == path)?.1,
        };
        let media_type = match path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("m3u8") => "application/vnd.apple.mpegurl",
            Some("m4s" | "mp4") => "audio/mp4",
            _ => "application/octet-stream",
        };
        Some(Self { bytes, media_type })
    }
}
