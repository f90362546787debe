//! What a file answers, in the terms of HTTP.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;

use crate::body::Body;
use crate::error::NetError;
use crate::folder::{Opened, blocking, failed};
use crate::redact::RedactedUrl;
use crate::request::{Method, Purpose, Request, Validator};
use crate::response::{Etag, RangeSupport, Response, ResponseHead, Validators};
use crate::verify::Verified;

/// So much is read at once.
const CHUNK: usize = 64 * 1024;

/// The answer to a request for that file.
pub(crate) fn answer(request: &Request, opened: Opened) -> Result<Response, NetError> {
    let head = head_of(request, &opened)?;
    if request.method == Method::Head {
        let body = Body::empty();
        return Ok(Response { head, body });
    }
    let reading = Reading {
        url: request.redacted(),
        at: head.start,
        end: head.end.unwrap_or_default(),
        len: opened.metadata.len(),
        modified: opened.metadata.modified().ok(),
        file: opened.file,
    };
    let chunks = stream::try_unfold(reading, |reading| async {
        let url = reading.url.clone();
        blocking(&url, || reading.step()).await
    });
    let body = Verified::wrap(
        Body::from_stream(chunks),
        &head,
        request.purpose == Purpose::Media,
    );
    Ok(Response { head, body })
}

fn head_of(request: &Request, opened: &Opened) -> Result<ResponseHead, NetError> {
    let len = opened.metadata.len();
    let etag = etag(&opened.metadata);
    let is_same = match &request.if_range {
        None => true,
        Some(Validator::Etag(wanted)) => etag.as_ref() == Some(wanted),
        Some(Validator::LastModified(_)) => false,
    };
    let range = request.range.filter(|_| is_same);
    let head = match range {
        None => ResponseHead {
            ranges: RangeSupport::Yes,
            ..ResponseHead::whole(&opened.base, len)
        },
        Some(range) if range.start >= len => {
            return Err(NetError::RangeNotSatisfiable {
                url: request.redacted(),
                total: Some(len),
            });
        }
        Some(range) => {
            let end = range.end.unwrap_or(len).clamp(range.start + 1, len);
            ResponseHead::partial(&opened.base, range.start, end, Some(len))
        }
    };
    Ok(ResponseHead {
        validators: Validators {
            etag,
            last_modified: None,
        },
        zone: opened.zone,
        ..head
    })
}

/// Another length or another time of change: another state of the file.
fn etag(metadata: &Metadata) -> Option<Etag> {
    let modified = metadata.modified().ok()?;
    let nanos = match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    Etag::parse(&format!("\"{:x}.{nanos}\"", metadata.len()))
}

/// A file between two reads.
struct Reading {
    url: RedactedUrl,
    file: File,
    at: u64,
    end: u64,
    /// What it was when it was opened.
    len: u64,
    modified: Option<SystemTime>,
}

impl Reading {
    /// Reads the next bytes; `None` behind the last. Blocks.
    fn step(mut self) -> Result<Option<(Bytes, Self)>, NetError> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(None);
        }
        let mut bytes = vec![0; left.min(CHUNK)];
        let read = self.read(&mut bytes).map_err(failed(&self.url))?;
        bytes.truncate(read);
        self.require_unchanged(read)?;
        self.at += read as u64;
        Ok(Some((bytes.into(), self)))
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.seek(SeekFrom::Start(self.at))?;
        loop {
            match self.file.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Notices a file that was cut or rewritten in place: after the read, so that whatever changed the bytes has changed the
    /// time by now. One that only grew is still the file that was opened.
    fn require_unchanged(&self, read: usize) -> Result<(), NetError> {
        let now = self.file.metadata().map_err(failed(&self.url))?;
        let url = self.url.clone();
        if read == 0 || now.len() < self.len {
            let (expected, got) = (self.end, now.len().min(self.at));
            return Err(NetError::Truncated { url, expected, got });
        }
        if now.len() == self.len && now.modified().ok() != self.modified {
            let what = "modification time";
            return Err(NetError::ContentChanged { url, what });
        }
        Ok(())
    }
}
