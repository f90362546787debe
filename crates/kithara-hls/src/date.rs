//! Dates of playlists (ISO 8601, as RFC 8216 §4.3.2.6 wants them).

use std::time::{Duration, SystemTime};

/// A moment of the world's clock, in microseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramTime(i64);

impl ProgramTime {
    /// Microseconds since 1970-01-01T00:00:00Z; negative before.
    #[must_use]
    pub fn unix_micros(self) -> i64 {
        self.0
    }

    /// So much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// How long after `earlier` it is; `None` if it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let micros = self.0.checked_sub(earlier.0)?;
        u64::try_from(micros).ok().map(Duration::from_micros)
    }

    /// The same for the standard library; `None` where that can't say it.
    #[must_use]
    pub fn system_time(self) -> Option<SystemTime> {
        let distance = Duration::from_micros(self.0.unsigned_abs());
        if self.0 < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        }
    }

    /// Reads `2026-02-28T23:59:59.999Z` and its relatives. Without a zone it is taken for UTC.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', 't', ' '])?;
        let (days, (time, offset)) = (days(date)?, zone(time)?);
        let (clock, part) = time.split_once(['.', ',']).unwrap_or((time, ""));
        let seconds = days * 86_400 + clock_seconds(clock)? - offset;
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let part = part.bytes().chain(std::iter::repeat(b'0')).take(6);
        let micros = part.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        // At most the year 9999: far from the ends of i64.
        Some(Self(seconds * 1_000_000 + micros))
    }
}

/// A number of exactly so many digits, within bounds.
fn number(text: &str, digits: usize, bounds: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let all = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = all.then(|| text.parse().ok()).flatten()?;
    bounds.contains(&number).then_some(number)
}

/// Days since 1970 of `YYYY-MM-DD` or `YYYYMMDD`.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(year), Some(month), Some(day), None) => (year, month, day),
        (Some(whole), None, None, None) => (whole.get(..4)?, whole.get(4..6)?, whole.get(6..)?),
        _ => return None,
    };
    let (year, month) = (number(year, 4, 1..=9999)?, number(month, 2, 1..=12)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [
        31,
        28 + i64::from(leap),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let before = usize::try_from(month - 1).ok()?;
    let day = number(day, 2, 1..=*lengths.get(before)?)?;
    let past = year - 1;
    let whole_years = past * 365 + past / 4 - past / 100 + past / 400;
    let months: i64 = lengths.iter().take(before).sum();
    // 719,162 days lie between the first of January of the years 1 and 1970.
    Some(whole_years + months + day - 1 - 719_162)
}

/// The time without its zone, and how many seconds the zone is ahead of UTC.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(utc) = time.strip_suffix(['Z', 'z']) {
        return Some((utc, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else {
        return Some((time, 0));
    };
    let (time, zone) = time.split_at(at);
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = &zone[1..];
    let (hours, minutes) = match digits.split_once(':') {
        Some(both) => both,
        None => (digits.get(..2)?, digits.get(2..)?),
    };
    let minutes = if minutes.is_empty() { "00" } else { minutes };
    let seconds = number(hours, 2, 0..=23)? * 3600 + number(minutes, 2, 0..=59)? * 60;
    Some((time, sign * seconds))
}

/// Seconds of `hh:mm:ss`, `hh:mm`, `hhmmss` or `hhmm`. A leap second is the last of its minute, twice.
fn clock_seconds(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':');
    let (hours, minutes, seconds) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(hours), Some(minutes), seconds, None) => (hours, minutes, seconds),
        (Some(whole), None, None, None) => (whole.get(..2)?, whole.get(2..4)?, whole.get(4..)),
        _ => return None,
    };
    let seconds = seconds.filter(|text| !text.is_empty()).unwrap_or("00");
    let seconds = number(seconds, 2, 0..=60)?.min(59);
    Some(number(hours, 2, 0..=23)? * 3600 + number(minutes, 2, 0..=59)? * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_form_that_playlists_use() {
        for (text, seconds, micros) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1970-01-01 00:00:00", 0, 0),
            ("2010-02-19T14:54:23.031+08:00", 1_266_562_463, 31_000),
            ("2010-02-19T14:54:23.031+0800", 1_266_562_463, 31_000),
            ("2010-02-19T14:54:23.031+08", 1_266_562_463, 31_000),
            ("20100219T065423.031Z", 1_266_562_463, 31_000),
            ("2010-02-19T01:24:23-05:30", 1_266_562_463, 0),
            ("2024-02-29T23:59:60.9999999z", 1_709_251_199, 999_999),
            ("2000-02-29T12:30Z", 951_827_400, 0),
            ("1969-12-31T23:59:59.5Z", -1, 500_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
            ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
        ] {
            let expected = ProgramTime(seconds * 1_000_000 + micros);
            assert_eq!(ProgramTime::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "T",
            "2010-02-19",
            "2010-02-30T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2010-13-01T00:00:00Z",
            "2010-00-01T00:00:00Z",
            "2010-02-19T24:00:00Z",
            "2010-02-19T00:60:00Z",
            "2010-02-19T00:00:61Z",
            "2010-02-19T00:00:00.x",
            "2010-02-19T00:00:00+24:00",
            "2010-02-19T00:00:00+",
            "10-2-19T0:0:0Z",
            "99999-01-01T00:00:00Z",
            "2010-02-1\u{e9}T00:00:00Z",
            "\u{1f3b5}\u{1f3b5}T\u{1f3b5}\u{1f3b5}",
            "2010-02-19T\u{1f3b5}\u{1f3b5}",
            "2010-02-19T00:00:00+\u{1f3b5}",
        ] {
            assert_eq!(ProgramTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn moments_are_compared_and_moved() {
        let parse = |text| ProgramTime::parse(text).expect("a date");
        let noon = parse("2026-01-01T12:00:00Z");
        let later = noon.after(Duration::from_millis(1500));
        assert_eq!(later, parse("2026-01-01T12:00:01.5Z"));
        assert_eq!(later.since(noon), Some(Duration::from_millis(1500)));
        assert_eq!(noon.since(later), None);
        assert!(noon.after(Duration::MAX) > later);
        assert!(
            noon.system_time()
                .is_some_and(|time| time > SystemTime::UNIX_EPOCH)
        );
    }
}
