//! Playlists as servers write them, odd, broken and hostile ones, each played from the first request to the last frame: they
//! play as if nothing were odd, or are refused as what they are.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use kithara::{AbrMode, ErrorKind, HlsEvent};
use kithara_tests::fixtures::hls;
use kithara_tests::server::{FaultServer, Script};
use network::*;
use streams::*;

const FOLDER: &str = "ts-aac";

/// What is to come of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Every frame, and nothing is said.
    Plays,
    /// Every frame, and something is noted.
    Noted,
    Fails(ErrorKind),
}

use Outcome::{Fails, Noted, Plays};

const REFUSED: Outcome = Fails(ErrorKind::Playlist);
const TOO_LARGE: Outcome = Fails(ErrorKind::TooLarge);

fn playlist() -> String {
    hls::text(&format!("{FOLDER}/media.m3u8"))
}

#[track_caller]
fn check(server: &FaultServer, what: &str, bytes: Vec<u8>, outcome: Outcome) {
    let path = hls::fixture(FOLDER).playlist();
    let script = Script::file(bytes).media_type("application/vnd.apple.mpegurl");
    server.serve(&path, script);
    let before = count(server, &path);
    let fixture = hls::fixture(FOLDER);
    let opened = Listener::try_open(config(&server.url(&path)));
    let played = opened.and_then(|mut listener| listener.play().map(|()| listener));
    match (played, outcome) {
        (Ok(mut listener), Plays | Noted) => {
            assert_eq!(fixture.difference(&listener.pcm), None, "{what}");
            let told = listener.events();
            let noted = hls_events(&told).any(
                |event| matches!(event, HlsEvent::PlaylistLoaded { notes, .. } if !notes.is_empty()),
            );
            assert_eq!(noted, outcome == Noted, "{what}");
        }
        (Err(error), Fails(kind)) => assert_eq!(error.kind(), kind, "{what}: {error:?}"),
        (Ok(_), Fails(_)) => panic!("{what}: it played"),
        (Err(error), _) => panic!("{what}: {error:?}"),
    }
    assert_eq!(count(server, &path) - before, 1, "{what}");
}

/// The playlist with some text in place of other.
fn with(old: &str, new: &str) -> Vec<u8> {
    let text = playlist();
    assert!(text.contains(old), "{old:?} in {text}");
    text.replacen(old, new, 1).into_bytes()
}

/// The playlist with lines in front of its first segment.
fn front(lines: &str) -> Vec<u8> {
    with("#EXTINF", &format!("{lines}#EXTINF"))
}

#[test]
fn any_encoding_of_text_plays_and_what_is_no_text_is_refused() {
    let server = origin();
    let text = playlist();
    let utf16 = |text: &str| -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    };
    for (what, bytes, outcome) in [
        (
            "a byte-order mark",
            format!("\u{feff}{text}").into_bytes(),
            Plays,
        ),
        ("CR LF", text.replace('\n', "\r\n").into_bytes(), Plays),
        (
            "no final newline",
            text.trim_end().as_bytes().to_vec(),
            Plays,
        ),
        (
            "blank lines",
            text.replace('\n', "\n\n \n").into_bytes(),
            Plays,
        ),
        (
            "old letters",
            front("# gr\u{fc}n\n")
                .into_iter()
                .filter(|byte| *byte != 0xc3)
                .collect(),
            Plays,
        ),
        ("nothing", Vec::new(), REFUSED),
        ("UTF-16", utf16(&text), REFUSED),
        ("zeros", vec![0; 4096], REFUSED),
        (
            "zeros within",
            text.replace("#EXT-X-T", "\0\0#EXT-X-T").into_bytes(),
            REFUSED,
        ),
        (
            "a page",
            b"<!DOCTYPE html><html>log in</html>".to_vec(),
            REFUSED,
        ),
        (
            "another list",
            b"[playlist]\nFile1=a.mp3\n".to_vec(),
            REFUSED,
        ),
    ] {
        check(&server, what, bytes, outcome);
    }
}

