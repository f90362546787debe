//! Every format, local and over HTTP, against ffmpeg's decode.

#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kithara::net::{HttpClient, Net, NetExt, NetOptions, RetryPolicy};
use kithara::{Error, ErrorKind, Resource, ResourceConfig};
use kithara_tests::fixtures::{self, Fixture, Paging, long_flac, long_mp3, long_wav, pcm_sha256};
use kithara_tests::server::{FaultServer, Gate, Script};

/// How far a lossy decode may be from ffmpeg's.
const CLOSE: f32 = 1e-4;

/// The same by codec: HE-AAC as closely as floats are computed, Opus within a step of 16 bits.
fn close(fixture: &Fixture) -> f32 {
    match fixture.codec.as_str() {
        "AacHe" | "AacHeV2" => 1e-5,
        "Opus" => 1.0 / 32_768.0,
        _ => CLOSE,
    }
}

fn local(path: &Path) -> ResourceConfig {
    ResourceConfig::from_src(path.to_path_buf())
}

/// A client of its own, so that connections of other tests don't matter.
fn remote(url: &str) -> ResourceConfig {
    let mut options = NetOptions::default();
    // What is held for ever by a script is soon told.
    options.timeouts.stall = Duration::from_secs(5);
    let mut policy = RetryPolicy::default();
    policy.retries = 0;
    let client: Arc<dyn Net> = Arc::new(HttpClient::new(options).unwrap().with_retry(policy));
    ResourceConfig::new(url)
        .unwrap()
        .without_store()
        .with_client(client)
}

/// Everything until the end or the first error.
fn read_all(resource: &mut Resource) -> (Vec<f32>, Option<Error>) {
    let mut all = Vec::new();
    let mut block = vec![0.0; 4096 - 4096 % usize::from(resource.spec().channels.get())];
    loop {
        match resource.read(&mut block) {
            Ok(0) => return (all, None),
            Ok(read) => all.extend_from_slice(&block[..read]),
            Err(error) => return (all, Some(error)),
        }
    }
}

fn decode(config: ResourceConfig) -> Vec<f32> {
    let mut resource = Resource::blocking(config).unwrap();
    let (samples, error) = read_all(&mut resource);
    assert!(error.is_none(), "{error:?}");
    samples
}

fn assert_like_ffmpeg(fixture: &Fixture, samples: &[f32]) {
    let file = &fixture.file;
    let frames = samples.len() as u64 / u64::from(fixture.channels);
    assert_eq!(frames, fixture.source_frames, "{file}: frames");
    if let (Some(hash), true) = (&fixture.sha256, fixture.source_frames == fixture.frames) {
        assert_eq!(pcm_sha256(samples), *hash, "{file}: every sample");
        return;
    }
    // The reference is FLAC, whose decode is proven exact by the hashes of other fixtures.
    let reference = decode(local(&fixture.reference_path().unwrap()));
    let reference = &reference[fixture.source_samples()];
    assert_eq!(samples.len(), reference.len(), "{file}: samples");
    for (index, (ours, theirs)) in samples.iter().zip(reference).enumerate() {
        assert!(
            (ours - theirs).abs() <= close(fixture),
            "{file}: sample {index}: {ours} for {theirs}"
        );
    }
}

#[test]
fn every_local_format_decodes_as_ffmpeg_decodes_it() {
    for fixture in fixtures::playable() {
        let mut resource = Resource::blocking(local(&fixture.path())).unwrap();
        let info = resource.media_info().clone();
        assert_eq!(
            format!("{:?}", info.container.unwrap()),
            fixture.container,
            "{}",
            fixture.file
        );
        assert_eq!(
            format!("{:?}", info.codec.unwrap()),
            fixture.codec,
            "{}",
            fixture.file
        );
        assert_eq!(
            resource.spec().sample_rate.get(),
            fixture.sample_rate,
            "{}",
            fixture.file
        );
        assert_eq!(
            resource.spec().channels.get(),
            fixture.channels,
            "{}",
            fixture.file
        );
        let (samples, error) = read_all(&mut resource);
        assert!(error.is_none(), "{}: {error:?}", fixture.file);
        assert_like_ffmpeg(fixture, &samples);
    }
}

#[test]
fn every_format_over_http_decodes_the_same_from_few_requests() {
    let server = FaultServer::start();
    for fixture in fixtures::playable() {
        let path = format!("/{}", fixture.file);
        let script = Script::file(fixture.bytes()).media_type(fixture.media_type());
        server.serve(&path, script);
        let samples = decode(remote(&server.url(&path)));
        assert_like_ffmpeg(fixture, &samples);
        let requests = server.requests_for(&path);
        let far_tail = fixture.file.contains("-last") || fixture.container == "Caf";
        let skips = fixture.file.contains("tags") || fixture.file.contains("picture");
        let most = if far_tail || skips { 3 } else { 1 };
        assert!(requests.len() <= most, "{}: {requests:#?}", fixture.file);
        assert!(
            requests.iter().all(|request| request.method == "GET"),
            "{}",
            fixture.file
        );
    }
}

