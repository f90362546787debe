//! Tables as large as a file can make them, while memory is refused: an error, and never the end of the process.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use kithara_decode::{DecodeError, SeekMode};
use kithara_tests::fixtures::fixture;
use support::open;

/// What is larger was sized by the file: nothing that symphonia takes for these files is.
const LARGE: usize = 100 * 1024;
/// Entries of a table.
const ENTRIES: u32 = 60_000;

thread_local! {
    /// How many large allocations of this thread are still granted before one is refused.
    static GRANTED: Cell<Option<u32>> = const { Cell::new(None) };
}

struct Refusing;

#[global_allocator]
static HEAP: Refusing = Refusing;

fn refused(size: usize) -> bool {
    if size <= LARGE {
        return false;
    }
    let granted = GRANTED.get();
    GRANTED.set(granted.and_then(|granted| granted.checked_sub(1)));
    granted == Some(0)
}

// SAFETY: what is not refused goes to the system's allocator unchanged, which keeps the contract; a refusal is a null
// pointer, which the contract allows. The thread local has no destructor and no lazy initialisation.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refused(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract of `alloc`, and this is the same call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if refused(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: `memory` came from `System` with this layout, because nothing else allocates here.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System` with this layout, because nothing else allocates here.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Opens the file, reads a little, seeks and reads again.
fn use_it(file: Vec<u8>) -> Result<(), DecodeError> {
    let mut decoder = open(file, "large")?;
    decoder.next_chunk()?;
    decoder.seek(Duration::from_millis(500), SeekMode::Exact)?;
    decoder.next_chunk()?;
    Ok(())
}

/// Refuses one large allocation after the other, until all are granted; at least `least` were.
fn refuse_each(what: &str, file: &[u8], least: u32) {
    for number in 0..1000 {
        let copy = file.to_vec();
        GRANTED.set(Some(number));
        let outcome = use_it(copy);
        let left = GRANTED.replace(None);
        match (outcome, left) {
            (Ok(()), Some(_)) => {
                assert!(number >= least, "{what}: only {number} large allocations");
                return;
            }
            (Err(DecodeError::OutOfMemory { bytes, .. }), None) => {
                // A vector asks for twice what it needs, and the error names what it needs.
                assert!(bytes > LARGE as u64 / 2, "{what}: {bytes} bytes");
            }
            // What only makes something faster is done without.
            (Ok(()), None) => {}
            (Err(error), _) => panic!("{what}, allocation {number}: {error:?}"),
        }
    }
    panic!("{what}: it never ends");
}

#[test]
fn sample_tables() {
    let count = ENTRIES.to_be_bytes();
    let head = |fields: &[&[u8]]| [&[0; 4], fields.concat().as_slice()].concat();
    let words = |word: &dyn Fn(u32) -> u32| -> Vec<u8> {
        (0..ENTRIES).flat_map(|n| word(n).to_be_bytes()).collect()
    };
    let pairs: Vec<u8> = (0..ENTRIES)
        .flat_map(|_| [0, 0, 0, 1, 0, 0, 0, 1])
        .collect();
    let runs: Vec<u8> = (1..=ENTRIES)
        .flat_map(|n| [n.to_be_bytes(), [0, 0, 0, 1], [0, 0, 0, 1]].concat())
        .collect();
    let movie = |media: u32| {
        let table = [
            description(),
            atom(b"stts", &head(&[&count, &pairs])),
            atom(b"stsc", &head(&[&count, &runs])),
            atom(b"stsz", &head(&[&[0; 4], &count, &words(&|_| 4)])),
            atom(b"stco", &head(&[&count, &words(&|n| media + 4 * n)])),
        ];
        movie(&table.concat(), &[])
    };
    let media = movie(0).len() as u32 + 8;
    let file = [movie(media), atom(b"mdat", &[1; 4 * ENTRIES as usize])].concat();
    refuse_each("stts, stsc, stsz, stco", &file, 4);
}

