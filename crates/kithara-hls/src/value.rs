//! Numbers, ranges and vectors as playlists write them.

use std::time::Duration;

use kithara_drm::Iv;

/// A decimal number of seconds, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seconds {
    /// As near to the truth as a u64 can say.
    Micros(u64),
    Negative(u64),
}

/// A decimal-integer (RFC 8216 §4.2).
pub(crate) fn integer(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A decimal-floating-point, signed or not, read without any floating point. Exponents, infinities and the like are none.
pub(crate) fn seconds(text: &str) -> Option<Seconds> {
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return None;
    }
    let micros = saturating(whole.bytes()).saturating_mul(1_000_000);
    // Missing digits are zeros, those behind the sixth are less than anything here.
    let part = part.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = micros.saturating_add(saturating(part));
    Some(if negative {
        Seconds::Negative(micros)
    } else {
        Seconds::Micros(micros)
    })
}

fn saturating(digits: impl Iterator<Item = u8>) -> u64 {
    digits.fold(0, |sum: u64, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

/// A number of seconds that is not negative.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    match seconds(text)? {
        Seconds::Micros(micros) => Some(Duration::from_micros(micros)),
        Seconds::Negative(_) => None,
    }
}

/// `n` or `n@o`: how many bytes, and from where if that is said.
pub(crate) fn byte_range(text: &str) -> Option<(u64, Option<u64>)> {
    match text.split_once('@') {
        Some((length, start)) => Some((integer(length.trim())?, Some(integer(start.trim())?))),
        None => Some((integer(text)?, None)),
    }
}

/// `0x` and 32 hexadecimal digits: 128 bits, no fewer and no more.
pub(crate) fn vector(text: &str) -> Option<Iv> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"))?;
    let all = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = all.then(|| u128::from_str_radix(digits, 16).ok())??;
    Some(Iv::new(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact_and_never_more_than_there_are() {
        use Seconds::{Micros, Negative};
        for (text, expected) in [
            ("0", Some(Micros(0))),
            ("5", Some(Micros(5_000_000))),
            ("5.", Some(Micros(5_000_000))),
            (".5", Some(Micros(500_000))),
            ("+5.005", Some(Micros(5_005_000))),
            ("5.005005", Some(Micros(5_005_005))),
            ("5.0050059", Some(Micros(5_005_005))),
            ("9.97734", Some(Micros(9_977_340))),
            ("-1", Some(Negative(1_000_000))),
            ("-0.25", Some(Negative(250_000))),
            ("18446744073709551616", Some(Micros(u64::MAX))),
            ("99999999999999999999999999999999.9", Some(Micros(u64::MAX))),
            ("", None),
            (".", None),
            ("-", None),
            ("nan", None),
            ("NaN", None),
            ("inf", None),
            ("1e400", None),
            ("1e3", None),
            ("5 s", None),
            ("--1", None),
            ("1.2.3", None),
            ("0x10", None),
            ("\u{0665}", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn integers_are_digits_that_fit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("007", Some(7)),
            ("+1", None),
            ("-1", None),
            ("5.0", None),
            ("", None),
            (" 1", None),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn ranges_have_a_length_and_perhaps_a_start() {
        for (text, expected) in [
            ("100@0", Some((100, Some(0)))),
            ("100 @ 5", Some((100, Some(5)))),
            ("100", Some((100, None))),
            (
                "18446744073709551615@18446744073709551615",
                Some((u64::MAX, Some(u64::MAX))),
            ),
            ("100@", None),
            ("@5", None),
            ("-1@5", None),
            ("1@2@3", None),
            ("", None),
        ] {
            assert_eq!(byte_range(text), expected, "{text}");
        }
    }

    #[test]
    fn a_vector_has_thirty_two_digits() {
        let digits = "000102030405060708090a0B0c0D0e0F";
        let expected = Iv::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(vector(&format!("0x{digits}")), Some(expected));
        assert_eq!(vector(&format!("0X{digits}")), Some(expected));
        for wrong in [
            digits.to_owned(),
            "0x1".to_owned(),
            String::new(),
            format!("0x{}", &digits[2..]),
            format!("0x{digits}00"),
            format!("0x+{}", &digits[1..]),
            format!("0x{}g", &digits[1..]),
        ] {
            assert_eq!(vector(&wrong), None, "{wrong}");
        }
    }
}
