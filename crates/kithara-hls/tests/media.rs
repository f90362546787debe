//! Media playlists: what each tag makes of the segments behind it.

#![allow(clippy::unwrap_used)] // A playlist that should be read and isn't is a failed test.

mod support;

use std::time::Duration;

use kithara_hls::{
    Limit, MediaPlaylist, Oddity, ParseContext, Playlist, PlaylistError, PlaylistType, Problem,
    Start,
};
use support::{at, media, refusal, shown};

/// The lines, and what is read from them.
fn check(lines: &str, expected: &[&str]) {
    let playlist = media(lines).unwrap();
    assert_eq!(shown(&playlist), expected.join("\n"), "{lines}");
}

fn oddities(lines: &str) -> Vec<(u32, Oddity)> {
    let playlist = media(lines).unwrap();
    let notes = playlist.notes().iter();
    notes.map(|note| (note.line, note.oddity)).collect()
}

#[test]
fn segments_follow_each_other() {
    check(
        "#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:9.009,\na.ts\n\
         #EXTINF:9.009,Title, \"with\" commas\nhttp://h.test/b.ts?x=1\n#EXTINF:3.003\n/c.ts\n#EXT-X-ENDLIST\n",
        &[
            "7 0+9.009 a.ts",
            "8 9.009+9.009 http://h.test/b.ts?x=1",
            "9 18.018+3.003 /c.ts",
        ],
    );
}

#[test]
fn what_is_said_about_the_whole_is_kept() {
    let playlist = media(
        "#EXT-X-VERSION:12\n#EXT-X-TARGETDURATION:6\n#EXT-X-PLAYLIST-TYPE:event\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-ALLOW-CACHE:NO\n#EXT-X-START:TIME-OFFSET=-12.5,PRECISE=YES\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=20.5,PART-HOLD-BACK=1\n#EXTINF:6,\na.ts\n",
    )
    .unwrap();
    assert_eq!(playlist.version(), 12);
    assert_eq!(playlist.target_duration(), at(6.0));
    assert_eq!(playlist.playlist_type(), Some(PlaylistType::Event));
    assert!(playlist.has_independent_segments() && !playlist.allows_cache());
    assert!(!playlist.is_ended() && !playlist.is_i_frames_only());
    let start = Start {
        offset: at(12.5),
        from_end: true,
        precise: true,
    };
    assert_eq!(playlist.start(), Some(start));
    assert_eq!(playlist.hold_back(), Some(at(20.5)));
    assert!(playlist.notes().is_empty(), "{:?}", playlist.notes());
    for (tag, ended) in [
        ("#EXT-X-ENDLIST", true),
        ("#EXT-X-PLAYLIST-TYPE:VOD", true),
        ("#EXT-X-PLAYLIST-TYPE:vod", true),
        ("#EXT-X-PLAYLIST-TYPE:EVENT", false),
        ("#EXT-X-PLAYLIST-TYPE:LIVE", false),
    ] {
        let playlist = media(&format!("#EXTINF:1,\na\n{tag}\n")).unwrap();
        assert_eq!(playlist.is_ended(), ended, "{tag}");
    }
}

#[test]
fn durations_that_are_none_count_as_one_target_duration() {
    check(
        "#EXT-X-TARGETDURATION:10\n#EXTINF:-1,Radio\nhttp://radio.test/live\n#EXTINF:nan,\nb\n#EXTINF:inf,\nc\n\
         #EXTINF:1e400,\nd\n#EXTINF:,\ne\n#EXTINF:5,5\nf\n#EXTINF:-0,\ng\nh\n#EXTINF:0,\ni\n",
        &[
            "0 0+10 http://radio.test/live unbounded",
            "1 10+10 b",
            "2 20+10 c",
            "3 30+10 d",
            "4 40+10 e",
            "5 50+5 f",
            "6 55+0 g",
            "7 55+10 h",
            "8 65+0 i",
        ],
    );
    let odd =
        oddities("#EXT-X-TARGETDURATION:10\n#EXTINF:-1,\na\n#EXTINF:x,\nb\nc\n#EXTINF:99,\nd\n");
    let (negative, none) = (Oddity::NegativeDuration, Oddity::NoDuration);
    assert_eq!(odd, [(4, negative), (6, none), (7, none)]);
}

