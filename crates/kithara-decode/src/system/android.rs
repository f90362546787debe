//! The NDK's MediaCodec, through the crate `ndk`, whose calls are safe.
//!
//! MediaCodec works behind queues: what goes in comes out some packets later, or at the end. So does this decoder.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::time::Duration;

use kithara_stream::AudioCodec;
use ndk::media::media_codec::{
    DequeuedInputBufferResult, DequeuedOutputBufferInfoResult, MediaCodec, MediaCodecDirection,
};
use ndk::media::media_format::MediaFormat;

use crate::PcmSpec;
use crate::backend::{
    BackendKind, CodecBackend, CodecParams, Decoded, EncodedPacket, PacketDecoder, PacketError,
    Refusal,
};

/// How long a codec may take to have room for a packet, or to come to its end, before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// `AudioFormat.ENCODING_PCM_16BIT` and `ENCODING_PCM_FLOAT`.
const PCM_16BIT: i32 = 2;
const PCM_FLOAT: i32 = 4;
/// `AMEDIACODEC_BUFFER_FLAG_END_OF_STREAM`.
const END_OF_STREAM: u32 = 4;

/// The decoders of Android. Of the kind hardware: what they run on is the system's to choose.
///
/// Off Android it supports nothing. Type-checked only; not run on a device yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct MediaCodecBackend;

impl CodecBackend for MediaCodecBackend {
    fn name(&self) -> &str {
        "MediaCodec"
    }

    fn kind(&self) -> BackendKind {
        BackendKind::Hardware
    }

    fn supports(&self, params: &CodecParams) -> bool {
        cfg!(target_os = "android") && media_type(params.codec).is_some()
    }

    #[cfg(target_os = "android")]
    fn open(&self, params: &CodecParams) -> Result<Box<dyn PacketDecoder>, Refusal> {
        Ok(Box::new(SystemCodec::open(params)?))
    }

    #[cfg(not(target_os = "android"))]
    fn open(&self, _params: &CodecParams) -> Result<Box<dyn PacketDecoder>, Refusal> {
        Err(Refusal::new("this system has no MediaCodec"))
    }
}

/// What Android calls a codec; `None` for what it has no decoder for, or one that trims.
fn media_type(codec: AudioCodec) -> Option<&'static str> {
    match codec {
        AudioCodec::AacLc | AudioCodec::AacHe | AudioCodec::AacHeV2 => Some("audio/mp4a-latm"),
        AudioCodec::Mp3 => Some("audio/mpeg"),
        _ => None,
    }
}

// SAFETY: a codec of the NDK may be used from any thread, by one at a time; `&mut` sees to that.
unsafe impl Send for SystemCodec {}

struct SystemCodec {
    codec: MediaCodec,
    spec: PcmSpec,
    packet_frames: u64,
    /// The time of the next packet, which only has to grow.
    frame: u64,
    is_float: bool,
    samples: Vec<f32>,
}

#[cfg_attr(
    not(target_os = "android"),
    expect(dead_code, reason = "type-checked everywhere, used on Android")
)]
impl SystemCodec {
    fn open(params: &CodecParams) -> Result<Self, Refusal> {
        let media_type =
            media_type(params.codec).ok_or_else(|| Refusal::new("not a codec of Android"))?;
        let codec = MediaCodec::from_decoder_type(media_type)
            .ok_or_else(|| Refusal::new(format!("no decoder for {media_type}")))?;
        let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let mut format = MediaFormat::new();
        format.set_str("mime", media_type);
        format.set_i32("sample-rate", number(params.spec.sample_rate.get()));
        format.set_i32("channel-count", params.spec.channels.get().into());
        format.set_i32("pcm-encoding", PCM_FLOAT);
        if !params.config.is_empty() {
            format.set_buffer("csd-0", &params.config);
        }
        let refusal = |error: ndk::media_error::MediaError| Refusal::new(error.to_string());
        codec
            .configure(&format, None, MediaCodecDirection::Decoder)
            .map_err(refusal)?;
        codec.start().map_err(refusal)?;
        Ok(Self {
            codec,
            spec: params.spec,
            packet_frames: params.packet_frames.into(),
            frame: 0,
            is_float: false,
            samples: Vec::new(),
        })
    }

