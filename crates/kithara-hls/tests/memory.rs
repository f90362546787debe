//! What playlists cost, counted by the allocator itself: memory for each segment, and work for each line.

#![allow(clippy::unwrap_used)] // A playlist that should be read and isn't is a failed test.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write as _;

use kithara_hls::{Limit, MediaPlaylist, ParseContext, Playlist, PlaylistError, PlaylistLimits};
use support::media;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what the calling thread has.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged, which keeps the contract. Counting touches only cells of
// the calling thread that need no initialisation and no destructor, and so never allocates itself.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.get().wrapping_add(layout.size());
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
        CALLS.set(CALLS.get() + 1);
        BYTES.set(BYTES.get() + layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, and this is the same call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: `memory` came from `System` with this layout, because nothing else allocates here.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Lines of a playlist with so many of something.
type List<'a> = &'a dyn Fn(usize) -> String;

/// What reading a playlist costs beside its text: bytes that stay, bytes at the most, calls to the allocator, and how many bytes
/// those were for.
struct Cost {
    stays: usize,
    peak: usize,
    calls: usize,
    bytes: usize,
}

fn cost(text: &str) -> (Result<MediaPlaylist, PlaylistError>, Cost) {
    cost_within(PlaylistLimits::default(), text)
}

fn cost_within(limits: PlaylistLimits, text: &str) -> (Result<MediaPlaylist, PlaylistError>, Cost) {
    let context = ParseContext {
        limits,
        ..ParseContext::default()
    };
    let (live, calls, bytes) = (LIVE.get(), CALLS.get(), BYTES.get());
    PEAK.set(live);
    let playlist = MediaPlaylist::parse(text.as_bytes(), &context);
    let cost = Cost {
        stays: LIVE.get() - live,
        peak: PEAK.get() - live,
        calls: CALLS.get() - calls,
        bytes: BYTES.get() - bytes,
    };
    (playlist, cost)
}

/// As an encoder writes it: a date for each segment, a key for each hundred, an init section.
fn usual(count: usize) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-MAP:URI=\"audio/128k/init.mp4\"\n".to_owned();
    for index in 0..count {
        if index % 100 == 0 {
            writeln!(text, "#EXT-X-KEY:METHOD=AES-128,URI=\"keys/{index}\"").unwrap();
        }
        let (minute, second) = (index / 10 % 60, index % 10 * 6);
        writeln!(
            text,
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{minute:02}:{second:02}Z"
        )
        .unwrap();
        writeln!(text, "#EXTINF:6.006,\naudio/128k/segment-{index:08}.m4s").unwrap();
    }
    text
}

#[test]
fn a_segment_costs_at_most_128_bytes() {
    let mut limits = PlaylistLimits::default();
    limits.bytes = 16 << 20;
    for count in [20_000, 100_000] {
        let (playlist, cost) = cost_within(limits, &usual(count));
        let playlist = playlist.unwrap();
        assert_eq!(playlist.len(), count);
        assert!(cost.stays <= 128 * count, "{} for {count}", cost.stays);
        assert!(cost.peak <= 2 * cost.stays, "{} at most", cost.peak);
        let told = playlist.heap_bytes();
        assert!(
            told <= cost.stays && told * 10 >= cost.stays * 9,
            "{told} is told"
        );
    }
}

#[test]
fn a_resource_in_ranges_is_named_once() {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n".to_owned();
    for _ in 0..50_000 {
        text.push_str(
            "#EXTINF:6,\n#EXT-X-BYTERANGE:9@9\na-rather-long-name-of-one-single-file.mp4\n",
        );
    }
    let (playlist, cost) = cost(&text);
    assert_eq!(playlist.unwrap().len(), 50_000);
    assert!(cost.stays <= 41 * 50_000, "{}", cost.stays);
}

