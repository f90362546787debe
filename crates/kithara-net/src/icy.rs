//! SHOUTcast servers, whose responses begin with `ICY 200 OK` and are HTTP otherwise.
//!
//! The HTTP parser takes such a response for one of HTTP/0.9, that is for a body alone. Its beginning is parsed here;
//! any other response of that kind is refused.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{Stream, StreamExt};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// A body as the HTTP stack hands it over.
pub(crate) type RawBody = Pin<Box<dyn Stream<Item = Result<Bytes, reqwest::Error>> + Send>>;

const MAX_HEAD: usize = 16 * 1024;

/// Why a response without an HTTP status line is none.
#[derive(Debug)]
pub(crate) enum NotIcy {
    /// It is nothing known.
    Garbage,
    /// Its audio is mixed with metadata that nobody asked for.
    Interleaved,
    /// Reading it failed.
    Failed(reqwest::Error),
}

/// The response in what was taken for a body.
pub(crate) struct Icy {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: RawBody,
}

/// Reads the status line and the headers off the front of `body`.
pub(crate) async fn unwrap(mut body: RawBody) -> Result<Icy, NotIcy> {
    let mut seen = BytesMut::new();
    let length = loop {
        if let Some(end) = head_length(&seen) {
            break end;
        }
        let prefix = seen.len().min(4);
        if seen.get(..prefix) != b"ICY ".get(..prefix) || seen.len() > MAX_HEAD {
            return Err(NotIcy::Garbage);
        }
        match body.next().await {
            Some(chunk) => seen.extend_from_slice(&chunk.map_err(NotIcy::Failed)?),
            None => return Err(NotIcy::Garbage),
        }
    };
    let head = seen.split_to(length);
    let (status, headers) = parse(&head).ok_or(NotIcy::Garbage)?;
    if headers.contains_key("icy-metaint") {
        return Err(NotIcy::Interleaved);
    }
    let rest = futures_util::stream::iter([Ok(seen.freeze())]);
    let body = Box::pin(rest.chain(body));
    Ok(Icy {
        status,
        headers,
        body,
    })
}

/// How long the head is, its empty line included; a bare line feed ends a line too.
fn head_length(seen: &[u8]) -> Option<usize> {
    let crlf = seen
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4);
    let lf = seen
        .windows(2)
        .position(|two| two == b"\n\n")
        .map(|at| at + 2);
    crlf.into_iter().chain(lf).min()
}

fn parse(head: &[u8]) -> Option<(u16, HeaderMap)> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.trim_ascii());
    let status = lines.next()?.strip_prefix(b"ICY ")?.get(..3)?;
    let status: u16 = std::str::from_utf8(status).ok()?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        // The framing of such a body is the connection's end, whatever the headers say.
        if let (Ok(name), Ok(value)) = (name, value)
            && name != "transfer-encoding"
            && headers.len() < 100
        {
            headers.append(name, value);
        }
    }
    Some((status, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(parts: &'static [&'static [u8]]) -> Result<(u16, String, Vec<u8>), NotIcy> {
        let body =
            futures_util::stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part))));
        let mut icy = unwrap(Box::pin(body)).await?;
        let kind = icy
            .headers
            .get("content-type")
            .map(|kind| kind.to_str().unwrap().to_owned());
        let mut bytes = Vec::new();
        while let Some(chunk) = icy.body.next().await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        Ok((icy.status, kind.unwrap_or_default(), bytes))
    }

    #[tokio::test]
    async fn an_icy_response_is_read_wherever_it_is_split() {
        let whole = [
            "ICY 200 OK\r\ncontent-type: audio/mpeg\r\n\r\n",
            "ICY 200 OK\ncontent-type:audio/mpeg\n\n",
        ];
        for head in whole {
            let message = [head.as_bytes(), b"\xff\xfbaudio\r\n\r\n"].concat();
            for at in 0..message.len() {
                let (front, back) = message.split_at(at);
                let parts = [
                    Ok(Bytes::copy_from_slice(front)),
                    Ok(Bytes::copy_from_slice(back)),
                ];
                let mut icy = unwrap(Box::pin(futures_util::stream::iter(parts)))
                    .await
                    .unwrap();
                assert_eq!(icy.status, 200);
                assert_eq!(icy.headers["content-type"], "audio/mpeg");
                let mut bytes = Vec::new();
                while let Some(chunk) = icy.body.next().await {
                    bytes.extend_from_slice(&chunk.unwrap());
                }
                assert_eq!(bytes, b"\xff\xfbaudio\r\n\r\n", "split at {at}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_icy_is_refused() {
        for parts in [
            &[b"HELLO".as_slice()] as &[&[u8]],
            &[b"IC".as_slice()],
            &[],
            &[b"ICY abc\r\n\r\n"],
            &[b"ICY 2"],
        ] {
            assert!(
                matches!(read(Vec::leak(parts.to_vec())).await, Err(NotIcy::Garbage)),
                "{parts:?}"
            );
        }
        let mixed = read(&[b"ICY 200 OK\r\nicy-metaint:8192\r\n\r\n"]).await;
        assert!(matches!(mixed, Err(NotIcy::Interleaved)));
        let endless: Vec<&'static [u8]> = vec![b"ICY 200 OK"; 4000];
        assert!(matches!(
            read(Vec::leak(endless)).await,
            Err(NotIcy::Garbage)
        ));
    }
}
