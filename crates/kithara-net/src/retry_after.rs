//! The `Retry-After` header (RFC 9110 §10.2.3).

use std::time::{Duration, SystemTime};

/// The wait from `now` on that the value asks for; `None` for what is neither seconds nor a date, or is past.
pub(crate) fn parse(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<u64>() {
        // `str::parse` takes a plus sign, which the grammar does not.
        Ok(seconds) if !text.starts_with('+') => Duration::from_secs(seconds),
        _ => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok()?,
    };
    (!wait.is_zero()).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_after_is_a_wait_or_nothing() {
        // 1994-11-06 08:49:37
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let seconds = |count| Some(Duration::from_secs(count));
        let cases = [
            ("1", seconds(1)),
            (" 120 ", seconds(120)),
            ("315360000", seconds(315_360_000)),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
            ("18446744073709551616", None),
            ("Sun, 06 Nov 1994 08:49:47 GMT", seconds(10)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:36 GMT", None),
            ("Sunday, 06-Nov-94 08:50:37 GMT", seconds(60)),
            ("Sun Nov  6 08:49:38 1994", seconds(1)),
            ("Sun, 99 Nov 1994 08:49:47 GMT", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, now), expected, "{text:?}");
        }
    }
}
