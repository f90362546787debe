//! Live playlists on their timeline: what reloads do to it, where it is joined, when it is asked for again.

#![allow(clippy::unwrap_used)] // A playlist that should be read and isn't is a failed test.

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use kithara_hls::{Freshness, MediaPlaylist, Merge, Start, Window};
use support::{at, media};

/// A list with a target duration of 4 s from words: the first number, then names of segments of 4 s, `name*2.5` of others, `!`
/// for a discontinuity, `t60` for a date 60 s after 1970, `end`, `vod`, and `#...` for any tag.
fn list(words: &str) -> MediaPlaylist {
    let mut lines = "#EXT-X-TARGETDURATION:4\n".to_owned();
    let mut words = words.split(' ');
    writeln!(lines, "#EXT-X-MEDIA-SEQUENCE:{}", words.next().unwrap()).unwrap();
    for word in words {
        match word {
            "!" => lines.push_str("#EXT-X-DISCONTINUITY\n"),
            "end" => lines.push_str("#EXT-X-ENDLIST\n"),
            "vod" => lines.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
            tag if tag.starts_with('#') => writeln!(lines, "{tag}").unwrap(),
            date if date.starts_with('t') => {
                let seconds: f64 = date[1..].parse().unwrap();
                let (minutes, seconds) = (seconds as u64 / 60, seconds % 60.0);
                let tag = "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00";
                writeln!(lines, "{tag}:{minutes:02}:{seconds:06.3}Z").unwrap();
            }
            segment => {
                let (name, seconds) = segment.split_once('*').unwrap_or((segment, "4"));
                writeln!(lines, "#EXTINF:{seconds},\n{name}").unwrap();
            }
        }
    }
    media(&lines).unwrap()
}

fn window(words: &str) -> Window {
    Window::new(list(words), at(0.0), at(0.5))
}

/// Every segment that is listed, as `number@second`.
fn shown(window: &Window) -> String {
    let numbers = window.playlist().first_sequence()..window.playlist().end_sequence();
    let place = |number| {
        let (segment, start) = window.segment(number).unwrap();
        assert_eq!(segment.sequence, number);
        format!("{number}@{}", start.as_secs_f64())
    };
    numbers.map(place).collect::<Vec<_>>().join(" ")
}

/// A list, the lists it becomes, what each of them is, and what is there in the end.
fn check(first: &str, reloads: &[(&str, Merge)], expected: &str) {
    let mut window = window(first);
    for (index, (words, merge)) in reloads.iter().enumerate() {
        let now = at(4.0 * (index + 1) as f64);
        assert_eq!(
            window.handle_reload(list(words), now, now),
            *merge,
            "{first} -> {words}"
        );
    }
    assert_eq!(shown(&window), expected, "{first} -> {reloads:?}");
}

#[test]
fn a_segment_keeps_its_time_while_it_is_listed() {
    let added = |added| Merge::Advanced { added };
    check(
        "7 a b c",
        &[("8 b c d", added(1)), ("10 d e f", added(2))],
        "10@12 11@16 12@20",
    );
    check(
        "7 a*3.5 b*4.5 c",
        &[("8 b*4.5 c d*2", added(1))],
        "8@3.5 9@8 10@12",
    );
    // Right behind.
    check("7 a b", &[("9 c d", added(2))], "9@8 10@12");
    // A duration that is mended, a list that grows, one that begins empty.
    check("7 a b", &[("8 b*3 c", added(1))], "8@4 9@7");
    check(
        "0 a",
        &[("0 a b", added(1)), ("0 a b c end", added(1))],
        "0@0 1@4 2@8",
    );
    check("5", &[("5 a b", added(2))], "5@0 6@4");
    check("5", &[("900 a b", added(2))], "900@0 901@4");
    // Nothing new, and newer names all the same.
    check("7 a b", &[("7 a?t=2 b?t=2", Merge::Unchanged)], "7@0 8@4");
    check("7 a b", &[("8 b", Merge::Unchanged)], "8@4");
}

#[test]
fn segments_that_came_and_went_unseen_leave_a_gap_of_their_length() {
    let skipped = |missed| Merge::Skipped { missed };
    check("7 a b", &[("12 f g", skipped(3))], "12@20 13@24");
    // The world's clock knows better, unless it says that time went back.
    check("7 t60 a b", &[("12 t75 f g", skipped(3))], "12@15 13@19");
    check("7 t60 a b", &[("12 t61 f g", skipped(3))], "12@20 13@24");
    // More than a day is another stream.
    check("7 a b", &[("99999 x y", Merge::Reset)], "99999@8 100000@12");
    check(
        "7 a b",
        &[("18446744073709551000 x", Merge::Reset)],
        "18446744073709551000@8",
    );
}

