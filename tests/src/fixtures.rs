//! Media made by `fixtures/make.sh`, with what ffmpeg says each file decodes to, and longer media made in memory.
//!
//! References come from ffmpeg only, never from the code under test. They are of the *untrimmed* decode, of which what is
//! delivered is a slice; `fixtures/manifest.py` says what that means for each codec.

mod covers;
pub mod fragments;
pub mod hls;
mod long;
mod segments;
mod transport;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest, Sha256};

pub use self::covers::{
    Paging, mp4_with_cover, ogg_pages, ogg_sealed, ogg_with_headers, ogg_with_pictures,
};
pub use self::long::{Generated, formula_sample, long_flac, long_mp3, long_wav};
pub use self::segments::{Segmented, segmented, with_edit};
pub use self::transport::{TransportStream, adts_frames};

/// One media file and its facts.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The file's name, which is also the fixture's: `mp3-cbr.mp3`.
    pub file: String,
    /// `Mp4`, `Fmp4`, `MpegTs`, `MpegAudio`, `Adts`, `Flac`, `Wav`, `Aiff`, `Ogg`, `Caf`, `Mkv`: the names of
    /// `ContainerFormat`; or `WavPack`.
    pub container: String,
    /// `AacLc`, `AacHe`, `Mp1`, `Mp2`, `Mp3`, `Flac`, `Vorbis`, `Opus`, `Alac`, `Pcm`, `Adpcm`: the names of `AudioCodec`; or
    /// `Ac3`, `WavPack`.
    pub codec: String,
    /// Frames per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
    /// Frames of the untrimmed decode.
    pub frames: u64,
    /// Frames of ffmpeg's default decode, which cuts encoder delay and padding where the file tells them.
    pub trimmed_frames: u64,
    /// Frames of the source, as far as the file signals them: what is delivered unless trimming is turned off.
    pub source_frames: u64,
    /// The frame of the untrimmed decode at which the trimmed one, and the source, starts.
    pub delay: u64,
    /// Whether every decoder must give the same samples.
    pub lossless: bool,
    /// For lossless fixtures: [`pcm_sha256`] of the untrimmed decode, integer samples being `i / 2^(bits - 1)`.
    pub sha256: Option<String>,
    /// For lossy fixtures that are not refused: a 24-bit FLAC file of the untrimmed decode, in the same folder.
    pub reference: Option<String>,
    /// How long ffprobe says the file is, in seconds; it decodes nothing, and takes off less.
    pub probed: Option<f64>,
    /// What the fixture is to be refused for (`Opus`, `HE-AAC`, `AC-3`, `WavPack`, `channels`), if it is.
    pub refused: Option<String>,
}

impl Fixture {
    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        folder().join(&self.file)
    }

    /// The file's content.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn bytes(&self) -> Vec<u8> {
        read(&self.path())
    }

    /// Where the reference is, if there is one.
    pub fn reference_path(&self) -> Option<PathBuf> {
        self.reference.as_ref().map(|file| folder().join(file))
    }

    /// The reference, a 24-bit FLAC file, if there is one.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn reference_bytes(&self) -> Option<Vec<u8>> {
        self.reference_path().map(|path| read(&path))
    }

    /// Where the source lies in the interleaved samples of the untrimmed decode.
    pub fn source_samples(&self) -> std::ops::Range<usize> {
        let at = |frame: u64| frame as usize * usize::from(self.channels);
        at(self.delay)..at(self.delay + self.source_frames)
    }

    /// The file name's extension.
    pub fn extension(&self) -> &str {
        self.file.rsplit('.').next().unwrap_or_default()
    }

    /// The media type a well-kept server would send.
    pub fn media_type(&self) -> &'static str {
        match self.extension() {
            "mp3" | "mp2" | "mp1" => "audio/mpeg",
            "flac" => "audio/flac",
            "wav" => "audio/wav",
            "aiff" | "aifc" => "audio/aiff",
            "caf" => "audio/x-caf",
            "m4a" | "mp4" => "audio/mp4",
            "aac" => "audio/aac",
            "ogg" => "audio/ogg",
            "webm" => "audio/webm",
            "mkv" | "mka" => "audio/x-matroska",
            "ts" => "video/mp2t",
            _ => "application/octet-stream",
        }
    }
}

/// Every fixture, in the order of the manifest.
///
/// # Panics
/// If the manifest is missing or not what `manifest.py` writes.
pub fn all() -> &'static [Fixture] {
    static ALL: OnceLock<Vec<Fixture>> = OnceLock::new();
    ALL.get_or_init(|| {
        let manifest: Value = serde_json::from_slice(&read(&folder().join("manifest.json")))
            .expect("a JSON manifest");
        manifest
            .as_array()
            .expect("a list of fixtures")
            .iter()
            .map(parse)
            .collect()
    })
}

/// The fixture of this file name.
///
/// # Panics
/// If there is none.
pub fn fixture(file: &str) -> &'static Fixture {
    let found = all().iter().find(|fixture| fixture.file == file);
    found.unwrap_or_else(|| panic!("no fixture is called {file}"))
}

/// The fixtures that are to be played.
pub fn playable() -> impl Iterator<Item = &'static Fixture> {
    all().iter().filter(|fixture| fixture.refused.is_none())
}

/// A file of the folder `tags`, which `fixtures/tags.sh` made: short, and full of what a title says of itself.
///
/// # Panics
/// If it cannot be read.
pub fn tagged(file: &str) -> Vec<u8> {
    read(&folder().join("tags").join(file))
}

/// The piece of music in `examples/assets`: MP3, 96 kb/s, 44.1 kHz stereo, 15.6 s.
///
/// # Panics
/// If it cannot be read.
pub fn demo() -> Vec<u8> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/assets/demo.mp3"))
}

/// A longer title that is compared with nothing but its own decode in one go, and so not in the manifest: `seek-vbr.mp3` (MP3
/// of variable rate without a header that says so), `seek-adts.aac` (AAC-LC), or `seek-he` and `seek-he-v2` (HE-AAC) with the ending
/// `aac`, `m4a`, `mp4` (fragmented) or `mkv`.
///
/// # Panics
/// If it cannot be read.
pub fn unlisted(file: &str) -> Vec<u8> {
    read(&folder().join(file))
}

/// SHA-256 of interleaved samples as little-endian f32, in lower-case hex: what [`Fixture::sha256`] holds.
pub fn pcm_sha256(interleaved: &[f32]) -> String {
    let mut hash = Sha256::new();
    for sample in interleaved {
        hash.update(sample.to_le_bytes());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Where the fixtures lie. Those of the album stand in `album`: see `make.sh`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse(entry: &Value) -> Fixture {
    let text = |name: &str| entry[name].as_str().map(str::to_owned);
    let number = |name: &str| {
        entry[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} in {entry}"))
    };
    let needed = |name: &str| text(name).unwrap_or_else(|| panic!("{name} in {entry}"));
    Fixture {
        file: needed("file"),
        container: needed("container"),
        codec: needed("codec"),
        sample_rate: u32::try_from(number("rate")).expect("a rate"),
        channels: u16::try_from(number("channels")).expect("a channel count"),
        frames: number("frames"),
        trimmed_frames: number("trimmed"),
        source_frames: number("source"),
        delay: number("delay"),
        lossless: entry["lossless"].as_bool().expect("lossless or not"),
        sha256: text("sha256"),
        reference: text("reference"),
        probed: entry["probed"].as_f64(),
        refused: text("refused"),
    }
}
