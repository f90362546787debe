//! Seeks to places that are not downloaded: how many requests they cost, where they land, and that what was stored
//! stays and is never asked for again.

#[path = "support/network.rs"]
mod network;

use std::io::Write;
use std::time::Duration;

use kithara::net::NetOptions;
use kithara::{ErrorKind, ResourceConfig, SeekMode};
use kithara_tests::fixtures::{TransportStream, fixture, long_flac, long_mp3, long_wav, unlisted};
use kithara_tests::server::{FaultServer, Gate, Script};
use network::*;

/// A title, and what a fast seek in it may cost.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    /// Where to, in seconds.
    to: f64,
    requests: usize,
    exact: bool,
}

impl Case {
    fn new(name: &'static str, bytes: Vec<u8>, to: f64, requests: usize, exact: bool) -> Self {
        Self {
            name,
            bytes,
            to,
            requests,
            exact,
        }
    }

    fn extension(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    fn target(&self) -> Duration {
        Duration::from_secs_f64(self.to)
    }

    /// What comes at this frame when nothing goes wrong, read from a local copy.
    fn local_from(&self, time: Duration, samples: usize) -> Vec<f32> {
        let suffix = format!(".{}", self.extension());
        let mut file = tempfile::Builder::new()
            .suffix(&suffix)
            .tempfile()
            .expect("it works locally and slowly");
        file.write_all(&self.bytes)
            .expect("it works locally and slowly");
        let path = file.path().to_str().expect("it works locally and slowly");
        let mut listener =
            Listener::open(ResourceConfig::new(path).expect("it works locally and slowly"));
        let (_, exact) = listener
            .seek(time, SeekMode::Exact)
            .expect("it works locally and slowly");
        assert!(exact, "{}: a local seek", self.name);
        listener
            .read_samples(samples)
            .expect("it works locally and slowly");
        listener.pcm
    }

    /// Seeks while the front is still coming in and no answer ends, so that only what the seek itself asks for is asked for.
    fn check(&self) {
        const SAMPLES: usize = 20_000;
        // Whatever a demuxer looks at in one place is in one request.
        const LOOK_AHEAD: u64 = MIB;
        let name = self.name;
        let server = FaultServer::start();
        let (front, ends) = (Gate::new(), Gate::new());
        let file = || Script::file(self.bytes.clone());
        let some = (self.bytes.len() as u64 / 4).min(LOOK_AHEAD / 4);
        let scripts = [file().hold_after(some, &front), file().hold_last(&ends)];
        server.serve_sequence("/a", scripts);
        // Whatever opening takes.
        ends.open();
        let tap = Tap::default();
        let config = ResourceConfig::new(server.url("/a"))
            .expect("it works locally and slowly")
            .without_store()
            .with_client(tap.on(client(NetOptions::default(), quick())))
            .with_look_ahead_bytes(LOOK_AHEAD);
        let mut listener = Listener::open(config);
        ends.close();
        let before = tap.log().len();
        let (frame, exact) = listener
            .seek(self.target(), SeekMode::Fast)
            .unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let cost = tap.log().len() - before;
        front.open();
        ends.open();
        let spec = listener.resource.spec();
        assert!(
            (1..=self.requests).contains(&cost),
            "{name}: {cost} requests: {:?}",
            tap.log()
        );
        assert_eq!(exact, self.exact, "{name}");
        if exact {
            assert_eq!(frame, spec.frames(self.target()), "{name}");
            listener
                .read_samples(SAMPLES)
                .expect("it works locally and slowly");
            let expected = self.local_from(self.target(), SAMPLES);
            assert_same(&listener.pcm, &expected, name);
        } else {
            // By table or bit rate: near it, and what comes is music.
            let off = frame.abs_diff(spec.frames(self.target()));
            assert!(
                off < spec.frames(self.target()) / 10,
                "{name}: {off} frames off"
            );
            listener
                .read_samples(SAMPLES)
                .expect("it works locally and slowly");
            assert!(listener.pcm.iter().any(|sample| *sample != 0.0), "{name}");
        }
        // The front is still there.
        let before = tap.log().len();
        let landed = listener
            .seek(Duration::ZERO, SeekMode::Fast)
            .expect("it works locally and slowly");
        assert_eq!(landed, (0, true), "{name}: back to the front");
        listener.pcm.clear();
        listener
            .read_samples(200)
            .expect("it works locally and slowly");
        assert_same(&listener.pcm, &self.local_from(Duration::ZERO, 200), name);
        let asked = &tap.log()[before..];
        assert!(
            asked.iter().all(|taken| taken.asked.start > 0),
            "{name}: the front again: {asked:?}"
        );
        tap.assert_no_byte_twice();
        tap.assert_overshoot(&server.requests(), self.bytes.len() as u64);
    }
}

#[test]
fn a_fast_seek_in_pcm_takes_one_request() {
    Case::new("long.wav", long_wav(60).bytes, 50.0, 1, true).check();
    Case::new("long.wav", long_wav(60).bytes, 17.123_456, 1, true).check();
}

#[test]
fn a_fast_seek_in_mp4_takes_one_request() {
    let wav = long_wav(60).bytes;
    for to in [50.0, 17.5] {
        Case::new("long.m4a", mp4(&wav[44..], Index::First), to, 1, true).check();
    }
}

#[test]
fn an_index_at_the_end_of_a_long_file_takes_three_requests_before_the_first_sound() {
    let wav = long_wav(30).bytes;
    let expected = local(&wav, "wav");
    let server = FaultServer::start();
    let film = mp4(&wav[44..], Index::Last);
    let file = Script::file(film);
    server.serve("/a.m4a", file.clone().throttle(300_000));
    let tap = Tap::default();
    let config = |path: &str| {
        ResourceConfig::new(server.url(path))
            .unwrap()
            .without_store()
            .with_client(tap.on(client(NetOptions::default(), quick())))
            .with_look_ahead_bytes(LOOK_AHEAD)
    };
    let mut listener = Listener::open(config("/a.m4a"));
    listener.read_samples(2).unwrap();
    assert!(tap.log().len() <= 3, "{:?}", tap.log());
    tap.assert_no_byte_twice();
    drop(listener);

    server.serve("/b.m4a", file.clone());
    Listener::open(config("/b.m4a")).plays_exactly(&expected, "an index at the end");

    // Without ranges the index is 5 MB away, which is more than is buffered by default: that is said at once.
    server.serve("/c.m4a", file.without_ranges());
    let error = Listener::try_open(config("/c.m4a"))
        .err()
        .expect("it cannot be reached");
    let kind = error.kind();
    assert!(
        matches!(kind, ErrorKind::RangeUnsupported | ErrorKind::Unsupported),
        "{error:?}"
    );
    assert_eq!(server.requests_for("/c.m4a").len(), 1);
}

#[test]
fn a_fast_seek_in_a_constant_rate_mp3_takes_one_request() {
    Case::new("long.mp3", long_mp3(4).bytes, 200.0, 1, true).check();
}

#[test]
fn a_fast_seek_by_table_or_cues_takes_two_requests() {
    Case::new(
        "flac-seektable.flac",
        fixture("flac-seektable.flac").bytes(),
        1.3,
        2,
        true,
    )
    .check();
}

#[test]
fn a_fast_seek_by_bisection_takes_five_requests() {
    let flac = long_flac(60).bytes;
    for to in [57.0, 30.0, 11.5] {
        Case::new("long.flac", flac.clone(), to, 5, true).check();
    }
    let ogg = ogg_flac(&flac);
    for to in [57.0, 30.0, 11.5] {
        Case::new("long.ogg", ogg.clone(), to, 5, true).check();
    }
}

#[test]
fn a_fast_seek_by_the_times_of_a_transport_stream_takes_few_requests() {
    let adts = unlisted("seek-adts.aac").repeat(40);
    let ts = TransportStream::of_adts(&adts, 44_100);
    for to in [350.0, 200.0, 60.0] {
        Case::new("long.ts", ts.clone(), to, 9, true).check();
    }
}

#[test]
fn a_fast_seek_by_bit_rate_takes_one_request_and_says_that_it_is_not_exact() {
    let vbr = fixture("mp3-vbr-notag.mp3").bytes().repeat(60);
    Case::new("vbr.mp3", vbr, 70.0, 1, false).check();
    let adts = fixture("adts.aac").bytes().repeat(60);
    Case::new("long.aac", adts, 90.0, 1, false).check();
}

#[test]
fn an_exact_seek_by_counting_frames_reads_through_once() {
    for (name, file) in [("a.mp3", "seek-vbr.mp3"), ("a.aac", "seek-adts.aac")] {
        let bytes = unlisted(file).repeat(8);
        // A request brings no more than is looked ahead.
        let most = 2 * bytes.len().div_ceil(LOOK_AHEAD as usize);
        let server = FaultServer::start();
        server.serve("/a", Script::file(bytes));
        let tap = Tap::default();
        let config = ResourceConfig::new(server.url("/a"))
            .expect("a URL")
            .without_store()
            .with_client(tap.on(client(NetOptions::default(), quick())))
            .with_look_ahead_bytes(LOOK_AHEAD);
        let mut listener = Listener::open(config);
        let mut seek = |seconds: u64, mode: SeekMode| {
            let before = tap.log().len();
            let to = Duration::from_secs(seconds);
            let landed = listener.seek(to, mode).expect("seeks");
            assert_eq!(landed, (seconds * 44_100, true), "{name}");
            tap.log().split_off(before)
        };
        let walked = seek(60, SeekMode::Exact).len();
        assert!((1..=most).contains(&walked), "{name}: {walked} requests");
        let reached = tap.log().iter().map(|one| one.asked.end).max();
        for seconds in [30, 50, 10] {
            // What is looked ahead from 60 s on may still be on its way.
            let back = seek(seconds, SeekMode::Fast);
            let back = back.iter().find(|one| Some(one.asked.start) < reached);
            assert!(back.is_none(), "{name} to {seconds} s: {back:?}");
        }
        tap.assert_no_byte_twice();
    }
}

#[test]
fn seeks_back_and_forth_ask_for_each_byte_once() {
    let bytes = long_wav(30).bytes;
    let expected = local(&bytes, "wav");
    let server = FaultServer::start();
    let len = bytes.len() as u64;
    server.serve("/a.wav", Script::file(bytes));
    let tap = Tap::default();
    let config = ResourceConfig::new(server.url("/a.wav"))
        .unwrap()
        .without_store()
        .with_client(tap.on(client(NetOptions::default(), quick())))
        .with_look_ahead_bytes(LOOK_AHEAD);
    let mut listener = Listener::open(config);
    for seconds in [20, 3, 20, 10, 25, 0, 9, 29, 15] {
        let (frame, exact) = listener
            .seek(Duration::from_secs(seconds), SeekMode::Fast)
            .unwrap();
        assert_eq!((frame, exact), (seconds * 44_100, true));
        listener.pcm.clear();
        listener.read_samples(30_000).unwrap();
        let at = frame as usize * 2;
        assert_same(
            &listener.pcm,
            &expected[at..at + 30_000],
            &format!("{seconds} s"),
        );
    }
    listener.seek(Duration::ZERO, SeekMode::Exact).unwrap();
    listener.pcm.clear();
    listener.play().unwrap();
    assert_same(&listener.pcm, &expected, "everything, filled in");
    tap.assert_no_byte_twice();
    tap.assert_overshoot(&server.requests(), len);
}

#[test]
fn a_seek_beyond_the_end_is_the_end_and_leaves_the_resource_alive() {
    let bytes = fixture("wav-s16.wav").bytes();
    let expected = local(&bytes, "wav");
    let server = FaultServer::start();
    server.serve("/a.wav", Script::file(bytes));
    let mut listener = Listener::open(config(&server.url("/a.wav")));
    for to in [
        Duration::from_millis(500),
        Duration::from_secs(3600),
        Duration::from_secs(1 << 63),
        Duration::MAX,
    ] {
        let (frame, _) = listener
            .seek(to, SeekMode::Fast)
            .unwrap_or_else(|error| panic!("{to:?}: {error:?}"));
        assert_eq!(frame, 22_050, "{to:?}");
        assert_eq!(listener.resource.read(&mut [0.0; 64]).unwrap(), 0, "{to:?}");
    }
    listener.seek(Duration::ZERO, SeekMode::Fast).unwrap();
    listener.play().unwrap();
    assert_same(&listener.pcm, &expected, "from the front again");
    assert_eq!(server.requests().len(), 1);
}

/// The same frames in Ogg pages (RFC 3533; the mapping is that of the FLAC project), one packet a page.
fn ogg_flac(flac: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut number = 0;
    let mut page = |packet: &[u8], granule: u64, flags: u8| {
        let at = out.len();
        out.extend_from_slice(b"OggS\0");
        out.push(flags);
        out.extend_from_slice(&granule.to_le_bytes());
        out.extend_from_slice(&7_u32.to_le_bytes());
        out.extend_from_slice(&(number as u32).to_le_bytes());
        number += 1;
        out.extend_from_slice(&[0; 4]);
        let lacing = packet.len() / 255 + 1;
        out.push(u8::try_from(lacing).expect("a packet fits a page"));
        out.extend(std::iter::repeat_n(255, lacing - 1));
        out.push((packet.len() % 255) as u8);
        out.extend_from_slice(packet);
        let crc = ogg_crc(&out[at..]);
        out[at + 22..at + 26].copy_from_slice(&crc.to_le_bytes());
    };
    // Marker, version 1.0, one further header packet, then the native signature and stream info, not the last block.
    let mut first = b"\x7fFLAC\x01\x00\x00\x01".to_vec();
    first.extend_from_slice(&flac[..42]);
    first[13] &= 0x7f;
    page(&first, 0, 2);
    // An empty Vorbis comment, the last block.
    page(&[0x84, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0], 0, 0);
    let total = u64::from_be_bytes(flac[18..26].try_into().expect("eight bytes")) & 0xf_ffff_ffff;
    let audio = &flac[42..];
    let starts: Vec<_> = frame_starts(audio).collect();
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(audio.len());
        let granule = ((index as u64 + 1) * 4096).min(total);
        let flags = if end == audio.len() { 4 } else { 0 };
        page(&audio[*start..end], granule, flags);
    }
    out
}

