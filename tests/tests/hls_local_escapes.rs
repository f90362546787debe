//! Where a playlist on this machine may not lead: out of its folder, in any spelling, by any link, as segment, key, init section,
//! variant or rendition; and where it may once the caller grants it.

#![cfg(unix)]

#[path = "support/album.rs"]
mod album;
#[path = "support/network.rs"]
mod network;

use std::os::unix::fs::symlink;

use album::*;
use kithara::net::{NetOptions, Url};
use kithara::{ErrorKind, Resource, ResourceConfig};
use kithara_tests::fixtures::hls;
use kithara_tests::server::{FaultServer, Script};
use network::*;

const PLACES: [&str; 5] = ["segment", "key", "map", "variant", "rendition"];

/// What each place would be given outside, and there would play: so whatever is read there is heard.
fn wanted(place: &str) -> &'static str {
    match place {
        "segment" => "canary-0.ts",
        "key" => "canary-key.bin",
        "map" => "canary-init.mp4",
        _ => "canary-media.m3u8",
    }
}

/// A playlist with that reference in that place.
fn playlist(place: &str, reference: &str) -> String {
    match place {
        "segment" => renamed("ts-aac", |name| match name {
            "0.ts" => reference.to_owned(),
            name => format!("ts-aac/{name}"),
        }),
        "key" => {
            let list = renamed("aes-ts", |name| format!("aes-ts/{name}"));
            list.replace("key.bin", reference)
        }
        "map" => {
            let list = renamed("aac-48", |name| format!("aac-48/{name}"));
            list.replace("init.mp4", reference)
        }
        "variant" => format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{reference}\n"),
        _ => format!(
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"g\",NAME=\"n\",DEFAULT=YES,URI=\"{reference}\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.4d401f,mp4a.40.2\",AUDIO=\"g\"\nvideo.m3u8\n"
        ),
    }
}

/// An album, and beside it what must not be read from there.
fn temptation() -> Album {
    let album = Album::of(&["ts-aac", "aes-ts", "aac-48"]);
    let link = |target: &str, name: &str| {
        symlink(album.path(target), album.path(name)).expect("a link");
    };
    for folder in ["outside", "album/inside"] {
        album.copy("ts-aac", folder);
        for (fixture, name) in [
            ("ts-aac/0.ts", "canary-0.ts"),
            ("aes-ts/key.bin", "canary-key.bin"),
            ("aac-48/init.mp4", "canary-init.mp4"),
            ("ts-aac/media.m3u8", "canary-media.m3u8"),
        ] {
            album.write(&format!("{folder}/{name}"), hls::file(fixture));
        }
    }
    link("outside", "album/linked");
    link("album/linked", "album/twice");
    for place in PLACES {
        let name = wanted(place);
        if !album.path(&format!("album/to-{name}")).exists() {
            link(&format!("outside/{name}"), &format!("album/to-{name}"));
        }
    }
    album
}

fn open(album: &Album, place: &str, reference: &str) -> ResourceConfig {
    album.write("album/list", playlist(place, reference));
    album.title("album/list")
}

fn kind(config: ResourceConfig) -> Option<ErrorKind> {
    let error = Resource::blocking(config).err()?;
    // A file's name is not told, nor what is in it.
    let told = format!("{error:?} {error}");
    assert!(!told.contains("canary"), "{told}");
    Some(error.kind())
}

#[test]
fn no_spelling_and_no_link_leads_out_of_the_folder() {
    let album = temptation();
    let there = album.path("outside").canonicalize().expect("it is there");
    let there = there.to_str().expect("UTF-8").to_owned();
    let slashes = there.replace('/', "\\");
    for place in PLACES {
        let name = wanted(place);
        assert_eq!(
            kind(open(&album, place, &format!("inside/{name}"))),
            None,
            "{place}"
        );
        let spellings = [
            format!("../outside/{name}"),
            format!("./../outside/{name}"),
            format!("inside/../../outside/{name}"),
            format!("%2e%2e/outside/{name}"),
            format!(".%2E/outside/{name}"),
            format!("%2e./outside/{name}"),
            format!("..%2foutside%2f{name}"),
            format!("%2e%2e%2foutside%2f{name}"),
            format!("inside%2f..%2f..%2foutside%2f{name}"),
            format!("..\\outside\\{name}"),
            format!("{there}/{name}"),
            format!("{slashes}\\{name}"),
            format!("//{there}/{name}"),
            format!("//.{there}/{name}"),
            format!("%2f{name}"),
            format!("file:{there}/{name}"),
            format!("file://{there}/{name}"),
            format!("FiLe:///{there}/{name}"),
            format!("file:\\\\\\{slashes}\\{name}"),
            format!("file://localhost{there}/{name}"),
            format!("fi\tle://{there}/{name}"),
            format!("file:../outside/{name}"),
            format!("file://{there}/{name}?x#y"),
            format!("file://{there}/{name}%00"),
            format!("//host{there}/{name}"),
            format!("\\\\host{slashes}\\{name}"),
            format!("/\\host{there}/{name}"),
            format!("file://host{there}/{name}"),
            format!("file://127.0.0.1{there}/{name}"),
            "\\\\host\\x".to_owned(),
            "//host/x".to_owned(),
            format!("C:{there}/{name}"),
            format!("C:\\{name}"),
            format!("view-source:file://{there}/{name}"),
            format!("file:///proc/self/root{there}/{name}"),
            format!("to-{name}"),
            format!("linked/{name}"),
            format!("twice/{name}"),
            format!("inside/../linked/./{name}"),
        ];
        for reference in spellings {
            let refused = kind(open(&album, place, &reference));
            assert_eq!(refused, Some(ErrorKind::Policy), "{place}: {reference:?}");
        }
    }
}

