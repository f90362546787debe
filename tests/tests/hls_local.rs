//! HLS titles on this machine: every kind of segment, by any name, live, with holes, and with segments elsewhere.

#[path = "support/album.rs"]
mod album;
#[path = "support/cache.rs"]
mod cache;
#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::fs;
use std::time::Duration;

use album::*;
use cache::Cache;
use kithara::file::Amount;
use kithara::hls::SegmentSource;
use kithara::net::{Headers, NetOptions, Origin, Url};
use kithara::{AbrMode, ErrorKind, GapPolicy, HlsEvent, Resource, ResourceConfig};
use kithara_tests::fixtures::hls;
use kithara_tests::server::{FaultServer, Script};
use network::*;
use streams::*;

#[test]
fn every_kind_of_segment_on_disk_decodes_as_ffmpeg_decodes_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = Cache::at(dir.path());
    for fixture in hls::all() {
        let folder = &fixture.folder;
        let path = fixtures().join(folder).join("media.m3u8");
        let mut listener = Listener::open(on_disk(&path).with_store(cache.store.clone()));
        let codec = listener.resource.media_info().codec.expect("a codec");
        assert_eq!(format!("{codec:?}"), fixture.codec, "{folder}");
        let played = listener.play();
        played.unwrap_or_else(|error| panic!("{folder}: {error:?}"));
        assert_eq!(fixture.difference(&listener.pcm), None, "{folder}");
        let stats = listener.resource.control().stats();
        assert_eq!((stats.requests, stats.bytes_fetched), (0, 0), "{folder}");
        let told = listener.events();
        let loaded = hls_events(&told).filter_map(|event| match event {
            HlsEvent::SegmentLoaded { source, .. } => Some(*source),
            HlsEvent::NotKept { reason } => panic!("{folder}: {reason:?}"),
            _ => None,
        });
        let loaded: Vec<_> = loaded.collect();
        assert_eq!(loaded, vec![SegmentSource::Disk; fixture.segments]);
    }
    cache.end();
    // They are on this disk already.
    assert_eq!(
        cache::resources(dir.path()),
        Vec::<std::path::PathBuf>::new()
    );
}

#[test]
fn of_variants_on_disk_the_best_plays_from_its_first_frame() {
    let master = fixtures().join("lossless.m3u8");
    let mut listener = Listener::open(on_disk(&master));
    listener.play().expect("it plays");
    let best = hls::fixture("fmp4-flac");
    assert_eq!(best.difference(&listener.pcm), None);
    let told = listener.events();
    assert!(!hls_events(&told).any(|event| matches!(event, HlsEvent::Throughput { .. })));
    for (index, folder) in ["aac-48", "aac-96", "aac-160"].iter().enumerate() {
        let config = on_disk(&master).with_abr_mode(AbrMode::Manual(index));
        let mut listener = Listener::open(config);
        listener.play().expect("it plays");
        assert_eq!(hls::fixture(folder).difference(&listener.pcm), None);
    }
    let capped = on_disk(&master).with_abr_mode(AbrMode::Capped(110_000));
    let mut listener = Listener::open(capped);
    listener.play().expect("it plays");
    assert_eq!(hls::fixture("aac-96").difference(&listener.pcm), None);
}

#[test]
fn a_playlist_on_disk_is_one_whatever_it_is_called() {
    let album = Album::of(&["aac-48"]);
    let list = hls::text("aac-48/media.m3u8");
    let fixture = hls::fixture("aac-48");
    let plays = |config: ResourceConfig, what: &str| {
        let mut listener = Listener::open(config);
        listener
            .play()
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(fixture.difference(&listener.pcm), None, "{what}");
    };
    for name in [
        "radio",
        "radio.mp3",
        "list.M3U8",
        "a b#?é.txt",
        ".m3u8",
        "list.m3u8.bak",
    ] {
        for text in [
            list.clone(),
            format!("\u{feff}{list}"),
            format!("\r\n\n{list}"),
        ] {
            let name = format!("album/aac-48/{name}");
            album.write(&name, text);
            plays(album.title(&name), &name);
            plays(album.title(&name).with_hint("m3u8"), &name);
        }
    }
    let path = album.path("album/aac-48/radio");
    let url = Url::from_file_path(&path).expect("a path");
    plays(
        ResourceConfig::new(url.as_str())
            .expect("a file URL")
            .without_store(),
        "a file URL",
    );
    // From somewhere else, by steps upwards.
    album.make("elsewhere");
    plays(
        album.title("elsewhere/../album/aac-48/radio"),
        "steps upwards",
    );
    // What only calls itself one is judged as those at URLs are.
    for (name, bytes, kind) in [
        ("page.m3u8", &b"<!DOCTYPE html>"[..], ErrorKind::Playlist),
        ("empty.m3u8", b"", ErrorKind::Playlist),
        ("utf16.m3u8", b"\xff\xfe#\0E\0", ErrorKind::Playlist),
        ("text.txt", b"no list at all", ErrorKind::WrongContent),
    ] {
        album.write(&format!("album/{name}"), bytes);
        let error = Resource::blocking(album.title(&format!("album/{name}"))).err();
        assert_eq!(error.map(|error| error.kind()), Some(kind), "{name}");
    }
    // A list of titles is not taken for a live stream that never goes on.
    let titles = "#EXTM3U\n#EXTINF:180,Somebody - Something\nsong.mp3\n";
    for name in ["titles.m3u", "titles.m3u8"] {
        album.write(&format!("album/{name}"), titles);
        let error = Resource::blocking(album.title(&format!("album/{name}"))).err();
        let error = error.expect("it is no title");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
        assert!(error.to_string().contains("an M3U playlist"), "{error}");
    }
    let missing = Resource::blocking(album.title("album/missing.m3u8")).err();
    let missing = missing.map(|error| error.kind());
    assert_eq!(missing, Some(ErrorKind::Io(std::io::ErrorKind::NotFound)));
    album.make("album/folder.m3u8");
    let folder = Resource::blocking(album.title("album/folder.m3u8")).err();
    assert_eq!(
        folder.map(|error| error.kind()),
        Some(ErrorKind::Unsupported)
    );
}

