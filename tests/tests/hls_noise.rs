//! HLS segments that come whole and do not decode: noise, zeros, text, cut, or without sound. Whatever is wrong with one, each
//! frame of the others is where it belongs.

#[path = "support/network.rs"]
mod network;
#[path = "support/hls.rs"]
mod streams;

use std::ops::Range;

use kithara::{
    AbrMode, Error, ErrorKind, GapPolicy, HlsEvent, Resource, ResourceConfig, ResourceEvent,
};
use kithara_tests::fixtures::hls::{self, HlsFixture};
use kithara_tests::server::{FaultServer, Script};
use network::*;
use streams::*;

/// A title of each kind of segment, and what its files are called.
const TITLES: [(&str, &str); 5] = [
    ("aac-48", "m4s"),
    ("ts-aac", "ts"),
    ("ts-mp3", "ts"),
    ("packed-aac", "aac"),
    ("packed-mp3", "mp3"),
];

/// One of each way to pack.
const OF_EACH_KIND: [(&str, &str); 3] = [TITLES[0], TITLES[2], TITLES[4]];

/// What is in the place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instead {
    Noise,
    /// More of it than anybody looks through for a frame.
    MuchNoise,
    Zeros,
    Text,
    /// Its front without a sample: boxes, tables, a tag.
    Front,
    Nothing,
}

const ALL: [Instead; 6] = [
    Instead::Noise,
    Instead::MuchNoise,
    Instead::Zeros,
    Instead::Text,
    Instead::Front,
    Instead::Nothing,
];

impl Instead {
    /// Whether it is media in which there is nothing to be heard.
    fn is_silent(self) -> bool {
        matches!(self, Self::Front | Self::Nothing)
    }

    fn of(self, sound: &[u8]) -> Vec<u8> {
        match self {
            Self::Noise => noise(sound.len()),
            Self::MuchNoise => noise(200_000),
            Self::Zeros => vec![0; sound.len()],
            Self::Text => b"So this is what you wanted to hear.\n".repeat(99),
            Self::Front => front(sound).to_vec(),
            Self::Nothing => Vec::new(),
        }
    }
}

/// Bytes without any order, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(next).collect()
}

/// What lies in front of the samples of a segment.
fn front(sound: &[u8]) -> &[u8] {
    if sound.starts_with(b"ID3") {
        let size = sound[6..10]
            .iter()
            .fold(0, |size, byte| size << 7 | usize::from(*byte));
        return &sound[..10 + size];
    }
    if sound[0] == 0x47 {
        // The tables of which a programme is made.
        let of_tables = |packet: &&[u8]| {
            matches!(
                u16::from_be_bytes([packet[1] & 0x1f, packet[2]]),
                0 | 0x11 | 0x1000
            )
        };
        let tables = sound.chunks(188).take_while(of_tables).count();
        assert!(tables >= 2, "a segment that begins with its tables");
        return &sound[..188 * tables];
    }
    b"\0\0\0\x10stypmsdh\0\0\0\0"
}

/// A title of which one segment is something else.
struct Case {
    fixture: &'static HlsFixture,
    number: usize,
    instead: Instead,
    path: String,
    server: FaultServer,
}

/// The variants of a title that are the same in all but their names.
const VARIANTS: [&str; 3] = ["low", "middle", "high"];

impl Case {
    fn new((folder, extension): (&str, &str), number: usize, instead: Instead) -> Self {
        let path = format!("/{folder}/{number}.{extension}");
        let server = origin();
        let body = instead.of(&hls::file(&path[1..]));
        server.serve(&path, Script::file(body));
        Self {
            fixture: hls::fixture(folder),
            number,
            instead,
            path,
            server,
        }
    }

    /// The same of a title with three variants, of which these have something else in the place of the segment.
    fn of_three(title: (&str, &str), number: usize, instead: Instead, bad: &[usize]) -> Self {
        let (folder, extension) = title;
        let mut case = Self::new(title, number, instead);
        let mut list = "#EXTM3U\n".to_owned();
        for (index, name) in VARIANTS.into_iter().enumerate() {
            // So little, and so nearly the same, that no machine is too slow for the best.
            let bandwidth = 10_000 + index;
            list += &format!("#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}\n{name}/media.m3u8\n");
            let numbered = |number: usize| format!("{number}.{extension}");
            let mut files: Vec<_> = (0..case.fixture.segments).map(numbered).collect();
            files.push("media.m3u8".to_owned());
            files.extend((extension == "m4s").then(|| "init.mp4".to_owned()));
            for file in files {
                let script = hls::script(&format!("{folder}/{file}"));
                case.server.serve(&format!("/{name}/{file}"), script);
            }
            if bad.contains(&index) {
                case.path = format!("/{name}/{number}.{extension}");
                let body = instead.of(&hls::file(&format!("{folder}/{number}.{extension}")));
                case.server.serve(&case.path, Script::file(body));
            }
        }
        case.server
            .serve("/three.m3u8", Script::file(list.into_bytes()));
        case
    }

