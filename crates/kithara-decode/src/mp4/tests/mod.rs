//! What the tests of the demuxers share: sources with manners, packets and PCM as lists, and boxes built by hand.

mod fragments;
mod hostile;
mod tables;

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::{Error, Result as SymphoniaResult};
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo, SeekedTo};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::units::Timestamp;

use super::{Mp4Error, Mp4Facts, Mp4Options, open};

type Reader = Box<dyn super::Mp4Reader>;

/// The bytes of a committed fixture.
fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Bytes with manners: what a source can do, and what it was asked for.
#[derive(Clone)]
struct Scripted {
    bytes: Arc<[u8]>,
    pos: u64,
    seekable: bool,
    len_known: bool,
    /// Reads see this many bytes; a test raises it to let the source grow.
    available: Arc<AtomicU64>,
    /// Every n-th read fails once before it works.
    fail_every: Option<u64>,
    reads: u64,
    /// The most bytes one read returns.
    read_len: usize,
    jumps: Arc<AtomicU64>,
    read_bytes: Arc<AtomicU64>,
}

impl Scripted {
    fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self {
            pos: 0,
            seekable: true,
            len_known: true,
            available: Arc::new(AtomicU64::new(bytes.len() as u64)),
            fail_every: None,
            reads: 0,
            read_len: usize::MAX,
            jumps: Arc::default(),
            read_bytes: Arc::default(),
            bytes,
        }
    }

    fn unseekable(self) -> Self {
        Self {
            seekable: false,
            len_known: false,
            ..self
        }
    }

    fn stream(&self) -> MediaSourceStream<'static> {
        MediaSourceStream::new(Box::new(self.clone()), MediaSourceStreamOptions::default())
    }

    fn open(&self) -> Result<(Reader, Mp4Facts), Mp4Error> {
        open(self.stream(), Mp4Options::default())
    }

    fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }
}

impl Read for Scripted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self
            .fail_every
            .is_some_and(|every| self.reads.is_multiple_of(every))
        {
            return Err(io::Error::other("interrupted"));
        }
        let end = (self.available.load(Ordering::Relaxed) as usize).min(self.bytes.len());
        let rest = self.bytes.get(self.pos as usize..end).unwrap_or_default();
        let n = rest.len().min(out.len()).min(self.read_len);
        out.get_mut(..n)
            .unwrap()
            .copy_from_slice(rest.get(..n).unwrap());
        self.pos += n as u64;
        self.read_bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Seek for Scripted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        assert!(self.seekable, "a source that cannot seek was asked to");
        let SeekFrom::Start(pos) = to else {
            panic!("only absolute positions are asked for")
        };
        self.jumps.fetch_add(1, Ordering::Relaxed);
        self.pos = pos;
        Ok(pos)
    }
}

impl MediaSource for Scripted {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.len_known.then_some(self.bytes.len() as u64)
    }
}

/// Time, duration and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    time: i64,
    duration: u64,
    data: Box<[u8]>,
}

fn next(reader: &mut Reader) -> SymphoniaResult<Option<Heard>> {
    let packet = reader.next_packet()?;
    Ok(packet.map(|packet| Heard {
        time: packet.pts.get(),
        duration: packet.dur.get(),
        data: packet.data,
    }))
}

/// All packets to the end or the first error.
fn drain(reader: &mut Reader) -> (Vec<Heard>, Option<Error>) {
    let mut packets = Vec::new();
    loop {
        match next(reader) {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error)),
        }
    }
}

fn all(reader: &mut Reader) -> Vec<Heard> {
    let (packets, error) = drain(reader);
    assert!(error.is_none(), "{error:?}");
    packets
}

fn seek(reader: &mut Reader, time: u64) -> SymphoniaResult<SeekedTo> {
    let track_id = reader.tracks().first().unwrap().id;
    reader.seek(
        SeekMode::Accurate,
        SeekTo::Timestamp {
            ts: Timestamp::new(time as i64),
            track_id,
        },
    )
}

/// Interleaved samples of all packets of the first track, by symphonia's own decoder.
fn decode(reader: &mut dyn FormatReader) -> Vec<f32> {
    let params = reader
        .tracks()
        .first()
        .unwrap()
        .codec_params
        .clone()
        .unwrap();
    let params = params.audio().unwrap().clone();
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(&params, &AudioDecoderOptions::default())
        .unwrap();
    let mut samples = Vec::new();
    let mut block = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        decoder
            .decode(&packet)
            .unwrap()
            .copy_to_vec_interleaved::<f32>(&mut block);
        samples.append(&mut block);
    }
    samples
}