#[test]
fn odd_durations_and_target_durations_play_and_absurd_ones_are_refused() {
    let server = origin();
    let text = playlist();
    let line = text
        .lines()
        .find(|line| line.starts_with("#EXTINF"))
        .expect("a segment");
    for duration in [
        "-5", "NaN", "inf", "-inf", "1e400", "", "5,5", "nonsense", "-0.0",
    ] {
        let new = format!("#EXTINF:{duration},");
        // One that stops at a comma, and one of zero, are durations like others.
        let outcome = if matches!(duration, "5,5" | "-0.0") {
            Plays
        } else {
            Noted
        };
        check(&server, &new, with(line, &new), outcome);
    }
    let target = text
        .lines()
        .find(|line| line.starts_with("#EXT-X-TARGET"))
        .expect("a target");
    for (value, outcome) in [
        ("0", Noted),
        ("-1", Noted),
        ("5.0", Plays),
        ("18446744073709551616", Noted),
        ("1", Plays),
    ] {
        let new = format!("#EXT-X-TARGETDURATION:{value}");
        check(&server, &new, with(target, &new), outcome);
    }
    check(
        &server,
        "no target duration",
        with(&format!("{target}\n"), ""),
        Noted,
    );
    let years = format!("#EXTINF:{},", 11_u64 * 366 * 24 * 3600);
    check(&server, "eleven years", with(line, &years), TOO_LARGE);
    let last = format!("#EXTINF:{},", u64::MAX);
    check(&server, "all of time", with(line, &last), TOO_LARGE);
}

#[test]
fn odd_tags_change_nothing_and_those_that_contradict_themselves_are_refused() {
    let server = origin();
    let breaks =
        "#EXT-X-DISCONTINUITY-SEQUENCE:5\n".to_owned() + &"#EXT-X-DISCONTINUITY\n".repeat(10_000);
    let part = "#EXT-X-PART-INF:PART-TARGET=0.3\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n\
        #EXT-X-PART:DURATION=0.3,URI=\"p.ts\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"q.ts\"\n\
        #EXT-X-RENDITION-REPORT:URI=\"r.m3u8\"\n#EXT-X-FUTURE:A=1\n#EXTRA\n#\n";
    let first = "#EXT-X-MEDIA-SEQUENCE:0";
    for (what, bytes, outcome) in [
        ("ten thousand breaks", front(&breaks), Plays),
        ("parts, and the future", front(part), Plays),
        (
            "a later version",
            with("#EXT-X-VERSION:", "#EXT-X-VERSION:9"),
            Noted,
        ),
        (
            "the last numbers",
            with(first, "#EXT-X-MEDIA-SEQUENCE:18446744073709551609"),
            Plays,
        ),
        (
            "numbers behind the last",
            with(first, "#EXT-X-MEDIA-SEQUENCE:18446744073709551615"),
            REFUSED,
        ),
        (
            "a negative number",
            with(first, "#EXT-X-MEDIA-SEQUENCE:-1"),
            REFUSED,
        ),
        (
            "a lone quote",
            front("#EXT-X-KEY:METHOD=AES-128,URI=\"key\n"),
            REFUSED,
        ),
        (
            "a key without a name",
            front("#EXT-X-KEY:METHOD=AES-128\n"),
            REFUSED,
        ),
        ("an empty name", front("#EXT-X-MAP:URI=\"\"\n"), REFUSED),
        (
            "an attribute twice",
            front("#EXT-X-START:TIME-OFFSET=0,TIME-OFFSET=0\n"),
            Plays,
        ),
        (
            "a range of nothing",
            front("#EXT-X-BYTERANGE:0@0\n"),
            REFUSED,
        ),
        (
            "a range from nowhere",
            front("#EXT-X-BYTERANGE:100\n"),
            REFUSED,
        ),
        (
            "a range beyond 64 bits",
            front("#EXT-X-BYTERANGE:18446744073709551615@2\n"),
            REFUSED,
        ),
        (
            "a variable nobody defined",
            with("0.ts", "{$no}.ts"),
            REFUSED,
        ),
        (
            "a variable of itself",
            with(
                "#EXTINF",
                "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{$a}\"\n#EXTINF",
            ),
            Plays,
        ),
        (
            "SAMPLE-AES",
            front("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n"),
            Fails(ErrorKind::Unsupported),
        ),
        (
            "an unknown method",
            front("#EXT-X-KEY:METHOD=ROT13,URI=\"k\"\n"),
            Fails(ErrorKind::Unsupported),
        ),
    ] {
        check(&server, what, bytes, outcome);
    }
}