    /// The title with three variants, of which the best is played first.
    fn best_of_three(&self) -> ResourceConfig {
        config(&self.server.url("/three.m3u8")).with_abr_mode(AbrMode::Auto(Some(2)))
    }

    fn config(&self) -> ResourceConfig {
        config(&self.server.url(&self.fixture.playlist()))
    }

    fn gap(&self) -> Range<usize> {
        segments(self.fixture)[self.number].clone()
    }

    fn what(&self) -> String {
        format!("{:?} in place of {}", self.instead, self.path)
    }

    /// Plays it, with a bound on how often the segment is asked for.
    fn play(&self, config: ResourceConfig) -> (Vec<f32>, Vec<ResourceEvent>, Result<(), Error>) {
        let opened = Listener::try_open(config);
        let played = match opened {
            Ok(mut listener) => {
                let result = listener.play();
                (listener.pcm.clone(), listener.events(), result)
            }
            Err(error) => (Vec::new(), Vec::new(), Err(error)),
        };
        let asked = count(&self.server, &self.path);
        assert!(asked <= 7, "{}: asked for {asked} times", self.what());
        played
    }

    /// How many frames a decoder needs that knows nothing of what came before. Packets of MP3 lie in those before them.
    fn settles(&self) -> usize {
        match self.fixture.codec.as_str() {
            "Mp3" => 6 * 1152,
            _ => 2 * 1024,
        }
    }

    /// Every frame in front of the gap is the source's.
    fn is_right_before(&self, pcm: &[f32]) {
        let before = self.gap().start.saturating_sub(64).min(pcm.len() / 2);
        let difference = self.fixture.difference_at(frames(pcm, 0..before), 0);
        assert_eq!(difference, None, "{}, before", self.what());
    }

    /// And so is every one behind it, but for the first packet, which lacks what overlaps it. `moved` frames less lie before them.
    fn is_right_behind(&self, pcm: &[f32], moved: usize) {
        let (behind, played) = (self.gap().end + self.settles(), pcm.len() / 2);
        if behind - moved < played {
            let after = frames(pcm, behind - moved..played);
            let difference = self.fixture.difference_at(after, behind);
            assert_eq!(difference, None, "{}, behind", self.what());
        }
    }

    /// Silence of its length stands for the segment.
    fn is_silence(&self, pcm: &[f32], events: &[ResourceEvent]) {
        let (what, gap, played) = (self.what(), self.gap(), pcm.len() / 2);
        // Where a segment is missing at an end, its playlist alone knows how long it is.
        let rounding = if gap.end < self.fixture.frames && gap.start > 0 {
            0
        } else {
            64
        };
        let off = played.abs_diff(self.fixture.frames);
        assert!(
            off <= rounding,
            "{what}: {played} frames for {}",
            self.fixture.frames
        );
        self.is_right_before(pcm);
        // What a decoder holds back of the packet before is in the first one.
        let inside = gap.start + 1152 * usize::from(gap.start > 0)..(gap.end - 64).min(played);
        let silent = frames(pcm, inside).iter().all(|sample| *sample == 0.0);
        assert!(silent, "{what}: it is heard");
        self.is_right_behind(pcm, 0);
        self.is_told(events, true);
    }

    /// That there is a gap is told once, and what is wrong with the segment.
    fn is_told(&self, events: &[ResourceEvent], silence: bool) {
        let gaps = hls_events(events)
            .filter(|event| matches!(event, HlsEvent::Gap { silent, .. } if *silent == silence));
        assert_eq!(gaps.count(), 1, "{}: {events:?}", self.what());
        let number = self.number as u64;
        let failed = |event: &HlsEvent| matches!(event, HlsEvent::SegmentFailed { sequence, .. } if *sequence == number);
        assert!(hls_events(events).any(failed), "{}", self.what());
    }

