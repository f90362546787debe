//! Playlists as an encoder writes them (`playlists/make.sh`) are read as they are meant, without a note.

#![allow(clippy::unwrap_used)] // A playlist that should be read and isn't is a failed test.

mod support;

use std::path::Path;

use kithara_hls::{AudioPreference, ParseContext, Playlist};
use support::shown;

fn read(name: &str) -> Playlist {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/playlists");
    let bytes = std::fs::read(folder.join(name).with_extension("m3u8")).unwrap();
    Playlist::parse(&bytes, &ParseContext::default()).unwrap()
}

/// A media playlist: its second segment as `tests/support` shows it, how long all are, and whether that is all.
fn check(name: &str, second: &str, micros: u128, ended: bool) {
    let Playlist::Media(playlist) = read(name) else {
        panic!("{name} has segments");
    };
    assert_eq!(shown(&playlist).lines().nth(1), Some(second), "{name}");
    assert_eq!(playlist.duration().as_micros(), micros, "{name}");
    assert_eq!(playlist.is_ended(), ended, "{name}");
    assert_eq!(playlist.notes(), [], "{name}");
}

#[test]
fn media_playlists_are_read_as_they_are_meant() {
    check("vod-ts", "1 3.0186+2.995367 vod-ts1.ts", 11_023_423, true);
    check(
        "vod-fmp4",
        "1 3.018594+2.995374 vod-fmp41.m4s [0 init.mp4]",
        11_023_220,
        true,
    );
    check(
        "event-adts",
        "1 3.0186+2.995367 adts-001.aac",
        11_023_423,
        true,
    );
    check(
        "ranges-ts",
        "1 3.0186+2.995367 ranges-ts.ts 27260..53768",
        11_023_423,
        true,
    );
    check(
        "ranges-fmp4",
        "1 3.018594+2.995374 ranges-fmp4.m4s 25861..50547 [0 ranges-fmp4.m4s 0..765]",
        11_023_220,
        true,
    );
    check(
        "live",
        "43 2.995378+2.014078 live43.ts t1767268803",
        5_009_456,
        false,
    );
    check(
        "key-sequence",
        "1 3.0186+2.995367 key-sequence1.ts https://keys.test/one?token=x:0",
        11_023_423,
        true,
    );
    check(
        "key-explicit",
        "1 3.0186+2.995367 key-explicit1.ts https://keys.test/two:102030405060708090a0b0c0d0e0f",
        11_023_423,
        true,
    );
}

#[test]
fn multivariant_playlists_offer_what_there_is() {
    for (name, language, offered) in [
        (
            "multivariant",
            None,
            &["media-low.m3u8", "media-mid.m3u8", "media-high.m3u8"][..],
        ),
        ("renditions", None, &["media-deutsch.m3u8"]),
        ("renditions", Some("en"), &["media-english.m3u8"]),
    ] {
        let Playlist::Multivariant(playlist) = read(name) else {
            panic!("{name} has variants");
        };
        let preference = AudioPreference {
            language: language.map(str::to_owned),
            ..AudioPreference::default()
        };
        let choices = playlist.choose(&preference).unwrap();
        let found: Vec<_> = choices
            .variants
            .iter()
            .map(|one| one.reference.as_str())
            .collect();
        assert_eq!(found, offered, "{name}");
        assert_eq!(choices.dropped, [], "{name}");
    }
}