#[test]
fn a_target_duration_is_whole_seconds_or_that_of_the_longest_segment() {
    for (tag, seconds, odd) in [
        ("#EXT-X-TARGETDURATION:8", 8, false),
        ("#EXT-X-TARGETDURATION:5.0", 5, false),
        ("#EXT-X-TARGETDURATION:5.2", 6, false),
        ("#EXT-X-TARGETDURATION:0", 8, true),
        ("#EXT-X-TARGETDURATION:-1", 8, true),
        ("#EXT-X-TARGETDURATION:", 8, true),
        ("#EXT-X-TARGETDURATION:18446744073709551616", 8, true),
        ("#EXT-X-TARGETDURATION:nan", 8, true),
        ("", 8, true),
    ] {
        // Segments may be longer than it.
        let lines = format!("#EXTINF:4.5,\na\n#EXTINF:7.25,\nb\n{tag}\n");
        let playlist = media(&lines).unwrap();
        assert_eq!(
            playlist.target_duration(),
            Duration::from_secs(seconds),
            "{tag}"
        );
        assert_eq!(!playlist.notes().is_empty(), odd, "{tag}");
        assert_eq!(playlist.duration(), at(11.75));
    }
    let without = media("#EXTINF:x,\na\n").unwrap();
    assert_eq!(without.target_duration(), Duration::from_secs(10));
}

#[test]
fn a_track_of_more_than_ten_years_is_refused() {
    let years = |years: u64| format!("#EXTINF:{},\na\n", years * 366 * 24 * 3600);
    assert!(media(&years(10)).is_ok());
    for lines in [
        format!("{}#EXTINF:0.000001,\nb\n", years(10)),
        years(11),
        "#EXTINF:1e30,\na\n#EXTINF:99999999999999999999999999999999999999999999,\nb\n".to_owned(),
        "#EXTINF:18446744073709551615,\na\n".repeat(3),
    ] {
        let refused = media(&lines).err();
        let is_limit = matches!(
            refused,
            Some(PlaylistError::TooLarge {
                limit: Limit::Years,
                ..
            })
        );
        assert!(is_limit, "{refused:?}");
    }
}

#[test]
fn numbers_are_counted_without_wrapping() {
    let last = u64::MAX - 1;
    let fits = media(&format!("#EXT-X-MEDIA-SEQUENCE:{last}\n#EXTINF:1,\na\n")).unwrap();
    assert_eq!(fits.end_sequence(), u64::MAX);
    assert_eq!(
        (fits.index_of(last), fits.index_of(last - 1)),
        (Some(0), None)
    );
    let (sequence, tag) = ("EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE");
    for (lines, refused) in [
        (
            format!("#{sequence}:{last}\na\nb\n"),
            (0, sequence, Problem::Overflow),
        ),
        (
            format!("#{sequence}:{last}\n#EXT-X-SKIP:SKIPPED-SEGMENTS=2\nb\n"),
            (3, "EXT-X-SKIP", Problem::Overflow),
        ),
        (
            format!("#{tag}:{}\n#EXT-X-DISCONTINUITY\na\n", u64::MAX),
            (0, tag, Problem::Overflow),
        ),
        (
            format!("#{sequence}:18446744073709551616\na\n"),
            (2, sequence, Problem::Invalid("number")),
        ),
        (
            format!("#{sequence}:-1\na\n"),
            (2, sequence, Problem::Invalid("number")),
        ),
    ] {
        assert_eq!(refusal(&lines), refused, "{lines}");
    }
}

#[test]
fn a_range_without_a_start_goes_on_where_the_one_before_ended() {
    check(
        "#EXT-X-BYTERANGE:100@20\n#EXTINF:1,\na.mp4\n#EXTINF:1,\n#EXT-X-BYTERANGE:50\na.mp4\n#EXTINF:1,\nb.ts\n\
         #EXT-X-BYTERANGE:\"5@0\"\n#EXTINF:1,\na.mp4\n#EXT-X-BYTERANGE:1\na.mp4\n",
        &[
            "0 0+1 a.mp4 20..120",
            "1 1+1 a.mp4 120..170",
            "2 2+1 b.ts",
            "3 3+1 a.mp4 0..5",
            "4 4+1 a.mp4 5..6",
        ],
    );
    for (lines, line, problem) in [
        ("#EXT-X-BYTERANGE:50\na\n", 2, Problem::NoRangeBefore),
        (
            "#EXT-X-BYTERANGE:50@0\na\n#EXT-X-BYTERANGE:50\nb\n",
            4,
            Problem::NoRangeBefore,
        ),
        ("a\n#EXT-X-BYTERANGE:50\na\n", 3, Problem::NoRangeBefore),
        ("#EXT-X-BYTERANGE:0@5\na\n", 2, Problem::Invalid("range")),
        ("#EXT-X-BYTERANGE:x\na\n", 2, Problem::Invalid("range")),
        ("#EXT-X-BYTERANGE:5@-1\na\n", 2, Problem::Invalid("range")),
        (
            "#EXT-X-BYTERANGE:1@18446744073709551614\na\n#EXT-X-BYTERANGE:1\na\n",
            4,
            Problem::Overflow,
        ),
        (
            "#EXT-X-BYTERANGE:2@18446744073709551615\na\n",
            2,
            Problem::Overflow,
        ),
    ] {
        assert_eq!(
            refusal(lines),
            (line, "EXT-X-BYTERANGE", problem),
            "{lines}"
        );
    }
}