    /// It ends in front of the segment, with an error that names it.
    fn stops(&self, pcm: &[f32], result: Result<(), Error>) {
        let what = self.what();
        let error = result.err().unwrap_or_else(|| panic!("{what}: it played"));
        let told = format!("{error:?}");
        assert!(
            told.contains(&format!("segment {}", self.number)),
            "{what}: {told}"
        );
        if self.instead != Instead::Nothing {
            assert_eq!(error.kind(), ErrorKind::WrongContent, "{what}: {told}");
        }
        self.is_right_before(pcm);
        let (played, begin) = (pcm.len() / 2, self.gap().start);
        assert!(
            played.abs_diff(begin) <= 1152,
            "{what}: {played} for {begin}"
        );
    }
}

fn places(folder: &str) -> [usize; 3] {
    let last = hls::fixture(folder).segments - 1;
    [0, last / 2, last]
}

fn each_case(mut check: impl FnMut(&Case)) {
    for title in TITLES {
        for number in places(title.0) {
            for instead in ALL {
                check(&Case::new(title, number, instead));
            }
        }
    }
}

#[test]
fn silence_stands_for_what_does_not_decode() {
    each_case(|case| {
        let (pcm, events, result) = case.play(case.config().with_gap_policy(GapPolicy::Silence));
        result.unwrap_or_else(|error| panic!("{}: {error:?}", case.what()));
        case.is_silence(&pcm, &events);
    });
}

#[test]
fn without_a_rule_only_what_has_no_sound_is_silence() {
    each_case(|case| {
        let (pcm, events, result) = case.play(case.config());
        if case.instead.is_silent() {
            result.unwrap_or_else(|error| panic!("{}: {error:?}", case.what()));
            case.is_silence(&pcm, &events);
        } else {
            case.stops(&pcm, result);
        }
    });
}

#[test]
fn what_does_not_decode_is_left_out_if_the_listener_wants() {
    each_case(|case| {
        let (pcm, events, result) = case.play(case.config().with_gap_policy(GapPolicy::Skip));
        result.unwrap_or_else(|error| panic!("{}: {error:?}", case.what()));
        let (gap, played) = (case.gap(), pcm.len() / 2);
        let left = case.fixture.frames - (gap.end.min(case.fixture.frames) - gap.start);
        assert!(
            played.abs_diff(left) <= 64,
            "{}: {played} for {left}",
            case.what()
        );
        case.is_right_before(&pcm);
        let moved = case.fixture.frames - played;
        if gap.end < case.fixture.frames {
            case.is_right_behind(&pcm, moved);
        }
        case.is_told(&events, false);
    });
}

#[test]
fn what_does_not_decode_is_an_end_if_the_listener_wants() {
    each_case(|case| {
        let (pcm, _, result) = case.play(case.config().with_gap_policy(GapPolicy::Stop));
        case.stops(&pcm, result);
    });
}

#[test]
fn what_does_not_decode_comes_from_another_variant() {
    for title in OF_EACH_KIND {
        for number in places(title.0) {
            for instead in ALL {
                let case = Case::of_three(title, number, instead, &[1, 2]);
                let (pcm, events, result) = case.play(case.best_of_three());
                let what = case.what();
                result.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert_eq!(pcm.len() / 2, case.fixture.frames, "{what}");
                case.is_right_before(&pcm);
                // The first packet of the variant lacks what overlaps it.
                let (begin, played) = (case.gap().start + case.settles(), pcm.len() / 2);
                if begin < played {
                    let rest = frames(&pcm, begin..played);
                    assert_eq!(case.fixture.difference_at(rest, begin), None, "{what}");
                }
                let gaps =
                    hls_events(&events).filter(|event| matches!(event, HlsEvent::Gap { .. }));
                assert_eq!(gaps.count(), 0, "{what}");
                for variant in [1, 2] {
                    let failed = |event: &HlsEvent| matches!(event, HlsEvent::SegmentFailed { variant: of, .. } if *of == variant);
                    assert!(hls_events(&events).any(failed), "{what}: {variant}");
                }
            }
        }
    }
}

#[test]
fn what_no_variant_has_is_silence() {
    for title in OF_EACH_KIND {
        for number in places(title.0) {
            for instead in ALL {
                let case = Case::of_three(title, number, instead, &[0, 1, 2]);
                let config = case.best_of_three().with_gap_policy(GapPolicy::Silence);
                let (pcm, events, result) = case.play(config);
                let what = case.what();
                result.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                case.is_silence(&pcm, &events);
                for name in VARIANTS {
                    let path = format!("/{name}/{number}.{}", title.1);
                    assert!(count(&case.server, &path) <= 7, "{what}");
                }
            }
        }
    }
}