/// The bytes of a playable fixture, and how many of them must be enough for its first sound: less than half, though that of
/// the shorter bare ones needs some more of them.
fn with_front(fixture: &Fixture) -> (Vec<u8>, usize) {
    let mut bytes = fixture.bytes();
    if let "MpegAudio" | "Adts" = fixture.container.as_str() {
        bytes = bytes.repeat(1 + 100_000 / bytes.len());
    }
    // Looked at in one piece, to tell the container.
    const LOOK: usize = 4 * 1024;
    let front = if fixture.container == "Ogg" {
        // A page may take 64 KiB, and is only usable whole (RFC 3533 §6): the headers, and the first of the audio.
        let pages = fixtures::ogg_pages(&bytes);
        pages[..3].iter().map(Vec::len).sum::<usize>().max(LOOK)
    } else {
        (48 * 1024).min(bytes.len() / 2).max(LOOK)
    };
    (bytes, front)
}

/// The first frame must come although the server holds everything behind the front of the file.
#[test]
fn first_sound_needs_only_the_front_of_the_file() {
    let long = [
        ("mp3", long_mp3(3).bytes),
        ("wav", long_wav(30).bytes),
        ("flac", long_flac(30).bytes),
    ];
    let long = long.map(|(name, bytes)| (name, bytes, 48 * 1024));
    let fixtures = fixtures::playable()
        .filter(|fixture| !fixture.file.contains("-last") && !fixture.file.contains("picture"))
        // Its packet table stands at the end, where `ffmpeg` puts it.
        .filter(|fixture| !fixture.file.contains("tags") && fixture.file != "caf-alac.caf")
        .map(|fixture| {
            let (bytes, front) = with_front(fixture);
            (fixture.file.as_str(), bytes, front)
        })
        // Of the shortest there is hardly anything to hold back.
        .filter(|(_, bytes, front)| *front < bytes.len());
    let server = FaultServer::start();
    for (name, bytes, front) in long.into_iter().chain(fixtures) {
        let gate = Gate::new();
        let path = format!("/front/{name}");
        server.serve(&path, Script::file(bytes).hold_at(front as u64, &gate));
        let resource = Resource::blocking(remote(&server.url(&path)));
        let resource = resource.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(server.requests_for(&path).len(), 1, "{name}: one request");
        assert!(!gate.is_open());
        drop(resource);
        gate.open();
    }
}

/// A large picture or tag in front is skipped by a range, not read: the server never sends the middle of it.
#[test]
fn a_large_picture_in_front_is_skipped() {
    const KIB: u64 = 1024;
    let ogg = |file, bytes, paging| fixtures::ogg_with_pictures(file, &[bytes], paging);
    let (vorbis, flac) = ("ogg-vorbis.ogg", "ogg-flac.ogg");
    let cases = [
        (
            "flac-picture.flac",
            fixtures::fixture("flac-picture.flac").bytes(),
            128,
        ),
        (
            "mp3-tags.mp3",
            fixtures::fixture("mp3-tags.mp3").bytes(),
            128,
        ),
        (
            "cover.m4a",
            fixtures::mp4_with_cover("m4a-aac-first.m4a", 200_000),
            128,
        ),
        (
            "cover.mp4",
            fixtures::mp4_with_cover("fmp4-aac.mp4", 200_000),
            128,
        ),
        ("300.ogg", ogg(vorbis, 300_000, Paging::Full), 128),
        ("17.ogg", ogg(vorbis, 17_000_000, Paging::Laces(16)), 128),
        // A page of its audio takes 64 KiB, and all that is behind the picture may be on its way.
        ("300.oga", ogg(flac, 300_000, Paging::Apart), 208),
        ("16.oga", ogg(flac, (1 << 24) - 1, Paging::Apart), 208),
    ];
    let server = FaultServer::start();
    for (name, bytes, most) in cases {
        let path = format!("/{name}");
        let gate = Gate::new();
        let script = Script::file(bytes).throttle(40_000);
        server.serve(&path, script.hold_at(48 * KIB, &gate));
        let resource = Resource::blocking(remote(&server.url(&path)));
        let resource = resource.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let requests = server.requests_for(&path);
        let sent: u64 = requests.iter().map(|request| request.sent_body).sum();
        assert!(requests.len() <= 2, "{name}: {requests:#?}");
        assert!(sent <= most * KIB, "{name}: {sent} bytes");
        drop(resource);
        gate.open();
    }
}