#[test]
fn runs_of_fragments() {
    let empty = [
        description(),
        atom(b"stts", &[0; 8]),
        atom(b"stsc", &[0; 8]),
        atom(b"stsz", &[0; 12]),
        atom(b"stco", &[0; 8]),
    ];
    let defaults = [0u32, 1, 1, 1, 4, 0].map(u32::to_be_bytes).concat();
    let extends = atom(b"mvex", &atom(b"trex", &defaults));
    let entries: Vec<u8> = (0..ENTRIES)
        .flat_map(|_| [0, 0, 0, 1, 0, 0, 0, 4])
        .collect();
    let fragment = |offset: u32| {
        // Durations and sizes by sample, and where the first lies.
        let run = [0x301, ENTRIES, offset].map(u32::to_be_bytes).concat();
        let run = atom(b"trun", &[run, entries.clone()].concat());
        let head = atom(b"tfhd", &[0x2_0000u32, 1].map(u32::to_be_bytes).concat());
        atom(b"moof", &atom(b"traf", &[head, run].concat()))
    };
    let offset = fragment(0).len() as u32 + 8;
    let media = atom(b"mdat", &[1; 4 * ENTRIES as usize]);
    let file = [movie(&empty.concat(), &extends), fragment(offset), media].concat();
    refuse_each("trun", &file, 2);

    // A segment index may be as large as its count allows.
    let references: Vec<u8> = (0..60_000u32)
        .flat_map(|_| [8u32, 1, 0].map(u32::to_be_bytes).concat())
        .collect();
    let index = [0u32, 1, 44_100, 0, 0, 60_000]
        .map(u32::to_be_bytes)
        .concat();
    let index = atom(b"sidx", &[index, references].concat());
    let file = [
        movie(&empty.concat(), &extends),
        index,
        fragment(offset),
        atom(b"mdat", &[1; 4 * ENTRIES as usize]),
    ];
    refuse_each("sidx", &file.concat(), 3);
}

#[test]
fn seek_tables_and_packet_tables() {
    // FLAC: as many points as are looked at.
    let flac = fixture("flac-16.flac").bytes();
    let points = [[0xff; 8], [0; 8]].concat();
    let mut table: Vec<u8> = (0..14_000u64)
        .flat_map(|n| [&n.to_be_bytes(), &points[8..], &[0, 1]].concat())
        .collect();
    table.truncate(14_000 * 18);
    let size = (table.len() as u32).to_be_bytes();
    let block = [&[3], &size[1..], &table].concat();
    let file = [&flac[..42], &block, &flac[42..]].concat();
    refuse_each("a seek table", &file, 2);

    // CAF: a table of packets of constant length and sizes of one byte.
    let caf = fixture("caf-alac.caf").bytes();
    let count = u64::from(ENTRIES).to_be_bytes();
    let mut pakt = [count.as_slice(), &[0; 16]].concat();
    pakt.resize(24 + ENTRIES as usize, 1);
    let size = (pakt.len() as u64).to_be_bytes();
    let table = [b"pakt", size.as_slice(), &pakt].concat();
    let mut at = 8;
    let mut file = caf[..8].to_vec();
    while let Some(head) = caf.get(at..at + 12) {
        let size = i64::from_be_bytes(head[4..].try_into().expect("eight bytes")) as usize;
        let chunk = &caf[at..at + 12 + size];
        file.extend_from_slice(if head.starts_with(b"pakt") {
            &table
        } else {
            chunk
        });
        at += 12 + size;
    }
    let mut number = 0;
    // Its packets are no sound, so only opening counts.
    let refused = loop {
        let copy = file.clone();
        GRANTED.set(Some(number));
        let outcome = open(copy, "large");
        match (outcome, GRANTED.replace(None)) {
            (Err(DecodeError::OutOfMemory { .. }), None) => number += 1,
            (Ok(_), Some(_)) => break number,
            (outcome, left) => panic!("{number}: {:?}, {left:?}", outcome.err()),
        }
    };
    assert!(refused >= 1);
}

#[test]
fn packets_over_many_ogg_pages() {
    let flac = fixture("flac-16.flac").bytes();
    let mut file = Vec::new();
    let ident = [
        b"\x7fFLAC\x01\x00\x00\x01".as_slice(),
        &flac[..4],
        &[0],
        &flac[5..42],
    ]
    .concat();
    ogg_page(&mut file, 0, 2, &[ident.len()], &ident);
    // A padding block, the last, of a megabyte: sixteen pages of 255 laces of 255.
    let body = [&[0x81, 0x10, 0, 0], vec![0; 16 * 65_025 - 4].as_slice()].concat();
    for (number, part) in body.chunks(65_025).enumerate() {
        let flags = u8::from(number > 0);
        ogg_page(&mut file, 1 + number as u32, flags, &[], part);
    }
    ogg_page(&mut file, 17, 1, &[0], &[]);
    // A packet of two megabytes that is no sound.
    for number in 0..32 {
        ogg_page(
            &mut file,
            18 + number,
            u8::from(number > 0),
            &[],
            &[0x55; 65_025],
        );
    }
    ogg_page(&mut file, 50, 5, &[0], &[]);
    refuse_each("an Ogg packet", &file, 4);
}