#[test]
fn numbers_that_begin_anew_are_another_window_right_behind() {
    check(
        "700 a b c",
        &[
            ("0 x y", Merge::Reset),
            ("1 y z", Merge::Advanced { added: 1 }),
        ],
        "1@16 2@20",
    );
    // They overlap, but name other things.
    check("7 a b c", &[("6 x y", Merge::Reset)], "6@12 7@16");
    check("7 t60 a b c", &[("6 t72 a b", Merge::Reset)], "6@12 7@16");
    let mut window = window("700 a b c");
    assert_eq!(window.epoch(), 0);
    window.handle_reload(list("0 x"), at(4.0), at(4.0));
    assert_eq!(window.epoch(), 1);
    assert!(window.is_behind(at(11.9)) && !window.is_behind(at(12.0)));
}

#[test]
fn an_older_copy_is_let_go() {
    check("7 a b c", &[("6 z a b", Merge::Unchanged)], "7@0 8@4 9@8");
    check(
        "7 a b c",
        &[("7 folder/a?x b", Merge::Unchanged)],
        "7@0 8@4 9@8",
    );
    check(
        "7 t60 a b c",
        &[("1 t36 x y", Merge::Unchanged)],
        "7@0 8@4 9@8",
    );
    check(
        "7 a b c",
        &[("7", Merge::Unchanged), ("12", Merge::Unchanged)],
        "7@0 8@4 9@8",
    );
    // One that reaches further back, and as far.
    let mut window = window("7 a b c");
    window.handle_reload(list("6 z a b c"), at(4.0), at(4.0));
    assert_eq!(window.range(), at(0.0)..at(12.0));
    assert_eq!(window.segment_at(at(0.0)).unwrap().0.sequence, 7);
}

#[test]
fn an_end_is_an_end() {
    let mut live = window("7 a b c");
    assert!(live.is_live());
    assert_eq!(
        live.handle_reload(list("8 b c end"), at(4.0), at(4.0)),
        Merge::Advanced { added: 0 }
    );
    assert!(!live.is_live());
    assert_eq!(
        (live.next_reload(), live.seekable_range()),
        (None, at(4.0)..at(12.0))
    );
    // It neither goes on nor loses its end.
    assert_eq!(
        live.handle_reload(list("8 b c d"), at(8.0), at(8.0)),
        Merge::Unchanged
    );
    assert_eq!((live.is_live(), live.range().end), (false, at(12.0)));
    assert_eq!(live.freshness(at(1e6)), Freshness::Fresh);
    assert_eq!(live.next_change_of_freshness(at(9.0)), None);
    // Said by a list that is no newer, or empty.
    for words in ["7 a b end", "10 end", "7 end"] {
        let mut live = window("7 a b c");
        live.handle_reload(list(words), at(4.0), at(4.0));
        assert!(!live.is_live(), "{words}");
        assert_eq!(shown(&live), "7@0 8@4 9@8", "{words}");
    }
}

#[test]
fn it_is_joined_where_it_says_or_three_target_durations_behind_the_edge() {
    let start = |offset: f64, from_end, precise| Start {
        offset: at(offset),
        from_end,
        precise,
    };
    for (words, default, point, seekable) in [
        ("0 a b c d e f", None, 12.0, 0.0..12.0),
        // In the middle of a segment: at its front.
        ("0 a b c d e f*2.5", None, 8.0, 0.0..10.5),
        (
            "0 #EXT-X-SERVER-CONTROL:HOLD-BACK=16.5 a b c d e f",
            None,
            4.0,
            0.0..7.5,
        ),
        (
            "0 #EXT-X-SERVER-CONTROL:HOLD-BACK=3 a b c d e f",
            None,
            12.0,
            0.0..12.0,
        ),
        // A window that is shorter than that.
        ("0 a b", None, 0.0, 0.0..0.0),
        ("0", None, 0.0, 0.0..0.0),
        (
            "0 #EXT-X-PLAYLIST-TYPE:EVENT a b c d e f",
            None,
            12.0,
            0.0..12.0,
        ),
        // What doesn't change begins at its front.
        ("0 a b c d e f end", None, 0.0, 0.0..24.0),
        ("0 vod a b c", None, 0.0, 0.0..12.0),
        (
            "0 a b c d e f end",
            Some(start(9.0, false, false)),
            8.0,
            0.0..24.0,
        ),
        (
            "0 a b c d e f end",
            Some(start(9.0, false, true)),
            9.0,
            0.0..24.0,
        ),
        (
            "0 a b c d e f end",
            Some(start(9.0, true, true)),
            15.0,
            0.0..24.0,
        ),
        (
            "0 a b c d e f end",
            Some(start(99.0, true, true)),
            0.0,
            0.0..24.0,
        ),
        (
            "0 a b c d e f end",
            Some(start(99.0, false, true)),
            20.0,
            0.0..24.0,
        ),
        (
            "0 a b c d e f",
            Some(start(0.0, true, false)),
            20.0,
            0.0..12.0,
        ),
        (
            "0 a b c d e f",
            Some(start(0.0, false, false)),
            0.0,
            0.0..12.0,
        ),
        // Its own word counts more.
        (
            "0 #EXT-X-START:TIME-OFFSET=-5 a b c d e f",
            Some(start(0.0, false, false)),
            16.0,
            0.0..12.0,
        ),
    ] {
        let window = window(words);
        assert_eq!(
            window.join_point(default),
            at(point),
            "{words}, {default:?}"
        );
        let seekable = at(seekable.start)..at(seekable.end);
        assert_eq!(window.seekable_range(), seekable, "{words}");
    }
}