/// What nobody could tell by its bytes is what the caller says it is.
#[test]
fn a_hint_is_asked_where_neither_bytes_nor_server_nor_name_tell() {
    let folder = tempfile::tempdir().unwrap();
    let server = FaultServer::start();
    for (file, hint) in [("mp3-cbr-notag.mp3", "mp3"), ("adts.aac", "audio/aac")] {
        let mut bytes = vec![1; 100_000];
        bytes.extend(fixtures::fixture(file).bytes());
        let path = folder.path().join(format!("song-{hint}").replace('/', "-"));
        std::fs::write(&path, &bytes).unwrap();
        let url = format!("/song/{hint}");
        server.serve(
            &url,
            Script::file(bytes).media_type("application/octet-stream"),
        );
        for is_local in [true, false] {
            let config = || match is_local {
                true => local(&path),
                false => remote(&server.url(&url)),
            };
            let refused = Resource::blocking(config()).expect_err(file);
            assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
            let wrong = Resource::blocking(config().with_hint("flac")).expect_err(file);
            assert!(wrong.to_string().contains("FLAC"), "{wrong}");
            let samples = decode(config().with_hint(hint));
            assert_like_ffmpeg(fixtures::fixture(file), &samples);
        }
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let unsupported = fixtures::all().iter().filter_map(|fixture| {
        let refused = fixture.refused.as_deref();
        refused.map(|name| (fixture, name))
    });
    let mut seen = 0;
    for (fixture, name) in unsupported {
        let error = Resource::blocking(local(&fixture.path())).expect_err(&fixture.file);
        assert_eq!(
            error.kind(),
            ErrorKind::Unsupported,
            "{}: {error}",
            fixture.file
        );
        assert!(
            error.to_string().contains(name),
            "{}: {error}",
            fixture.file
        );
        assert!(
            error.to_string().contains(&fixture.file),
            "{}: {error}",
            fixture.file
        );
        seen += 1;
    }
    assert!(seen >= 4);
}

#[test]
fn a_lying_name_or_media_type_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = FaultServer::start();
    for (file, lie, lying_type) in [
        ("mp3-cbr.mp3", "a.flac", "audio/flac"),
        ("flac-16.flac", "a.mp3", "audio/mpeg"),
        ("wav-s16.wav", "a", "application/octet-stream"),
        ("m4a-aac-first.m4a", "a.ogg", "audio/ogg"),
        ("adts.aac", "a.mp3", "audio/mpeg"),
        ("ogg-vorbis.ogg", "a.m4a", "text/plain"),
    ] {
        let fixture = fixtures::fixture(file);
        let path = folder.path().join(lie);
        std::fs::write(&path, fixture.bytes()).unwrap();
        assert_like_ffmpeg(fixture, &decode(local(&path)));
        let path = format!("/{lie}");
        server.serve(&path, Script::file(fixture.bytes()).media_type(lying_type));
        assert_like_ffmpeg(fixture, &decode(remote(&server.url(&path))));
    }
}

/// The longest common front of two decodes.
fn common(ours: &[f32], whole: &[f32]) -> usize {
    ours.iter()
        .zip(whole)
        .take_while(|(a, b)| (*a - *b).abs() <= CLOSE)
        .count()
}

#[test]
fn a_file_cut_anywhere_plays_its_exact_front_and_then_says_truncated() {
    let folder = tempfile::tempdir().unwrap();
    let mut silent_ends = Vec::new();
    for fixture in fixtures::playable() {
        let bytes = fixture.bytes();
        let whole = decode(local(&fixture.path()));
        for tenth in [3, 6, 9] {
            let path = folder.path().join(format!("{tenth}-{}", fixture.file));
            std::fs::write(&path, &bytes[..bytes.len() * tenth / 10]).unwrap();
            let Ok(mut resource) = Resource::blocking(local(&path)) else {
                // The index, or all of the audio, was in the part that is gone.
                continue;
            };
            let (samples, error) = read_all(&mut resource);
            let case = format!("{} at {tenth}/10", fixture.file);
            assert_eq!(
                common(&samples, &whole),
                samples.len(),
                "{case}: wrong samples"
            );
            match error.as_ref().map(Error::kind) {
                Some(ErrorKind::Truncated) => assert!(samples.len() < whole.len(), "{case}"),
                // A tail of tags may be cut without loss.
                None if samples.len() == whole.len() => {}
                None => silent_ends.push(case),
                other => panic!("{case}: {other:?}"),
            }
        }
    }
    // Nothing but its own framing says how long a bare sequence of frames is.
    let unprovable = |case: &String| {
        ["notag", "adts", ".aac", "mp1", "mp2"]
            .iter()
            .any(|bare| case.contains(bare))
    };
    silent_ends.retain(|case| !unprovable(case));
    assert!(silent_ends.is_empty(), "ended silently: {silent_ends:?}");
}
