//! Ogg streams one after another in one file (RFC 3533 §4): one title without gaps.

mod support;

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kithara_decode::{DecodeError, InnerDecoder, MediaDuration, Notice, PcmChunk, SeekMode};
use kithara_stream::ByteSource;
use kithara_tests::fixtures::{fixture, folder, ogg_pages, ogg_sealed};
use support::{Dice, Remote, drain, largest_difference, open, open_source};

/// Chains of links of one layout.
const CHAINS: [&[&str]; 6] = [
    &["album/1.ogg", "album/2.ogg", "album/3.ogg"],
    &["album/2.opus", "album/1.opus", "ogg-opus-silk.ogg"],
    &["ogg-opus.ogg", "ogg-opus-hybrid.ogg"],
    &["ogg-flac.ogg", "ogg-flac.ogg"],
    &["ogg-vorbis.ogg", "ogg-flac.ogg", "ogg-vorbis.ogg"],
    &["ogg-opus-silk.ogg", "ogg-opus-gain.ogg", "album/3.ogg"],
];

fn bytes(file: &str) -> Vec<u8> {
    std::fs::read(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The same stream under another number.
fn numbered(file: &str, serial: u32) -> Vec<u8> {
    let pages = ogg_pages(&bytes(file)).into_iter().map(|mut page| {
        page[14..18].copy_from_slice(&serial.to_le_bytes());
        ogg_sealed(page)
    });
    pages.flatten().collect()
}

fn chained(files: &[&str]) -> Vec<Vec<u8>> {
    let links = files.iter().zip(1..);
    links.map(|(file, serial)| numbered(file, serial)).collect()
}

/// All samples of a file that is opened alone.
fn alone(file: &str) -> Vec<f32> {
    let mut decoder = open(bytes(file), file).expect("opens");
    let (samples, end) = drain(decoder.as_mut(), file);
    end.unwrap_or_else(|error| panic!("{file}: {error}"));
    samples
}

fn all(files: &[&str]) -> Vec<f32> {
    files.iter().flat_map(|file| alone(file)).collect()
}

/// What it is read from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Disk,
    Server,
    /// A live stream: it cannot be read twice, and has no length.
    Radio,
}

fn opened(bytes: Vec<u8>, from: From) -> Box<dyn InnerDecoder> {
    let mut remote = Remote::new(bytes.clone());
    (remote.seekable, remote.length_known) = (from == From::Server, from == From::Server);
    match from {
        From::Disk => open(bytes, "chain"),
        From::Server | From::Radio => open_source(remote, "chain"),
    }
    .expect("opens")
}

fn exact(decoder: &dyn InnerDecoder, samples: &[f32]) -> Option<MediaDuration> {
    let spec = decoder.spec();
    let frames = samples.len() / usize::from(spec.channels.get());
    Some(MediaDuration::Exact(spec.time(frames as u64)))
}

#[test]
fn links_play_one_after_another_without_a_gap() {
    for files in CHAINS {
        let right = all(files);
        for from in [From::Disk, From::Server, From::Radio] {
            let case = format!("{files:?} from {from:?}");
            let mut decoder = opened(chained(files).concat(), from);
            let known = matches!(decoder.duration(), Some(MediaDuration::Exact(_)));
            assert_eq!(known, from == From::Disk, "{case}");
            if known {
                assert_eq!(
                    decoder.duration(),
                    exact(decoder.as_ref(), &right),
                    "{case}"
                );
            }
            let (got, end) = drain(decoder.as_mut(), &case);
            end.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(got.len(), right.len(), "{case}");
            assert!(got == right, "{case}: samples");
            assert_eq!(
                decoder.duration(),
                exact(decoder.as_ref(), &right),
                "{case}"
            );
            assert_eq!(decoder.take_notices(), [], "{case}");
        }
    }
}

#[test]
fn a_seek_leads_to_the_frame_in_whichever_link_it_lies() {
    let mut dice = Dice(95);
    for files in CHAINS {
        let right = all(files);
        for from in [From::Disk, From::Server] {
            let mut decoder = opened(chained(files).concat(), from);
            let channels = usize::from(decoder.spec().channels.get());
            let frames = (right.len() / channels) as u64;
            let bounds = files.iter().scan(0, |at, file| {
                *at += (alone(file).len() / channels) as u64;
                Some(*at)
            });
            // Around the joints, and anywhere.
            let joints = bounds.flat_map(|at| [at.saturating_sub(1), at, at + 1]);
            let mut targets: Vec<u64> = joints.collect();
            targets.extend((0..16).map(|_| dice.roll(frames)));
            targets.extend([frames * 3 / 4, 0, frames + 10, frames / 3]);
            for target in targets {
                let case = format!("{files:?} from {from:?} at {target}");
                let to = decoder.spec().time(target);
                let landing = decoder.seek(to, SeekMode::Fast).expect("seeks");
                let target = target.min(frames);
                assert_eq!((landing.frame, landing.exact), (target, true), "{case}");
                let chunk = decoder.next_chunk().expect("decodes");
                let Some(chunk) = chunk else {
                    assert_eq!(target, frames, "{case}");
                    continue;
                };
                assert_eq!(chunk.frame, target, "{case}");
                let rest = &right[target as usize * channels..];
                assert!(chunk.pcm.len() <= rest.len(), "{case}");
                let off = largest_difference(&chunk.pcm, rest);
                assert!(off <= 1e-4, "{case}: {off}");
            }
            let to = decoder.spec().time(frames / 4);
            decoder.seek(to, SeekMode::Exact).expect("seeks");
            let (got, end) = drain(decoder.as_mut(), "from a quarter on");
            end.expect("ends");
            let rest = &right[frames as usize / 4 * channels..];
            assert_eq!(got.len(), rest.len(), "{files:?} from {from:?}");
            assert!(largest_difference(&got, rest) <= 1e-4, "{files:?}");
        }
    }
}

/// RFC 3533 forbids it, and `cat` does it.
#[test]
fn links_of_one_number_are_told_apart_all_the_same() {
    for files in [
        &["ogg-vorbis.ogg", "ogg-vorbis.ogg"][..],
        &["album/1.opus"; 5],
        &["ogg-flac.ogg", "ogg-vorbis.ogg", "ogg-vorbis.ogg"],
    ] {
        let right = all(files);
        let links: Vec<u8> = files.iter().flat_map(|file| numbered(file, 7)).collect();
        let mut decoder = opened(links, From::Disk);
        assert_eq!(
            decoder.duration(),
            exact(decoder.as_ref(), &right),
            "{files:?}"
        );
        let (got, end) = drain(decoder.as_mut(), "one number");
        end.expect("ends");
        assert!(got == right, "{files:?}: {} of {}", got.len(), right.len());
        let middle = decoder
            .spec()
            .frames(decoder.spec().time(right.len() as u64 / 3));
        let to = decoder.spec().time(middle);
        let landing = decoder.seek(to, SeekMode::Fast).expect("seeks");
        let chunk = decoder.next_chunk().expect("decodes").expect("a chunk");
        assert_eq!(landing.frame, middle, "{files:?}");
        let channels = usize::from(decoder.spec().channels.get());
        let rest = &right[middle as usize * channels..];
        assert!(largest_difference(&chunk.pcm, rest) <= 1e-4, "{files:?}");
    }
}

#[test]
fn a_link_of_another_layout_ends_the_title_by_name_after_all_before_it() {
    let opus = numbered("ogg-opus.ogg", 2);
    let mut theora = opus.clone();
    theora.truncate(ogg_pages(&opus)[0].len());
    theora[28..36].copy_from_slice(b"\x80theora\0");
    for (behind, what) in [
        (opus, "48000 Hz"),
        (ogg_sealed(theora), "without Vorbis, Opus or FLAC"),
    ] {
        for from in [From::Disk, From::Server, From::Radio] {
            let case = format!("{what} from {from:?}");
            let right = all(&["album/1.ogg", "album/2.ogg"]);
            let links = [
                chained(&["album/1.ogg", "album/2.ogg"]),
                vec![behind.clone()],
            ];
            let mut decoder = opened(links.concat().concat(), from);
            assert!(
                !matches!(decoder.duration(), Some(MediaDuration::Exact(_))),
                "{case}"
            );
            let (got, end) = drain(decoder.as_mut(), &case);
            assert!(got == right, "{case}: {} of {}", got.len(), right.len());
            let is_named = |end: &Result<(), DecodeError>| match end {
                Err(DecodeError::Unsupported { what: said, .. }) => {
                    said.contains("chained") && said.contains(what)
                }
                _ => false,
            };
            assert!(is_named(&end), "{case}: {end:?}");
            // Repeated until a seek, and what can be played still can.
            assert!(is_named(&drain(decoder.as_mut(), &case).1), "{case}");
            if from != From::Radio {
                let to = decoder.spec().time(1000);
                assert_eq!(
                    decoder.seek(to, SeekMode::Exact).expect("seeks").frame,
                    1000
                );
                let (got, end) = drain(decoder.as_mut(), &case);
                assert_eq!(got.len(), right.len() - 1000, "{case}");
                assert!(is_named(&end), "{case}: {end:?}");
            }
        }
    }
}

#[test]
fn a_chain_that_is_cut_off_gives_what_it_holds_and_then_says_so() {
    let files = ["ogg-opus-hybrid.ogg", "ogg-opus.ogg"];
    let [first, second] = [numbered(files[0], 1), numbered(files[1], 2)];
    let right = all(&files);
    let before = alone(files[0]).len();
    let ident = ogg_pages(&second)[0].len();
    // In the middle of the audio, of the headers, and of the first page.
    for kept in [second.len() * 2 / 3, ident + 100, ident - 5] {
        for from in [From::Disk, From::Server, From::Radio] {
            let case = format!("{kept} bytes from {from:?}");
            let mut decoder = opened([&first, &second[..kept]].concat(), from);
            let (got, end) = drain(decoder.as_mut(), &case);
            assert!(
                matches!(&end, Err(DecodeError::Truncated { frames, .. }) if *frames == got.len() as u64 / 2),
                "{case}: {end:?}"
            );
            assert_eq!(got.len() > before, kept > second.len() / 2, "{case}");
            assert!(got.len() >= before && right.starts_with(&got), "{case}");
        }
    }
}

#[test]
fn what_is_no_page_between_links_is_skipped_and_told() {
    let files = ["album/1.ogg", "album/2.ogg"];
    let links = chained(&files);
    let junk = b"once upon a time ".repeat(100);
    let bytes = [&links[0][..], &junk, &links[1], &junk].concat();
    for from in [From::Disk, From::Server, From::Radio] {
        let mut decoder = opened(bytes.clone(), from);
        let (got, end) = drain(decoder.as_mut(), "junk");
        end.unwrap_or_else(|error| panic!("{from:?}: {error}"));
        assert!(got == all(&files), "{from:?}");
        let told = Notice::JunkSkipped {
            offset: links[0].len() as u64,
            bytes: junk.len() as u64,
        };
        assert!(decoder.take_notices().contains(&told), "{from:?}");
    }
}

/// Broadcasters change titles without ending the stream they leave.
#[test]
fn a_link_without_a_last_page_ends_where_the_next_begins() {
    let files = ["ogg-opus-hybrid.ogg", "ogg-opus.ogg"];
    let mut pages = ogg_pages(&numbered(files[0], 1));
    let last = pages.pop().expect("a page");
    let ended = [pages.concat(), numbered(files[1], 2)].concat();
    let open_ended = {
        let mut last = last.clone();
        last[5] &= !4;
        [pages.concat(), ogg_sealed(last), numbered(files[1], 2)].concat()
    };
    let (first, second) = (alone(files[0]), alone(files[1]));
    for (bytes, whole) in [(ended, false), (open_ended, true)] {
        for from in [From::Disk, From::Server, From::Radio] {
            let mut decoder = opened(bytes.clone(), from);
            let (got, end) = drain(decoder.as_mut(), "no last page");
            end.unwrap_or_else(|error| panic!("{from:?}: {error}"));
            let (front, back) = got.split_at(got.len() - second.len());
            assert!(back == second, "{from:?}: the second link");
            let least = front.len().min(first.len());
            assert!(front[..least] == first[..least], "{from:?}: the first link");
            assert_eq!(front.len() >= first.len(), whole, "{from:?}");
            if from != From::Radio {
                // What was found out on the way holds from now on.
                let at = front.len() as u64 / 2 + 500;
                let to = decoder.spec().time(at);
                assert_eq!(decoder.seek(to, SeekMode::Exact).expect("seeks").frame, at);
                let chunk = decoder.next_chunk().expect("decodes").expect("a chunk");
                assert!(largest_difference(&chunk.pcm, &second[1000..]) <= 1e-4);
            }
        }
    }
}

#[test]
fn one_link_far_away_is_not_looked_at_to_its_end() {
    let file = fixture("ogg-vorbis.ogg");
    let remote = Remote::new([file.bytes(), vec![0; 300_000]].concat());
    let touched = remote.touched.clone();
    let mut decoder = open_source(remote, "one link").expect("opens");
    decoder.next_chunk().expect("decodes").expect("a chunk");
    assert!(touched.furthest() < file.bytes().len() as u64 + 40_000);
    // What is behind it and no Ogg ends nothing, and is told.
    let (_, end) = drain(decoder.as_mut(), "one link");
    end.expect("ends");
    let told = Notice::JunkSkipped {
        offset: file.bytes().len() as u64,
        bytes: 300_000,
    };
    assert_eq!(decoder.take_notices(), [told]);
}

/// A page of a stream beside the audio.
fn beside(kind: u8, sequence: u32) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(kind);
    page.extend(0i64.to_le_bytes());
    page.extend(99u32.to_le_bytes());
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    page.push(250);
    page.extend([200; 250]);
    page.extend([b'v'; 250 * 200]);
    ogg_sealed(page)
}

