//! A file over HTTP as the source of somebody's own symphonia.
#![cfg(all(feature = "file", feature = "symphonia"))]
#![allow(clippy::unwrap_used)] // A promise that cannot be checked is a failed test.

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use kithara::file::{File, FileConfig, FileSrc};
use kithara::net::{HttpClient, NetExt, NetOptions, RetryPolicy};
use kithara::stream::Stream;
use kithara_tests::fixtures::{formula_sample, long_wav};
use kithara_tests::server::{FaultServer, Script};
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

fn open(server: &FaultServer, path: &str) -> Stream<File> {
    let client = HttpClient::new(NetOptions::default()).unwrap();
    let client = Arc::new(client.with_retry(RetryPolicy::default()));
    let src = FileSrc::Remote(server.url(path).parse().unwrap(), client);
    Stream::open(FileConfig::new(src)).unwrap()
}

/// Decodes what follows and holds it to the formula, from this frame on. Returns the frame after the last.
fn decode(format: &mut dyn FormatReader, from: u64) -> u64 {
    let track = format.default_track(TrackType::Audio).unwrap();
    let params = track.codec_params.as_ref().unwrap().audio().unwrap();
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .unwrap();
    let (mut frame, mut samples) = (from, Vec::<i16>::new());
    while let Some(packet) = format.next_packet().unwrap() {
        decoder
            .decode(&packet)
            .unwrap()
            .copy_to_vec_interleaved(&mut samples);
        for pair in samples.chunks_exact(2) {
            let expected = [formula_sample(frame, 0), formula_sample(frame, 1)];
            assert_eq!(*pair, expected, "frame {frame}");
            frame += 1;
        }
    }
    frame
}

#[test]
fn symphonia_reads_and_seeks_in_a_stream() {
    let media = long_wav(10);
    let server = FaultServer::start();
    server.serve("/a.wav", Script::file(media.bytes.clone()));
    let stream = open(&server, "/a.wav");
    assert!(MediaSource::is_seekable(&stream));
    assert_eq!(
        MediaSource::byte_len(&stream),
        Some(media.bytes.len() as u64)
    );
    let stream = MediaSourceStream::new(Box::new(stream), MediaSourceStreamOptions::default());
    let mut format = symphonia::default::get_probe()
        .probe(
            &Hint::new(),
            stream,
            FormatOptions::default(),
            MetadataOptions::default(),
        )
        .unwrap();
    assert_eq!(decode(format.as_mut(), 0), media.frames);
    let track_id = format.default_track(TrackType::Audio).unwrap().id;
    let to = SeekTo::Timestamp {
        ts: 200_000.into(),
        track_id,
    };
    let landed = format.seek(SeekMode::Accurate, to).unwrap().actual_ts;
    let from = u64::try_from(landed.get()).unwrap();
    assert!((190_000..=200_000).contains(&from), "{from}");
    assert_eq!(decode(format.as_mut(), from), media.frames);
}

#[test]
fn without_ranges_a_stream_is_seekable_if_its_length_is_known() {
    let media = long_wav(2);
    let server = FaultServer::start();
    let whole = Script::file(media.bytes.clone()).without_ranges();
    server.serve("/whole.wav", whole.clone());
    server.serve("/endless.wav", whole.without_length());
    let stream = open(&server, "/whole.wav");
    assert!(MediaSource::is_seekable(&stream));
    assert_eq!(
        MediaSource::byte_len(&stream),
        Some(media.bytes.len() as u64)
    );
    let mut stream = open(&server, "/endless.wav");
    assert!(!MediaSource::is_seekable(&stream));
    assert_eq!(MediaSource::byte_len(&stream), None);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert!(bytes == media.bytes);
    // What is stored can be read again all the same.
    assert_eq!(stream.seek(SeekFrom::Start(4)).unwrap(), 4);
    let mut four = [0; 4];
    stream.read_exact(&mut four).unwrap();
    assert_eq!(four, media.bytes[4..8]);
}
