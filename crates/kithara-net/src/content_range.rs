//! The `Content-Range` header (RFC 9110 §14.4).

/// What a `Content-Range` in bytes says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentRange {
    /// The bytes `start..end` of a resource of `total` bytes, if the length is stated.
    Bytes {
        start: u64,
        end: u64,
        total: Option<u64>,
    },
    /// No range could be served of a resource of this length.
    Unsatisfied { total: u64 },
}

impl ContentRange {
    /// Parses the value; `None` for what is no byte range, contradicts itself or doesn't fit.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let unit = text.get(..5)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let rest = text.get(5..)?.strip_prefix([' ', '='])?.trim_start();
        let (range, total) = rest.split_once('/')?;
        let total = match total.trim() {
            "*" => None,
            digits => Some(number(digits)?),
        };
        if range.trim() == "*" {
            return Some(Self::Unsatisfied { total: total? });
        }
        let (first, last) = range.split_once('-')?;
        let (start, last) = (number(first.trim())?, number(last.trim())?);
        let end = last.checked_add(1)?;
        let sound = start <= last && total.is_none_or(|total| end <= total);
        sound.then_some(Self::Bytes { start, end, total })
    }
}

/// Digits only: `str::parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_taken_only_if_it_makes_sense() {
        let bytes = |start, end, total| Some(ContentRange::Bytes { start, end, total });
        let cases = [
            ("bytes 0-0/1", bytes(0, 1, Some(1))),
            ("bytes 0-499/1234", bytes(0, 500, Some(1234))),
            ("bytes 500-1233/1234", bytes(500, 1234, Some(1234))),
            ("bytes 500-1233/*", bytes(500, 1234, None)),
            ("Bytes 5-9/10", bytes(5, 10, Some(10))),
            ("bytes=5-9/10", bytes(5, 10, Some(10))),
            ("  bytes  5 - 9 / 10 ", bytes(5, 10, Some(10))),
            (
                "bytes 0-9223372036854775806/9223372036854775807",
                bytes(0, i64::MAX as u64, Some(i64::MAX as u64)),
            ),
            (
                "bytes */1234",
                Some(ContentRange::Unsatisfied { total: 1234 }),
            ),
            ("bytes */*", None),
            ("", None),
            ("bytes", None),
            ("bytes ", None),
            ("byte 0-1/2", None),
            ("items 0-1/2", None),
            ("bytes0-1/2", None),
            ("bytes 0-1", None),
            ("bytes 0/2", None),
            ("bytes -1/2", None),
            ("bytes 0-/2", None),
            ("bytes 1-0/2", None),
            ("bytes 0-2/2", None),
            ("bytes 0-1/", None),
            ("bytes 0-1/-5", None),
            ("bytes +0-1/2", None),
            ("bytes 0-1/+2", None),
            ("bytes -5-10/20", None),
            ("bytes 0x0-0x1/2", None),
            ("bytes 0-1/2/3", None),
            ("bytes 0-1,3-4/9", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-18446744073709551616/*", None),
            ("bytes 18446744073709551616-18446744073709551617/*", None),
            ("bytes 0-1/18446744073709551616", None),
            ("bytes 0-1/99999999999999999999999999", None),
            ("\u{fc}\u{fc}\u{fc} 0-1/2", None),
        ];
        for (text, expected) in cases {
            assert_eq!(ContentRange::parse(text), expected, "{text:?}");
        }
    }
}