#[test]
fn only_the_numbers_of_pages_tell_long_links_of_one_number_apart() {
    let file = "ogg-opus.ogg";
    let mut pages = ogg_pages(&numbered(file, 7));
    // A picture goes on until shortly before the end, so that nothing else of the link is there.
    let last = pages.len() - 1;
    for sequence in (1..5).rev() {
        pages.insert(last, beside(0, sequence));
    }
    pages.insert(1, beside(2, 0));
    let link = pages.concat();
    let right = alone(file).repeat(3);
    let mut decoder = opened(link.repeat(3), From::Disk);
    assert_eq!(decoder.duration(), exact(decoder.as_ref(), &right));
    let (got, end) = drain(decoder.as_mut(), "three times");
    end.expect("ends");
    assert!(got == right, "{} of {}", got.len(), right.len());
    // A file that is one link is not read through.
    let decoder = opened(link, From::Disk);
    assert_eq!(decoder.duration(), exact(decoder.as_ref(), &alone(file)));
}

#[test]
fn a_link_that_is_shorter_than_it_says_moves_those_behind_it() {
    let files = ["ogg-opus.ogg", "ogg-opus-hybrid.ogg", "ogg-opus.ogg"];
    let mut pages = ogg_pages(&numbered(files[0], 1));
    let last = pages.last_mut().expect("a page");
    // Far behind what it holds.
    last[6..14].copy_from_slice(&50_000i64.to_le_bytes());
    *last = ogg_sealed(std::mem::take(last));
    let links = [pages.concat(), numbered(files[1], 2), numbered(files[2], 3)];
    let mut decoder = opened(links.concat(), From::Disk);
    let stated = decoder.duration();
    let (got, end) = drain(decoder.as_mut(), "shorter");
    end.expect("ends");
    let behind = all(&files[1..]);
    assert!(got.ends_with(&behind));
    assert_ne!(decoder.duration(), stated);
    assert_eq!(decoder.duration(), exact(decoder.as_ref(), &got));
    let from = (got.len() - behind.len()) as u64 / 2;
    for place in [from, from + 1000, got.len() as u64 / 2 - 1000] {
        let to = decoder.spec().time(place);
        assert_eq!(
            decoder.seek(to, SeekMode::Fast).expect("seeks").frame,
            place
        );
        let chunk = decoder.next_chunk().expect("decodes").expect("a chunk");
        let right = &got[place as usize * 2..];
        assert!(largest_difference(&chunk.pcm, right) <= 1e-4, "{place}");
    }
}