/// Where the frames of a `long_flac` begin: all are verbatim, so that their lengths are known.
fn frame_starts(audio: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let head = audio.get(start..start + 12)?;
        let coded = match head[4] {
            0..0x80 => 1,
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        let frames = u16::from_be_bytes([head[4 + coded], head[5 + coded]]) as usize + 1;
        at = start + 4 + coded + 2 + 1 + 2 * (1 + frames * 2) + 2;
        Some(start)
    })
}

fn ogg_crc(page: &[u8]) -> u32 {
    page.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
            (crc << 1) ^ if crc >> 31 == 0 { 0 } else { 0x04c1_1db7 }
        })
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Index {
    First,
    Last,
}

/// 16-bit stereo PCM in an MP4 file (ISO/IEC 14496-12), in chunks of 4096 frames.
fn mp4(pcm: &[u8], index: Index) -> Vec<u8> {
    let file_type = atom(b"ftyp", &[b"M4A ", &[0; 4], b"M4A "]);
    let data = atom(b"mdat", &[pcm]);
    let len = movie(pcm.len(), 0).len();
    let before = if index == Index::First { len } else { 0 };
    let movie = movie(pcm.len(), file_type.len() + before + 8);
    match index {
        Index::First => [file_type, movie, data].concat(),
        Index::Last => [file_type, data, movie].concat(),
    }
}

