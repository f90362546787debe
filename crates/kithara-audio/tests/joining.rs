//! Titles in stretches whose media says itself when it plays: joined, cut off, with holes, sought through.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::io::Cursor;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fixture::stretches::{
    Script, Sought, assert_same, open, open_sought, part, read_all, silences, splices, stamped,
    stretch, told,
};
use fixture::{Gate, Seeded, await_event, gated, listened};
use kithara_audio::{AudioEvent, PcmReader, SilenceCause};
use kithara_decode::{DecoderFactory, DecoderOptions, MediaDuration, SeekMode};
use kithara_stream::{ByteSource, MediaInfo, Run, RunCause, Timing};
use kithara_tests::fixtures::{self, Segmented, segmented};

/// A title cut into segments, and where they begin.
#[derive(Clone)]
struct Playlist {
    cut: Segmented,
    starts: Vec<Duration>,
    whole: Vec<f32>,
    rate: u32,
}

impl Playlist {
    fn new(file: &str) -> Self {
        let cut = segmented(file);
        let mut starts = Vec::new();
        let mut base = None;
        let mut rate = 0;
        for number in 0..cut.segments.len() {
            let bytes = stretch(cut.run(number..number + 1), false);
            let options = DecoderOptions::default();
            let decoder = DecoderFactory::open(bytes, &part(), &options).expect("opens");
            let stamp = decoder.stamp().expect("a stamp").time;
            starts.push(stamp - *base.get_or_insert(stamp));
            rate = decoder.spec().sample_rate.get();
        }
        let bytes = Box::new(Cursor::new(fixtures::fixture(file).bytes()));
        Self {
            cut,
            starts,
            whole: decode(bytes, &MediaInfo::default()),
            rate,
        }
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    fn frames(&self) -> usize {
        self.whole.len() / 2
    }

    /// The frame with which a segment begins.
    fn frame(&self, segment: usize) -> usize {
        (self.starts[segment].as_secs_f64() * f64::from(self.rate)).round() as usize
    }

    fn time(&self, frame: usize) -> Duration {
        Duration::from_nanos((frame as u64 * 1_000_000_000).div_ceil(u64::from(self.rate)))
    }

    /// Consecutive segments as a run.
    fn run(&self, segments: std::ops::Range<usize>, cause: RunCause) -> Run {
        let start = self.starts[segments.start];
        stamped(start, cause, stretch(self.cut.run(segments), false))
    }

    /// The same, of which so many bytes of the last segment don't come.
    fn cut_off(&self, segments: std::ops::Range<usize>, missing: usize, cause: RunCause) -> Run {
        let start = self.starts[segments.start];
        let mut bytes = self.cut.run(segments);
        bytes.truncate(bytes.len() - missing);
        stamped(start, cause, stretch(bytes, true))
    }
}

fn decode(bytes: Box<dyn ByteSource>, info: &MediaInfo) -> Vec<f32> {
    let options = DecoderOptions::default();
    let mut decoder = DecoderFactory::open(bytes, info, &options).expect("opens");
    let mut samples = Vec::new();
    while let Some(chunk) = decoder.next_chunk().expect("decodes") {
        samples.extend_from_slice(&chunk.pcm);
    }
    samples
}

const FILES: [&str; 5] = [
    "fmp4-aac-nopns.mp4",
    "fmp4-flac.mp4",
    "adts-nopns.aac",
    "mp3-cbr-notag.mp3",
    "mp3.ts",
];

#[test]
fn runs_that_follow_at_once_are_the_whole() {
    for file in FILES {
        let list = Playlist::new(file);
        let runs = (0..list.len())
            .map(|number| list.run(number..number + 1, RunCause::VariantSwitch))
            .collect();
        let (mut audio, mut events) = open(runs);
        assert_same(&read_all(&mut audio), &list.whole, file);
        let told = told(&mut events);
        assert_eq!(silences(&told), [], "{file}");
        let splices = splices(&told);
        assert_eq!(splices.len(), list.len() - 1, "{file}");
        // FLAC remembers nothing, and its configuration is the same.
        assert!(splices.iter().all(|(_, ramp)| !ramp), "{file}");
        let end = audio.duration().expect("a duration");
        let spec = audio.spec();
        assert_eq!(end, MediaDuration::Exact(spec.time(list.frames() as u64)));
    }
}

#[test]
fn what_overlaps_is_heard_once() {
    for file in FILES {
        let list = Playlist::new(file);
        // The second run begins a segment earlier, so that its decoder settles.
        let runs = vec![
            list.run(0..2, RunCause::Start),
            list.run(1..list.len(), RunCause::VariantSwitch),
        ];
        let (mut audio, mut events) = open(runs);
        assert_same(&read_all(&mut audio), &list.whole, file);
        let told = told(&mut events);
        assert_eq!(silences(&told), [], "{file}");
        let at = splices(&told);
        assert!(matches!(at[..], [(_, false)]), "{file}: {at:?}");
    }
}

#[test]
fn a_run_that_is_cut_off_goes_on_in_the_next_one() {
    for file in FILES {
        let list = Playlist::new(file);
        let last = list.cut.segments[1].len();
        for missing in [1, last / 3, last - 600, last] {
            let runs = vec![
                list.cut_off(0..2, missing, RunCause::Start),
                list.run(0..list.len(), RunCause::VariantSwitch),
            ];
            let (mut audio, mut events) = open(runs);
            assert_same(
                &read_all(&mut audio),
                &list.whole,
                &format!("{file}: {missing}"),
            );
            assert_eq!(silences(&told(&mut events)), [], "{file}");
        }
    }
}

#[test]
fn a_hole_in_the_media_is_silence_of_its_length() {
    let list = Playlist::new("fmp4-flac.mp4");
    let hole = |number: usize| {
        let at = |time: Duration| (time.as_secs_f64() * f64::from(list.rate)).round() as usize * 2;
        at(list.starts[number])
            ..list
                .starts
                .get(number + 1)
                .map_or(list.whole.len(), |t| at(*t))
    };
    let missing = hole(1);
    for (cause, told_as) in [
        (RunCause::Gap, SilenceCause::Gap),
        (RunCause::VariantSwitch, SilenceCause::Hole),
    ] {
        let runs = vec![list.run(0..1, RunCause::Start), list.run(2..3, cause)];
        let (mut audio, mut events) = open(runs);
        let mut expected = list.whole.clone();
        expected[missing.clone()].fill(0.0);
        let got = read_all(&mut audio);
        assert_eq!(got.len(), expected.len());
        assert_same(&got[..missing.end], &expected[..missing.end], "the hole");
        // Behind it a new sound may be led in.
        let settled = missing.end + 2 * 221;
        assert_same(&got[settled..], &expected[settled..], "behind");
        let [(at, duration, cause)] = silences(&told(&mut events))[..] else {
            panic!("not one silence");
        };
        assert_eq!(cause, told_as);
        let spec = audio.spec();
        let frames = (missing.len() / 2) as u64;
        assert_eq!(spec.frames(at), missing.start as u64 / 2);
        assert!(spec.frames(duration).abs_diff(frames) <= 1);
    }
}

#[test]
fn what_is_skipped_is_left_out_and_the_position_says_so() {
    let list = Playlist::new("fmp4-flac.mp4");
    let runs = vec![
        list.run(0..1, RunCause::Start),
        list.run(2..3, RunCause::Skip),
    ];
    let (mut audio, mut events) = open(runs);
    let spec = audio.spec();
    let begin = spec.frames(list.starts[1]) as usize * 2;
    let behind = spec.frames(list.starts[2]) as usize * 2;
    let expected = [&list.whole[..begin], &list.whole[behind..]].concat();
    assert_same(&read_all(&mut audio), &expected, "skipped");
    assert_eq!(silences(&told(&mut events)), []);
    assert_eq!(spec.frames(audio.position()) as usize, list.frames());
}

#[test]
fn announced_silence_is_given_wherever_it_stands() {
    let list = Playlist::new("fmp4-flac.mp4");
    let silence = |from: Duration, until: Duration| Run {
        silence: Some(until),
        ..stamped(from, RunCause::Gap, stretch(Vec::new(), false))
    };
    let spec = |samples: usize| list.time(samples / 2);
    let at: Vec<_> = (list.starts.iter())
        .map(|start| (start.as_secs_f64() * f64::from(list.rate)).round() as usize * 2)
        .collect();
    // In front, in the middle, at the end.
    let runs = vec![
        silence(Duration::ZERO, list.starts[1]),
        list.run(1..2, RunCause::Gap),
        silence(list.starts[2], spec(list.whole.len())),
    ];
    let (mut audio, mut events) = open(runs);
    let mut expected = list.whole.clone();
    expected[..at[1]].fill(0.0);
    expected[at[2]..].fill(0.0);
    assert_same(&read_all(&mut audio), &expected, "at both ends");
    let silences = silences(&told(&mut events));
    assert_eq!(silences.len(), 2);
    assert!(
        silences
            .iter()
            .all(|(_, _, cause)| *cause == SilenceCause::Gap)
    );

    let runs = vec![
        list.run(0..1, RunCause::Start),
        silence(list.starts[1], list.starts[2]),
        list.run(2..3, RunCause::Gap),
    ];
    let (mut audio, _) = open(runs);
    let mut expected = list.whole.clone();
    expected[at[1]..at[2]].fill(0.0);
    assert_same(&read_all(&mut audio), &expected, "in the middle");
}

#[test]
fn another_clock_goes_on_where_the_title_stands() {
    let list = Playlist::new("adts-nopns.aac");
    let mut second = list.run(0..list.len(), RunCause::Discontinuity);
    second.timing = Timing::Stamped { clock: 1 };
    // The playlist's times are rounded.
    second.start = Duration::from_secs(3);
    let mut third = list.run(2..list.len(), RunCause::VariantSwitch);
    third.timing = Timing::Stamped { clock: 1 };
    third.start = Duration::from_secs(3) + list.starts[2];
    let first = list.run(0..list.len(), RunCause::Start);
    let (mut audio, mut events) = open(vec![first, second, third]);
    let got = read_all(&mut audio);
    assert_same(&got, &[&list.whole[..], &list.whole].concat(), "twice");
    assert_eq!(silences(&told(&mut events)), []);
}

#[test]
fn another_configuration_is_led_into_where_nothing_prepares_it() {
    let (flac, aac) = (
        Playlist::new("fmp4-flac.mp4"),
        Playlist::new("fmp4-aac-nopns.mp4"),
    );
    let end = flac.frame(2);
    // Where the first ends, and so much earlier that packets of both overlap somewhere.
    for early in [0, 6_789] {
        let mut other = aac.run(1..4, RunCause::VariantSwitch);
        other.timing = Timing::Stamped { clock: 1 };
        other.start = flac.time(end - early);
        let (mut audio, mut events) = open(vec![flac.run(0..2, RunCause::Start), other]);
        let got = read_all(&mut audio);
        let (before, after) = got.split_at(end * 2);
        assert_same(before, &flac.whole[..end * 2], "before");
        // Decoded alone, from nothing on.
        let own = decode(stretch(aac.cut.run(1..4), false), &part()).split_off(early * 2);
        assert_eq!(after.len(), own.len());
        let ramp = if early == 0 { 2 * 221 } else { 0 };
        assert_same(&after[ramp..], &own[ramp..], "after");
        // No step from the last frame of the one to the first of the other.
        let last = before[before.len() - 2];
        let step = (after[0] - last).abs();
        assert!(ramp == 0 || step <= (own[0] - last).abs() / 200.0, "{step}");
        let spliced = splices(&told(&mut events));
        assert_eq!(spliced.len(), 1);
        assert_eq!(spliced[0].1, early == 0);
        assert_ne!(after[..200] == own[..200], early == 0);
    }
}

#[test]
fn a_seek_lands_on_the_frame_wherever_it_goes() {
    for file in FILES {
        let list = Playlist::new(file);
        let (config, mut events) = listened();
        let sought = list.clone();
        let route: Sought = Box::new(move |to| {
            let at = sought.starts.partition_point(|start| *start <= to);
            // Two segments earlier: enough for any codec to settle.
            let from = at.saturating_sub(3);
            vec![sought.run(from..sought.len(), RunCause::Seek)]
        });
        let (mut audio, _) = open_sought(
            vec![list.run(0..list.len(), RunCause::Start)],
            config,
            route,
        );
        let mut dice = Seeded::new(7);
        let mut block = vec![0.0; 2 * 600];
        for _ in 0..100 {
            let frame = dice.below(list.frames() as u64 - 600) as usize;
            audio
                .control()
                .seek(list.time(frame), SeekMode::Exact)
                .expect("seeks");
            let mut got = 0;
            while got < block.len() {
                got += audio.read(&mut block[got..]).expect("reads");
            }
            let expected = &list.whole[frame * 2..frame * 2 + block.len()];
            assert_same(&block, expected, &format!("{file} at {frame}"));
            let exact = await_event(&mut events, |event| match event {
                AudioEvent::SeekDone { landed, exact, .. } => Some((*landed, *exact)),
                _ => None,
            });
            assert!(exact.1, "{file}");
            assert_eq!(audio.spec().frames(exact.0) as usize, frame, "{file}");
        }
    }
}

#[test]
fn a_seek_does_not_wait_for_a_run_that_is_being_opened() {
    let list = Playlist::new("mp3.ts");
    let (config, mut events) = listened();
    let gate = Gate::default();
    let closed = gated(list.cut.run(1..2), &gate);
    let closed = stamped(list.starts[1], RunCause::VariantSwitch, Box::new(closed));
    let sought = list.clone();
    let route: Sought = Box::new(move |_| vec![sought.run(0..sought.len(), RunCause::Seek)]);
    let first = list.run(0..1, RunCause::Start);
    let script = Script {
        interrupt: gate.interrupt(),
        ..Script::new(vec![first, closed], route)
    };
    let mut audio = script.open(config);
    gate.await_reader();
    let target = list.starts[2];
    audio
        .control()
        .seek(target, SeekMode::Exact)
        .expect("seeks");
    let mut block = vec![0.0; 512];
    let count = audio.read(&mut block).expect("reads");
    let at = list.frame(2) * 2;
    assert_same(&block[..count], &list.whole[at..at + count], "sought");
    let exact = await_event(&mut events, |event| match event {
        AudioEvent::SeekDone { exact, .. } => Some(*exact),
        _ => None,
    });
    assert!(exact);
}

#[test]
fn a_run_that_begins_too_late_is_asked_for_again() {
    let list = Playlist::new("fmp4-flac.mp4");
    // The playlist says that everything is earlier than it is.
    let off = Duration::from_millis(300);
    for gives_up in [false, true] {
        let (config, mut events) = listened();
        let sought = list.clone();
        let route: Sought = Box::new(move |to| {
            let said = |start: &Duration| start.saturating_sub(off) <= to;
            let from = sought.starts.partition_point(said).saturating_sub(1);
            let from = if gives_up { 2 } else { from };
            let mut run = sought.run(from..sought.len(), RunCause::Seek);
            run.start = run
                .start
                .saturating_sub(Duration::from_secs(if gives_up { 9 } else { 0 }));
            run.start = run.start.saturating_sub(off);
            vec![run]
        });
        let (mut audio, seeks) = open_sought(vec![list.run(0..3, RunCause::Start)], config, route);
        let target = list.starts[1] - Duration::from_millis(100);
        audio
            .control()
            .seek(target, SeekMode::Exact)
            .expect("seeks");
        let mut block = vec![0.0; 512];
        let count = audio.read(&mut block).expect("reads");
        let (landed, exact) = await_event(&mut events, |event| match event {
            AudioEvent::SeekDone { landed, exact, .. } => Some((*landed, *exact)),
            _ => None,
        });
        assert_eq!(exact, !gives_up);
        let frame = audio.spec().frames(landed) as usize;
        let wanted = if gives_up { list.starts[2] } else { target };
        assert_eq!(frame, audio.spec().frames(wanted) as usize);
        assert_same(
            &block[..count],
            &list.whole[frame * 2..frame * 2 + count],
            "landed",
        );
        // The second time from the very beginning: there is nothing before it to ask for.
        assert_eq!(seeks.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn a_title_is_as_long_as_its_protocol_says_until_it_was_heard() {
    let list = Playlist::new("adts-nopns.aac");
    let said = MediaDuration::Estimate(Duration::from_secs(2));
    let run = Run {
        title: Some(said),
        ..list.run(0..list.len(), RunCause::Start)
    };
    let (mut audio, _) = open(vec![run]);
    assert_eq!(audio.duration(), Some(said));
    read_all(&mut audio);
    let exact = audio.spec().time(list.frames() as u64);
    assert_eq!(audio.duration(), Some(MediaDuration::Exact(exact)));
}
