//! What was passed of a stream of bare frames is found again, by this decoder and by the next one; what is kept of it is a
//! hint and never believed.

mod support;

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use kithara_decode::{InnerDecoder, SeekMode};
use kithara_stream::ByteSource;
use kithara_tests::fixtures::unlisted;
use support::{Dice, Remote, Touched, drain, largest_difference, open, open_source};

/// Where an index is kept between two decoders.
type Slot = Arc<Mutex<Option<Arc<[u8]>>>>;

/// A far source that keeps an index.
struct Keeping {
    inner: Remote,
    slot: Slot,
}

impl Read for Keeping {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.inner.read(out)
    }
}

impl Seek for Keeping {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

impl ByteSource for Keeping {
    fn byte_len(&self) -> Option<u64> {
        self.inner.byte_len()
    }

    fn is_seekable(&self) -> bool {
        self.inner.is_seekable()
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn load_index(&self) -> Option<Arc<[u8]>> {
        self.slot.lock().expect("no panic").clone()
    }

    fn keeps_index(&self) -> bool {
        true
    }

    fn keep_index(&self, index: Vec<u8>) {
        *self.slot.lock().expect("no panic") = Some(index.into());
    }
}

/// A title of variable rate and every sample of it.
struct Title {
    name: &'static str,
    bytes: Vec<u8>,
    samples: Vec<f32>,
}

impl Title {
    fn new(name: &'static str) -> Self {
        // Long enough for a walk through it to cost.
        let bytes = unlisted(name).repeat(2);
        let mut decoder = open(bytes.clone(), name).expect("opens");
        let (samples, end) = drain(decoder.as_mut(), name);
        end.expect("ends");
        Self {
            name,
            bytes,
            samples,
        }
    }

    fn both() -> [Self; 2] {
        [Self::new("seek-vbr.mp3"), Self::new("seek-adts.aac")]
    }

    fn frames(&self) -> u64 {
        self.samples.len() as u64 / 2
    }

    fn open(&self, slot: &Slot) -> (Box<dyn InnerDecoder>, Arc<Touched>) {
        let inner = Remote::new(self.bytes.clone());
        let touched = Arc::clone(&inner.touched);
        let slot = Arc::clone(slot);
        let decoder = open_source(Keeping { inner, slot }, self.name).expect("opens");
        (decoder, touched)
    }