#[test]
fn a_key_holds_until_the_next_of_its_format() {
    let iv = "0x000000000000000000000000000000FF";
    check(
        &format!(
            "#EXT-X-MEDIA-SEQUENCE:16\na\n#EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\nb\nc\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"k2?x=1\",IV={iv},KEYFORMAT=\"identity\"\nd\n\
             #EXT-X-KEY:METHOD=NONE\ne\n#EXT-X-KEY:METHOD=AES-128,URI=k1\nf\n"
        ),
        &[
            "16 0+10 a",
            "17 10+10 b k1:11",
            "18 20+10 c k1:12",
            "19 30+10 d k2?x=1:ff",
            "20 40+10 e",
            "21 50+10 f k1:15",
        ],
    );
}

#[test]
fn what_can_not_be_decrypted_is_refused_by_name_and_only_where_it_is() {
    check(
        "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\na\n\
         #EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"d\",KEYFORMAT=\"com.widevine\"\nb\n\
         #EXT-X-KEY:METHOD=NONE\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\nc\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"k\"\nd\n#EXT-X-KEY:METHOD=AES-256-GCM,URI=\"k\"\ne\n\
         #EXT-X-KEY:METHOD=\u{7}x\nf\n",
        &[
            "0 0+10 a <SAMPLE-AES>",
            // The plain format is the one that counts.
            "1 10+10 b <SAMPLE-AES>",
            "2 20+10 c <SAMPLE-AES with keys of com.apple.streamingkeydelivery>",
            "3 30+10 d k:3",
            "4 40+10 e <AES-256-GCM>",
            "5 50+10 f <\\u{7}x>",
        ],
    );
    let foreign = "#EXT-X-TARGETDURATION:6\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"other\"\n#EXTINF:6,\na\n";
    assert_eq!(oddities(foreign), [(3, Oddity::KeyFormat)]);
}

#[test]
fn a_key_that_says_too_little_is_refused() {
    let tag = "EXT-X-KEY";
    for (list, problem) in [
        ("METHOD=AES-128", Problem::Missing("URI")),
        ("METHOD=AES-128,URI=\"\"", Problem::Missing("URI")),
        ("METHOD=AES-128,URI=\"", Problem::Missing("URI")),
        ("URI=\"k\"", Problem::Missing("METHOD")),
        ("METHOD=AES-128,URI=\"k\",IV=0x1", Problem::Invalid("IV")),
        (
            "METHOD=AES-128,URI=\"k\",IV=0x0102030405060708090a0b0c0d0e0f",
            Problem::Invalid("IV"),
        ),
        (
            "METHOD=AES-128,URI=\"k\",IV=000102030405060708090a0b0c0d0e0f",
            Problem::Invalid("IV"),
        ),
        ("METHOD=AES-128,URI=\"{$x}\"", Problem::UndefinedVariable),
    ] {
        assert_eq!(
            refusal(&format!("#{tag}:{list}\na\n")),
            (2, tag, problem),
            "{list}"
        );
    }
}

