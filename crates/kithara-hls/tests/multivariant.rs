//! Multivariant playlists: what there is to listen to, and why something isn't.

#![allow(clippy::unwrap_used)] // A playlist that should be read and isn't is a failed test.

use kithara_hls::{
    AudioPreference, Choices, DropReason, Limit, MultivariantPlaylist, Oddity, ParseContext,
    Playlist, PlaylistError, PlaylistLimits,
};

fn read(lines: &str) -> Result<MultivariantPlaylist, PlaylistError> {
    let text = format!("#EXTM3U\n{lines}");
    match Playlist::parse(text.as_bytes(), &ParseContext::default())? {
        Playlist::Multivariant(playlist) => Ok(playlist),
        Playlist::Media(_) => panic!("a media playlist: {lines}"),
    }
}

fn choose(lines: &str) -> Result<Choices, PlaylistError> {
    read(lines)?.choose(&AudioPreference::default())
}

/// What is offered, as `reference bandwidth codecs`, and what is left out, as lines and reasons.
fn check(lines: &str, offered: &[&str], dropped: &[(u32, DropReason)]) {
    let choices = choose(lines).unwrap();
    let shown: Vec<_> = choices
        .variants
        .iter()
        .map(|choice| {
            let bandwidth = choice
                .bandwidth
                .map_or("-".to_owned(), |bps| bps.to_string());
            let codecs = choice.codecs.as_deref().unwrap_or("-");
            format!("{} {bandwidth} {codecs}", choice.reference.as_str())
        })
        .collect();
    assert_eq!(shown, offered, "{lines}");
    let reasons: Vec<_> = choices
        .dropped
        .iter()
        .map(|dropped| (dropped.line, dropped.reason.clone()))
        .collect();
    assert_eq!(reasons, dropped, "{lines}");
}

#[test]
fn variants_with_sound_are_offered_in_order() {
    check(
        "#EXT-X-VERSION:6\n#EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS=\"mp4a.40.2\"\nmid.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=64000\n# between\n#EXT-X-FUTURE\n\nlow.m3u8\n\
         #EXT-X-STREAM-INF:PROGRAM-ID=1,CODECS=mp4a.40.2,AVERAGE-BANDWIDTH=900000\nhttp://h.test/lossless.m3u8?x\n\
         #EXT-X-STREAM-INF:BANDWIDTH=256000.7,CODECS=\"fLaC\"\nhigh.m3u8\n",
        &[
            "mid.m3u8 128000 mp4a.40.2",
            "low.m3u8 64000 -",
            "http://h.test/lossless.m3u8?x 900000 mp4a.40.2",
            "high.m3u8 256000 fLaC",
        ],
        &[],
    );
}

#[test]
fn what_is_no_sound_is_left_out_with_the_reason() {
    check(
        "#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.42c00d\"\nv.m3u8\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2,CODECS=\"ec-3\"\ndolby.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=0\nzero.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1208925819614629174706176\nhuge.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=x\nodd.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=5,AUDIO=\"nobody\"\ngroup.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=6\n#EXT-X-STREAM-INF:BANDWIDTH=7,CODECS=\"ac-3,mp4a.40.2\"\na.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=8\n",
        &["a.m3u8 7 ac-3,mp4a.40.2"],
        &[
            (4, DropReason::IFramesOnly),
            (7, DropReason::Bandwidth),
            (9, DropReason::Bandwidth),
            (11, DropReason::Bandwidth),
            (15, DropReason::NoReference),
            (18, DropReason::NoReference),
            (2, DropReason::VideoOnly),
            (5, DropReason::Codec("ec-3".to_owned())),
            (13, DropReason::GroupMissing),
        ],
    );
}

#[test]
fn nothing_left_is_an_error_that_says_why() {
    let lines = "#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1\"\nv.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2,CODECS=\"ec-3\"\nd.m3u8\n";
    let error = choose(lines).unwrap_err();
    let text = "no variant to listen to: video only, the codec ec-3 is not supported";
    assert_eq!(error.to_string(), text);
    let error =
        choose("#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-SESSION-DATA:DATA-ID=\"x\",VALUE=\"y\"\n");
    assert_eq!(
        error,
        Err(PlaylistError::NoVariants {
            dropped: Vec::new()
        })
    );
}

#[test]
fn pictures_are_not_carried_along_if_there_is_sound_alone() {
    let muxed = "#EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS=\"avc1.1,mp4a.40.2\",RESOLUTION=640x360\nav.m3u8\n";
    let plain = "#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=320x180\nunsaid.m3u8\n";
    check(
        &format!("{muxed}{plain}"),
        &["av.m3u8 2000000 mp4a.40.2", "unsaid.m3u8 900000 -"],
        &[],
    );
    check(
        &format!("{muxed}{plain}#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.5\"\na.m3u8\n"),
        &["a.m3u8 64000 mp4a.40.5"],
        &[(2, DropReason::CarriesVideo), (4, DropReason::CarriesVideo)],
    );
}

