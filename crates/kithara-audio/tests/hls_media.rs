//! What packagers of HLS make, segment by segment, held to what ffmpeg decodes of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::ops::Range;
use std::time::Duration;

use fixture::stretches::{
    Sought, open, open_sought, read_all, silences, splices, stamped, stretch, told,
};
use fixture::{Seeded, await_event, listened};
use kithara_audio::{AudioEvent, PcmReader};
use kithara_decode::SeekMode;
use kithara_stream::{Run, RunCause, Timing};
use kithara_tests::fixtures::hls::{self, HlsFixture};

/// Titles whose segments are files, in the clear.
const TITLES: [&str; 11] = [
    "aac-48",
    "aac-96",
    "aac-160",
    "fmp4-flac",
    "fmp4-alac",
    "fmp4-opus",
    "fmp4-mp3",
    "ts-aac",
    "ts-mp3",
    "packed-aac",
    "packed-mp3",
];

/// A media playlist, as far as these need one.
#[derive(Clone)]
struct Playlist {
    facts: &'static HlsFixture,
    init: Vec<u8>,
    segments: Vec<Vec<u8>>,
    /// When each begins by the playlist, and the last one ends.
    times: Vec<Duration>,
    /// The first segment behind a discontinuity.
    behind: usize,
}

impl Playlist {
    fn new(folder: &str) -> Self {
        let text = hls::text(&format!("{folder}/media.m3u8"));
        let mut list = Self {
            facts: hls::fixture(folder),
            init: Vec::new(),
            segments: Vec::new(),
            times: vec![Duration::ZERO],
            behind: usize::MAX,
        };
        if text.contains("#EXT-X-MAP") {
            list.init = hls::file(&format!("{folder}/init.mp4"));
        }
        for line in text.lines() {
            if let Some(seconds) = line.strip_prefix("#EXTINF:") {
                let seconds: f64 = seconds.trim_end_matches(',').parse().unwrap();
                let last = list.times[list.times.len() - 1];
                list.times.push(last + Duration::from_secs_f64(seconds));
            } else if line == "#EXT-X-DISCONTINUITY" {
                list.behind = list.segments.len();
            } else if !line.starts_with('#') {
                list.segments.push(hls::file(&format!("{folder}/{line}")));
            }
        }
        list
    }

    fn len(&self) -> usize {
        self.segments.len()
    }

    fn run(&self, segments: Range<usize>, cause: RunCause) -> Run {
        let start = self.times[segments.start];
        let clock = u64::from(segments.start >= self.behind);
        let bytes = [&self.init[..], &self.segments[segments].concat()].concat();
        Run {
            timing: Timing::Stamped { clock },
            ..stamped(start, cause, stretch(bytes, false))
        }
    }

    /// What a seek leads to: the segment of the target and those behind it, and the one before if there is little before the
    /// target.
    fn sought(self) -> Sought {
        Box::new(move |to| {
            let at = self.times[..self.len()].partition_point(|time| *time <= to) - 1;
            let near = to < self.times[at] + Duration::from_millis(300);
            vec![self.run(
                at.saturating_sub(usize::from(near))..self.len(),
                RunCause::Seek,
            )]
        })
    }
}

fn assert_right(facts: &HlsFixture, samples: &[f32], case: &str) {
    let difference = facts.difference(samples);
    assert_eq!(difference, None, "{}, {case}", facts.folder);
}

#[test]
fn a_title_is_what_ffmpeg_decodes_however_its_segments_are_put_into_runs() {
    for folder in TITLES {
        let list = Playlist::new(folder);
        let last = list.len();
        let at_once = vec![list.run(0..last, RunCause::Start)];
        let each = (0..last)
            .map(|number| list.run(number..number + 1, RunCause::VariantSwitch))
            .collect();
        let overlapping = (0..last)
            .map(|number| {
                list.run(
                    number.saturating_sub(1)..number + 1,
                    RunCause::VariantSwitch,
                )
            })
            .collect();
        for (runs, case) in [
            (at_once, "at once"),
            (each, "one by one"),
            (overlapping, "each twice"),
        ] {
            let (mut audio, mut events) = open(runs);
            assert_right(list.facts, &read_all(&mut audio), case);
            let told = told(&mut events);
            assert_eq!(silences(&told), [], "{folder}, {case}");
            assert!(splices(&told).iter().all(|(_, ramp)| !ramp));
            let damaged = |event: &AudioEvent| matches!(event, AudioEvent::PacketSkipped { .. });
            assert!(!told.iter().any(damaged), "{folder}, {case}");
        }
    }
}

