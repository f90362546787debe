//! The music that is decoded.

use std::path::{Path, PathBuf};

use kithara_tests::fixtures;

use crate::AnyError;

/// One file to decode.
#[derive(Clone, Debug)]
pub struct Music {
    /// What is measured by it.
    pub name: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Whether something is promised for it.
    pub promised: bool,
}

/// 15 to 30 seconds of the demo music in every codec, and a minute of PCM, which is made in `folder`.
///
/// # Errors
/// If the PCM cannot be written.
pub fn all(folder: &Path) -> Result<Vec<Music>, AnyError> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pcm = folder.join("music.wav");
    std::fs::write(&pcm, fixtures::long_wav(60).bytes)?;
    let music = |name, path, promised| Music {
        name,
        path,
        promised,
    };
    Ok(vec![
        music("MP3", here.join("../examples/assets/demo.mp3"), true),
        music("AAC in MP4", here.join("inputs/music.m4a"), true),
        music("FLAC", here.join("inputs/music.flac"), true),
        music("Vorbis in Ogg", here.join("inputs/music.ogg"), true),
        music("PCM in WAV", pcm, false),
    ])
}