/// The packets of a title again and again, as one stream, with a picture near its front: so nobody can tell from its front how
/// many bytes a second has.
fn long(serial: u32, times: i64) -> Vec<u8> {
    let file = fixture("ogg-opus.ogg");
    let pages = ogg_pages(&numbered(&file.file, serial));
    let (head, audio) = pages.split_at(2);
    let mut link = vec![head[0].clone(), beside(2, 0), head[1].clone()];
    let mut number = 2u32;
    for turn in 0..times {
        if turn == 1 {
            link.extend((1..5).map(|sequence| beside(0, sequence)));
        }
        for page in audio {
            let mut page = page.clone();
            let is_last = page[5] & 4 != 0;
            let granule: [u8; 8] = page[6..14].try_into().expect("eight bytes");
            // Only the last of all holds padding.
            let granule = match is_last && turn + 1 < times {
                true => file.frames as i64,
                false => i64::from_le_bytes(granule),
            };
            if turn + 1 < times {
                page[5] &= !4;
            }
            let granule = granule + turn * file.frames as i64;
            page[6..14].copy_from_slice(&granule.to_le_bytes());
            page[18..22].copy_from_slice(&number.to_le_bytes());
            number += 1;
            link.push(ogg_sealed(page));
        }
    }
    link.concat()
}