#[test]
fn a_window_that_has_moved_is_joined_and_searched_where_it_is() {
    let mut window = window("0 a b c d");
    window.handle_reload(list("3 d e ! f g h i"), at(12.0), at(12.0));
    assert_eq!(window.range(), at(12.0)..at(36.0));
    assert_eq!(window.join_point(None), at(24.0));
    let far = Start {
        offset: at(99.0),
        from_end: true,
        precise: true,
    };
    assert_eq!(window.join_point(Some(far)), at(12.0));
    for (time, found) in [
        (0.0, None),
        (11.9, None),
        (12.0, Some((3, 12.0, 0))),
        (20.5, Some((5, 20.0, 1))),
        (35.9, Some((8, 32.0, 1))),
        (36.0, None),
    ] {
        let segment = window.segment_at(at(time));
        let segment = segment.map(|(segment, start)| {
            (
                segment.sequence,
                start.as_secs_f64(),
                segment.discontinuity_sequence,
            )
        });
        assert_eq!(segment, found, "{time}");
    }
    assert_eq!(window.segment_at(Duration::MAX), None);
}

#[test]
fn it_is_loaded_again_at_its_pace_and_given_up_in_the_end() {
    let mut window = window("0 a b c d");
    assert_eq!(window.next_reload(), Some(at(4.0)));
    window.handle_reload(list("1 b c d e"), at(4.0), at(4.5));
    assert_eq!(window.next_reload(), Some(at(8.0)));
    let mut now = 8.0;
    let mut requests = Vec::new();
    while window.freshness(at(now)) != Freshness::Lost {
        requests.push(now);
        if requests.len() % 2 == 0 {
            window.handle_failure(at(now));
        } else {
            window.handle_reload(list("1 b c d e"), at(now), at(now));
        }
        let next = window.next_reload().unwrap();
        let change = window.next_change_of_freshness(at(now)).unwrap();
        now = next.min(change).as_secs_f64().max(now + 0.001);
        if change < next {
            // Nothing is asked for: only told.
            let expected = if change == at(18.5) {
                Freshness::Late
            } else {
                Freshness::Lost
            };
            assert_eq!(window.freshness(change), expected);
            now = next.as_secs_f64();
        }
    }
    // Half a target duration three times, then whole ones, until ten of them have passed.
    assert_eq!(
        requests,
        [
            8.0, 10.0, 12.0, 14.0, 18.0, 22.0, 26.0, 30.0, 34.0, 38.0, 42.0
        ]
    );
    assert_eq!(window.freshness(at(44.4)), Freshness::Late);
    assert_eq!(window.freshness(at(44.5)), Freshness::Lost);
    window.handle_reload(list("2 c d e f"), at(46.0), at(46.0));
    assert_eq!(window.freshness(at(46.0)), Freshness::Fresh);
}

#[test]
fn another_variant_lies_on_the_same_timeline() {
    let mut first = window("7 t60 a b c d");
    first.handle_reload(list("9 t68 c d e f"), at(8.0), at(8.0));
    for (other, expected) in [
        // By the world's time, whatever the numbers.
        ("300 t72 d e f g", "300@12 301@16 302@20 303@24"),
        ("9 t70 c d e f", "9@10 10@14 11@18 12@22"),
        // By numbers.
        ("8 b c d e", "8@4 9@8 10@12 11@16"),
        ("9 c*3 d e f", "9@8 10@11 11@15 12@19"),
        // By the edge, at 24 s.
        ("500 x y z", "500@12 501@16 502@20"),
    ] {
        let beside = Window::beside(&first, list(other), at(9.0), at(9.0));
        assert_eq!(shown(&beside), expected, "{other}");
    }
    let vod = window("0 a b c end");
    let beside = Window::beside(&vod, list("5 x*3 y*3 z*3 end"), at(1.0), at(1.0));
    assert_eq!(shown(&beside), "5@0 6@3 7@6");
}