#[test]
fn an_init_section_holds_until_the_next_and_each_is_one() {
    let iv = "0x000000000000000000000000000000FF";
    check(
        &format!(
            "a\n#EXT-X-MAP:URI=\"i.mp4\"\nb\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"720@100\"\nc\n\
             #EXT-X-MAP:URI=\"i.mp4\"\nd\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV={iv}\n#EXT-X-MAP:URI=\"e.mp4\",BYTERANGE=\"9\"\ne\n\
             #EXT-X-KEY:METHOD=NONE\nf\n#EXT-X-MAP:URI=\"i.mp4\"\ng\n"
        ),
        &[
            "0 0+10 a",
            "1 10+10 b [0 i.mp4]",
            "2 20+10 c [1 i.mp4 100..820]",
            "3 30+10 d [0 i.mp4]",
            "4 40+10 e k:ff [2 e.mp4 0..9 k:ff]",
            "5 50+10 f [2 e.mp4 0..9 k:ff]",
            "6 60+10 g [0 i.mp4]",
        ],
    );
    let tag = "EXT-X-MAP";
    for (lines, line, problem) in [
        (
            "#EXT-X-MAP:BYTERANGE=\"1@2\"\na\n",
            2,
            Problem::Missing("URI"),
        ),
        ("#EXT-X-MAP:URI=\"\"\na\n", 2, Problem::Missing("URI")),
        (
            "#EXT-X-MAP:URI=\"i\",BYTERANGE=\"0@2\"\na\n",
            2,
            Problem::Invalid("BYTERANGE"),
        ),
        (
            "#EXT-X-MAP:URI=\"i\",BYTERANGE=\"2@18446744073709551615\"\na\n",
            2,
            Problem::Overflow,
        ),
        (
            "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"i\"\na\n",
            3,
            Problem::Missing("IV of its key"),
        ),
    ] {
        assert_eq!(refusal(lines), (line, tag, problem), "{lines}");
    }
}

#[test]
fn discontinuities_are_counted_and_gaps_marked() {
    check(
        "#EXT-X-DISCONTINUITY-SEQUENCE:4\n#EXTINF:1,\na\n#EXT-X-DISCONTINUITY\n#EXTINF:1,\nb\n#EXT-X-GAP\n#EXTINF:1,\nc\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY\n#EXTINF:1,\nd\n#EXT-X-DISCONTINUITY\n",
        &["0 0+1 a d4", "1 1+1 b d5!", "2 2+1 c d5 gap", "3 3+1 d d7!"],
    );
}

#[test]
fn dates_go_on_until_a_discontinuity() {
    check(
        "#EXTINF:1,\na\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:00Z\n#EXTINF:1.5,\nb\n#EXTINF:1,\nc\n#EXT-X-DISCONTINUITY\n\
         #EXTINF:1,\nd\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:02:00.25+00:00\n#EXTINF:1,\ne\n\
         #EXT-X-PROGRAM-DATE-TIME:yesterday\n#EXTINF:1,\nf\n",
        &[
            "0 0+1 a",
            "1 1+1.5 b t60",
            "2 2.5+1 c t61.5",
            "3 3.5+1 d d1!",
            "4 4.5+1 e d1 t120.25",
            "5 5.5+1 f d1 t121.25",
        ],
    );
}

#[test]
fn date_ranges_are_handed_on() {
    let playlist = media(
        "#EXTINF:1,\na\n#EXT-X-DATERANGE:ID=\"ad\",CLASS=\"c\",START-DATE=\"1970-01-01T00:00:05Z\",DURATION=30.5,\
         END-ON-NEXT=YES,X-COM=\"v,w\",SCTE35-OUT=0xFC\n#EXT-X-DATERANGE:ID=\"x\"\n#EXT-X-DATERANGE:START-DATE=\"no\",ID=\"y\"\n",
    )
    .unwrap();
    let [range] = playlist.date_ranges() else {
        panic!("{:?}", playlist.date_ranges());
    };
    assert_eq!(
        (range.id.as_str(), range.class.as_deref()),
        ("ad", Some("c"))
    );
    assert_eq!(range.start.unix_micros(), 5_000_000);
    assert_eq!((range.duration, range.end_on_next), (Some(at(30.5)), true));
    let others = [("X-COM", "v,w"), ("SCTE35-OUT", "0xFC")];
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(range.attributes, others);
    assert_eq!(
        playlist
            .notes()
            .iter()
            .filter(|note| note.oddity == Oddity::Data)
            .count(),
        2
    );
}

