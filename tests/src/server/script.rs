//! What the server answers: politely, or with exactly the faults a test asks for.

use std::time::Duration;

use bytes::Bytes;

use super::gate::Gate;
use super::link::Link;

/// One answer. Starts polite (ranges, length, validators, keep-alive, `HEAD`, `If-Range`); each method adds one fault.
///
/// Places: `*_after(k)` counts body bytes of *this answer*; `*_at(offset)` counts bytes of the *file*, whatever range was
/// asked for. Faults at a place beyond the answer's end never happen; at its very end they happen instead of the end.
#[derive(Clone, Debug)]
pub struct Script {
    pub(crate) body: Body,
    pub(crate) status: Option<u16>,
    pub(crate) status_line: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) without: Vec<String>,
    pub(crate) media_type: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) content_range: Option<String>,
    pub(crate) content_length: Option<String>,
    pub(crate) ranges: bool,
    pub(crate) multipart: bool,
    pub(crate) range_limit: Option<u64>,
    pub(crate) length: bool,
    pub(crate) chunked: bool,
    pub(crate) http10: bool,
    pub(crate) close: bool,
    pub(crate) dies_when_reused: bool,
    pub(crate) informational: Option<(u16, u32)>,
    pub(crate) head_delay: Option<Duration>,
    pub(crate) head_gate: Option<Gate>,
    pub(crate) throttle: Option<u64>,
    pub(crate) link: Option<Link>,
    pub(crate) trailing: Bytes,
    pub(crate) faults: Vec<(Place, Fault)>,
    pub(crate) on_head: Option<Box<Script>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    File(Bytes),
    /// The same bytes over and over, without end or length.
    Endless(Bytes),
    Raw(Vec<Step>),
}

/// One step of a raw script.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes these bytes and nothing else.
    Send(Vec<u8>),
    /// Waits this long in real time.
    Wait(Duration),
    /// Waits until the test opens the gate.
    Release(Gate),
    /// Waits for ever, or until the client closes.
    Stall,
    /// Closes with RST (`SO_LINGER` 0).
    Reset,
    /// Closes with FIN.
    Close,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Body(u64),
    File(u64),
    BeforeEnd(u64),
}

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Cut,
    Reset,
    Stall,
    BadChunk,
    Hold(Gate),
    Pause(Duration),
}

impl Script {
    /// A file, served politely: `Accept-Ranges`, `Content-Length`, a strong `ETag` of the content, `Last-Modified`.
    pub fn file(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let etag = Some(format!("\"{:016x}\"", fnv1a(&bytes)));
        Self {
            etag,
            last_modified: Some("Wed, 01 Jan 2025 00:00:00 GMT".to_owned()),
            ranges: true,
            ..Self::bare(Body::File(bytes))
        }
    }

    /// An answer of this status with a short text (none for 1xx, 204 and 304), no validators and no ranges.
    pub fn of_status(status: u16) -> Self {
        let empty = matches!(status, 100..=199 | 204 | 304);
        let text = if empty {
            Bytes::new()
        } else {
            Bytes::from(format!("status {status}\n"))
        };
        let script = Self {
            status: Some(status),
            length: !empty,
            ..Self::bare(Body::File(text))
        };
        script.media_type("text/plain")
    }

    /// A redirect: 301, 302, 303, 307 or 308 to `location`, given as it is to be sent (absolute or relative).
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::of_status(status).header("Location", location)
    }

    /// An endless stream: `bytes` over and over until the client goes, without length, ranges or validators.
    ///
    /// # Panics
    /// If `bytes` is empty.
    pub fn endless(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        assert!(!bytes.is_empty(), "an endless stream of nothing");
        Self {
            length: false,
            ..Self::bare(Body::Endless(bytes))
        }
    }

    /// Exactly these steps, head included; no other method has any effect on it. After the last step the connection
    /// waits for the next request, unless a step closed it.
    pub fn raw(steps: impl Into<Vec<Step>>) -> Self {
        Self::bare(Body::Raw(steps.into()))
    }

    /// An ICY (SHOUTcast) answer: `ICY 200 OK`, `icy-metaint`, a title block after each `interval` bytes of audio, and
    /// the end of the connection as the end of the stream.
    ///
    /// # Panics
    /// If `interval` is 0.
    pub fn icy(bytes: &[u8], interval: usize, title: &str) -> Self {
        let script = Self {
            length: false,
            close: true,
            ..Self::bare(Body::File(interleave_icy(bytes, interval, title)))
        };
        script
            .status_line("ICY 200 OK")
            .header("icy-name", "test")
            .header("icy-metaint", &interval.to_string())
    }

    fn bare(body: Body) -> Self {
        Self {
            body,
            status: None,
            status_line: None,
            headers: Vec::new(),
            without: Vec::new(),
            media_type: None,
            etag: None,
            last_modified: None,
            content_range: None,
            content_length: None,
            ranges: false,
            multipart: false,
            range_limit: None,
            length: true,
            chunked: false,
            http10: false,
            close: false,
            dies_when_reused: false,
            informational: None,
            head_delay: None,
            head_gate: None,
            throttle: None,
            link: None,
            trailing: Bytes::new(),
            faults: Vec::new(),
            on_head: None,
        }
    }
}

