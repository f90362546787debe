//! A request's head, parsed leniently: the server is the one that misbehaves.

/// A parsed request head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) http10: bool,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

/// What a single-range `Range` header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Range {
    pub(crate) fn bounded(self) -> Option<(u64, Option<u64>)> {
        match self {
            Self::From(first) => Some((first, None)),
            Self::Between(first, last) => Some((first, Some(last))),
            Self::Last(_) => None,
        }
    }

    /// The bytes `start..end` of a file of `len` bytes; `None` cannot be satisfied.
    pub(crate) fn within(self, len: u64) -> Option<(u64, u64)> {
        let (start, end) = match self {
            Self::From(first) => (first, len),
            Self::Between(first, last) => (first, last.saturating_add(1).min(len)),
            Self::Last(count) => (len.saturating_sub(count), len),
        };
        (start < end).then_some((start, end))
    }
}

impl Request {
    /// Parses a head that ends with an empty line; `None` if it is not HTTP/1.
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split("\r\n");
        let mut start = lines.next()?.split(' ');
        let (method, target, version) = (start.next()?, start.next()?, start.next()?);
        if !version.starts_with("HTTP/1.") {
            return None;
        }
        let headers = lines.filter_map(|line| line.split_once(':'));
        Some(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            http10: version == "HTTP/1.0",
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|header| header.0 == name)
            .map(|header| header.1.as_str())
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target.as_str(), |(path, _)| path)
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    pub(crate) fn wants_close(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Bytes of request body to skip before the next request.
    pub(crate) fn body_len(&self) -> usize {
        self.header("content-length")
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    }

    /// The single byte range asked for (RFC 9110 §14.1.2), if there is one.
    pub(crate) fn range(&self) -> Option<Range> {
        let (first, last) = self
            .header("range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", last) => last.parse().ok().map(Range::Last),
            (first, "") => first.parse().ok().map(Range::From),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(Range::Between(first, last))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str) -> Request {
        Request::parse(head.as_bytes()).expect("a request")
    }

    #[test]
    fn a_head_is_split_into_its_parts() {
        let request = request("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Two:  v \r\n\r\n");
        assert_eq!(
            (
                request.method.as_str(),
                request.target.as_str(),
                request.path()
            ),
            ("GET", "/a?b=c", "/a")
        );
        assert_eq!(request.header("x-two"), Some("v"));
        assert_eq!(Request::parse(b"\x16\x03\x01 not http\r\n\r\n"), None);
    }

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let cases = [
            ("bytes=0-", Some(Range::From(0)), Some((0, 10))),
            ("bytes=3-5", Some(Range::Between(3, 5)), Some((3, 6))),
            ("bytes=3-99", Some(Range::Between(3, 99)), Some((3, 10))),
            ("bytes=-4", Some(Range::Last(4)), Some((6, 10))),
            ("bytes=10-", Some(Range::From(10)), None),
            ("bytes=5-3", None, None),
            ("bytes=0-1,4-5", None, None),
            ("items=0-1", None, None),
        ];
        for (value, range, bytes) in cases {
            let request = request(&format!("GET / HTTP/1.1\r\nRange: {value}\r\n\r\n"));
            assert_eq!(request.range(), range, "{value}");
            assert_eq!(range.and_then(|range| range.within(10)), bytes, "{value}");
        }
    }
}