#[test]
fn the_work_grows_with_the_lines_and_not_with_their_square() {
    // Eight key formats in force, each renewed before each segment; keys and init sections that come and go.
    let keys: String = (0..8)
        .map(|format| format!("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\",KEYFORMAT=\"f{format}\"\n"))
        .collect();
    let renewed = |count: usize| {
        (0..count).fold(String::new(), |text, index| {
            text + &keys + &format!("{index}.ts\n")
        })
    };
    let turns = |count: usize| -> String {
        let turn = |index: usize| {
            let key = index % 50;
            format!(
                "#EXT-X-KEY:METHOD=AES-128,URI=\"{key}\",IV=0x{key:032}\n#EXT-X-MAP:URI=\"{key}\"\n{index}.ts\n"
            )
        };
        (0..count).map(turn).collect()
    };
    let each = |count: usize| -> String {
        let key = |key: usize| {
            format!(
                "#EXT-X-KEY:METHOD=AES-128,URI=\"{key}\",IV=0x{key:032}\n#EXT-X-MAP:URI=\"{key}\"\n{key}.ts\n"
            )
        };
        (0..count).map(key).collect()
    };
    let jumps = |count: usize| "#EXT-X-DISCONTINUITY\n#EXTINF:1,\na\n".repeat(count);
    let lists: [List<'_>; 4] = [&renewed, &turns, &each, &jumps];
    for list in lists {
        let costs = [1_000, 4_000].map(|count| {
            let text = format!("#EXTM3U\n{}", list(count));
            let (playlist, cost) = cost(&text);
            assert_eq!(playlist.unwrap().len(), count);
            assert!(cost.stays <= 300 * count, "{}", cost.stays);
            assert!(cost.peak <= 800 * count, "{}", cost.peak);
            assert!(cost.bytes <= 16 * text.len(), "{}", cost.bytes);
            cost.calls
        });
        assert!(costs[1] <= costs[0] * 5, "{costs:?}");
    }
}

#[test]
fn what_is_long_and_said_once_is_not_paid_for_by_every_line() {
    let long = "x".repeat(60_000);
    let other = "#EXT-X-KEY:METHOD=X,KEYFORMAT=\"f\",URI=\"u\"\na.ts\n".repeat(20_000);
    let text = format!("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"{long}\"\n{other}");
    let (playlist, cost) = cost(&text);
    assert_eq!(playlist.unwrap().len(), 20_000);
    assert!(cost.bytes <= 16 * text.len(), "{}", cost.bytes);
}

#[test]
fn variables_that_short_lines_make_long_are_refused_together() {
    let define = format!(
        "#EXT-X-DEFINE:NAME=\"v\",VALUE=\"{}\"\n",
        "x".repeat(60_000)
    );
    for (line, kind) in [
        ("{$v}\n", ""),
        ("#EXT-X-KEY:METHOD=AES-128,URI=\"{$v}\"\n", ""),
        ("#EXT-X-KEY:METHOD=X,KEYFORMAT=\"{$v}\"\n", ""),
        ("#EXT-X-MAP:URI=\"{$v}\"\n", ""),
        ("#EXT-X-DEFINE:IMPORT=\"v\"\n", ""),
        ("#EXT-X-DEFINE:QUERYPARAM=\"v\"\n", ""),
        (
            "{$v}\n",
            "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MEDIA:TYPE=VIDEO\n",
        ),
    ] {
        let query = format!("v=1&w={}", "x".repeat(60_000));
        let parent = format!("#EXTM3U\n{define}#EXT-X-MEDIA:TYPE=VIDEO\n");
        let Ok(Playlist::Multivariant(parent)) =
            Playlist::parse(parent.as_bytes(), &ParseContext::default())
        else {
            panic!("a multivariant playlist");
        };
        let context = ParseContext {
            query: Some(&query),
            parent: kind.is_empty().then(|| parent.variables()),
            ..ParseContext::default()
        };
        let text = format!("#EXTM3U\n{kind}{define}{}a.ts\n", line.repeat(50_000));
        let (bytes, live) = (BYTES.get(), LIVE.get());
        PEAK.set(live);
        let refused = Playlist::parse(text.as_bytes(), &context).err();
        let limit = match refused {
            Some(PlaylistError::TooLarge { limit, .. }) => limit,
            other => panic!("{line}: {other:?}"),
        };
        let expected = [Limit::ReplacedBytes, Limit::ReferenceBytes];
        assert!(expected.contains(&limit), "{line}: {limit}");
        let (bytes, peak) = (BYTES.get() - bytes, PEAK.get() - live);
        assert!(bytes <= 64 << 20, "{line}: {bytes}");
        assert!(peak <= 32 << 20, "{line}: {peak}");
    }
}

#[test]
fn what_is_too_much_is_refused_before_it_costs_too_much() {
    let keys = |count: usize| -> String {
        (0..count)
            .map(|key| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{key}\"\na\n"))
            .collect()
    };
    let maps = |count: usize| -> String {
        (0..count)
            .map(|map| format!("#EXT-X-MAP:URI=\"{map}\"\na\n"))
            .collect()
    };
    let formats = |count: usize| -> String {
        (0..count)
            .map(|format| format!("#EXT-X-KEY:METHOD=X,KEYFORMAT=\"{format}\"\n"))
            .collect::<String>()
            + "a\n"
    };
    let variables = |count: usize| -> String {
        (0..count)
            .map(|name| format!("#EXT-X-DEFINE:NAME=\"{name}\",VALUE=\"\"\n"))
            .collect::<String>()
            + "a\n"
    };
    let bomb = |count: usize| -> String {
        let value = "x".repeat(1_000);
        let line = "{$v}".repeat(60) + "\n";
        format!("#EXT-X-DEFINE:NAME=\"v\",VALUE=\"{value}\"\n")
            + &(0..count)
                .map(|index| format!("{index}{line}"))
                .collect::<String>()
    };
    let segments = |count: usize| "a\n".repeat(count);
    let lists: [(List<'_>, usize, Limit); 6] = [
        (&segments, 100_000, Limit::Segments),
        (&keys, 4_096, Limit::Keys),
        (&maps, 4_096, Limit::InitSections),
        (&formats, 8, Limit::KeyFormats),
        (&variables, 256, Limit::Variables),
        (&bomb, 69, Limit::ReferenceBytes),
    ];
    for (list, most, limit) in lists {
        assert!(media(&list(most)).is_ok(), "{most} {limit}");
        for count in [most + 1, most * 10] {
            let text = format!("#EXTM3U\n{}", list(count));
            let (refused, cost) = cost(&text);
            let expected = matches!(&refused, Err(PlaylistError::TooLarge { limit: found, .. }) if *found == limit);
            assert!(expected, "{count}: {refused:?}");
            assert!(cost.peak < 20_000_000, "{count} {limit}: {}", cost.peak);
            assert_eq!(cost.stays, 0);
        }
    }
}

#[test]
fn a_thousand_times_too_much_is_refused_by_its_size() {
    for piece in [
        "a\n",
        "#EXT-X-DISCONTINUITY\n",
        "#EXT-X-DATERANGE:ID=\"x\",START-DATE=\"2026-01-01T00:00:00Z\"\n",
    ] {
        let text = "#EXTM3U\n".to_owned() + &piece.repeat(10_000_000 / piece.len());
        let (refused, cost) = cost(&text);
        let by_size = matches!(
            refused,
            Err(PlaylistError::TooLarge {
                limit: Limit::Bytes,
                ..
            })
        );
        assert!(by_size && cost.peak < 1_000, "{}", cost.peak);
    }
    // What fits but has no segments is bounded too.
    let text = "#EXTM3U\n".to_owned()
        + &"#EXT-X-DATERANGE:ID=\"x\",START-DATE=\"2026-01-01T00:00:00Z\"\n".repeat(60_000);
    let (playlist, cost) = cost(&text);
    let playlist = playlist.unwrap();
    assert_eq!(playlist.date_ranges().len(), 1_000);
    assert_eq!(
        (playlist.notes().len(), playlist.further_notes()),
        (64, 59_000 + 1 - 64)
    );
    assert!(cost.peak < 2_000_000, "{}", cost.peak);
}
