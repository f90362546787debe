//! Stretches out of the middle of titles: segments in a row, as HLS has them.

mod support;

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kithara_decode::{DecodeError, DecoderFactory, InnerDecoder, Notice};
use kithara_stream::{ByteSource, MediaInfo, StreamError};
use kithara_tests::fixtures::{self, Segmented, segmented};
use support::{drain, each, options, whole};

/// What is cut, and how many of its frames settle a decoder that begins in the middle.
const CUT: [(&str, u64); 6] = [
    ("fmp4-aac-nopns.mp4", 1024),
    ("fmp4-flac.mp4", 0),
    ("fmp4-opus.mp4", 19_200),
    ("adts-nopns.aac", 1024),
    ("mp3-cbr-notag.mp3", 5 * 1152),
    ("mp3.ts", 5 * 1152),
];

/// Bytes that come in order, of which nobody knows how many there are.
struct Tap {
    bytes: Vec<u8>,
    at: usize,
    /// How many bytes come at a time, at most.
    step: usize,
    /// What follows behind the last of them.
    end: Option<StreamError>,
    given: Arc<AtomicU64>,
}

impl Tap {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            at: 0,
            step: usize::MAX,
            end: None,
            given: Arc::default(),
        }
    }
}

impl Read for Tap {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = out.len().min(self.bytes.len() - self.at).min(self.step);
        if count == 0
            && let Some(error) = &self.end
        {
            return Err(error.clone().into());
        }
        out[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        self.given.store(self.at as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Tap {
    fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
        panic!("a seek of what cannot");
    }
}

impl ByteSource for Tap {
    fn byte_len(&self) -> Option<u64> {
        None
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn is_remote(&self) -> bool {
        true
    }
}

fn part() -> MediaInfo {
    MediaInfo {
        name: "part".into(),
        part_of_title: true,
        ..MediaInfo::default()
    }
}

fn open(bytes: Vec<u8>) -> Box<dyn InnerDecoder> {
    DecoderFactory::open(Box::new(Tap::new(bytes)), &part(), &options()).expect("opens")
}

fn all(decoder: &mut dyn InnerDecoder, name: &str) -> Vec<f32> {
    let (samples, end) = drain(decoder, name);
    end.unwrap_or_else(|error| panic!("{name}: {error}"));
    samples
}

fn stamp(decoder: &dyn InnerDecoder) -> Duration {
    decoder.stamp().expect("a stamp").time
}

#[test]
fn all_segments_in_a_row_are_the_whole() {
    let files =
        CUT.iter()
            .map(|(file, _)| *file)
            .chain(["aac.ts", "fmp4-he.mp4", "fmp4-aac-sidx.mp4"]);
    each(
        files,
        |file| (*file).to_owned(),
        |file| {
            let cut = segmented(file);
            assert!(cut.segments.len() > 1);
            let mut decoder = open(cut.run(0..cut.segments.len()));
            let samples = all(decoder.as_mut(), file);
            assert!(samples == whole(fixtures::fixture(file)));
            assert_eq!(decoder.take_notices(), []);
        },
    );
}

#[test]
fn a_run_begins_where_its_stamp_says() {
    each(
        CUT.iter(),
        |(file, _)| (*file).to_owned(),
        |(file, settle)| {
            let right = whole(fixtures::fixture(file));
            let cut = segmented(file);
            let first = stamp(open(cut.run(0..1)).as_ref());
            for from in 1..cut.segments.len() {
                let mut decoder = open(cut.run(from..cut.segments.len()));
                let spec = decoder.spec();
                let channels = usize::from(spec.channels.get());
                let at = spec.frames(stamp(decoder.as_ref()) - first);
                // Times of 90 kHz are rounded: whole packets tell the frame.
                let packet = match file.contains("mp3") {
                    true => 1152,
                    false if file.contains("adts") => 1024,
                    false => 1,
                };
                let grid = (at + packet / 2) / packet * packet;
                assert!(grid.abs_diff(at) <= 1, "{at} is far from {grid}");
                let at = grid;
                let samples = all(decoder.as_mut(), file);
                let expected = &right[at as usize * channels..];
                assert_eq!(samples.len(), expected.len(), "from {from}");
                let settled = (*settle as usize * channels).min(samples.len());
                let worst = support::largest_difference(&samples[settled..], &expected[settled..]);
                assert!(worst <= 1e-6, "from {from}: {worst}");
                assert_eq!(decoder.take_notices(), []);
            }
        },
    );
}

#[test]
fn an_edit_list_takes_off_what_lies_before_the_media_and_nothing_else() {
    let file = "fmp4-aac-nopns.mp4";
    let cut = segmented(file);
    let cut = Segmented {
        init: fixtures::with_edit(&cut.init, 1024),
        ..cut
    };
    let right = whole(fixtures::fixture(file));
    let mut decoder = open(cut.run(0..cut.segments.len()));
    assert_eq!(stamp(decoder.as_ref()), Duration::ZERO);
    // The last packet is as short as what it has of the source: that is trimmed as in a whole file.
    let samples = all(decoder.as_mut(), file);
    assert!(right[1024 * 2..].starts_with(&samples));
    let spec = decoder.spec();
    for from in 1..cut.segments.len() - 1 {
        let mut decoder = open(cut.run(from..from + 1));
        let at = spec.frames(stamp(decoder.as_ref())) as usize * 2;
        let part = all(decoder.as_mut(), file);
        // Nothing is missing at its front, and what was to settle is as long as ever.
        let settled = 1024 * 2;
        assert_eq!(part[settled..], samples[at + settled..at + part.len()]);
        assert_eq!(part.len() % (1024 * 2), 0);
    }
}

#[test]
fn a_part_is_not_cut_off_because_the_whole_is_longer() {
    let cut = segmented("fmp4-aac-sidx.mp4");
    let bytes = fixtures::fixture("fmp4-aac-sidx.mp4").bytes();
    // With the index of all of it in front.
    let end = cut.init.len() + 88 + cut.segments[0].len() + cut.segments[1].len();
    let part = bytes[..end].to_vec();
    let mut decoder = open(part.clone());
    assert_eq!(decoder.duration(), None);
    let samples = all(decoder.as_mut(), "two segments");
    let whole_run = all(open(cut.run(0..2)).as_mut(), "two segments");
    assert!(samples == whole_run);
    // The same bytes as a file are cut.
    let mut decoder = support::open(part, "file").expect("opens");
    let (_, end) = drain(decoder.as_mut(), "file");
    assert!(matches!(end, Err(DecodeError::Truncated { .. })));
}

#[test]
fn a_description_in_front_of_a_later_segment_is_no_sound() {
    let file = "mp3-cbr.mp3";
    let plain = segmented("mp3-cbr-notag.mp3");
    let described = fixtures::fixture(file).bytes();
    let info = described
        .windows(4)
        .position(|word| word == b"Info")
        .expect("a header");
    let frame = &described[info - 36..info - 36 + 417];
    let segments = plain.segments.iter().map(|segment| {
        let tag = 10 + usize::from(segment[9]);
        [&segment[..tag], frame, &segment[tag..]].concat()
    });
    let run = segments.collect::<Vec<_>>().concat();
    let mut decoder = open(run);
    let samples = all(decoder.as_mut(), file);
    assert!(samples == whole(fixtures::fixture("mp3-cbr-notag.mp3")));
    assert_eq!(decoder.take_notices(), []);
}

#[test]
fn a_count_that_begins_anew_with_the_last_number_loses_nothing() {
    let cut = segmented("mp3.ts");
    let right = all(open(cut.run(0..cut.segments.len())).as_mut(), "counted");
    for shift in 0..16 {
        let mut segments = cut.segments.clone();
        for (number, segment) in segments.iter_mut().enumerate() {
            for packet in segment.chunks_mut(188).skip(2) {
                let count = packet[3] + (number as u8 + 1) * shift;
                packet[3] = packet[3] & 0xf0 | count & 15;
            }
        }
        let mut decoder = open(segments.concat());
        assert!(all(decoder.as_mut(), "counted") == right, "{shift}");
        let skipped = decoder.take_notices();
        assert_eq!(skipped, [], "{shift}");
    }
}

#[test]
fn the_first_chunk_needs_no_more_than_32_kib() {
    for file in [
        "fmp4-aac-nopns.mp4",
        "fmp4-opus.mp4",
        "fmp4-he.mp4",
        "adts-nopns.aac",
        "mp3-cbr-notag.mp3",
        "mp3.ts",
        "aac.ts",
    ] {
        let cut = segmented(file);
        // As slowly as a network may: what is asked for is what is waited for.
        let mut source = Tap::new(cut.run(0..cut.segments.len()));
        source.step = 512;
        let given = Arc::clone(&source.given);
        let mut decoder = DecoderFactory::open(Box::new(source), &part(), &options()).expect(file);
        let chunk = decoder.next_chunk().expect(file);
        assert!(chunk.is_some(), "{file}");
        let given = given.load(Ordering::Relaxed);
        assert!(given <= 32 * 1024, "{file}: {given} bytes");
        assert!(given <= 14 * 1024, "{file}: {given} bytes");
    }
}

#[test]
fn runs_of_one_configuration_decode_as_one_stream() {
    for file in [
        "fmp4-aac-nopns.mp4",
        "adts-nopns.aac",
        "mp3.ts",
        "mp3-cbr-notag.mp3",
    ] {
        let cut = segmented(file);
        let last = cut.segments.len();
        let mut decoder = open(cut.run(0..1));
        assert!(!decoder.continues());
        let mut samples = all(decoder.as_mut(), file);
        for from in 1..last {
            let source = Box::new(Tap::new(cut.run(from..from + 1)));
            decoder = DecoderFactory::open_after(source, &part(), &options(), decoder).expect(file);
            assert!(decoder.continues(), "{file} from {from}");
            samples.extend(all(decoder.as_mut(), file));
        }
        assert!(samples == whole(fixtures::fixture(file)), "{file}");
    }
}

#[test]
fn what_is_encoded_otherwise_or_is_not_at_its_end_is_not_gone_on_with() {
    let aac = segmented("adts-nopns.aac");
    let source = || Box::new(Tap::new(aac.run(1..2)));
    let mut ended = open(segmented("mp3-cbr-notag.mp3").run(0..1));
    all(ended.as_mut(), "another codec");
    let begun = open(aac.run(0..1));
    // It ends behind where the new one begins.
    let mut beyond = open(aac.run(0..2));
    all(beyond.as_mut(), "beyond");
    for before in [ended, begun, beyond] {
        let mut decoder =
            DecoderFactory::open_after(source(), &part(), &options(), before).expect("opens");
        assert!(!decoder.continues());
        let fresh = all(open(aac.run(1..2)).as_mut(), "afresh");
        assert!(all(decoder.as_mut(), "afresh") == fresh);
    }
}

#[test]
fn a_run_that_is_cut_off_gives_all_whole_packets_and_says_so() {
    each(
        CUT.iter(),
        |(file, _)| (*file).to_owned(),
        |(file, _)| {
            let cut = segmented(file);
            let run = cut.run(0..2);
            let right = all(open(run.clone()).as_mut(), file);
            let first = cut.run(0..1).len();
            let least = all(open(cut.run(0..1)).as_mut(), file).len();
            // By then it is known what it is.
            let cuts = [first + 1, first + 700, run.len() - 2000, run.len() - 1];
            for at in cuts.into_iter().filter(|at| *at > 5000) {
                let mut source = Tap::new(run[..at].to_vec());
                source.end = Some(StreamError::CutOff);
                let mut decoder =
                    DecoderFactory::open(Box::new(source), &part(), &options()).expect(file);
                let (samples, end) = drain(decoder.as_mut(), file);
                let error = end.expect_err("it is cut off");
                assert!(error.is_cut_off(), "{at}: {error}");
                assert!(right.starts_with(&samples), "{at}");
                assert!(
                    samples.len() + 2 * 2048 >= least,
                    "{at}: {} of {least}",
                    samples.len()
                );
                let again = decoder.next_chunk().expect_err("still");
                assert!(again.is_cut_off());
            }
        },
    );
}

#[test]
fn a_hole_in_the_times_is_silence_that_is_told() {
    let file = "fmp4-flac.mp4";
    let cut = segmented(file);
    let right = whole(fixtures::fixture(file));
    let run = [&cut.init[..], &cut.segments[0], &cut.segments[2]].concat();
    let mut decoder = open(run);
    let samples = all(decoder.as_mut(), file);
    assert_eq!(samples.len(), right.len());
    let notices = decoder.take_notices();
    let [Notice::PacketSkipped { frame, frames }] = notices[..] else {
        panic!("{notices:?}");
    };
    let hole = frame as usize * 2..(frame + frames) as usize * 2;
    assert!(samples[hole.clone()].iter().all(|sample| *sample == 0.0));
    assert_eq!(samples[..hole.start], right[..hole.start]);
    assert_eq!(samples[hole.end..], right[hole.end..]);
}

#[test]
fn no_damage_to_a_part_is_worse_than_an_error() {
    let mut dice = support::Dice(5);
    for (file, _) in CUT {
        let cut = segmented(file);
        for case in 0..150 {
            let from = dice.roll(cut.segments.len() as u64 - 1) as usize;
            let mut run = cut.run(from..cut.segments.len().min(from + 2));
            for _ in 0..=dice.roll(6) {
                // Mostly where the containers are.
                let most = if dice.roll(2) == 0 { 1200 } else { run.len() };
                let at = dice.roll(most.min(run.len()) as u64) as usize;
                match dice.roll(3) {
                    0 => run[at] = dice.roll(256) as u8,
                    1 => run[at] ^= 1 << dice.roll(8),
                    _ => drop(run.drain(at..(at + dice.roll(300) as usize).min(run.len()))),
                }
            }
            let mut source = Tap::new(run);
            source.end = (dice.roll(2) == 0).then_some(StreamError::CutOff);
            let opened = DecoderFactory::open(Box::new(source), &part(), &options());
            let end = opened.and_then(|mut decoder| {
                let _ = decoder.stamp();
                drain(decoder.as_mut(), file).1
            });
            if let Err(error @ DecodeError::Worker { .. }) = end {
                panic!("{file}, {case}: {error}");
            }
        }
    }
}
