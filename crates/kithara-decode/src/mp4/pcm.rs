//! Linear PCM in QuickTime and ISO files: names, widths and byte order.

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::*;

use super::boxes::FourCode;

/// A PCM sample is one frame; this many are handed out as one packet.
pub(super) const PACKET_FRAMES: u64 = 1024;

/// The format a sample entry code names, and its bytes per sample. `bits` decides where the code leaves it open.
pub(super) fn named(code: FourCode, bits: u32, little_endian: bool) -> Option<(AudioCodecId, u32)> {
    let by_order = |big, little| if little_endian { little } else { big };
    Some(match &code.0 {
        b"ulaw" => (CODEC_ID_PCM_MULAW, 1),
        b"alaw" => (CODEC_ID_PCM_ALAW, 1),
        b"raw " if bits <= 8 => (CODEC_ID_PCM_U8, 1),
        b"sowt" if bits <= 8 => (CODEC_ID_PCM_S8, 1),
        b"twos" if bits <= 8 => (CODEC_ID_PCM_S8, 1),
        b"sowt" => signed(bits, false)?,
        b"twos" => signed(bits, true)?,
        b"in24" => (by_order(CODEC_ID_PCM_S24BE, CODEC_ID_PCM_S24LE), 3),
        b"in32" => (by_order(CODEC_ID_PCM_S32BE, CODEC_ID_PCM_S32LE), 4),
        b"fl32" => (by_order(CODEC_ID_PCM_F32BE, CODEC_ID_PCM_F32LE), 4),
        b"fl64" => (by_order(CODEC_ID_PCM_F64BE, CODEC_ID_PCM_F64LE), 8),
        // ISO/IEC 23003-5.
        b"ipcm" => signed(bits, !little_endian)?,
        b"fpcm" => float(bits, !little_endian)?,
        _ => return None,
    })
}

/// The format of a version 2 `lpcm` description: flag 1 is float, 2 big-endian, 4 signed.
pub(super) fn described(bits: u32, flags: u32) -> Option<(AudioCodecId, u32)> {
    let big_endian = flags & 2 != 0;
    match (flags & 1 != 0, flags & 4 != 0) {
        (true, _) => float(bits, big_endian),
        (false, true) => signed(bits, big_endian),
        (false, false) if bits == 8 => Some((CODEC_ID_PCM_U8, 1)),
        (false, false) => None,
    }
}

fn signed(bits: u32, big_endian: bool) -> Option<(AudioCodecId, u32)> {
    Some(match (bits, big_endian) {
        (8, _) => (CODEC_ID_PCM_S8, 1),
        (16, true) => (CODEC_ID_PCM_S16BE, 2),
        (16, false) => (CODEC_ID_PCM_S16LE, 2),
        (24, true) => (CODEC_ID_PCM_S24BE, 3),
        (24, false) => (CODEC_ID_PCM_S24LE, 3),
        (32, true) => (CODEC_ID_PCM_S32BE, 4),
        (32, false) => (CODEC_ID_PCM_S32LE, 4),
        _ => return None,
    })
}

fn float(bits: u32, big_endian: bool) -> Option<(AudioCodecId, u32)> {
    Some(match (bits, big_endian) {
        (32, true) => (CODEC_ID_PCM_F32BE, 4),
        (32, false) => (CODEC_ID_PCM_F32LE, 4),
        (64, true) => (CODEC_ID_PCM_F64BE, 8),
        (64, false) => (CODEC_ID_PCM_F64LE, 8),
        _ => return None,
    })
}
