//! When variants are switched, and when not, in a simulated world.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use kithara_hls::abr::AbrMode;
use kithara_hls::{HlsConfig, HlsEvent};
use world::{Answer, World};

const LONG: Duration = Duration::from_secs(600);

const THREE: &[u8] = b"#EXTM3U\n\
    #EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\nlow/list.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS=\"mp4a.40.2\"\nmid/list.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=320000,CODECS=\"mp4a.40.2\"\nhigh/list.m3u8\n";

/// Three variants of `count` segments, of which the last may have some fewer.
fn origin(path: &str, count: u64, fewer: u64) -> Answer {
    let (folder, name) = path.split_once('/').unwrap_or(("", path));
    let (size, count) = match folder {
        "low" => (32_000, count),
        "mid" => (64_000, count),
        "high" => (160_000, count.saturating_sub(fewer)),
        _ => return Answer::Bytes(THREE.to_vec()),
    };
    match name {
        "list.m3u8" => {
            let segments = (0..count).map(|number| format!("#EXTINF:4,\ns{number}.aac\n"));
            let segments: String = segments.collect();
            let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{segments}#EXT-X-ENDLIST\n");
            Answer::Bytes(text.into_bytes())
        }
        _ => Answer::Bytes(vec![7; size]),
    }
}

#[test]
fn no_switch_is_announced_where_nothing_is_left_to_fetch() {
    for count in 6..=26 {
        for fewer in [0, 2] {
            for slow in [4, 12, 20] {
                let serve = move |path: &str, _: usize, _: Duration| origin(path, count, fewer);
                let from_the_top = |config: HlsConfig| config.with_abr_mode(AbrMode::Auto(Some(2)));
                let mut world = World::new("m.m3u8", from_the_top, serve);
                world.rate = Box::new(move |now| match now.as_secs() < slow {
                    true => 25e3,
                    false => 300e3,
                });
                world.play(LONG);
                let what = format!("{count} segments, {fewer} fewer, slow for {slow} s");
                assert!(world.ended && world.failure.is_none(), "{what}");
                if fewer == 0 {
                    assert_eq!(world.played().len() as u64, count, "{what}");
                }
                // Whatever is switched to is fetched.
                let mut open = None;
                for event in &world.events {
                    match event {
                        HlsEvent::VariantChanged {
                            from: Some(_),
                            to,
                            reason,
                            at,
                        } => {
                            assert_eq!(open, None, "{what}");
                            open = Some((*to, *reason, *at));
                        }
                        HlsEvent::SegmentStarted { variant, .. } => {
                            open = open.filter(|(to, ..)| to != variant);
                        }
                        _ => {}
                    }
                }
                assert_eq!(open, None, "{what}");
            }
        }
    }
}
