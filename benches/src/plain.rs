//! Decoding as somebody would write it with symphonia alone.

use std::fs::File;
use std::path::Path;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use crate::AnyError;

/// What was decoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoded {
    /// Packets given to the decoder.
    pub packets: u64,
    /// Interleaved samples that came out.
    pub samples: u64,
}

/// Decodes a file to interleaved samples, packet by packet into one buffer that is used again; `at_packet` hears the
/// number of each packet when it is done.
///
/// # Errors
/// Those of symphonia.
pub fn decode(path: &Path, mut at_packet: impl FnMut(u64)) -> Result<Decoded, AnyError> {
    let stream = MediaSourceStream::new(
        Box::new(File::open(path)?),
        MediaSourceStreamOptions::default(),
    );
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
        hint.with_extension(extension);
    }
    let probe = symphonia::default::get_probe();
    let mut format = probe.probe(
        &hint,
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
        .and_then(|params| params.audio());
    let params = params.ok_or("no audio parameters")?;
    // Every decoded frame, as the library gives them.
    let options = AudioDecoderOptions::default().gapless(false);
    let mut decoder = symphonia::default::get_codecs().make_audio_decoder(params, &options)?;
    let mut done = Decoded::default();
    let mut interleaved: Vec<f32> = Vec::new();
    while let Some(packet) = format.next_packet()? {
        if packet.track_id != id {
            continue;
        }
        decoder
            .decode(&packet)?
            .copy_to_vec_interleaved(&mut interleaved);
        std::hint::black_box(&interleaved);
        done.packets += 1;
        done.samples += interleaved.len() as u64;
        at_packet(done.packets);
    }
    Ok(done)
}