#[test]
fn a_seek_in_a_long_link_searches_that_and_no_other() {
    let link = long(1, 60);
    let mut decoder = open(link.clone(), "one long link").expect("opens");
    let (one, end) = drain(decoder.as_mut(), "one long link");
    end.expect("ends");
    let frames = one.len() as u64 / 2;
    let right = one.repeat(3);
    for (serials, from) in [
        ([1, 2, 3], From::Disk),
        ([1, 1, 1], From::Disk),
        ([1, 2, 3], From::Server),
    ] {
        let links = serials.map(|serial| long(serial, 60)).concat();
        let remote = Remote::new(links.clone());
        let touched = remote.touched.clone();
        let mut decoder = match from {
            From::Disk => opened(links, from),
            _ => open_source(remote, "long links").expect("opens"),
        };
        let mut dice = Dice(7);
        for turn in 0..24 {
            // Within the first at first, then anywhere.
            let below = if turn < 8 { frames } else { 3 * frames };
            let place = dice.roll(below);
            let case = format!("{serials:?} from {from:?} at {place}");
            let before = (touched.bytes(), touched.jumps());
            let to = decoder.spec().time(place);
            let landing = decoder.seek(to, SeekMode::Fast).expect("seeks");
            assert_eq!((landing.frame, landing.exact), (place, true), "{case}");
            let chunk = decoder.next_chunk().expect("decodes").expect("a chunk");
            assert_eq!(chunk.frame, place, "{case}");
            let right = &right[place as usize * 2..];
            assert!(largest_difference(&chunk.pcm, right) <= 1e-4, "{case}");
            if turn < 8 {
                // One to learn of its rate, five to search, and to the place found.
                assert!(touched.jumps() - before.1 <= 7, "{case}: jumps");
                let read = touched.bytes() - before.0;
                assert!(read < link.len() as u64, "{case}: {read} bytes");
            }
        }
        // All links are alike, so only the way to the end tells in which one it was.
        let to = decoder.spec().time(frames / 2);
        decoder.seek(to, SeekMode::Fast).expect("seeks");
        let (got, end) = drain(decoder.as_mut(), "from the middle of the first");
        end.expect("ends");
        let left = right.len() - frames as usize / 2 * 2;
        assert_eq!(got.len(), left, "{serials:?} from {from:?}");
    }
}

