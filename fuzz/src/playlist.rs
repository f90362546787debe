//! Playlists, and a live one that becomes another again and again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kithara::hls::{
    AudioPreference, Encryption, MediaPlaylist, Merge, MultivariantPlaylist, ParseContext,
    Playlist, Window,
};

/// No print shows this, wherever it stands in a reference.
const SECRET: &str = "canary7531";

/// Playlists, NUL between them: each is read, and those with segments are loaded one after another.
pub fn run(data: &[u8]) {
    let mut window = None;
    for (index, text) in data.split(|byte| *byte == 0).take(8).enumerate() {
        let now = Duration::from_secs(index as u64 * 5);
        let context = ParseContext {
            query: Some("token=t&a=b"),
            ..ParseContext::default()
        };
        match Playlist::parse(text, &context) {
            Ok(Playlist::Media(playlist)) => {
                check_media(&playlist);
                follow(&mut window, playlist, now);
            }
            Ok(Playlist::Multivariant(playlist)) => check_multivariant(&playlist),
            Err(error) => assert!(format!("{error} {error:?}").len() < 32 * 1024),
        }
    }
}

/// What is read holds together.
fn check_media(playlist: &MediaPlaylist) {
    let (mut end, mut sequence) = (Duration::ZERO, playlist.first_sequence());
    let mut jumps = playlist.discontinuity_sequence();
    for (index, segment) in playlist.segments().enumerate() {
        assert_eq!((segment.start, segment.sequence), (end, sequence));
        assert!(!segment.reference.is_empty());
        assert!(
            segment
                .range
                .as_ref()
                .is_none_or(|range| range.start < range.end)
        );
        assert!(segment.discontinuity_sequence >= jumps);
        assert_eq!(playlist.index_of(sequence), Some(index));
        let found = playlist
            .index_at(segment.start)
            .and_then(|at| playlist.segment(at));
        assert!(found.is_none_or(|found| found.start == segment.start));
        // The name of a method that is not known is shown, and may be anything.
        let told = matches!(segment.encryption, Encryption::Unsupported { .. });
        assert!(told || !format!("{segment:?}").contains(SECRET));
        (end, sequence) = (end + segment.duration, sequence + 1);
        jumps = segment.discontinuity_sequence;
    }
    assert_eq!(
        (playlist.duration(), playlist.end_sequence()),
        (end, sequence)
    );
    assert!(playlist.target_duration() >= Duration::from_secs(1));
    assert!(!format!("{playlist:?}").contains(SECRET));
}

fn check_multivariant(playlist: &MultivariantPlaylist) {
    for language in [None, Some("de".to_owned())] {
        let preference = AudioPreference {
            language,
            ..AudioPreference::default()
        };
        let Ok(choices) = playlist.choose(&preference) else {
            continue;
        };
        assert!(!choices.variants.is_empty());
        assert_eq!(choices.ladder().len(), choices.infos().len());
        for choice in &choices.variants {
            assert!(!choice.reference.as_str().is_empty());
        }
    }
}

/// A list that becomes another.
fn follow(window: &mut Option<Window>, playlist: MediaPlaylist, now: Duration) {
    let Some(window) = window else {
        *window = Some(Window::new(playlist, now, now));
        return;
    };
    let beside = Window::beside(window, playlist.clone(), now, now);
    check_window(&beside, now);
    let before = window.clone();
    let merge = window.handle_reload(playlist, now, now);
    check_window(window, now);
    let anew = merge == Merge::Reset;
    assert_eq!(window.epoch(), before.epoch() + u64::from(anew));
    // The first segment that both lists have keeps its time.
    let common = before
        .playlist()
        .first_sequence()
        .max(window.playlist().first_sequence());
    if let (false, Some((_, was)), Some((_, is))) =
        (anew, before.segment(common), window.segment(common))
    {
        assert_eq!(was, is, "{merge:?}");
    }
    assert!(window.range().end >= before.range().start);
}

fn check_window(window: &Window, now: Duration) {
    let (range, seekable) = (window.range(), window.seekable_range());
    assert!(range.start <= range.end);
    assert!(
        range.start <= seekable.start
            && seekable.start <= seekable.end
            && seekable.end <= range.end
    );
    let join = window.join_point(None);
    assert!(range.contains(&join) || join == range.start || window.playlist().duration().is_zero());
    if let Some((segment, start)) = window.segment_at(join) {
        assert!(start <= join && join <= start + segment.duration);
    }
    assert!(
        window
            .next_reload()
            .is_none_or(|next| next >= now + Duration::from_secs(1))
    );
    let _ = window.freshness(now);
}

/// Playlists of an encoder, and one of everything.
pub fn seeds() -> Vec<Vec<u8>> {
    const RICH: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-DISCONTINUITY-SEQUENCE:2\n\
        #EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n#EXT-X-START:TIME-OFFSET=-7.5,PRECISE=YES\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"k{$a}?canary7531\",IV=0x000102030405060708090a0b0c0d0e0f\n\
        #EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"5@7\"\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.5+01:00\n#EXTINF:5.005,title\n\
        #EXT-X-BYTERANGE:100@7\na.mp4?canary7531\n#EXTINF:6,\n#EXT-X-BYTERANGE:50\na.mp4?canary7531\n#EXT-X-DISCONTINUITY\n#EXT-X-GAP\n\
        #EXTINF:-1,\n{$token}.mp4\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"s\",KEYFORMAT=\"x\"\n#EXTINF:4,\nb.mp4\n\
        #EXT-X-DATERANGE:ID=\"x\",START-DATE=\"2026-01-01T00:00:00Z\",X-A=\"canary7531\"\n";
    const LATER: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:4,\nb\n#EXTINF:4,\nc\n#EXT-X-ENDLIST\n";
    const GROUPS: &str = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"n\",LANGUAGE=\"de\",CHANNELS=\"2\",URI=\"u?canary7531\"\n\
        #EXT-X-SESSION-DATA:DATA-ID=\"x\",VALUE=\"y\"\n#EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1,mp4a.40.2\",AUDIO=\"g\"\na.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=5,CODECS=\"ec-3\"\nb.m3u8\n#EXT-X-I-FRAME-STREAM-INF:URI=\"i\"\n";
    let mut seeds = vec![
        RICH.into(),
        GROUPS.into(),
        [RICH, LATER, RICH].join("\0").into_bytes(),
    ];
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/kithara-hls/tests/playlists");
    let entries = fs::read_dir(folder).expect("the playlists are in the repository");
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    // The order of a folder is not fixed, and a seeded run is.
    paths.sort();
    let playlists = paths.iter().filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "m3u8")
    });
    seeds.extend(playlists.filter_map(|path| fs::read(path).ok()));
    seeds
}
