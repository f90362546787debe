//! Base64 (RFC 4648 §4), of which pictures in Vorbis comments are written.

use crate::memory::{self, NoMemory};

/// The bytes up to the first character that is none of it. A rest that is no whole byte is left out.
pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, NoMemory> {
    let mut bytes = memory::room(text.len() / 4 * 3 + 2)?;
    let (mut bits, mut held) = (0u32, 0);
    for value in text.iter().map_while(|character| value(*character)) {
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            // The highest bits fall off.
            bytes.push((bits >> held) as u8);
        }
    }
    Ok(bytes)
}

fn value(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_examples_decode() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            // Without its end, and with something that does not belong there.
            ("Zm9vYmF", "fooba"),
            ("Zm9v\nYmFy", "foo"),
            ("Z", ""),
        ] {
            assert_eq!(
                decode(text.as_bytes()).as_deref(),
                Ok(bytes.as_bytes()),
                "{text}"
            );
        }
        assert_eq!(decode(b"+/+/").as_deref(), Ok(&[0xfb, 0xff, 0xbf][..]));
    }
}
