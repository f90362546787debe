//! Hostile playlists, some hundreds of them: none panics, each is read to something that holds together or refused.

#![allow(clippy::unwrap_used)] // A list that can't be made is a failed test.

mod support;

use std::time::Duration;

use kithara_hls::{
    AudioPreference, MediaPlaylist, MultivariantPlaylist, ParseContext, Playlist, PlaylistError,
};

/// Values for every place where a number belongs.
const NUMBERS: [&str; 24] = [
    "",
    "-1",
    "-0",
    "0",
    "00",
    "1",
    "5.0",
    "5.",
    ".5",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e30",
    "5,5",
    "0x10",
    "+1",
    " 1",
    "1 1",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999999999999999",
    "\u{665}",
    "\u{1f3b5}",
];
/// What can happen to a list of attributes; `%` is the list.
const DAMAGES: [&str; 16] = [
    "",
    "%",
    "%,",
    ",%",
    "%,%",
    "%,=",
    "=%",
    "\"%",
    "%\"",
    "%,X=\"",
    "%,X=\"\"\"",
    "%,X",
    "%,X=",
    "%\u{0b}",
    "X=\"{$x}\",%",
    "{$%}",
];
const LISTS: [(&str, &str); 9] = [
    (
        "EXT-X-KEY",
        "METHOD=AES-128,URI=\"k\",IV=0x000102030405060708090a0b0c0d0e0f",
    ),
    ("EXT-X-MAP", "URI=\"i.mp4\",BYTERANGE=\"5@7\""),
    (
        "EXT-X-DATERANGE",
        "ID=\"x\",START-DATE=\"2026-01-01T00:00:00Z\",DURATION=5",
    ),
    ("EXT-X-START", "TIME-OFFSET=-5,PRECISE=YES"),
    ("EXT-X-SKIP", "SKIPPED-SEGMENTS=3"),
    ("EXT-X-DEFINE", "NAME=\"a\",VALUE=\"b\""),
    (
        "EXT-X-STREAM-INF",
        "BANDWIDTH=1000,CODECS=\"mp4a.40.2\",AUDIO=\"g\"",
    ),
    (
        "EXT-X-MEDIA",
        "TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"n\",URI=\"u\",CHANNELS=\"2\"",
    ),
    ("EXT-X-SESSION-DATA", "DATA-ID=\"x\",VALUE=\"y\""),
];
const RICH: &str = "#EXTM3U\r\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n\
    #EXT-X-START:TIME-OFFSET=1.5\n#EXT-X-KEY:METHOD=AES-128,URI=\"k{$a}\",IV=0x000102030405060708090a0b0c0d0e0f\n\
    #EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"5@7\"\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.5+01:00\n#EXTINF:5.005,a \u{e9}\n\
    #EXT-X-BYTERANGE:100@7\na.mp4\n#EXTINF:6,\n#EXT-X-BYTERANGE:50\na.mp4\n#EXT-X-DISCONTINUITY\n#EXT-X-GAP\n#EXTINF:-1,\n{$a}.mp4\n\
    #EXT-X-DATERANGE:ID=\"x\",START-DATE=\"2026-01-01T00:00:00Z\"\n#EXT-X-ENDLIST\n";
const MASTER: &str = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"n\",LANGUAGE=\"de\",URI=\"u\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"mp4a.40.2\",AUDIO=\"g\"\na.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=5\nb.m3u8\n";

fn hostile() -> Vec<String> {
    let mut all = Vec::new();
    for tag in [
        "EXTINF",
        "EXT-X-TARGETDURATION",
        "EXT-X-MEDIA-SEQUENCE",
        "EXT-X-DISCONTINUITY-SEQUENCE",
        "EXT-X-BYTERANGE",
        "EXT-X-VERSION",
        "EXT-X-PROGRAM-DATE-TIME",
        "EXT-X-PLAYLIST-TYPE",
    ] {
        let each = NUMBERS.iter();
        all.extend(
            each.clone()
                .map(|number| format!("#{tag}:{number}\na\nb\n")),
        );
        all.extend(each.map(|number| {
            format!(
                "#EXTINF:1,\na\n#EXT-X-BYTERANGE:{number}@{number}\n#{tag}:{number}\na\n#{tag}\n"
            )
        }));
    }
    for (tag, list) in LISTS {
        all.extend(DAMAGES.iter().map(|damage| {
            let damaged = damage.replace('%', list);
            format!("#{tag}:{damaged}\na\n#EXT-X-KEY:METHOD=NONE\n#{tag}:{list}\nb\n")
        }));
        for number in NUMBERS {
            // Every value of it in turn.
            all.extend(list.split(',').filter_map(|pair| {
                let (name, _) = pair.split_once('=')?;
                Some(format!(
                    "#{tag}:{}\na\n",
                    list.replace(pair, &format!("{name}={number}"))
                ))
            }));
        }
    }
    let mut texts: Vec<_> = all
        .into_iter()
        .map(|lines| format!("#EXTM3U\n{lines}"))
        .collect();
    let cuts = |text: &str| -> Vec<String> {
        let places = text.char_indices().map(|(at, _)| at);
        places.map(|at| text[..at].to_owned()).collect()
    };
    texts.extend(cuts(RICH));
    texts.extend(cuts(MASTER));
    texts
}