#[test]
fn granted_folders_may_be_referred_to_and_none_beside_them() {
    let album = temptation();
    album.copy("ts-aac", "further");
    let there = album.path("outside").canonicalize().expect("it is there");
    let there = Url::from_directory_path(there).expect("a path");
    symlink(album.path("outside"), album.path("short")).expect("a link");
    let short = album.path("short");
    let short_url = Url::from_directory_path(&short).expect("a path");
    for place in PLACES {
        let name = wanted(place);
        for reference in [
            format!("../outside/{name}"),
            format!("{there}{name}"),
            format!("{short_url}{name}"),
            format!("linked/{name}"),
            format!("to-{name}"),
        ] {
            for root in [
                album.path("nowhere"),
                album.path("album"),
                album.path("further"),
            ] {
                let config = open(&album, place, &reference).with_local_root(root);
                assert_eq!(kind(config), Some(ErrorKind::Policy), "{reference}");
            }
            let config = open(&album, place, &reference)
                .with_local_root(album.path("nowhere"))
                .with_local_root(&short);
            // What a list refers to is where the list is named, and not where a link to it leads.
            let is_linked_list = reference.starts_with("to-") && name.ends_with(".m3u8");
            let missing = ErrorKind::Io(std::io::ErrorKind::NotFound);
            let expected = is_linked_list.then_some(missing);
            assert_eq!(kind(config), expected, "{place}: {reference}");
        }
    }
    let config = open(&album, "segment", "../further/0.ts").with_local_root(short);
    assert_eq!(kind(config), Some(ErrorKind::Policy));
    // What is granted for playlists here is not for those of a server.
    let server = FaultServer::start();
    server.serve(
        "/list",
        Script::file(playlist("segment", &format!("{there}0.ts"))),
    );
    let config = config_with(&server.url("/list"), NetOptions::default());
    let refused = kind(config.with_hint("hls").with_local_root("/"));
    assert_eq!(refused, Some(ErrorKind::Policy));
}

#[test]
fn a_server_that_a_playlist_here_names_reaches_no_file() {
    let album = temptation();
    let server = FaultServer::start();
    let inside = album
        .path("album/inside")
        .canonicalize()
        .expect("it is there");
    let inside = Url::from_directory_path(inside).expect("a path");
    let named = |place: &str, reference: &str| {
        server.serve("/there", Script::file(playlist(place, reference)));
        let config = open(&album, "variant", &server.url("/there"));
        config.with_client(client(NetOptions::default(), quick()))
    };
    for place in ["segment", "key", "map"] {
        let config = named(place, &format!("{inside}{}", wanted(place)));
        assert_eq!(kind(config), Some(ErrorKind::Policy), "{place}");
    }
    // Nor by a redirect.
    for place in PLACES {
        let target = format!("{inside}{}", wanted(place));
        server.serve("/hop", Script::redirect(302, &target));
        let config = open(&album, place, &server.url("/hop"));
        let config = config.with_client(client(NetOptions::default(), quick()));
        assert_eq!(kind(config), Some(ErrorKind::Policy), "{place}");
    }
}

#[test]
fn a_pipe_in_the_folder_is_not_waited_for() {
    let album = temptation();
    for folder in ["album/inside", "outside"] {
        let pipe = album.path(&format!("{folder}/pipe"));
        let made = std::process::Command::new("mkfifo").arg(pipe).status();
        assert!(made.expect("mkfifo").success());
    }
    symlink("/dev/zero", album.path("album/inside/device")).expect("a link");
    for place in PLACES {
        let pipe = kind(open(&album, place, "inside/pipe"));
        assert_eq!(pipe, Some(ErrorKind::Unsupported), "{place}");
        let outside = kind(open(&album, place, "../outside/pipe"));
        assert_eq!(outside, Some(ErrorKind::Policy), "{place}");
        let device = kind(open(&album, place, "inside/device"));
        assert_eq!(device, Some(ErrorKind::Policy), "{place}");
    }
}