#[test]
fn what_is_too_much_is_refused_by_the_first_request() {
    let server = origin();
    let keys = |count: usize| -> String {
        let key = |key| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{key}\"\na.ts\n");
        (0..count).map(key).collect()
    };
    let formats = |count: usize| -> String {
        let key = |key| format!("#EXT-X-KEY:METHOD=X,KEYFORMAT=\"{key}\"\n");
        (0..count).map(key).collect()
    };
    let bomb = {
        let value = "x".repeat(1000);
        format!(
            "#EXT-X-DEFINE:NAME=\"v\",VALUE=\"{value}\"\n{}\n",
            "{$v}".repeat(70)
        )
    };
    let attributes: String = (0..65).map(|index| format!(",X-{index}=1")).collect();
    for (what, text) in [
        ("segments", "a.ts\n".repeat(100_001)),
        ("keys", keys(4097)),
        ("key formats", formats(9)),
        ("an exploding variable", bomb),
        ("a long line", format!("#EXT-X-X:{}\n", "x".repeat(1 << 16))),
        (
            "attributes",
            format!("#EXT-X-KEY:METHOD=NONE{attributes}\n"),
        ),
        ("bytes", "#\n".repeat(3 << 20)),
    ] {
        check(&server, what, front(&text), TOO_LARGE);
    }
    let asked = server.requests();
    assert!(media_paths(&asked).is_empty(), "no segment is asked for");
}