/// What is read holds together.
fn check(bytes: &[u8]) -> Result<(), PlaylistError> {
    match Playlist::parse(bytes, &ParseContext::default())? {
        Playlist::Media(playlist) => check_media(&playlist),
        Playlist::Multivariant(playlist) => check_multivariant(&playlist),
    }
    Ok(())
}

fn check_media(playlist: &MediaPlaylist) {
    let (mut end, mut sequence) = (Duration::ZERO, playlist.first_sequence());
    let mut discontinuities = playlist.discontinuity_sequence();
    for (index, segment) in playlist.segments().enumerate() {
        assert_eq!((segment.start, segment.sequence), (end, sequence));
        assert!(!segment.reference.is_empty());
        assert!(
            segment
                .range
                .as_ref()
                .is_none_or(|range| range.start < range.end)
        );
        assert!(segment.discontinuity_sequence >= discontinuities);
        assert_eq!(playlist.index_of(segment.sequence), Some(index));
        let playing = playlist
            .index_at(segment.start)
            .and_then(|at| playlist.segment(at));
        assert!(playing.is_none_or(|playing| playing.start == segment.start));
        (end, sequence) = (end + segment.duration, sequence + 1);
        discontinuities = segment.discontinuity_sequence;
    }
    assert_eq!(
        (playlist.duration(), playlist.end_sequence()),
        (end, sequence)
    );
    assert!(playlist.target_duration() >= Duration::from_secs(1));
}

fn check_multivariant(playlist: &MultivariantPlaylist) {
    let Ok(choices) = playlist.choose(&AudioPreference::default()) else {
        return;
    };
    assert!(!choices.variants.is_empty());
    assert_eq!(choices.ladder().len(), choices.variants.len());
    for choice in &choices.variants {
        assert!(!choice.reference.as_str().is_empty());
    }
}

#[test]
fn hundreds_of_hostile_playlists_are_read_or_refused() {
    let texts = hostile();
    assert!(texts.len() > 1_000, "{}", texts.len());
    let (mut read, mut refused) = (0, 0);
    for text in &texts {
        match check(text.as_bytes()) {
            Ok(()) => read += 1,
            Err(error) => {
                refused += 1;
                let printed = format!("{error} {error:?}");
                assert!(printed.len() < 1_000, "{printed}");
            }
        }
    }
    // Neither everything nor nothing.
    assert!(
        read > 500 && refused > 100,
        "{read} read, {refused} refused"
    );
}

#[test]
fn flipped_bytes_are_read_or_refused() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for text in [RICH, MASTER] {
        for _ in 0..3_000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..1 + next() % 8 {
                let at = 8 + next() % (bytes.len() - 8);
                match next() % 3 {
                    0 => bytes[at] = next() as u8,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"\",={$}@:\n#-.0"[next() % 13]),
                }
            }
            // Whether it is refused is not the question.
            let _ = check(&bytes);
        }
    }
}

#[test]
fn one_resource_a_hundred_thousand_times_is_one_text() {
    let text = "#EXTM3U\n".to_owned() + &"same.ts\n".repeat(100_000);
    let playlist = support::media(&text).unwrap();
    assert_eq!(playlist.len(), 100_000);
    assert!(
        playlist.heap_bytes() < 4_001_000,
        "{}",
        playlist.heap_bytes()
    );
}

#[test]
fn a_line_or_a_tag_that_is_too_long_is_refused() {
    for piece in ["a", "#EXTINF:", "#EXT-X-KEY:METHOD=", "# remark "] {
        let text = format!("#EXTM3U\n{piece}{}\n", "x".repeat(1 << 20));
        let refused = check(text.as_bytes());
        assert!(
            matches!(refused, Err(PlaylistError::TooLarge { .. })),
            "{piece}"
        );
    }
    for count in [65, 10_000] {
        let list = "X=1,".repeat(count);
        for (tag, _) in LISTS {
            let text = format!("#EXTM3U\n#{tag}:{list}\na\n");
            let refused = check(text.as_bytes());
            // Renditions of other sorts and unknown tags are not looked into.
            assert!(
                matches!(refused, Err(PlaylistError::TooLarge { .. })),
                "{tag}: {refused:?}"
            );
        }
    }
}