#[test]
fn a_rendition_stands_in_for_its_variant() {
    let lines = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"lo\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,URI=\"lo-en.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"lo\",NAME=\"Deutsch\",LANGUAGE=\"de\",URI=\"lo-de.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"hi\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,CHANNELS=\"2/-/x\",URI=\"hi-en.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"x\",URI=\"s.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=3000000,CODECS=\"avc1.1,mp4a.40.2\",AUDIO=\"hi\"\nv3.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS=\"avc1.1,mp4a.40.2\",AUDIO=\"hi\"\nv2.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1000000,CODECS=\"avc1.1\",AUDIO=\"lo\"\nv1.m3u8\n";
    // What several variants share is offered once, at the least bandwidth.
    check(
        lines,
        &["hi-en.m3u8 2000000 mp4a.40.2", "lo-en.m3u8 1000000 -"],
        &[],
    );
    let german = AudioPreference {
        language: Some("de-DE".to_owned()),
        ..AudioPreference::default()
    };
    let playlist = read(lines).unwrap();
    let choices = playlist.choose(&german).unwrap();
    let offered: Vec<_> = choices
        .variants
        .iter()
        .map(|one| one.reference.as_str())
        .collect();
    assert_eq!(offered, ["hi-en.m3u8", "lo-de.m3u8"]);
    assert_eq!(playlist.renditions()[2].channels, Some(2));
    let infos = choices.infos();
    assert_eq!(
        (infos[1].index, infos[1].name.as_deref()),
        (1, Some("Deutsch"))
    );
    let ladder = choices.ladder();
    assert_eq!(
        (ladder[0].variant_index, ladder[0].bandwidth_bps),
        (0, 2_000_000)
    );
    // Audio in the variant's own stream, described by a rendition without a reference.
    check(
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"n\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"g\"\na.m3u8\n",
        &["a.m3u8 1 -"],
        &[],
    );
}

#[test]
fn what_is_said_about_the_session_is_handed_on() {
    let playlist = read(
        "#EXT-X-SESSION-DATA:DATA-ID=\"com.title\",VALUE=\"s3cret\",LANGUAGE=\"en\"\n#EXT-X-SESSION-DATA:DATA-ID=\"x\",URI=\"d.json?s3cret\"\n\
         #EXT-X-SESSION-DATA:VALUE=\"y\"\n#EXT-X-SESSION-DATA:DATA-ID=\"z\"\n#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k\"\n\
         #EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer\"\n#EXT-X-START:TIME-OFFSET=30\n#EXTINF:3,\nstray.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1,NAME=\"Low\"\na?s3cret\n",
    )
    .unwrap();
    let data = playlist.session_data();
    let ids: Vec<_> = data.iter().map(|data| data.id.as_str()).collect();
    assert_eq!(ids, ["com.title", "x"]);
    assert_eq!(data[0].value.as_deref(), Some("s3cret"));
    assert_eq!(
        playlist.start().map(|start| start.offset.as_secs()),
        Some(30)
    );
    let odd: Vec<_> = playlist
        .notes()
        .iter()
        .map(|note| (note.line, note.oddity))
        .collect();
    let (bad, other, stray) = (Oddity::Data, Oddity::OtherKind, Oddity::StrayReference);
    assert_eq!(odd, [(4, bad), (5, bad), (9, other), (10, stray)]);
    assert_eq!(playlist.variants()[0].name.as_deref(), Some("Low"));
    assert!(!format!("{playlist:?}").contains("s3cret"), "{playlist:?}");
}

#[test]
fn variants_and_renditions_are_limited_together() {
    let variant = "#EXT-X-STREAM-INF:BANDWIDTH=1\na\n";
    let rendition = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"n\"\n";
    for (variants, renditions, fits) in [
        (256, 0, true),
        (200, 56, true),
        (257, 0, false),
        (200, 57, false),
        (0, 256_000, false),
    ] {
        let lines = variant.repeat(variants) + &rendition.repeat(renditions);
        let outcome = read(&lines);
        let limited = matches!(
            outcome,
            Err(PlaylistError::TooLarge {
                limit: Limit::Variants,
                most: 256,
                ..
            } | PlaylistError::TooLarge {
                limit: Limit::Bytes,
                ..
            })
        );
        assert_eq!(
            (outcome.is_ok(), limited),
            (fits, !fits),
            "{variants} and {renditions}"
        );
    }
    let mut limits = PlaylistLimits::default();
    limits.variants = 2;
    let context = ParseContext {
        limits,
        ..ParseContext::default()
    };
    let text = format!("#EXTM3U\n{}", variant.repeat(3));
    assert!(Playlist::parse(text.as_bytes(), &context).is_err());
}
