//! AudioToolbox's AudioConverter, through declarations of our own.
//!
//! One converter for each track turns packets of AAC, HE-AAC, ALAC or MP3 into interleaved floats, one packet at a call.
#![allow(unsafe_code)]

mod sys;

use std::borrow::Cow;
use std::ffi::c_void;
use std::ptr;

use kithara_stream::AudioCodec;

use crate::PcmSpec;
use crate::backend::{
    BackendKind, CodecBackend, CodecParams, Decoded, EncodedPacket, PacketDecoder, PacketError,
    Refusal,
};
use sys::{AudioBuffer, AudioBufferList, Description, PacketDescription};

/// The most frames a packet of these codecs brings.
const MOST_FRAMES: u32 = 16_384;
/// What the input callback returns when it has no packet left: the converter gives what it has and returns this.
const NO_MORE: i32 = i32::from_be_bytes(*b"none");
/// `kAudioCodecBadDataError`, and the same of the converter's own checks.
const BAD_DATA: i32 = i32::from_be_bytes(*b"bada");

/// The decoders of macOS, iOS and their kin. Of the kind hardware: what they run on is the system's to choose.
///
/// Off those systems it supports nothing. Not run on a device yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct AudioToolbox;

impl CodecBackend for AudioToolbox {
    fn name(&self) -> &str {
        "AudioToolbox"
    }

    fn kind(&self) -> BackendKind {
        BackendKind::Hardware
    }

    fn supports(&self, params: &CodecParams) -> bool {
        cfg!(any(test, target_vendor = "apple")) && input_format(params).is_some()
    }

    #[cfg(any(test, target_vendor = "apple"))]
    fn open(&self, params: &CodecParams) -> Result<Box<dyn PacketDecoder>, Refusal> {
        Ok(Box::new(Converter::open(params)?))
    }

    #[cfg(not(any(test, target_vendor = "apple")))]
    fn open(&self, _params: &CodecParams) -> Result<Box<dyn PacketDecoder>, Refusal> {
        Err(Refusal::new("this system has no AudioToolbox"))
    }
}

/// How the system describes what is decoded; `None` for what it has no decoder for.
fn input_format(params: &CodecParams) -> Option<Description> {
    let (id, frames) = match params.codec {
        AudioCodec::AacLc => (*b"aac ", 1024),
        AudioCodec::AacHe => (*b"aach", 2048),
        AudioCodec::AacHeV2 => (*b"aacp", 2048),
        AudioCodec::Alac => (*b"alac", params.packet_frames),
        AudioCodec::Mp3 => (*b".mp3", params.packet_frames),
        _ => return None,
    };
    Some(Description {
        sample_rate: params.spec.sample_rate.get().into(),
        format_id: u32::from_be_bytes(id),
        frames_per_packet: frames,
        channels_per_frame: params.spec.channels.get().into(),
        ..Description::default()
    })
}

/// Interleaved floats in the order of this machine: `kAudioFormatFlagIsFloat | kAudioFormatFlagIsPacked`, and the flag for
/// the order where it is big-endian.
fn output_format(spec: PcmSpec) -> Description {
    let channels = u32::from(spec.channels.get());
    let big_endian = if cfg!(target_endian = "big") { 2 } else { 0 };
    Description {
        sample_rate: spec.sample_rate.get().into(),
        format_id: u32::from_be_bytes(*b"lpcm"),
        format_flags: 1 | 8 | big_endian,
        bytes_per_packet: 4 * channels,
        frames_per_packet: 1,
        bytes_per_frame: 4 * channels,
        channels_per_frame: channels,
        bits_per_channel: 32,
        reserved: 0,
    }
}

/// What the system wants to know of a track besides its format. For AAC that is the descriptor of an MP4 (ISO/IEC 14496-1
/// §7.2.6.5) around the AudioSpecificConfig.
fn magic_cookie(params: &CodecParams) -> Result<Cow<'_, [u8]>, Refusal> {
    let is_aac = matches!(
        params.codec,
        AudioCodec::AacLc | AudioCodec::AacHe | AudioCodec::AacHeV2
    );
    if !is_aac {
        return Ok(Cow::Borrowed(&params.config));
    }
    // All lengths fit into seven bits each.
    let config = u8::try_from(params.config.len())
        .ok()
        .filter(|length| (1..=90).contains(length))
        .ok_or_else(|| Refusal::new("an AAC configuration of this length"))?;
    let mut cookie = vec![3, config + 23, 0, 0, 0];
    // MPEG-4 audio, an audio stream, and no buffer size or bit rate.
    cookie.extend([4, config + 15, 0x40, 0x15]);
    cookie.extend([0; 11]);
    cookie.extend([5, config]);
    cookie.extend_from_slice(&params.config);
    cookie.extend([6, 1, 2]);
    Ok(Cow::Owned(cookie))
}

/// One converter, owned.
struct Handle(sys::ConverterRef);

// SAFETY: a converter may be used from any thread, by one at a time; `&mut` sees to that.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it came from `converter_new`, and this is its only owner.
        unsafe { sys::converter_dispose(self.0) };
    }
}

struct Converter {
    handle: Handle,
    spec: PcmSpec,
    samples: Vec<f32>,
}

/// The packet that the next call of the input callback hands over.
struct Supply<'a> {
    packet: Option<&'a [u8]>,
    channels: u32,
    description: PacketDescription,
}