    /// Queues a packet, or the end.
    fn put(&mut self, packet: &[u8], flags: u32) -> Result<(), PacketError> {
        let buffer = match self.codec.dequeue_input_buffer(PATIENCE).map_err(failed)? {
            DequeuedInputBufferResult::Buffer(buffer) => buffer,
            DequeuedInputBufferResult::TryAgainLater => {
                return Err(PacketError::Failed(Cow::Borrowed("it takes no packets")));
            }
        };
        let mut buffer = buffer;
        let room = buffer.buffer_mut();
        if room.len() < packet.len() {
            return Err(PacketError::Failed(Cow::Borrowed(
                "a packet has no room in it",
            )));
        }
        for (place, byte) in room.iter_mut().zip(packet) {
            place.write(*byte);
        }
        let micros = self.frame * 1_000_000 / u64::from(self.spec.sample_rate.get());
        self.frame += self.packet_frames;
        self.codec
            .queue_input_buffer(buffer, 0, packet.len(), micros, flags)
            .map_err(failed)
    }

    /// Takes what has come out; whether that was the end.
    fn take(&mut self, patience: Duration) -> Result<bool, PacketError> {
        loop {
            match self.codec.dequeue_output_buffer(patience).map_err(failed)? {
                DequeuedOutputBufferInfoResult::Buffer(buffer) => {
                    let info = *buffer.info();
                    let start = usize::try_from(info.offset()).unwrap_or(0);
                    let size = usize::try_from(info.size()).unwrap_or(0);
                    let bytes = buffer.buffer().get(start..).unwrap_or_default();
                    append(
                        &bytes[..size.min(bytes.len())],
                        self.is_float,
                        &mut self.samples,
                    );
                    self.codec
                        .release_output_buffer(buffer, false)
                        .map_err(failed)?;
                    if info.flags() & END_OF_STREAM != 0 {
                        return Ok(true);
                    }
                }
                DequeuedOutputBufferInfoResult::OutputFormatChanged => self.read_format()?,
                DequeuedOutputBufferInfoResult::OutputBuffersChanged => {}
                DequeuedOutputBufferInfoResult::TryAgainLater => return Ok(false),
            }
        }
    }

    fn read_format(&mut self) -> Result<(), PacketError> {
        let format = self.codec.output_format();
        let layout = (format.i32("sample-rate"), format.i32("channel-count"));
        let expected = (
            i32::try_from(self.spec.sample_rate.get()).ok(),
            Some(self.spec.channels.get().into()),
        );
        if layout != expected {
            return Err(PacketError::Failed(Cow::Owned(format!(
                "its output is {layout:?}"
            ))));
        }
        self.is_float = format.i32("pcm-encoding").unwrap_or(PCM_16BIT) == PCM_FLOAT;
        Ok(())
    }
}

/// Samples in the order of this machine.
fn append(bytes: &[u8], is_float: bool, samples: &mut Vec<f32>) {
    if is_float {
        let floats = bytes.chunks_exact(4);
        samples.extend(floats.map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])));
    } else {
        let words = bytes.chunks_exact(2);
        samples.extend(words.map(|b| f32::from(i16::from_ne_bytes([b[0], b[1]])) / 32_768.0));
    }
}

fn failed(error: ndk::media_error::MediaError) -> PacketError {
    PacketError::Failed(Cow::Owned(error.to_string()))
}

impl PacketDecoder for SystemCodec {
    fn spec(&self) -> PcmSpec {
        self.spec
    }

    fn decode(&mut self, packet: EncodedPacket<'_>) -> Result<Decoded<'_>, PacketError> {
        self.samples.clear();
        self.put(packet.data, 0)?;
        self.take(Duration::ZERO)?;
        Ok(Decoded::interleaved(self.spec, &self.samples))
    }

    fn finish(&mut self) -> Result<Decoded<'_>, PacketError> {
        self.samples.clear();
        self.put(&[], END_OF_STREAM)?;
        match self.take(PATIENCE)? {
            true => Ok(Decoded::interleaved(self.spec, &self.samples)),
            false => Err(PacketError::Failed(Cow::Borrowed("it comes to no end"))),
        }
    }

    fn is_late(&self) -> bool {
        true
    }

    fn reset(&mut self) {
        // A failure shows at the next packet.
        let _ = self.codec.flush();
        self.frame = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_output_become_floats() {
        let mut samples = Vec::new();
        append(&16_384i16.to_ne_bytes(), false, &mut samples);
        append(&(-0.25f32).to_ne_bytes(), true, &mut samples);
        append(&[1], false, &mut samples);
        assert_eq!(samples, [0.5, -0.25]);
    }

    #[test]
    fn where_there_is_no_android_nothing_is_supported() {
        assert_eq!(media_type(AudioCodec::Opus), None);
        assert!(media_type(AudioCodec::AacHeV2).is_some());
    }
}
