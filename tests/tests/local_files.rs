//! Files on this machine that are as large as a file can be, and hold nothing: told what they are, at the cost of a small one.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

#[path = "support/fuse.rs"]
mod fuse;
#[path = "support/network.rs"]
mod network;
#[path = "support/process.rs"]
mod process;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kithara::{ErrorKind, Resource, ResourceConfig, SeekMode};
use kithara_tests::fixtures::fixture;

use fuse::within;
use network::*;
use process::peak_memory;

/// What a file that needs no more than its front may cost.
const MEMORY: u64 = 64 * MIB;

/// A file of zeros, of the largest length this file system has, behind `front`.
fn sparse(dir: &Path, name: &str, front: &[u8]) -> (PathBuf, u64) {
    let path = dir.join(name);
    let file = File::create(&path).unwrap();
    // 8 EiB less a byte is the most there can be; ext4 takes 16 TiB less a block of 4 KiB.
    let lengths = (30..=63_u32)
        .rev()
        .flat_map(|power| [(1_u64 << power) - 1, (1 << power) - 4096]);
    let len = lengths
        .into_iter()
        .find(|len| file.set_len(*len).is_ok())
        .expect("a file system with files of a gigabyte");
    file.write_all_at(front, 0).unwrap();
    (path, len)
}

#[test]
fn a_file_of_nothing_but_a_length_is_refused_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let before = peak_memory();
    for extension in [
        "mp3", "flac", "wav", "m4a", "ogg", "mkv", "aac", "aiff", "caf", "bin",
    ] {
        let (path, len) = sparse(dir.path(), &format!("huge.{extension}"), &[]);
        let what = format!("{} of {len} bytes", path.display());
        let error = within(&what, move || {
            Resource::blocking(ResourceConfig::from_src(path)).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}: {error:?}");
    }
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < MEMORY, "{} MiB", grown / MIB);
}

/// The front of each is a whole file, so that something comes before the nothing.
#[test]
fn music_in_front_of_nothing_is_heard_and_what_follows_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let before = peak_memory();
    for name in [
        "mp3-cbr.mp3",
        "mp3-cbr-notag.mp3",
        "mp3-vbr-notag.mp3",
        "adts.aac",
        "flac-16.flac",
        "wav-s16.wav",
        "aiff-s16.aiff",
        "ogg-vorbis.ogg",
        "m4a-aac-first.m4a",
        "fmp4-aac.mp4",
        "mkv-vorbis.mkv",
    ] {
        let media = fixture(name);
        let expected = local(&media.bytes(), media.extension());
        let (path, len) = sparse(dir.path(), name, &media.bytes());
        let what = format!("{name} of {len} bytes");
        let name = what.clone();
        within(&what, move || {
            let mut listener = Listener::open(ResourceConfig::from_src(path));
            let ended = listener.play().map_err(|error| error.kind());
            // Not one sample of it is lost; a codec without a length may take a last packet from what follows.
            let heard = expected.len() * 9 / 10;
            assert!(
                listener.pcm.len() >= heard,
                "{name}: {}",
                listener.pcm.len()
            );
            assert_same(&listener.pcm[..heard], &expected[..heard], &name);
            println!("{name}: {ended:?} after {} samples", listener.pcm.len());
            // A codec that hunts through it for a next frame is stopped by the watchdog.
            let typed = [
                ErrorKind::Corrupt,
                ErrorKind::Unsupported,
                ErrorKind::Truncated,
                ErrorKind::Worker,
            ];
            assert!(ended.is_ok() || ended.is_err_and(|kind| typed.contains(&kind)));
            // And a seek to far behind comes back, wherever it lands, unless the decode thread was given up.
            if ended != Err(ErrorKind::Worker) {
                let _ = listener.seek(Duration::from_secs(1 << 40), SeekMode::Fast);
            }
            let _ = listener.resource.read(&mut [0.0; 64]);
        });
    }
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < MEMORY, "{} MiB", grown / MIB);
}