#[test]
fn references_are_read_as_urls() {
    let album = Album::of(&["aac-48"]);
    album.make("album/aac-48/sub dir");
    for number in 0..6 {
        let (from, to) = (
            format!("{number}.m4s"),
            format!("sub dir/{number} é#?%.m4s"),
        );
        let folder = album.path("album/aac-48");
        fs::copy(folder.join(from), folder.join(to)).expect("room for it");
    }
    let folder = album
        .path("album/aac-48")
        .canonicalize()
        .expect("it is there");
    let absolute = Url::from_directory_path(&folder).expect("a path");
    type Spell = Box<dyn Fn(&str) -> String>;
    let base = absolute.to_string();
    let path = absolute.path().to_owned();
    let spellings: [Spell; 8] = [
        Box::new(|name| format!("./{name}")),
        Box::new(|name| format!("sub%20dir/../{name}")),
        Box::new(|name| format!("../aac-48/{name}")),
        Box::new(|name| format!("sub%20dir/{}%20%C3%A9%23%3F%25.m4s", &name[..1])),
        Box::new(|name| format!("{name}?token=1#t=2")),
        Box::new(|name| format!("file:{name}")),
        Box::new(move |name| format!("{base}{name}")),
        Box::new(move |name| format!("{path}{name}")),
    ];
    for (number, spell) in spellings.iter().enumerate() {
        album.write("album/aac-48/list", renamed("aac-48", spell));
        // The folder of the whole title is where the playlist lies that was opened.
        album.write(
            "album/master",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\naac-48/list\n",
        );
        for list in ["album/aac-48/list", "album/master"] {
            let mut listener = Listener::open(album.title(list));
            listener
                .play()
                .unwrap_or_else(|error| panic!("{number}: {error:?}"));
            assert_eq!(hls::fixture("aac-48").difference(&listener.pcm), None);
        }
    }
}

#[test]
fn segments_at_urls_are_fetched_and_kept_and_told_nothing_of_the_callers() {
    const SECRET: &str = "canary-77ab";
    const SAFE: [&str; 6] = [
        "host",
        "accept",
        "accept-encoding",
        "range",
        "user-agent",
        "if-range",
    ];
    let (server, album) = (origin(), Album::of(&["aes-fmp4"]));
    let dir = tempfile::tempdir().expect("a folder");
    // Every second segment, and the key, lie on the server.
    let far = |name: &str| {
        let number: u32 = name[..1].parse().expect("a number");
        match number % 2 {
            0 => server.url(&format!("/aes-fmp4/{name}")),
            _ => name.to_owned(),
        }
    };
    let list = renamed("aes-fmp4", far).replace("key-0.bin", &server.url("/aes-fmp4/key-0.bin"));
    album.write(&format!("album/aes-fmp4/{SECRET}"), list);
    let fixture = hls::fixture("aes-fmp4");
    for segments in [3, 0] {
        let cache = Cache::at(dir.path());
        let mut options = NetOptions::default();
        let other = Url::parse("http://other.example/").expect("a URL");
        let headers = Headers::new().with("X-Api-Key", SECRET).expect("a header");
        options.headers = vec![(Origin::of(&other).expect("an origin"), headers)];
        let config = album.title(&format!("album/aes-fmp4/{SECRET}"));
        let config = config
            .with_client(client(options, quick()))
            .with_store(cache.store.clone());
        let before = server.requests().len();
        let mut listener = Listener::open(config);
        listener.play().expect("it plays");
        assert_eq!(fixture.difference(&listener.pcm), None);
        let asked = &server.requests()[before..];
        // A key is not kept.
        assert_eq!(asked.len(), segments + 1, "{asked:?}");
        for request in asked {
            let foreign = request
                .headers
                .iter()
                .find(|(name, _)| !SAFE.contains(&name.as_str()));
            assert_eq!(foreign, None);
            assert!(!format!("{request:?}").contains(SECRET));
        }
        drop(listener);
        cache.end();
        assert_eq!(cache::resources(dir.path()).len(), 3, "of the server only");
    }
    for (path, bytes) in cache::files(dir.path()) {
        let name = path.to_string_lossy().into_owned();
        let shown = String::from_utf8_lossy(&bytes).contains(SECRET);
        assert!(!shown && !name.contains(SECRET), "{name}");
    }
}

