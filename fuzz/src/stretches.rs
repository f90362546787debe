//! Arbitrary bytes as a stretch of an HLS stream: an init section and fragments, transport stream, or packed audio.

use std::fs;
use std::path::Path;

/// As a run of many parts is read: remote, only forwards, of no known length, and a part of its title.
const STRETCH: u8 = 0x01 | 0x06 | 0x08 | 0x20;
/// Larger stretches bring nothing that smaller ones don't.
const LARGEST: usize = 96 * 1024;

/// The first byte claims a container, the rest is the stretch.
pub fn run(data: &[u8]) {
    let [claim, stretch @ ..] = data else { return };
    crate::decode::open(*claim, STRETCH, stretch.to_vec());
}

/// The first parts of the HLS fixtures, joined as a run joins them.
pub fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/hls");
    let entries = fs::read_dir(folder).expect("the fixtures are in the repository");
    let mut titles: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    // The order of a folder is not fixed, and a seeded run is.
    titles.sort();
    titles.iter().filter_map(|title| stretch(title)).collect()
}

fn stretch(title: &Path) -> Option<Vec<u8>> {
    let playlist = fs::read_to_string(title.join("media.m3u8")).ok()?;
    let init = playlist.lines().find_map(|line| {
        let uri = line.strip_prefix("#EXT-X-MAP:URI=\"")?;
        uri.split('"').next()
    });
    let segments = playlist.lines().filter(|line| !line.starts_with('#'));
    let mut bytes = vec![0];
    for name in init.into_iter().chain(segments.take(2)) {
        bytes.extend(fs::read(title.join(name)).ok()?);
    }
    bytes.truncate(LARGEST);
    Some(bytes)
}