#[test]
fn variables_are_replaced_everywhere_a_reference_stands() {
    let text = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"d\",VALUE=\"dir\"\n#EXT-X-DEFINE:IMPORT=\"host\"\n#EXT-X-DEFINE:QUERYPARAM=\"t\"\n\
                #EXT-X-KEY:METHOD=AES-128,URI=\"{$host}/k?{$t}\"\n#EXT-X-MAP:URI=\"{$d}/i\",BYTERANGE=\"5@0\"\n";
    let parent = b"#EXTM3U\n#EXT-X-DEFINE:NAME=\"host\",VALUE=\"//h.test\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n";
    let Ok(Playlist::Multivariant(parent)) = Playlist::parse(parent, &ParseContext::default())
    else {
        panic!("a variant makes it a multivariant playlist");
    };
    let context = ParseContext {
        query: Some("a=1&t=s3cret"),
        parent: Some(parent.variables()),
        ..ParseContext::default()
    };
    let refused = MediaPlaylist::parse(format!("{text}a\n").as_bytes(), &context).err();
    let problem = Problem::Missing("IV of its key");
    let tag = "EXT-X-MAP";
    assert_eq!(
        refused,
        Some(PlaylistError::Tag {
            line: 6,
            tag,
            problem
        })
    );
    let text = text.replace(
        "URI=\"{$host}/k?{$t}\"",
        "IV=0x000000000000000000000000000000{$d}f,URI=\"{$host}/k?{$t}\"",
    );
    let text = text.replace("VALUE=\"dir\"", "VALUE=\"f\"");
    let playlist = MediaPlaylist::parse(format!("{text}{{$d}}/a\n").as_bytes(), &context).unwrap();
    let init = "[0 f/i 0..5 //h.test/k?s3cret:ff]";
    assert_eq!(
        shown(&playlist),
        format!("0 0+10 f/a //h.test/k?s3cret:ff {init}")
    );
    assert!(!format!("{playlist:?} {:?}", playlist.segment(0)).contains("s3cret"));
}

#[test]
fn tags_of_low_latency_and_of_the_future_change_nothing() {
    check(
        "#EXT-X-VERSION:13\n#EXT-X-TARGETDURATION:4\n#EXT-X-PART-INF:PART-TARGET=0.33\n#EXTINF:4,\na\n#EXT-X-PART:DURATION=0.33,URI=\"p1\"\n\
         #EXT-X-BITRATE:128\n#EXT-X-FUTURE:X=\"\n#EXTINF:4,\n#EXTVLCOPT:x\nb\n#EXT-X-PART:DURATION=0.3,URI=\"p2\"\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p3\"\n#EXT-X-RENDITION-REPORT:URI=\"../x\",LAST-MSN=3\n",
        &["0 0+4 a", "1 4+4 b"],
    );
    // A delta that nobody asked for: the numbers are right, the times begin with what is there.
    check(
        "#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:10\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:4,\nd\n",
        &["13 0+4 d"],
    );
}

#[test]
fn a_time_finds_its_segment() {
    let lines = "#EXTINF:2,\na\n#EXTINF:0,\nb\n#EXTINF:3,\nc\n#EXTINF:0,\nd\n";
    let playlist = media(lines).unwrap();
    for (time, index) in [
        (0.0, Some(0)),
        (1.999_999, Some(0)),
        (2.0, Some(2)),
        (4.999_999, Some(2)),
        (5.0, None),
        (1e9, None),
    ] {
        assert_eq!(playlist.index_at(at(time)), index, "{time}");
    }
    assert_eq!(playlist.index_at(Duration::MAX), None);
    let starting = media("#EXT-X-TARGETDURATION:6\n").unwrap();
    assert!(starting.is_empty() && starting.index_at(Duration::ZERO).is_none());
    assert_eq!(starting.segment(0), None);
}

#[test]
fn a_playlist_inside_another_is_a_media_playlist() {
    let multivariant = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nself.m3u8\n";
    let refused = MediaPlaylist::parse(multivariant, &ParseContext::default()).err();
    assert_eq!(refused, Some(PlaylistError::Nested));
    let nothing = Playlist::parse(b"#EXTM3U\n", &ParseContext::default());
    assert!(matches!(nothing, Err(PlaylistError::NotAPlaylist { .. })));
}

#[test]
fn an_error_names_line_and_tag_and_no_secret() {
    let lines =
        "#EXTINF:1,\na?token=s3cret\n#EXT-X-KEY:METHOD=AES-128,URI=\"k?s3cret\",IV=s3cret\nb\n";
    let error = media(lines).unwrap_err();
    assert_eq!(error.to_string(), "line 4, EXT-X-KEY: the IV is none");
    assert!(!format!("{error:?}").contains("s3cret"));
    let error = media("#EXTINF:99999999999,\na\n").unwrap_err();
    assert_eq!(error.to_string(), "line 3: more than 10 years");
}