#[test]
fn variants_that_make_no_sense_are_left_out_while_others_are_left() {
    let good = "#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\n/ts-aac/media.m3u8\n";
    for (what, lines) in [
        (
            "none at all",
            "#EXT-X-STREAM-INF:CODECS=\"mp4a.40.2\"\n/no.m3u8\n",
        ),
        ("of nothing", "#EXT-X-STREAM-INF:BANDWIDTH=0\n/no.m3u8\n"),
        (
            "beyond 64 bits",
            "#EXT-X-STREAM-INF:BANDWIDTH=1208925819614629174706176\n/no.m3u8\n",
        ),
        (
            "of no group",
            "#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"g\",CODECS=\"avc1.1\"\n/no.m3u8\n",
        ),
    ] {
        let server = origin();
        let serve = |text: String| {
            let script =
                Script::file(text.into_bytes()).media_type("application/vnd.apple.mpegurl");
            server.serve("/m.m3u8", script);
            config(&server.url("/m.m3u8"))
        };
        let mut listener = Listener::open(serve(format!("#EXTM3U\n{lines}{good}")));
        listener
            .play()
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(
            hls::fixture("ts-aac").difference(&listener.pcm),
            None,
            "{what}"
        );
        let told = listener.events();
        let dropped = hls_events(&told).find_map(|event| match event {
            HlsEvent::Variants { dropped, .. } => Some(dropped.clone()),
            _ => None,
        });
        let dropped = dropped.expect("what there is to choose from is told");
        // None at all is a variant like others, of which nothing is known.
        assert_eq!(
            dropped.len(),
            usize::from(what != "none at all"),
            "{what}: {dropped:?}"
        );
        let alone = Listener::try_open(serve(format!("#EXTM3U\n{lines}")));
        let error = alone
            .err()
            .unwrap_or_else(|| panic!("{what}: nothing is left"));
        let kind = match what {
            "none at all" => ErrorKind::Http(404),
            _ => ErrorKind::Playlist,
        };
        assert_eq!(error.kind(), kind, "{what}: {error:?}");
    }
    let server = origin();
    server.serve(
        "/m.m3u8",
        Script::file(&b"#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n"[..]),
    );
    let none = Listener::try_open(config(&server.url("/m.m3u8")))
        .err()
        .expect("nothing");
    assert_eq!(none.kind(), ErrorKind::Playlist);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn init_sections_that_are_missing_or_out_of_range_are_named() {
    let server = origin();
    let text = hls::text("aac-48/media.m3u8");
    let map = "#EXT-X-MAP:URI=\"init.mp4\"";
    for (what, new, kind) in [
        ("none", String::new(), ErrorKind::Playlist),
        (
            "a range behind it",
            format!("{map},BYTERANGE=\"500@100000\""),
            ErrorKind::Truncated,
        ),
        (
            "a range across its end",
            format!("{map},BYTERANGE=\"100000@0\""),
            ErrorKind::Truncated,
        ),
        (
            "an empty range",
            format!("{map},BYTERANGE=\"0@0\""),
            ErrorKind::Playlist,
        ),
        (
            "an encrypted one without a vector",
            format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n{map}"),
            ErrorKind::Playlist,
        ),
    ] {
        let changed = text.replace(map, &new);
        let script = Script::file(changed.into_bytes()).media_type("application/vnd.apple.mpegurl");
        server.serve("/aac-48/media.m3u8", script);
        let before = count(&server, "/aac-48/init.mp4");
        let opened = Listener::try_open(config(&server.url("/aac-48/media.m3u8")));
        let error = opened.err().unwrap_or_else(|| panic!("{what}: it opened"));
        assert_eq!(error.kind(), kind, "{what}: {error:?}");
        let told = format!("{error:?}");
        assert!(told.contains("/aac-48/"), "{what}: {told}");
        if what == "none" {
            let named = told.contains("segment 0,") && told.contains("the playlist http");
            assert!(named, "the playlist, and the segment: {told}");
        }
        let asked = count(&server, "/aac-48/init.mp4") - before;
        assert!(asked <= 7, "{what}: {asked} requests");
    }
}

#[test]
fn a_variant_without_its_init_section_is_done_without() {
    let server = origin();
    let text = hls::text("aac-160/media.m3u8").replace("#EXT-X-MAP:URI=\"init.mp4\"\n", "");
    assert!(!text.contains("EXT-X-MAP"), "{text}");
    let script = Script::file(text.into_bytes()).media_type("application/vnd.apple.mpegurl");
    server.serve("/aac-160/media.m3u8", script);
    let config = config(&server.url("/multivariant.m3u8"));
    let mut listener = Listener::open(config.with_abr_mode(AbrMode::Auto(Some(2))));
    listener.play().expect("another variant has one");
    assert_eq!(listener.pcm.len() / 2, 485_100);
    let told = listener.events();
    let failed = hls_events(&told).find_map(|event| match event {
        HlsEvent::SegmentFailed { variant, error, .. } => Some((*variant, format!("{error:?}"))),
        _ => None,
    });
    let (variant, error) = failed.expect("what was wrong with it is told");
    assert!(
        variant == 2 && error.contains("NoInitSection"),
        "{variant}: {error}"
    );
}

#[test]
fn another_init_section_loses_no_frame_and_is_not_heard() {
    let server = origin();
    let init = hls::script("aac-48/init.mp4");
    server.serve("/aac-48/other.mp4", init);
    let other = "#EXT-X-MAP:URI=\"other.mp4\"\n";
    let changed = hls::text("aac-48/media.m3u8");
    let at = changed
        .find("#EXTINF:2.020136,\n3.m4s")
        .expect("the fourth segment");
    let text = format!("{}{other}{}", &changed[..at], &changed[at..]);
    let script = Script::file(text.into_bytes()).media_type("application/vnd.apple.mpegurl");
    server.serve("/aac-48/media.m3u8", script);
    let mut listener = Listener::open(title(&server, "aac-48"));
    listener.play().expect("it plays");
    assert_eq!(hls::fixture("aac-48").difference(&listener.pcm), None);
    assert_eq!(count(&server, "/aac-48/init.mp4"), 1);
    assert_eq!(count(&server, "/aac-48/other.mp4"), 1);
}