#[test]
fn behind_a_discontinuity_the_title_goes_on_without_a_frame_between() {
    let list = Playlist::new("discontinuity");
    let runs = vec![
        list.run(0..list.behind, RunCause::Start),
        list.run(list.behind..list.len(), RunCause::Discontinuity),
    ];
    let (mut audio, mut events) = open(runs);
    assert_right(list.facts, &read_all(&mut audio), "in one go");
    assert_eq!(silences(&told(&mut events)), []);
}

#[test]
fn a_seek_lands_on_the_frame_by_the_playlists_own_times() {
    for folder in TITLES {
        let list = Playlist::new(folder);
        let facts = list.facts;
        // What settles slowly, or is checked as a whole only, is left to other tests.
        if facts.sha256.is_some() || facts.codec == "Opus" {
            continue;
        }
        let (config, mut events) = listened();
        let first = vec![list.run(0..list.len(), RunCause::Start)];
        let (mut audio, _) = open_sought(first, config, list.clone().sought());
        let mut dice = Seeded::new(3);
        let mut block = vec![0.0; 2 * 2048];
        for _ in 0..30 {
            let frame = dice.below(facts.frames as u64 - 2048);
            let rate = u64::from(facts.sample_rate);
            let to = Duration::from_nanos((frame * 1_000_000_000).div_ceil(rate));
            audio.control().seek(to, SeekMode::Exact).unwrap();
            let mut got = 0;
            while got < block.len() {
                got += audio.read(&mut block[got..]).unwrap();
            }
            let difference = facts.difference_at(&block, frame as usize);
            assert_eq!(difference, None, "{folder} at {frame}");
            let exact = await_event(&mut events, |event| match event {
                AudioEvent::SeekDone { exact, .. } => Some(*exact),
                _ => None,
            });
            assert!(exact, "{folder} at {frame}");
        }
    }
}

#[test]
fn variants_of_one_title_change_at_any_segment_to_the_frame() {
    let variants: Vec<_> = ["aac-48", "aac-96", "aac-160", "fmp4-flac"]
        .map(Playlist::new)
        .into();
    let mut dice = Seeded::new(11);
    for _ in 0..12 {
        let mut order = Vec::new();
        let runs = (0..variants[0].len())
            .map(|number| {
                let variant = dice.below(variants.len() as u64) as usize;
                // Those of another codec have other packets, and so are cut a little earlier or later.
                let codec = |variant: usize| &variants[variant].facts.codec;
                let last = order.last().map_or(variant, |(last, _)| *last);
                let other = codec(last) != codec(variant);
                let before = if other { 1 } else { dice.below(2) as usize };
                let early = number.saturating_sub(before);
                order.push((variant, early));
                variants[variant].run(early..number + 1, RunCause::VariantSwitch)
            })
            .collect();
        let (mut audio, mut events) = open(runs);
        let samples = read_all(&mut audio);
        assert_eq!(samples.len(), 2 * variants[0].facts.frames, "{order:?}");
        let told = told(&mut events);
        assert_eq!(silences(&told), [], "{order:?}");
        // In the middle of each segment it is the variant that was chosen.
        for (number, (variant, _)) in order.iter().enumerate() {
            let list = &variants[*variant];
            if list.facts.sha256.is_some() {
                continue;
            }
            let rate = f64::from(list.facts.sample_rate);
            let from = (list.times[number].as_secs_f64() * rate) as usize + 4096;
            let until = (list.times[number + 1].as_secs_f64() * rate) as usize - 4096;
            let difference = list
                .facts
                .difference_at(&samples[from * 2..until * 2], from);
            assert_eq!(difference, None, "{order:?}: segment {number}");
        }
    }
}
