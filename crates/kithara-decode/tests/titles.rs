//! What a title says of itself, from every container that can say it. The files are written by other programs
//! (`tests/fixtures/tags.sh`).

mod support;

use std::io::Cursor;
use std::sync::Arc;

use kithara_decode::{Picture, PictureKind, ReplayGain, TrackMetadata};
use kithara_stream::ByteSource;
use kithara_tests::fixtures::{fixture, tagged};
use support::{Remote, open_source};

/// All that the writers were told.
fn all() -> TrackMetadata {
    let text = |text: &str| Some(text.to_owned());
    TrackMetadata {
        title: text("A title é"),
        artist: text("An artist; Another"),
        album: text("An album"),
        album_artist: text("Album artist"),
        composer: text("A composer"),
        track: Some(3),
        track_total: Some(12),
        disc: Some(1),
        disc_total: Some(2),
        genre: text("Rock"),
        date: text("2003-05-01"),
        comment: text("A comment"),
        replay_gain: ReplayGain {
            track_gain: Some(-7.25),
            track_peak: Some(0.5),
            album_gain: Some(-6.5),
            album_peak: Some(0.875),
        },
        pictures: vec![cover()],
    }
}

fn cover() -> Picture {
    Picture::new(PictureKind::Front, "image/png", tagged("cover.png"))
}

/// The same, with a picture of the back in front of that of the front.
fn with_back() -> TrackMetadata {
    let back = Picture::new(
        PictureKind::Back,
        "image/jpeg",
        b"\xff\xd8\xff back".to_vec(),
    );
    TrackMetadata {
        pictures: vec![back, cover()],
        ..all()
    }
}

/// One artist and no picture, as ffmpeg writes it.
fn plain() -> TrackMetadata {
    TrackMetadata {
        artist: Some("An artist".to_owned()),
        pictures: Vec::new(),
        ..all()
    }
}

fn metadata(source: impl ByteSource + 'static, file: &str) -> TrackMetadata {
    let decoder = open_source(source, file).unwrap_or_else(|error| panic!("{file}: {error}"));
    decoder.metadata().clone()
}

/// File, what it says, and whether that stands in front of the audio, so that it is known far away as well.
fn table() -> Vec<(&'static str, TrackMetadata, bool)> {
    vec![
        (
            "id3v23.mp3",
            TrackMetadata {
                // The frame of 2.3 is for a year.
                date: Some("2003".to_owned()),
                ..with_back()
            },
            true,
        ),
        ("id3v24.mp3", with_back(), true),
        ("ffmpeg.mp3", plain(), true),
        // APE, with ID3v1 behind it.
        ("ape.mp3", all(), false),
        (
            "id3v1.mp3",
            TrackMetadata {
                title: plain().title,
                artist: plain().artist,
                album: plain().album,
                track: Some(3),
                genre: plain().genre,
                date: Some("2003".to_owned()),
                ..TrackMetadata::default()
            },
            false,
        ),
        // Gains in RVA2.
        ("id3.aac", with_back(), true),
        ("metaflac.flac", all(), true),
        (
            "vorbiscomment.ogg",
            TrackMetadata {
                pictures: Vec::new(),
                ..all()
            },
            true,
        ),
        ("picture.ogg", all(), true),
        // R128 gains, which aim 5 dB lower and have no peaks.
        (
            "r128.opus",
            TrackMetadata {
                replay_gain: ReplayGain {
                    track_peak: None,
                    album_peak: None,
                    ..all().replay_gain
                },
                ..all()
            },
            true,
        ),
        ("ffmpeg.webm", plain(), true),
        ("picture.oga", all(), true),
        ("itunes.m4a", all(), true),
        ("keys.mp4", plain(), true),
        // QuickTime's user data, of which ffmpeg writes this much.
        (
            "ffmpeg.mov",
            TrackMetadata {
                title: plain().title,
                artist: plain().artist,
                album: plain().album,
                genre: plain().genre,
                date: plain().date,
                comment: plain().comment,
                ..TrackMetadata::default()
            },
            true,
        ),
        (
            "ffmpeg.mka",
            TrackMetadata {
                pictures: vec![cover()],
                ..plain()
            },
            true,
        ),
        (
            "ffmpeg.wav",
            TrackMetadata {
                title: plain().title,
                artist: plain().artist,
                album: plain().album,
                track: Some(3),
                track_total: Some(12),
                genre: plain().genre,
                date: plain().date,
                comment: plain().comment,
                ..TrackMetadata::default()
            },
            true,
        ),
        ("id3.wav", with_back(), false),
        (
            "ffmpeg.aiff",
            TrackMetadata {
                title: plain().title,
                comment: plain().comment,
                ..TrackMetadata::default()
            },
            true,
        ),
        ("id3.aiff", with_back(), false),
        ("ffmpeg.caf", plain(), true),
    ]
}