    /// Seeks; whether that is exact, and how many jumps it took. What is exact is the samples of the decode in one go.
    fn seek(
        &self,
        (decoder, touched): &mut (Box<dyn InnerDecoder>, Arc<Touched>),
        frame: u64,
        mode: SeekMode,
    ) -> (bool, u64) {
        let before = touched.jumps();
        let landing = decoder
            .seek(decoder.spec().time(frame), mode)
            .unwrap_or_else(|error| panic!("{} to {frame}: {error}", self.name));
        let jumps = touched.jumps() - before;
        let chunk = decoder.next_chunk().expect("decodes").expect("goes on");
        assert_eq!(chunk.frame, landing.frame, "{}", self.name);
        if landing.exact {
            assert_eq!(landing.frame, frame, "{}", self.name);
            let off = largest_difference(&chunk.pcm, &self.samples[frame as usize * 2..]);
            assert!(off <= 1e-4, "{} to {frame}: differs by {off}", self.name);
        }
        (landing.exact, jumps)
    }
}

/// Plays up to a frame.
fn play_to(decoder: &mut dyn InnerDecoder, frame: u64) {
    while let Some(chunk) = decoder.next_chunk().expect("decodes") {
        if chunk.frame + chunk.frames() as u64 >= frame {
            return;
        }
    }
}

#[test]
fn what_was_heard_is_sought_exactly_now_and_by_the_next_decoder() {
    for title in Title::both() {
        let slot = Slot::default();
        let heard = title.frames() / 2;
        let mut one = title.open(&slot);
        play_to(one.0.as_mut(), heard);
        // What is read ahead of them has been read, too.
        for part in 1..6 {
            let (exact, jumps) = title.seek(&mut one, heard * part / 8, SeekMode::Fast);
            assert!(exact && jumps == 0, "{}: {exact}, {jumps}", title.name);
        }
        // Beyond it there is a guess, and only then.
        let beyond = title.frames() * 15 / 16;
        let (exact, jumps) = title.seek(&mut one, beyond, SeekMode::Fast);
        assert!(!exact && jumps <= 1, "{}: {exact}, {jumps}", title.name);
        drop(one);

        // Nothing has been fetched yet but the front.
        for part in [7, 2, 5] {
            let mut next = title.open(&slot);
            let (exact, jumps) = title.seek(&mut next, heard * part / 8, SeekMode::Fast);
            assert!(exact && jumps <= 1, "{}: {exact}, {jumps}", title.name);
        }
        let mut without = title.open(&Slot::default());
        let (exact, _) = title.seek(&mut without, heard * 7 / 8, SeekMode::Fast);
        assert!(!exact, "{}: it is the index that makes it so", title.name);
    }
}

#[test]
fn an_exact_walk_is_made_once() {
    for title in Title::both() {
        let slot = Slot::default();
        let mut one = title.open(&slot);
        let (exact, _) = title.seek(&mut one, title.frames() * 15 / 16, SeekMode::Exact);
        assert!(exact, "{}", title.name);
        for part in 1..13 {
            let frame = title.frames() * part / 16;
            let (exact, jumps) = title.seek(&mut one, frame, SeekMode::Fast);
            assert!(exact && jumps == 0, "{}: {exact}, {jumps}", title.name);
        }
        drop(one);
        let mut next = title.open(&slot);
        let (exact, jumps) = title.seek(&mut next, title.frames() * 7 / 8, SeekMode::Exact);
        assert!(exact && jumps == 1, "{}: {exact}, {jumps}", title.name);
        let all = next.1.bytes();
        let most = title.bytes.len() as u64 * 3 / 4;
        assert!(all < most, "{}: {all} bytes, so it walked", title.name);
    }
}

#[test]
fn an_index_of_something_else_is_noticed_and_costs_no_frame() {
    for title in Title::both() {
        // Of the same beginning with another continuation: places where there is no frame.
        let slot = Slot::default();
        let mut other = Title {
            bytes: title.bytes.clone(),
            samples: Vec::new(),
            ..title
        };
        let cut = other.bytes.len() / 8;
        other.bytes.splice(cut..cut, [0; 131]);
        let mut decoder = open_source(
            Keeping {
                inner: Remote::new(other.bytes),
                slot: Arc::clone(&slot),
            },
            title.name,
        )
        .expect("opens");
        play_to(decoder.as_mut(), title.frames());
        drop(decoder);
        assert!(slot.lock().expect("no panic").is_some(), "{}", title.name);
        for part in [15, 3, 9] {
            let mut one = title.open(&slot);
            let frame = title.frames() * part / 16;
            let (exact, _) = title.seek(&mut one, frame, SeekMode::Exact);
            assert!(exact, "{}", title.name);
            let (exact, _) = title.seek(&mut one, frame / 2, SeekMode::Fast);
            assert!(exact, "{}", title.name);
        }
    }
}

#[test]
fn damaged_indexes_are_ignored() {
    let title = Title::new("seek-adts.aac");
    let slot = Slot::default();
    play_to(title.open(&slot).0.as_mut(), title.frames());
    let whole = slot.lock().expect("no panic").clone().expect("it was kept");
    let mut dice = Dice(5);
    for round in 0..60 {
        let mut index = whole.to_vec();
        match round % 3 {
            // A stranger's numbers of frames cannot be told from true ones: those stay as they are.
            0 => index.truncate(dice.roll(index.len() as u64) as usize),
            1 => index = (0..64).map(|_| dice.roll(256) as u8).collect(),
            _ => index.extend([0xff; 40]),
        }
        *slot.lock().expect("no panic") = Some(index.into());
        let mut one = title.open(&slot);
        let frame = dice.roll(title.frames() - 2000);
        let (exact, _) = title.seek(&mut one, frame, SeekMode::Exact);
        assert!(exact, "round {round}");
    }
}