/// Every other read fails.
struct Flaky {
    bytes: Cursor<Vec<u8>>,
    fails: bool,
    started: Arc<AtomicBool>,
}

impl Read for Flaky {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.fails = !self.fails && self.started.load(Ordering::Relaxed);
        match self.fails {
            true => Err(io::Error::other("not now")),
            false => {
                let most = out.len().min(512);
                self.bytes.read(&mut out[..most])
            }
        }
    }
}

impl Seek for Flaky {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

impl ByteSource for Flaky {
    fn byte_len(&self) -> Option<u64> {
        Some(self.bytes.get_ref().len() as u64)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// The next chunk, however many tries it takes.
fn persist(decoder: &mut dyn InnerDecoder) -> Option<PcmChunk> {
    for _ in 0..10_000 {
        match decoder.next_chunk() {
            Ok(chunk) => return chunk,
            Err(DecodeError::Stream(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("it never goes on")
}

#[test]
fn a_read_that_fails_between_links_or_on_the_way_of_a_seek_loses_nothing() {
    for files in CHAINS {
        let right = all(files);
        let started = Arc::new(AtomicBool::new(false));
        let source = Flaky {
            bytes: Cursor::new(chained(files).concat()),
            fails: false,
            started: started.clone(),
        };
        let mut decoder = open_source(source, "flaky").expect("opens");
        started.store(true, Ordering::Relaxed);
        let channels = usize::from(decoder.spec().channels.get());
        let mut got = Vec::new();
        while let Some(chunk) = persist(decoder.as_mut()) {
            assert_eq!(chunk.frame as usize, got.len() / channels, "{files:?}");
            got.extend_from_slice(&chunk.pcm);
        }
        assert!(got == right, "{files:?}: {} of {}", got.len(), right.len());
        let frames = right.len() / channels;
        for place in [frames - 100, frames / 5, frames * 2 / 3, 0] {
            let to = decoder.spec().time(place as u64);
            // It fails on its way; where it was going is kept.
            let failed = decoder.seek(to, SeekMode::Exact).is_err();
            let chunk = persist(decoder.as_mut()).expect("a chunk");
            assert_eq!(chunk.frame as usize, place, "{files:?}, failed: {failed}");
            let rest = &right[place * channels..];
            let off = largest_difference(&chunk.pcm, rest);
            assert!(off <= 1e-4, "{files:?} at {place}: {off}");
        }
    }
}