/// The head.
impl Script {
    /// Replaces the status number; body and headers stay what they would have been.
    pub fn status(self, status: u16) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }

    /// Replaces the whole first line, for instance `ICY 200 OK`.
    pub fn status_line(self, line: &str) -> Self {
        Self {
            status_line: Some(line.to_owned()),
            ..self
        }
    }

    /// `Content-Type`.
    pub fn media_type(self, media_type: &str) -> Self {
        Self {
            media_type: Some(media_type.to_owned()),
            ..self
        }
    }

    /// `ETag`, sent as given: with its quotes, and `W/` if it is weak.
    pub fn etag(self, etag: &str) -> Self {
        Self {
            etag: Some(etag.to_owned()),
            ..self
        }
    }

    /// `Last-Modified`, sent as given.
    pub fn last_modified(self, date: &str) -> Self {
        Self {
            last_modified: Some(date.to_owned()),
            ..self
        }
    }

    /// Neither `ETag` nor `Last-Modified`.
    pub fn without_validators(self) -> Self {
        Self {
            etag: None,
            last_modified: None,
            ..self
        }
    }

    /// Adds a header, even if one of that name is sent already (a doubled `Content-Length`, say).
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves out a header that would have been sent.
    pub fn without_header(mut self, name: &str) -> Self {
        self.without.push(name.to_owned());
        self
    }

    /// Adds `count` headers with values of `value_len` bytes: a header flood.
    pub fn header_flood(mut self, count: usize, value_len: usize) -> Self {
        let flood = (0..count).map(|index| (format!("X-Flood-{index}"), "f".repeat(value_len)));
        self.headers.extend(flood);
        self
    }

    /// `Retry-After`, sent as given: seconds, a date or nonsense.
    pub fn retry_after(self, value: &str) -> Self {
        self.header("Retry-After", value)
    }

    /// Sends `count` answers of this 1xx status before the real one.
    pub fn informational(self, status: u16, count: u32) -> Self {
        Self {
            informational: Some((status, count)),
            ..self
        }
    }

    /// Waits this long in real time before the head.
    pub fn delay_head(self, delay: Duration) -> Self {
        Self {
            head_delay: Some(delay),
            ..self
        }
    }

    /// Sends nothing, not even the head, until the gate is open.
    pub fn hold_head(self, gate: &Gate) -> Self {
        Self {
            head_gate: Some(gate.clone()),
            ..self
        }
    }

    /// Answers `HEAD` by this script instead of the file's own head.
    pub fn on_head(self, script: Self) -> Self {
        Self {
            on_head: Some(Box::new(script)),
            ..self
        }
    }
}

/// Ranges, length and framing.
impl Script {
    /// Ignores `Range` and `If-Range` (a whole 200 each time) and sends no `Accept-Ranges`.
    pub fn without_ranges(self) -> Self {
        Self {
            ranges: false,
            ..self
        }
    }

    /// Replaces the value of `Content-Range` on a 206, or adds it to any other answer.
    pub fn wrong_content_range(self, value: &str) -> Self {
        Self {
            content_range: Some(value.to_owned()),
            ..self
        }
    }

    /// Answers a range with at most `bytes` bytes, honestly labelled: a 206 shorter than asked.
    pub fn shorter_ranges(self, bytes: u64) -> Self {
        Self {
            range_limit: Some(bytes),
            ..self
        }
    }

    /// Answers a single range as `multipart/byteranges` with one part.
    pub fn multipart(self) -> Self {
        Self {
            multipart: true,
            ..self
        }
    }

    /// Sends no `Content-Length`; unless chunked, the end of the connection is the end of the body.
    pub fn without_length(self) -> Self {
        Self {
            length: false,
            ..self
        }
    }

    /// Replaces the value of `Content-Length`; the body stays as it is. Too big: combine with nothing, the connection
    /// closes after the body. Too small: the rest of the body still follows.
    pub fn wrong_length(self, value: &str) -> Self {
        Self {
            content_length: Some(value.to_owned()),
            close: true,
            ..self
        }
    }

    /// Sends these bytes after the end of the body, as if another answer or junk followed.
    pub fn trailing(self, bytes: impl Into<Bytes>) -> Self {
        Self {
            trailing: bytes.into(),
            ..self
        }
    }