#[test]
fn a_list_of_variants_may_name_media_playlists_on_servers() {
    let (server, album) = (origin(), Album::empty());
    let variant = server.url("/aac-48/media.m3u8");
    album.write(
        "album/list",
        format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{variant}\n"),
    );
    let config = album.title("album/list");
    let mut listener = Listener::open(config.with_client(client(NetOptions::default(), quick())));
    listener.play().expect("it plays");
    assert_eq!(hls::fixture("aac-48").difference(&listener.pcm), None);
    // And a saved one, whose references are relative to where it came from.
    album.copy("aac-48", "saved");
    for name in [
        "init.mp4", "0.m4s", "1.m4s", "2.m4s", "3.m4s", "4.m4s", "5.m4s",
    ] {
        album.remove(&format!("saved/{name}"));
    }
    let home = Url::parse(&server.url("/aac-48/")).expect("a URL");
    let config = album.title("saved/media.m3u8").with_hls_base_url(home);
    let mut listener = Listener::open(config.with_client(client(NetOptions::default(), quick())));
    listener.play().expect("it plays");
    assert_eq!(hls::fixture("aac-48").difference(&listener.pcm), None);
}

#[test]
fn a_missing_segment_is_what_the_listener_wants_it_to_be() {
    let album = Album::of(&["packed-aac"]);
    album.remove("album/packed-aac/3.aac");
    let fixture = hls::fixture("packed-aac");
    let list = "album/packed-aac/media.m3u8";
    let bounds = segments(fixture);
    let mut listener = Listener::open(album.title(list));
    let error = listener.play().expect_err("it is missing");
    assert_eq!(
        error.kind(),
        ErrorKind::Io(std::io::ErrorKind::NotFound),
        "{error:?}"
    );
    assert!(error.to_string().contains("segment 3"), "{error}");
    assert_eq!(fixture.difference_at(&listener.pcm, 0), None);
    assert!(listener.pcm.len() / 2 >= bounds[3].start - 1024);
    let mut listener = Listener::open(album.title(list).with_gap_policy(GapPolicy::Silence));
    listener.play().expect("it plays");
    assert_eq!(listener.pcm.len() / 2, fixture.frames);
    let silent = frames(&listener.pcm, bounds[3].start + 2048..bounds[3].end - 2048);
    assert!(silent.iter().all(|sample| *sample == 0.0));
    let rest = bounds[4].start + 4096;
    let after = frames(&listener.pcm, rest..fixture.frames);
    assert_eq!(fixture.difference_at(after, rest), None);
    let told = listener.events();
    assert!(hls_events(&told).any(|event| matches!(event, HlsEvent::Gap { silent: true, .. })));
    assert!(!hls_events(&told).any(|event| matches!(event, HlsEvent::Retrying { .. })));
    // Another variant has it.
    let album = Album::of(&["aac-48", "aac-96", "aac-160", "fmp4-flac"]);
    album.write("album/lossless.m3u8", hls::text("lossless.m3u8"));
    album.remove("album/fmp4-flac/3.m4s");
    let mut listener = Listener::open(album.title("album/lossless.m3u8"));
    listener.play().expect("it plays");
    assert_eq!(listener.pcm.len(), 2 * 485_100);
}

#[test]
fn a_folder_that_goes_away_ends_the_title_behind_what_was_read() {
    let album = Album::of(&["packed-aac"]);
    let config = album
        .title("album/packed-aac/media.m3u8")
        .with_hls_policy(near());
    let mut listener = Listener::open(config);
    listener.read_samples(4096).expect("it plays");
    fs::remove_dir_all(album.path("album")).expect("it was there");
    let error = listener.play().expect_err("nothing is left");
    assert_eq!(
        error.kind(),
        ErrorKind::Io(std::io::ErrorKind::NotFound),
        "{error:?}"
    );
    assert_eq!(
        hls::fixture("packed-aac").difference_at(&listener.pcm, 0),
        None
    );
    assert_eq!(listener.play().expect_err("still").kind(), error.kind());
}