#[test]
fn laced_blocks_and_cues_of_matroska() {
    let flac = fixture("flac-16.flac").bytes();
    let number = |value: u64| value.to_be_bytes();
    let audio = [
        element(&[0xb5], &44_100f64.to_be_bytes()),
        element(&[0x9f], &number(2)),
    ];
    let entry = [
        element(&[0xd7], &number(1)),
        element(&[0x83], &number(2)),
        element(&[0x86], b"A_FLAC"),
        element(&[0x63, 0xa2], &flac[..42]),
        element(&[0xe1], &audio.concat()),
    ];
    let tracks = element(
        &[0x16, 0x54, 0xae, 0x6b],
        &element(&[0xae], &entry.concat()),
    );
    // 256 frames of 4,096 bytes each, in fixed lacing.
    let block = |time: u16| {
        let head = [&[0x81], time.to_be_bytes().as_slice(), &[0x84, 255]].concat();
        element(&[0xa3], &[head, vec![0x55; 256 * 4096]].concat())
    };
    let time = element(&[0xe7], &number(0));
    let cluster = element(
        &[0x1f, 0x43, 0xb6, 0x75],
        &[time, block(0), block(400), block(800)].concat(),
    );
    let point = |time: u64, at: u64| {
        let place = [element(&[0xf7], &number(1)), element(&[0xf1], &number(at))];
        let point = [
            element(&[0xb3], &number(time)),
            element(&[0xb7], &place.concat()),
        ];
        element(&[0xbb], &point.concat())
    };
    let cues = |at: u64| {
        let points: Vec<u8> = (0..10_000).flat_map(|time| point(time, at)).collect();
        element(&[0x1c, 0x53, 0xbb, 0x6b], &points)
    };
    let at = (tracks.len() + cues(0).len()) as u64;
    let body = [tracks, cues(at), cluster].concat();
    let head = element(
        &[0x1a, 0x45, 0xdf, 0xa3],
        &element(&[0x42, 0x82], b"matroska"),
    );
    let file = [head, element(&[0x18, 0x53, 0x80, 0x67], &body)].concat();
    refuse_each("Matroska", &file, 5);
}

/// An element whose size is written in eight bytes (RFC 8794).
fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = 1u64 << 56 | body.len() as u64;
    [id, &size.to_be_bytes(), body].concat()
}

/// A page of one packet, or of the middle of one if `ends` is empty.
fn ogg_page(out: &mut Vec<u8>, sequence: u32, flags: u8, ends: &[usize], body: &[u8]) {
    out.extend_from_slice(b"OggS\0");
    out.push(flags);
    let granule: i64 = if ends.is_empty() { -1 } else { 0 };
    out.extend_from_slice(&granule.to_le_bytes());
    out.extend_from_slice(&7u32.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let full = body.len() / 255;
    let laces = full + usize::from(!ends.is_empty());
    out.push(u8::try_from(laces).expect("a page"));
    out.extend(std::iter::repeat_n(255, full));
    if !ends.is_empty() {
        out.push((body.len() % 255) as u8);
    }
    out.extend_from_slice(body);
}

fn atom(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).expect("a small file");
    [size.to_be_bytes().as_slice(), name, body].concat()
}

/// 16-bit stereo PCM at 44.1 kHz.
fn description() -> Vec<u8> {
    let mut entry = [0; 28];
    entry[7] = 1;
    entry[17] = 2;
    entry[19] = 16;
    entry[24..].copy_from_slice(&(44_100u32 << 16).to_be_bytes());
    atom(
        b"stsd",
        &[&[0, 0, 0, 0, 0, 0, 0, 1], atom(b"sowt", &entry).as_slice()].concat(),
    )
}

/// A file type and a movie of one track.
fn movie(table: &[u8], extends: &[u8]) -> Vec<u8> {
    let times = [0u32, 0, 44_100, ENTRIES].map(u32::to_be_bytes).concat();
    let header = atom(b"mdhd", &[&[0; 4], times.as_slice(), &[0; 4]].concat());
    let handler = atom(b"hdlr", &[[0; 8].as_slice(), b"soun", &[0; 13]].concat());
    let information = atom(b"minf", &atom(b"stbl", table));
    let media = atom(b"mdia", &[header, handler, information].concat());
    let track = atom(b"tkhd", &[0u32, 0, 0, 1].map(u32::to_be_bytes).concat());
    let track = atom(b"trak", &[track, media].concat());
    let header = atom(b"mvhd", &[&[0; 4], times.as_slice()].concat());
    let body = [header.as_slice(), &track, extends].concat();
    [atom(b"ftyp", b"isom\0\0\0\0isom"), atom(b"moov", &body)].concat()
}