#[test]
fn every_container_tells_all_it_can_say() {
    let cover = tagged("cover.png");
    for (file, said, _) in table() {
        let known = metadata(Cursor::new(tagged(file)), file);
        assert_eq!(known, said, "{file}");
        let shown = known.cover().and_then(Picture::bytes);
        let there = !said.pictures.is_empty();
        assert_eq!(shown, there.then_some(&cover[..]), "{file}");
    }
}

#[test]
fn far_away_what_stands_in_front_is_told_and_nothing_else_is_fetched_for_it() {
    for (file, said, in_front) in table() {
        let source = Remote::new(tagged(file));
        let touched = Arc::clone(&source.touched);
        let known = metadata(source, file);
        let nothing = TrackMetadata::default();
        assert_eq!(known, if in_front { said } else { nothing }, "{file}");
        assert_eq!(touched.jumps(), 0, "{file}: jumps");
    }
}

#[test]
fn where_nobody_can_jump_a_large_picture_is_read_on_the_way() {
    for file in ["flac-picture.flac", "mp3-tags.mp3"] {
        let cover = |seekable: bool| {
            let mut source = Remote::new(fixture(file).bytes());
            source.seekable = seekable;
            let known = metadata(source, file);
            let cover = known.cover().expect("a cover");
            assert_eq!(cover.byte_len(), 300 * 1024, "{file}");
            cover.bytes().map(<[u8]>::len)
        };
        assert_eq!(
            (cover(true), cover(false)),
            (None, Some(300 * 1024)),
            "{file}"
        );
    }
}

/// An element of Matroska.
fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = (body.len() as u64 | 1 << 56).to_be_bytes();
    [id, &size, body].concat()
}

/// Targets, and names with their values.
type MkvTag<'a> = (&'a [u8], &'a [(&'a str, &'a str)]);

fn mkv_tags(tags: &[MkvTag<'_>]) -> Vec<u8> {
    let tag = |(targets, simple): &MkvTag<'_>| {
        let simple = simple.iter().map(|(name, value)| {
            let name = element(b"\x45\xa3", name.as_bytes());
            element(
                b"\x67\xc8",
                &[name, element(b"\x44\x87", value.as_bytes())].concat(),
            )
        });
        let body: Vec<u8> = simple.flatten().collect();
        element(b"\x73\x73", &[element(b"\x63\xc0", targets), body].concat())
    };
    element(
        b"\x12\x54\xc3\x67",
        &tags.iter().flat_map(tag).collect::<Vec<u8>>(),
    )
}

/// Levels mean that the album's title is another thing than the track's (Matroska tag specification, *Target types*).
#[test]
fn tags_of_matroska_are_of_the_track_or_of_the_album() {
    let (album, track, volume) = (
        element(b"\x68\xca", &[50]),
        element(b"\x68\xca", &[30]),
        element(b"\x68\xca", &[60]),
    );
    let other = element(b"\x63\xc5", &[99]);
    let chapter = element(b"\x63\xc4", &[1]);
    let tags = mkv_tags(&[
        (
            &album,
            &[
                ("TITLE", "An album"),
                ("ARTIST", "Album artist"),
                ("PART_NUMBER", "1"),
                ("TOTAL_PARTS", "12"),
                ("REPLAYGAIN_GAIN", "-6.50 dB"),
                ("DATE_RELEASED", "2003"),
            ],
        ),
        (&volume, &[("TITLE", "A box"), ("COMPOSER", "Nobody")]),
        (&other, &[("GENRE", "Of another track")]),
        (&chapter, &[("GENRE", "Of a chapter")]),
        (
            &track,
            &[
                ("TITLE", "A title"),
                ("PART_NUMBER", "3"),
                ("REPLAYGAIN_GAIN", "-7.25 dB"),
                ("REPLAYGAIN_PEAK", "0.5"),
            ],
        ),
    ]);
    let plain = fixture("mkv-flac.mkv").bytes();
    let cluster = plain
        .windows(4)
        .position(|word| word == b"\x1f\x43\xb6\x75")
        .expect("a cluster");
    let mut bytes = [&plain[..cluster], &tags, &plain[cluster..]].concat();
    let segment = bytes
        .windows(5)
        .position(|word| word == b"\x18\x53\x80\x67\x01")
        .expect("a segment");
    let size = u64::from_be_bytes(bytes[segment + 4..segment + 12].try_into().expect("eight"))
        + tags.len() as u64;
    bytes[segment + 4..segment + 12].copy_from_slice(&size.to_be_bytes());
    let known = metadata(Cursor::new(bytes), "levels.mkv");
    let text = |text: &str| Some(text.to_owned());
    let said = TrackMetadata {
        title: text("A title"),
        artist: text("Album artist"),
        album: text("An album"),
        album_artist: text("Album artist"),
        track: Some(3),
        track_total: Some(12),
        disc: Some(1),
        date: text("2003"),
        replay_gain: ReplayGain {
            track_gain: Some(-7.25),
            track_peak: Some(0.5),
            album_gain: Some(-6.5),
            album_peak: None,
        },
        ..TrackMetadata::default()
    };
    assert_eq!(known, said);
}