#[cfg_attr(
    not(any(test, target_vendor = "apple")),
    expect(dead_code, reason = "type-checked everywhere, used on Apple's systems")
)]
impl Converter {
    fn open(params: &CodecParams) -> Result<Self, Refusal> {
        let input =
            input_format(params).ok_or_else(|| Refusal::new("not a codec of the system"))?;
        let output = output_format(params.spec);
        let mut converter = ptr::null_mut();
        // SAFETY: both formats and the place for the result live through the call.
        let status = unsafe { sys::converter_new(&input, &output, &mut converter) };
        if status != 0 || converter.is_null() {
            return Err(Refusal::new(format!("AudioConverterNew: {}", code(status))));
        }
        let handle = Handle(converter);
        let cookie = magic_cookie(params)?;
        if !cookie.is_empty() {
            handle.set(*b"dmgc", &cookie)?;
        }
        // `kConverterPrimeMethod_None`: what comes first is not dropped; trimming is the pipeline's.
        handle.set(*b"prmm", &2u32.to_ne_bytes())?;
        let samples = MOST_FRAMES as usize * usize::from(params.spec.channels.get());
        Ok(Self {
            handle,
            spec: params.spec,
            samples: vec![0.0; samples],
        })
    }
}

impl Handle {
    fn set(&self, property: [u8; 4], value: &[u8]) -> Result<(), Refusal> {
        let size = u32::try_from(value.len()).map_err(|_| Refusal::new("too large a cookie"))?;
        let data: *const c_void = value.as_ptr().cast();
        // SAFETY: the converter is alive, and `value` has `size` bytes.
        let status = unsafe {
            sys::converter_set_property(self.0, u32::from_be_bytes(property), size, data)
        };
        match status {
            0 => Ok(()),
            status => Err(Refusal::new(format!(
                "AudioConverterSetProperty: {}",
                code(status)
            ))),
        }
    }
}

impl PacketDecoder for Converter {
    fn spec(&self) -> PcmSpec {
        self.spec
    }

    fn decode(&mut self, packet: EncodedPacket<'_>) -> Result<Decoded<'_>, PacketError> {
        let channels = u32::from(self.spec.channels.get());
        let bytes = u32::try_from(packet.data.len())
            .map_err(|_| PacketError::Damaged(Cow::Borrowed("it is too long")))?;
        let mut supply = Supply {
            packet: Some(packet.data),
            channels,
            description: PacketDescription {
                start_offset: 0,
                variable_frames: 0,
                bytes,
            },
        };
        let mut frames = MOST_FRAMES;
        let mut list = AudioBufferList {
            count: 1,
            buffers: [AudioBuffer {
                channels,
                bytes: MOST_FRAMES * channels * 4,
                data: self.samples.as_mut_ptr().cast(),
            }],
        };
        // SAFETY: `supply_packet` is given `supply`, which lives through the call, as does the buffer of as many bytes as
        // `list` says.
        let status = unsafe {
            sys::converter_fill(
                self.handle.0,
                supply_packet,
                (&raw mut supply).cast(),
                &mut frames,
                &mut list,
                ptr::null_mut(),
            )
        };
        match status {
            0 | NO_MORE => {}
            BAD_DATA => return Err(PacketError::Damaged(Cow::Borrowed("bad data"))),
            status => {
                let what = format!("AudioConverterFillComplexBuffer: {}", code(status));
                return Err(PacketError::Failed(Cow::Owned(what)));
            }
        }
        let samples = frames.min(MOST_FRAMES) as usize * channels as usize;
        Ok(Decoded::interleaved(self.spec, &self.samples[..samples]))
    }

    fn reset(&mut self) {
        // SAFETY: the converter is alive. A failure shows at the next packet.
        unsafe { sys::converter_reset(self.handle.0) };
    }
}

/// Hands the converter its packet, once.
///
/// # Safety
/// `user` is the [`Supply`] given to `converter_fill`; the other pointers are the converter's, valid through the call, and
/// `descriptions` may be null.
unsafe extern "C" fn supply_packet(
    _converter: sys::ConverterRef,
    packets: *mut u32,
    list: *mut AudioBufferList,
    descriptions: *mut *mut PacketDescription,
    user: *mut c_void,
) -> i32 {
    // SAFETY: see above; nothing else refers to it while the converter runs.
    let (supply, packets, list) =
        unsafe { (&mut *user.cast::<Supply<'_>>(), &mut *packets, &mut *list) };
    let Some(packet) = supply.packet.take() else {
        *packets = 0;
        return NO_MORE;
    };
    *packets = 1;
    list.count = 1;
    list.buffers[0] = AudioBuffer {
        channels: supply.channels,
        bytes: supply.description.bytes,
        // The converter reads it only, and until the next call at the latest.
        data: packet.as_ptr().cast_mut().cast(),
    };
    if !descriptions.is_null() {
        // SAFETY: not null, and valid through the call; what is put there lives in `supply`.
        unsafe { *descriptions = &raw mut supply.description };
    }
    0
}

/// A status, which mostly is four letters.
fn code(status: i32) -> String {
    let letters = status.to_be_bytes();
    match std::str::from_utf8(&letters) {
        Ok(letters)
            if letters
                .chars()
                .all(|letter| letter.is_ascii_graphic() || letter == ' ') =>
        {
            format!("'{letters}'")
        }
        _ => status.to_string(),
    }
}

#[cfg(all(test, not(target_vendor = "apple")))]
mod mock;

#[cfg(all(test, not(target_vendor = "apple")))]
mod tests;
