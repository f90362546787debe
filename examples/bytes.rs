//! A file over HTTP as plain `Read + Seek`, handed to somebody's own symphonia code.
//!
//! `cargo run --release --example bytes -- [URL|PATH]`

use std::sync::Arc;

use kithara::ResourceSrc;
use kithara::file::{File, FileConfig, FileSrc};
use kithara::net::{HttpClient, NetExt, NetOptions, RetryPolicy};
use kithara::stream::Stream;
use kithara_examples::Demo;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = match std::env::args().nth(1) {
        Some(source) => source,
        None => Demo::start()?.url(),
    };
    let src = match ResourceSrc::parse(&source)? {
        ResourceSrc::Url(url) => {
            let client = HttpClient::new(NetOptions::default())?;
            FileSrc::Remote(url, Arc::new(client.with_retry(RetryPolicy::default())))
        }
        ResourceSrc::Path(path) => FileSrc::Local(path),
        other => return Err(format!("{other} is not a file").into()),
    };
    let stream = Stream::<File>::open(FileConfig::new(src))?;
    println!("{:?}, {:?} bytes", stream.media_info(), stream.byte_len());

    // From here on it is symphonia as everybody uses it.
    let stream = MediaSourceStream::new(Box::new(stream), MediaSourceStreamOptions::default());
    let mut format = symphonia::default::get_probe().probe(
        &Hint::new(),
        stream,
        FormatOptions::default(),
        MetadataOptions::default(),
    )?;
    let track = format
        .default_track(TrackType::Audio)
        .ok_or("no audio track")?;
    let id = track.id;
    let params = track
        .codec_params
        .as_ref()
        .and_then(|params| params.audio())
        .ok_or("no audio parameters")?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())?;
    let mut frames = 0;
    while let Some(packet) = format.next_packet()? {
        if packet.track_id == id {
            frames += decoder.decode(&packet)?.frames();
        }
    }
    println!("{frames} frames");
    Ok(())
}
