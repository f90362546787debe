//! Each limit of a playlist: what is just small enough is read, one more is refused, and so is a thousand times as much.

#![allow(clippy::unwrap_used)] // A playlist that should be read and isn't is a failed test.

use kithara_hls::{Limit, ParseContext, Playlist, PlaylistError, PlaylistLimits};

/// What is wrong with a playlist of so many of something.
type List = fn(usize) -> String;

fn media(lines: &str) -> String {
    format!("#EXTM3U\n{lines}")
}

fn refused(text: &str, limits: PlaylistLimits) -> Option<Limit> {
    let context = ParseContext {
        limits,
        ..ParseContext::default()
    };
    match Playlist::parse(text.as_bytes(), &context) {
        Ok(_) => None,
        Err(PlaylistError::TooLarge { limit, .. }) => Some(limit),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn every_limit_is_where_it_is_said_to_be() {
    let lists: [(Limit, usize, List); 11] = [
        (Limit::Bytes, 4 << 20, |count| {
            let text = media("a\n");
            let filler = format!("#{}\n", "x".repeat(1022));
            let text = text + &filler.repeat((count - 10) / 1024);
            let rest = count - text.len();
            format!("{text}{}", "\n".repeat(rest))
        }),
        (Limit::LineBytes, 64 << 10, |count| {
            media(&format!("a\n#{}\n", "x".repeat(count - 1)))
        }),
        (Limit::LineBytes, 64 << 10, |count| {
            media(&format!("{}\n", "x".repeat(count)))
        }),
        (Limit::Attributes, 64, |count| {
            let list: Vec<_> = (0..count - 2).map(|index| format!("X-{index}=1")).collect();
            let list = list.join(",");
            media(&format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",{list}\na\n"))
        }),
        (Limit::Segments, 100_000, |count| {
            media(&"a\n".repeat(count))
        }),
        (Limit::Variants, 256, |count| {
            media(&"#EXT-X-STREAM-INF:BANDWIDTH=1\na\n".repeat(count))
        }),
        (Limit::Variants, 256, |count| {
            let renditions = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"n\"\n";
            let variant = "#EXT-X-STREAM-INF:BANDWIDTH=1\na\n";
            media(&(renditions.repeat(count - 1) + variant))
        }),
        (Limit::Keys, 4096, |count| {
            let key = |key| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{key}\"\na\n");
            media(&(0..count).map(key).collect::<String>())
        }),
        (Limit::InitSections, 4096, |count| {
            let map = |map| format!("#EXT-X-MAP:URI=\"{map}\"\na\n");
            media(&(0..count).map(map).collect::<String>())
        }),
        (Limit::KeyFormats, 8, |count| {
            let key = |key| format!("#EXT-X-KEY:METHOD=X,KEYFORMAT=\"{key}\"\n");
            media(&((0..count).map(key).collect::<String>() + "a\n"))
        }),
        (Limit::Variables, 256, |count| {
            let name = |name| format!("#EXT-X-DEFINE:NAME=\"{name}\",VALUE=\"\"\n");
            media(&((0..count).map(name).collect::<String>() + "a\n"))
        }),
    ];
    for (limit, most, list) in lists {
        let limits = PlaylistLimits::default();
        assert_eq!(refused(&list(most), limits), None, "{most} {limit}");
        let more = refused(&list(most + 1), limits);
        assert_eq!(more, Some(limit), "{} {limit}", most + 1);
        // Whatever is met first.
        let text = list(most.saturating_mul(1000).min(100 << 20));
        let much = refused(&text, limits);
        let first = [limit, Limit::Bytes, Limit::LineBytes];
        assert!(
            much.is_some_and(|found| first.contains(&found)),
            "{limit}: {much:?}"
        );
    }
}

#[test]
fn a_caller_can_raise_some_and_none_beyond_its_ceiling() {
    let mut limits = PlaylistLimits::default();
    limits.bytes = usize::MAX;
    limits.segments = usize::MAX;
    limits.variants = usize::MAX;
    let variant = "#EXT-X-STREAM-INF:BANDWIDTH=1\na\n";
    for (limit, most, piece) in [
        (Limit::Segments, 1_000_000, "a\n"),
        (Limit::Variants, 4096, variant),
    ] {
        assert_eq!(refused(&media(&piece.repeat(most)), limits), None);
        let more = refused(&media(&piece.repeat(most + 1)), limits);
        assert_eq!(more, Some(limit), "{limit}");
    }
    let large = |count: usize| media("a\n") + &"#\n".repeat(count / 2 - 5);
    assert_eq!(refused(&large(64 << 20), limits), None);
    assert_eq!(refused(&large((64 << 20) + 2), limits), Some(Limit::Bytes));
}
