//! What a run of bytes holds: container, codec, and the hints that came with it.

use std::fmt;
use std::time::Duration;

/// An audio codec, named by profile where the profile decides whether it can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AudioCodec {
    /// MPEG-4 AAC Low Complexity (ISO/IEC 14496-3).
    AacLc,
    /// HE-AAC v1: AAC-LC with spectral band replication.
    AacHe,
    /// HE-AAC v2: HE-AAC v1 with parametric stereo.
    AacHeV2,
    /// MPEG-1 or MPEG-2 audio layer I.
    Mp1,
    /// MPEG-1 or MPEG-2 audio layer II.
    Mp2,
    /// MPEG-1, MPEG-2 or MPEG-2.5 audio layer III.
    Mp3,
    /// Free Lossless Audio Codec (RFC 9639).
    Flac,
    /// Vorbis I.
    Vorbis,
    /// Opus (RFC 6716).
    Opus,
    /// Apple Lossless.
    Alac,
    /// Linear or companded PCM of any width.
    Pcm,
    /// IMA or Microsoft ADPCM.
    Adpcm,
}

impl fmt::Display for AudioCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AacLc => "AAC-LC",
            Self::AacHe => "HE-AAC",
            Self::AacHeV2 => "HE-AAC v2",
            Self::Mp1 => "MP1",
            Self::Mp2 => "MP2",
            Self::Mp3 => "MP3",
            Self::Flac => "FLAC",
            Self::Vorbis => "Vorbis",
            Self::Opus => "Opus",
            Self::Alac => "ALAC",
            Self::Pcm => "PCM",
            Self::Adpcm => "ADPCM",
        })
    }
}

/// How encoded packets are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContainerFormat {
    /// An ordinary MP4 or M4A file: one `moov`, one sample table (ISO/IEC 14496-12).
    Mp4,
    /// Fragmented MP4: `moof` and `mdat` pairs (ISO/IEC 14496-12 §8.8).
    Fmp4,
    /// MPEG-2 transport stream (ISO/IEC 13818-1).
    MpegTs,
    /// A bare sequence of MPEG audio frames, with or without tags.
    MpegAudio,
    /// A bare sequence of AAC frames with ADTS headers.
    Adts,
    /// Native FLAC.
    Flac,
    /// RIFF WAVE.
    Wav,
    /// AIFF or AIFF-C.
    Aiff,
    /// Ogg.
    Ogg,
    /// Core Audio Format.
    Caf,
    /// Matroska or WebM.
    Mkv,
}

impl fmt::Display for ContainerFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mp4 => "MP4",
            Self::Fmp4 => "fragmented MP4",
            Self::MpegTs => "MPEG-TS",
            Self::MpegAudio => "MPEG audio",
            Self::Adts => "ADTS",
            Self::Flac => "FLAC",
            Self::Wav => "WAV",
            Self::Aiff => "AIFF",
            Self::Ogg => "Ogg",
            Self::Caf => "CAF",
            Self::Mkv => "Matroska",
        })
    }
}

/// What is known about a run before a byte of it is decoded. Everything here is a claim of a server, a playlist or a
/// file name; the decoder trusts the bytes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaInfo {
    /// What the run is, for messages: a redacted URL or a path.
    pub name: String,
    /// The codec, where something other than the bytes named it.
    pub codec: Option<AudioCodec>,
    /// The container, where it is known for certain (an HLS segment, or the caller's word).
    pub container: Option<ContainerFormat>,
    /// The `Content-Type` of the response, parameters removed, lower case.
    pub media_type: Option<String>,
    /// The file name extension of the path or URL, lower case, without the dot.
    pub extension: Option<String>,
    /// The caller's own hint: an extension or a media type.
    pub hint: Option<String>,
    /// Channels, where announced.
    pub channels: Option<u16>,
    /// Frames per second, where announced.
    pub sample_rate: Option<u32>,
    /// The HLS variant the run belongs to.
    pub variant_index: Option<usize>,
    /// The run is a stretch out of a title: what its headers say of the length of the whole says nothing of it.
    pub part_of_title: bool,
}

/// How long a run is: what is delivered of it, without the frames at its ends that are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaDuration {
    /// Right to the frame, unless the container lies: it states it so, or the run was decoded to its end.
    Exact(Duration),
    /// Computed from a length and a bit rate, or stated in units too coarse for frames, or before any trimming.
    Estimate(Duration),
}

impl MediaDuration {
    /// The value, whatever it is worth.
    pub fn value(self) -> Duration {
        match self {
            Self::Exact(duration) | Self::Estimate(duration) => duration,
        }
    }
}