fn decode_flac(name: &str) -> Vec<f32> {
    let stream = Scripted::new(fixture(name)).stream();
    let mut reader =
        symphonia::default::formats::FlacReader::try_new(stream, Default::default()).unwrap();
    decode(&mut reader)
}

fn furthest_apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// A box of `body`.
fn bx(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 8).to_be_bytes().to_vec();
    bytes.extend(kind);
    bytes.extend(body);
    bytes
}

/// A full box of 32-bit fields.
fn full(kind: &[u8; 4], version: u8, flags: u32, fields: &[u32]) -> Vec<u8> {
    let mut body = (u32::from(version) << 24 | flags).to_be_bytes().to_vec();
    body.extend(fields.iter().flat_map(|field| field.to_be_bytes()));
    bx(kind, &body)
}

/// The boxes of a movie with one MP3 track, whose packets may hold anything.
struct MovieBuilder {
    handler: [u8; 4],
    timescale: u32,
    entry: Vec<u8>,
    /// Children of `stbl` behind `stsd`.
    table: Vec<Vec<u8>>,
    extends: bool,
    edits: Option<Vec<u8>>,
    /// Of the movie, in units of 1/600 s; 0 is unknown.
    lasts: u32,
}

const TRACK: u32 = 7;

impl Default for MovieBuilder {
    fn default() -> Self {
        Self {
            handler: *b"soun",
            timescale: 1000,
            entry: sound_entry(b".mp3", 2, 44_100, &[]),
            table: Vec::new(),
            extends: false,
            edits: None,
            lasts: 0,
        }
    }
}

impl MovieBuilder {
    fn fragmented() -> Self {
        let table = [
            full(b"stts", 0, 0, &[0]),
            full(b"stsc", 0, 0, &[0]),
            full(b"stsz", 0, 0, &[0, 0]),
        ];
        Self {
            extends: true,
            table: [table.as_slice(), &[full(b"stco", 0, 0, &[0])]].concat(),
            ..Self::default()
        }
    }

    /// Runs of (count, delta), samples per chunk, sizes, chunk offsets.
    fn table(times: &[(u32, u32)], per_chunk: u32, sizes: &[u32], offsets: &[u32]) -> Self {
        let times: Vec<u32> = [times.len() as u32]
            .into_iter()
            .chain(times.iter().flat_map(|(n, d)| [*n, *d]))
            .collect();
        let sizes = [&[0, sizes.len() as u32], sizes].concat();
        let offsets = [&[offsets.len() as u32], offsets].concat();
        let table = vec![
            full(b"stts", 0, 0, &times),
            full(b"stsc", 0, 0, &[1, 1, per_chunk, 1]),
            full(b"stsz", 0, 0, &sizes),
            full(b"stco", 0, 0, &offsets),
        ];
        Self {
            table,
            ..Self::default()
        }
    }

    fn build(&self) -> Vec<u8> {
        let stsd = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &self.entry].concat();
        let stbl = bx(b"stbl", &[bx(b"stsd", &stsd), self.table.concat()].concat());
        let handler = [&[0; 8][..], &self.handler, &[0; 13]].concat();
        let mdhd = full(b"mdhd", 0, 0, &[0, 0, self.timescale, 0, 0]);
        let mdia = bx(
            b"mdia",
            &[mdhd, bx(b"hdlr", &handler), bx(b"minf", &stbl)].concat(),
        );
        let mut tkhd = vec![0, 0, TRACK];
        tkhd.resize(20, 0);
        let edits = self
            .edits
            .as_ref()
            .map_or_else(Vec::new, |elst| bx(b"edts", elst));
        let trak = bx(b"trak", &[full(b"tkhd", 0, 7, &tkhd), edits, mdia].concat());
        let mut mvhd = vec![0, 0, 600, self.lasts];
        mvhd.resize(24, 0);
        let trex = full(b"trex", 0, 0, &[TRACK, 1, 10, 4, 0]);
        let mvex = if self.extends {
            bx(b"mvex", &trex)
        } else {
            Vec::new()
        };
        bx(b"moov", &[full(b"mvhd", 0, 0, &mvhd), trak, mvex].concat())
    }

    /// With the brand before it.
    fn file(&self) -> Vec<u8> {
        [bx(b"ftyp", b"isom\0\0\0\0isom"), self.build()].concat()
    }
}

/// A version 0 sound entry with `children`.
fn sound_entry(kind: &[u8; 4], channels: u16, rate: u16, children: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    body.extend(channels.to_be_bytes());
    body.extend([0, 16, 0, 0, 0, 0]);
    body.extend(rate.to_be_bytes());
    body.extend([0, 0]);
    body.extend(children);
    bx(kind, &body)
}