#[test]
fn a_live_list_on_disk_is_read_again_until_it_ends() {
    let album = Album::of(&["packed-aac"]);
    let show = |numbers, ended| {
        // Read again no sooner than after half of this.
        let text = hls::live("packed-aac", numbers, ended).replace("DURATION:2", "DURATION:1");
        album.write("album/packed-aac/next", text);
        let (next, list) = (
            album.path("album/packed-aac/next"),
            album.path("album/packed-aac/live"),
        );
        fs::rename(next, list).expect("it is there");
    };
    show(0..4, false);
    let mut listener = Listener::open(album.title("album/packed-aac/live"));
    let control = listener.resource.control();
    assert!(control.is_live());
    let joined = listener.resource.position();
    show(2..6, true);
    listener.play().expect("it plays to its end");
    assert!(!control.is_live());
    let fixture = hls::fixture("packed-aac");
    let first = listener.resource.spec().frames(joined) as usize;
    assert_eq!(listener.pcm.len() / 2, fixture.frames - first);
    let rest = frames(&listener.pcm, 1024..fixture.frames - first);
    assert_eq!(fixture.difference_at(rest, first + 1024), None);
}

#[test]
fn a_playlist_on_disk_is_not_fetched_before_it_is_played() {
    let album = Album::of(&["aac-48"]);
    album.write("album/aac-48/radio", hls::text("aac-48/media.m3u8"));
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["media.m3u8", "radio"] {
        let cache = Cache::at(dir.path());
        let config = album.title(&format!("album/aac-48/{name}"));
        let config = config.with_store(cache.store.clone());
        let error = Resource::prefetch_blocking(config, Amount::All).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
        assert!(error.to_string().contains("HLS"), "{error}");
        cache.end();
    }
}

#[test]
fn a_seek_on_disk_is_exact_and_begins_where_it_should() {
    let fixture = hls::fixture("range-fmp4");
    let mut listener = Listener::open(on_disk(&fixtures().join("range-fmp4/media.m3u8")));
    for millis in [9_000, 2_500, 0, 10_900, 6_000] {
        let to = Duration::from_millis(millis);
        let (frame, exact) = listener
            .seek(to, kithara::SeekMode::Exact)
            .expect("it seeks");
        assert!(exact);
        listener.pcm.clear();
        listener.read_samples(2 * 8192).expect("it plays");
        let frame = frame as usize;
        assert_eq!(
            fixture.difference_at(&listener.pcm, frame),
            None,
            "{millis}"
        );
    }
}

#[test]
fn a_page_in_place_of_a_segment_is_none() {
    let album = Album::of(&["ts-aac"]);
    for bytes in [
        &b"<!DOCTYPE html><html>"[..],
        b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n",
    ] {
        album.write("album/ts-aac/0.ts", bytes);
        let error = Resource::blocking(album.title("album/ts-aac/media.m3u8")).err();
        let kind = error.map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::WrongContent));
    }
    // One server answers for what it is asked, whoever else lists it.
    let server = FaultServer::start();
    server.serve("/0.ts", Script::redirect(302, "file:///etc/passwd"));
    let list = renamed("ts-aac", |_| server.url("/0.ts"));
    album.write("album/ts-aac/media.m3u8", list);
    let config = album.title("album/ts-aac/media.m3u8");
    let config = config.with_client(client(NetOptions::default(), quick()));
    let error = Resource::blocking(config).err();
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Policy));
}

#[test]
fn a_segment_that_is_named_again_and_again_is_heard_as_often() {
    let album = Album::of(&["packed-aac"]);
    let segment = "#EXTINF:2,\n0.aac\n";
    let mut list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    list.push_str(&[segment; 4].join("#EXT-X-DISCONTINUITY\n"));
    list.push_str("#EXT-X-ENDLIST\n");
    album.write("album/packed-aac/again", list);
    let mut listener = Listener::open(album.title("album/packed-aac/again"));
    listener.play().expect("it plays");
    let told = listener.events();
    let loaded = hls_events(&told).filter(|event| {
        let disk = SegmentSource::Disk;
        matches!(event, HlsEvent::SegmentLoaded { source, .. } if *source == disk)
    });
    assert_eq!(loaded.count(), 4);
    let count = listener.pcm.len() / 2;
    assert!(count.abs_diff(4 * 2 * 44_100) < 4 * 1024, "{count} frames");
}