/// A playlist of segments of a few frames each, cut out of a packed title; their bytes, and the frame with which each begins.
fn small_segments(fixture: &HlsFixture) -> (String, Vec<(Vec<u8>, usize)>) {
    const FRAMES: usize = 4;
    let (mut parts, mut time) = (Vec::new(), 0);
    let mut list = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n".to_owned();
    for number in 0..fixture.segments {
        let sound = hls::file(&format!("packed-aac/{number}.aac"));
        let tag = front(&sound);
        let bytes_of = |head: &[u8]| {
            usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5)
        };
        let mut rest = &sound[tag.len()..];
        while !rest.is_empty() {
            let mut part = tag.to_vec();
            let at = part.len() - 8;
            part[at..].copy_from_slice(&(time as u64 * 90_000 / 44_100).to_be_bytes());
            let mut frames = 0;
            while frames < FRAMES && !rest.is_empty() {
                let (frame, behind) = rest.split_at(bytes_of(rest));
                part.extend_from_slice(frame);
                (frames, rest) = (frames + 1, behind);
            }
            let seconds = (frames * 1024) as f64 / 44_100.0;
            list += &format!("#EXTINF:{seconds:.6},\nsmall/{}.aac\n", parts.len());
            parts.push((part, time));
            time += frames * 1024;
        }
    }
    (list + "#EXT-X-ENDLIST\n", parts)
}

#[test]
fn among_many_small_segments_those_at_fault_are_left_out_and_no_others() {
    let fixture = hls::fixture("packed-aac");
    let (list, parts) = small_segments(fixture);
    for bad in [7..8, 30..33, 100..101] {
        for instead in [Instead::Noise, Instead::MuchNoise, Instead::Front] {
            let what = format!("{instead:?} in {bad:?}");
            let server = FaultServer::start();
            server.serve("/list.m3u8", Script::file(list.clone().into_bytes()));
            for (number, (part, _)) in parts.iter().enumerate() {
                let body = match bad.contains(&number) {
                    true => instead.of(part),
                    false => part.clone(),
                };
                server.serve(&format!("/small/{number}.aac"), Script::file(body));
            }
            let config = config(&server.url("/list.m3u8")).with_gap_policy(GapPolicy::Silence);
            // Nobody listens to the events: there are hundreds.
            let mut resource = Resource::blocking(config).expect("it opens");
            let (mut pcm, mut read) = (Vec::new(), vec![0.0; 16_384]);
            loop {
                let count = resource.read(&mut read);
                match count.unwrap_or_else(|error| panic!("{what}: {error:?}")) {
                    0 => break,
                    count => pcm.extend_from_slice(&read[..count]),
                }
            }
            assert_eq!(pcm.len() / 2, fixture.frames, "{what}");
            let (begin, end) = (parts[bad.start].1, parts[bad.end].1);
            let before = frames(&pcm, 0..begin);
            assert_eq!(fixture.difference_at(before, 0), None, "{what}, before");
            let inside = frames(&pcm, begin + 1024..end);
            assert!(inside.iter().all(|sample| *sample == 0.0), "{what}, in it");
            let after = frames(&pcm, end + 2048..fixture.frames);
            assert_eq!(fixture.difference_at(after, end + 2048), None, "{what}");
            for number in 0..parts.len() {
                let asked = count(&server, &format!("/small/{number}.aac"));
                assert!(asked <= 7, "{what}: {number} was asked for {asked} times");
            }
        }
    }
}

#[test]
fn an_init_section_that_is_none_is_named_with_the_first_segment() {
    for instead in [Instead::Noise, Instead::Zeros, Instead::Text] {
        let server = origin();
        let body = instead.of(&hls::file("aac-48/init.mp4"));
        server.serve("/aac-48/init.mp4", Script::file(body));
        let opened = Listener::try_open(title(&server, "aac-48"));
        let error = opened
            .err()
            .unwrap_or_else(|| panic!("{instead:?}: it opened"));
        let told = format!("{error:?}");
        assert_eq!(error.kind(), ErrorKind::WrongContent, "{told}");
        assert!(told.contains("segment 0"), "{told}");
        assert!(count(&server, "/aac-48/init.mp4") <= 7, "{instead:?}");

        // Other variants have others.
        let config =
            config(&server.url("/multivariant.m3u8")).with_abr_mode(AbrMode::Auto(Some(0)));
        let mut listener = Listener::open(config);
        listener
            .play()
            .unwrap_or_else(|error| panic!("{instead:?}: {error:?}"));
        assert_eq!(listener.pcm.len() / 2, 485_100, "{instead:?}");
    }
}