fn movie(bytes: usize, data_at: usize) -> Vec<u8> {
    let word = |value: usize| (value as u32).to_be_bytes();
    let frames = bytes / 4;
    let rate = word(44_100);
    let mut entry = [0; 28];
    entry[7] = 1;
    entry[17] = 2;
    entry[19] = 16;
    entry[24..].copy_from_slice(&(44_100_u32 << 16).to_be_bytes());
    let entries = atom(b"stsd", &[&word(0), &word(1), &atom(b"sowt", &[&entry])]);
    let times = atom(b"stts", &[&word(0), &word(1), &word(frames), &word(1)]);
    let chunks = frames.div_ceil(4096);
    let runs = atom(
        b"stsc",
        &[&word(0), &word(1), &word(1), &word(4096), &word(1)],
    );
    // The last chunk is shorter, which a run of its own says.
    let rest = frames - (chunks - 1) * 4096;
    let runs = if rest == 4096 {
        runs
    } else {
        let (first, last) = (
            [word(1), word(4096), word(1)],
            [word(chunks), word(rest), word(1)],
        );
        atom(
            b"stsc",
            &[&word(0), &word(2), &first.concat(), &last.concat()],
        )
    };
    let sizes = atom(b"stsz", &[&word(0), &word(4), &word(frames)]);
    let offsets: Vec<u8> = (0..chunks)
        .flat_map(|chunk| word(data_at + chunk * 4096 * 4))
        .collect();
    let offsets = atom(b"stco", &[&word(0), &word(chunks), &offsets]);
    let table = atom(b"stbl", &[&entries, &times, &runs, &sizes, &offsets]);
    let reference = atom(b"dref", &[&word(0), &word(1), &atom(b"url ", &[&word(1)])]);
    let info = atom(
        b"minf",
        &[
            &atom(b"smhd", &[&[0; 8]]),
            &atom(b"dinf", &[&reference]),
            &table,
        ],
    );
    let header = atom(
        b"mdhd",
        &[&[0; 12], &rate, &word(frames), &[0x55, 0xc4, 0, 0]],
    );
    let handler = atom(b"hdlr", &[&[0; 8], b"soun", &[0; 13]]);
    let media = atom(b"mdia", &[&header, &handler, &info]);
    let track = atom(
        b"tkhd",
        &[
            &word(7),
            &[0; 8],
            &word(1),
            &word(0),
            &word(frames),
            &[0; 60],
        ],
    );
    let track = atom(b"trak", &[&track, &media]);
    let movie = atom(
        b"mvhd",
        &[&[0; 12], &rate, &word(frames), &[0; 76], &word(2)],
    );
    atom(b"moov", &[&movie, &track])
}

fn atom(name: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let len = u32::try_from(payload.len() + 8).expect("a small file");
    [&len.to_be_bytes(), name.as_slice(), &payload].concat()
}
