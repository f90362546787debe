//! What response headers mean for the request, and which of them are refused.

use std::time::SystemTime;

use reqwest::Version;
use reqwest::header::{self, HeaderMap, HeaderName};
use url::Url;

use crate::content_range::ContentRange;
use crate::error::NetError;
use crate::policy::Zone;
use crate::redact::{RedactedUrl, escaped};
use crate::request::{Method, Purpose, RangeSpec, Request};
use crate::response::{Etag, RangeSupport, ResponseHead, Validators};
use crate::retry_after;

/// The most header fields, and the most bytes in them, that a response may have.
pub(crate) const MAX_HEADERS: usize = 100;
pub(crate) const MAX_HEADER_BYTES: usize = 64 * 1024;

/// A response as it came over the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    pub status: u16,
    pub version: Version,
    pub headers: &'a HeaderMap,
    /// The length of this body if its framing states it.
    pub body_length: Option<u64>,
    /// Who answered.
    pub url: &'a Url,
    pub zone: Zone,
    /// The wall clock, for dates.
    pub now: SystemTime,
}

impl Received<'_> {
    /// The facts of the response, or why it is no answer to `request`.
    pub fn accept(&self, request: &Request) -> Result<ResponseHead, NetError> {
        self.check_size()?;
        let mut head = match (self.status, request.range) {
            (200, _) => self.whole(request),
            (206, Some(asked)) => self.partial(asked)?,
            _ => return Err(self.refusal()),
        };
        self.check_framing()?;
        self.check_content(request.purpose)?;
        if request.method == Method::Head {
            head.end = None;
        }
        Ok(head)
    }

    fn check_size(&self) -> Result<(), NetError> {
        let bytes: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        if bytes > MAX_HEADER_BYTES || self.headers.len() > MAX_HEADERS {
            return Err(NetError::Headers {
                url: self.redacted(),
                what: "too large",
            });
        }
        Ok(())
    }

    /// RFC 9112 §6.1, §6.3: who sends a length beside chunks may be one of two servers on the line that disagree on where
    /// this response ends; and chunks may carry content that is encoded once more.
    fn check_framing(&self) -> Result<(), NetError> {
        let mut codings = self.headers.get_all(header::TRANSFER_ENCODING).iter();
        let Some(coding) = codings.next() else {
            return Ok(());
        };
        let plain = |known: &&str| coding.as_bytes().eq_ignore_ascii_case(known.as_bytes());
        let what = if self.headers.contains_key(header::CONTENT_LENGTH) {
            "a length beside a transfer encoding"
        } else if codings.next().is_some() || !["chunked", "identity"].iter().any(plain) {
            "a transfer encoding that was not asked for"
        } else {
            return Ok(());
        };
        Err(NetError::Headers {
            url: self.redacted(),
            what,
        })
    }

    fn check_content(&self, purpose: Purpose) -> Result<(), NetError> {
        let wrong = |what| {
            Err(NetError::WrongContent {
                url: self.redacted(),
                what,
            })
        };
        // No decoder is built in: encoded bytes would be taken for the content.
        let encodings = self.headers.get_all(header::CONTENT_ENCODING);
        if encodings
            .iter()
            .any(|value| !matches!(value.as_bytes(), b"" | b"identity" | b"Identity"))
        {
            return wrong("an encoding that was not asked for");
        }
        match self.media_type().as_deref() {
            Some("text/html" | "application/xhtml+xml") if purpose == Purpose::Media => {
                wrong("a web page")
            }
            _ => Ok(()),
        }
    }

    /// The whole resource, whatever was asked for.
    fn whole(&self, request: &Request) -> ResponseHead {
        let total = match request.method {
            Method::Get => self.body_length,
            Method::Head => self
                .text(&header::CONTENT_LENGTH)
                .and_then(|text| text.parse().ok()),
        };
        let accepts = self
            .text(&header::ACCEPT_RANGES)
            .map(|text| text.trim().eq_ignore_ascii_case("bytes"));
        let ranges = match (request.range, accepts) {
            // An answer in full is right if the validator no longer held, and allowed if everything was asked for.
            (Some(_), accepts) if request.if_range.is_some() => support(accepts),
            (
                Some(RangeSpec {
                    start: 0,
                    end: None,
                }),
                Some(true),
            ) => RangeSupport::Yes,
            (Some(_), _) => RangeSupport::No,
            (None, accepts) => support(accepts),
        };
        ResponseHead {
            end: self.body_length,
            total,
            ranges,
            ..self.head()
        }
    }

    fn partial(&self, asked: RangeSpec) -> Result<ResponseHead, NetError> {
        let wrong = |what| NetError::WrongRange {
            url: self.redacted(),
            what,
        };
        if self
            .media_type()
            .is_some_and(|kind| kind == "multipart/byteranges")
        {
            return Err(wrong("several ranges in one body"));
        }
        let range = self
            .only(&header::CONTENT_RANGE)
            .ok_or_else(|| wrong("no Content-Range, or several"))?;
        let Some(ContentRange::Bytes { start, end, total }) = ContentRange::parse(range) else {
            return Err(wrong("a Content-Range that makes no sense"));
        };
        if start != asked.start {
            return Err(wrong("it starts elsewhere"));
        }
        if self.body_length.is_some_and(|length| length > end - start) {
            return Err(wrong("the body is longer than the range"));
        }
        let end = asked.end.map_or(end, |asked| end.min(asked.max(start + 1)));
        Ok(ResponseHead {
            start,
            end: Some(end),
            total,
            ranges: RangeSupport::Yes,
            ..self.head()
        })
    }

    /// What every accepted response states.
    fn head(&self) -> ResponseHead {
        // Over HTTP/2 the stack reports a stream reset with NO_ERROR as an end like any other, so that only a length
        // proves one.
        let chunked = self
            .text(&header::TRANSFER_ENCODING)
            .is_some_and(|text| text.to_ascii_lowercase().contains("chunked"));
        let framed = self.body_length.is_some() || chunked && self.version == Version::HTTP_11;
        let cache = self
            .headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let no_store = cache
            .flat_map(|text| text.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case("no-store"));
        ResponseHead {
            media_type: self.media_type(),
            validators: Validators {
                etag: self.only(&header::ETAG).and_then(Etag::parse),
                last_modified: self
                    .only(&header::LAST_MODIFIED)
                    .filter(|text| text.len() <= 64)
                    .map(str::to_owned),
            },
            no_store: no_store
                || self
                    .text(&header::VARY)
                    .is_some_and(|text| text.trim() == "*"),
            length_proof: framed,
            zone: self.zone,
            ..ResponseHead::new(self.status, self.url)
        }
    }

    /// The error that a status which is no success means.
    fn refusal(&self) -> NetError {
        let url = self.redacted();
        if self.status == 416 {
            let total = self
                .text(&header::CONTENT_RANGE)
                .and_then(ContentRange::parse)
                .and_then(|range| match range {
                    ContentRange::Unsatisfied { total } => Some(total),
                    ContentRange::Bytes { total, .. } => total,
                });
            return NetError::RangeNotSatisfiable { url, total };
        }
        let retry_after = self
            .text(&header::RETRY_AFTER)
            .and_then(|text| retry_after::parse(text, self.now));
        NetError::Http {
            url,
            status: self.status,
            retry_after,
        }
    }

    fn media_type(&self) -> Option<String> {
        let value = self.text(&header::CONTENT_TYPE)?;
        let kind = value.split(';').next().unwrap_or_default().trim();
        (!kind.is_empty()).then(|| escaped(&kind.to_ascii_lowercase()))
    }

    fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The value of a field that must not be repeated.
    fn only(&self, name: &HeaderName) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?.to_str().ok()?;
        values
            .all(|other| other.as_bytes() == first.as_bytes())
            .then_some(first)
    }

    fn redacted(&self) -> RedactedUrl {
        RedactedUrl::new(self.url)
    }
}

fn support(accepts: Option<bool>) -> RangeSupport {
    match accepts {
        Some(true) => RangeSupport::Yes,
        Some(false) => RangeSupport::No,
        None => RangeSupport::Unknown,
    }
}