    /// `Transfer-Encoding: chunked`, a chunk per write, and no length.
    pub fn chunked(self) -> Self {
        Self {
            chunked: true,
            length: false,
            ..self
        }
    }

    /// Answers as HTTP/1.0 and closes the connection after the answer.
    pub fn http10(self) -> Self {
        Self {
            http10: true,
            close: true,
            ..self
        }
    }

    /// Sends `Connection: close` and closes after the answer.
    pub fn close(self) -> Self {
        Self {
            close: true,
            ..self
        }
    }

    /// Keeps the connection alive, but resets it without an answer when the next request comes on it. That request is
    /// logged as [`super::Outcome::Dropped`] and takes no script from any sequence.
    pub fn dies_when_reused(self) -> Self {
        Self {
            dies_when_reused: true,
            ..self
        }
    }
}

/// Pace and faults in the body.
impl Script {
    /// Sends the body at this many bytes a second of real time.
    ///
    /// # Panics
    /// If the rate is 0; use [`Script::stall_after`].
    pub fn throttle(self, bytes_per_second: u64) -> Self {
        assert!(bytes_per_second > 0, "a rate of 0 is a stall");
        Self {
            throttle: Some(bytes_per_second),
            ..self
        }
    }

    /// Sends the body through this link, which other answers may share.
    pub fn over(self, link: &Link) -> Self {
        Self {
            link: Some(link.clone()),
            ..self
        }
    }

    /// FIN after `k` body bytes; when chunked, without the terminator.
    pub fn cut_after(self, k: u64) -> Self {
        self.fault(Place::Body(k), Fault::Cut)
    }

    /// FIN when the file's byte `offset` is due. An answer that starts at or after it is left alone.
    pub fn cut_at(self, offset: u64) -> Self {
        self.fault(Place::File(offset), Fault::Cut)
    }

    /// RST (`SO_LINGER` 0) after `k` body bytes. The client may lose bytes it has not read yet, as in life.
    pub fn reset_after(self, k: u64) -> Self {
        self.fault(Place::Body(k), Fault::Reset)
    }

    /// RST when the file's byte `offset` is due. An answer that starts at or after it is left alone.
    pub fn reset_at(self, offset: u64) -> Self {
        self.fault(Place::File(offset), Fault::Reset)
    }

    /// Sends nothing more after `k` body bytes, and keeps the connection open until the client goes.
    pub fn stall_after(self, k: u64) -> Self {
        self.fault(Place::Body(k), Fault::Stall)
    }

    /// Stalls when the file's byte `offset` is due. An answer that starts at or after it is left alone.
    pub fn stall_at(self, offset: u64) -> Self {
        self.fault(Place::File(offset), Fault::Stall)
    }

    /// Sends a chunk size that is not a number after `k` body bytes, then FIN. Only for chunked answers.
    pub fn bad_chunk_after(self, k: u64) -> Self {
        self.fault(Place::Body(k), Fault::BadChunk)
    }

    /// Waits at the gate after `k` body bytes.
    pub fn hold_after(self, k: u64, gate: &Gate) -> Self {
        self.fault(Place::Body(k), Fault::Hold(gate.clone()))
    }

    /// Waits at the gate when the file's byte `offset` is due, also if the answer starts exactly there. An answer that
    /// starts after it is left alone.
    pub fn hold_at(self, offset: u64, gate: &Gate) -> Self {
        self.fault(Place::File(offset), Fault::Hold(gate.clone()))
    }

    /// Waits at the gate with the last byte of the answer, so that it brings what is needed of it and never ends.
    pub fn hold_last(self, gate: &Gate) -> Self {
        self.fault(Place::BeforeEnd(1), Fault::Hold(gate.clone()))
    }

    /// Pauses for this long in real time after `k` body bytes.
    pub fn pause_after(self, k: u64, pause: Duration) -> Self {
        self.fault(Place::Body(k), Fault::Pause(pause))
    }

    fn fault(mut self, place: Place, fault: Fault) -> Self {
        self.faults.push((place, fault));
        self
    }
}

/// Puts a metadata block after each `interval` bytes, as SHOUTcast servers do: a length byte in units of 16, then text.
fn interleave_icy(bytes: &[u8], interval: usize, title: &str) -> Bytes {
    assert!(interval > 0, "icy-metaint counts bytes");
    let mut block = format!("StreamTitle='{title}';").into_bytes();
    block.resize(block.len().div_ceil(16) * 16, 0);
    let units = u8::try_from(block.len() / 16).expect("a title shorter than 4 KiB");
    let mut out = Vec::new();
    for audio in bytes.chunks(interval) {
        out.extend_from_slice(audio);
        if audio.len() == interval {
            out.push(units);
            out.extend_from_slice(&block);
        }
    }
    out.into()
}

/// FNV-1a, enough to give different content different tags.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
