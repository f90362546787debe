//! What the frames of ID3v2 mean (ID3v2.4 frames §4, ID3v2.2 §4).

use std::borrow::Cow;

use super::super::{MAX_NAME, Tag, picture};
use super::Frame;
use super::strings::Encoding;
use crate::trim;

/// Who owns the time of a segment of packed audio (RFC 8216 §3.4).
const TRANSPORT_TIME: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";
/// The heading of iTunes' gapless comment.
const GAPLESS: &[u8] = b"iTunSMPB";
/// Decibels of a step of a relative volume.
const VOLUME_STEPS: f32 = 512.0;

/// Gives a frame to the tag.
pub(super) fn take(frame: &Frame<'_>, tag: &mut Tag) {
    let Some(body) = bytes(frame) else {
        return;
    };
    let body = &body[..];
    match frame.name {
        b"TXXX" | b"TXX" => named_text(body, tag),
        b"COMM" | b"COM" => comment(body, tag),
        b"APIC" | b"PIC" => drop(show(frame.name, body, body.len(), tag)),
        b"RVA2" | b"XRVA" => volume(body, tag),
        b"PRIV" => transport_time(body, tag),
        name => {
            if let (Some(known), Some((encoding, text))) = (name_of(name), body.split_first()) {
                for value in Encoding::by_number(*encoding).values(text) {
                    tag.named(known, &value);
                }
            }
        }
    }
}

/// Tells of a picture of which only the front is at hand.
pub(super) fn take_cut(frame: &Frame<'_>, tag: &mut Tag) {
    if let (b"APIC" | b"PIC", Some(body)) = (frame.name, bytes(frame)) {
        show(frame.name, &body, frame.length, tag);
    }
}

/// What is in a frame; `None` where there is no memory for it.
fn bytes<'a>(frame: &Frame<'a>) -> Option<Cow<'a, [u8]>> {
    if frame.unsynchronised && frame.body.contains(&0xff) {
        super::synchronised(frame.body).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(frame.body))
    }
}

/// What a frame of text is called elsewhere.
fn name_of(frame: &[u8]) -> Option<&'static [u8]> {
    Some(match frame {
        b"TIT2" | b"TT2" => b"TITLE",
        b"TPE1" | b"TP1" => b"ARTIST",
        b"TALB" | b"TAL" => b"ALBUM",
        b"TPE2" | b"TP2" => b"ALBUMARTIST",
        b"TCOM" | b"TCM" => b"COMPOSER",
        b"TRCK" | b"TRK" => b"TRACK",
        b"TPOS" | b"TPA" => b"DISC",
        b"TCON" | b"TCO" => b"GENRE",
        b"TDRC" | b"TYER" | b"TYE" | b"TDRL" => b"DATE",
        _ => return None,
    })
}

/// Eight bytes, of which 33 bits are used.
fn transport_time(body: &[u8], tag: &mut Tag) {
    if let Some(Ok(time)) = body.strip_prefix(TRANSPORT_TIME).map(<[u8; 8]>::try_from) {
        tag.for_players.transport_time = Some(u64::from_be_bytes(time) & ((1 << 33) - 1));
    }
}

/// A text with a name of its own.
fn named_text(body: &[u8], tag: &mut Tag) {
    let Some((encoding, rest)) = body.split_first() else {
        return;
    };
    let encoding = Encoding::by_number(*encoding);
    let (name, value) = encoding.split(rest);
    let name = encoding.decode(&name[..name.len().min(2 * MAX_NAME)]);
    // With its mark, if it is in UTF-16.
    let name = super::super::trimmed(&name).as_bytes();
    if name == GAPLESS {
        return gapless(encoding, value, tag);
    }
    for value in encoding.values(value) {
        tag.named(name, &value);
    }
}

/// A comment: its language, its heading, its text.
fn comment(body: &[u8], tag: &mut Tag) {
    let Some(([encoding, ..], rest)) = body.split_first_chunk::<4>() else {
        return;
    };
    let encoding = Encoding::by_number(*encoding);
    let (heading, text) = encoding.split(rest);
    let heading = encoding.decode(heading);
    let heading = super::super::trimmed(&heading);
    let name: &[u8] = match heading {
        "" => b"COMMENT",
        _ if heading.as_bytes() == GAPLESS => return gapless(encoding, text, tag),
        // iTunes keeps figures of its own there.
        _ if heading.starts_with("iTun") => return,
        _ => b"DESCRIPTION",
    };
    if let Some(value) = encoding.values(text).next() {
        tag.named(name, &value);
    }
}

/// What iTunes says of the frames that an encoder of its own added.
fn gapless(encoding: Encoding, text: &[u8], tag: &mut Tag) {
    let value = encoding.values(text).next();
    let comment = value.and_then(|value| trim::parse_itunsmpb(&value));
    let known = &mut tag.for_players.gapless;
    *known = known.or(comment);
}

/// A picture, of whose frame `body` may be the front.
fn show(name: &[u8], body: &[u8], length: usize, tag: &mut Tag) -> Option<()> {
    let (encoding, rest) = body.split_first()?;
    let encoding = Encoding::by_number(*encoding);
    let (written, rest) = match name {
        // Version 2.2 has three letters.
        b"PIC" => rest.split_at_checked(3)?,
        _ => Encoding::Latin1.split(rest),
    };
    if written == b"-->" {
        // An address of one.
        return None;
    }
    let (kind, rest) = rest.split_first()?;
    let (_, bytes) = encoding.split(rest);
    let kind = picture::kind((*kind).into());
    let media_type = picture::media_type(&super::super::text(written));
    if length == body.len() {
        tag.picture(kind, &media_type, bytes);
    } else {
        let head = body.len() - bytes.len();
        tag.passed_over(kind, &media_type, length.saturating_sub(head) as u64);
    }
    Some(())
}

/// A relative volume (ID3v2.4 frames §4.11): what it is of, then for each channel its kind, its gain in 512ths of a decibel, and
/// its peak in as many bits as said before it.
fn volume(body: &[u8], tag: &mut Tag) {
    let (what, mut rest) = Encoding::Latin1.split(body);
    let album = what.eq_ignore_ascii_case(b"album");
    while let Some(([channel, high, low, bits], tail)) = rest.split_first_chunk::<4>() {
        let Some((peak, tail)) = tail.split_at_checked(usize::from(*bits).div_ceil(8)) else {
            return;
        };
        // The master volume.
        if *channel == 1 {
            let gain = f32::from(i16::from_be_bytes([*high, *low])) / VOLUME_STEPS;
            tag.gain(album, gain, full_scale(peak, *bits));
            return;
        }
        rest = tail;
    }
}

/// A peak relative to full scale, which is half of what the bits can say.
fn full_scale(peak: &[u8], bits: u8) -> Option<f32> {
    if bits == 0 {
        return None;
    }
    let value = peak
        .iter()
        .fold(0.0, |value, byte| value * 256.0 + f64::from(*byte));
    Some((value / 2f64.powi(i32::from(bits) - 1)) as f32)
}
