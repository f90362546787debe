//! Script and request to an answer: the head's bytes and what is to follow. Pure; the connection performs it.

use bytes::Bytes;

use super::request::Request;
use super::script::{Body, Fault, Place, Script};

/// An answer, ready to be written.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Informational answers and the head.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Bytes,
    pub(crate) endless: bool,
    pub(crate) chunked: bool,
    /// What follows the body's last byte and its framing.
    pub(crate) trailing: Bytes,
    /// By body offset, in order.
    pub(crate) faults: Vec<(u64, Fault)>,
    pub(crate) close: bool,
}

/// Which part of the file is answered, and how it is labelled.
struct Part {
    status: u16,
    start: u64,
    body: Bytes,
    content_range: Option<String>,
    media_type: Option<String>,
}

impl Answer {
    /// The answer a script gives to a request. Raw scripts have none: they are performed step by step.
    pub(crate) fn new(script: &Script, request: &Request) -> Self {
        let part = match &script.body {
            Body::File(file) => choose_part(script, request, file),
            Body::Endless(bytes) => whole(script, bytes, 200),
            Body::Raw(_) => whole(script, &Bytes::new(), 200),
        };
        let framed = script.length || script.chunked || script.content_length.is_some();
        let close = script.close
            || request.wants_close()
            || request.http10
            || !(framed || is_bodyless(part.status));
        let mut head = Vec::new();
        if let Some((status, count)) = script.informational {
            let line = format!("HTTP/1.1 {status} {}\r\n\r\n", reason(status));
            head.extend(line.repeat(count as usize).into_bytes());
        }
        head.extend(head_text(script, &part, close).into_bytes());
        let silent = request.is_head() || is_bodyless(part.status);
        Self {
            head,
            endless: matches!(script.body, Body::Endless(_)) && !silent,
            chunked: script.chunked && !silent,
            trailing: if silent {
                Bytes::new()
            } else {
                script.trailing.clone()
            },
            faults: if silent {
                Vec::new()
            } else {
                place_faults(script, &part)
            },
            body: if silent { Bytes::new() } else { part.body },
            close,
        }
    }
}

fn choose_part(script: &Script, request: &Request, file: &Bytes) -> Part {
    let len = file.len() as u64;
    if script.ranges && is_not_modified(script, request) {
        return whole(script, &Bytes::new(), 304);
    }
    let wanted = request
        .range()
        .filter(|_| script.ranges && if_range_holds(script, request));
    let Some(range) = wanted else {
        return whole(script, file, 200);
    };
    let Some((start, end)) = range.within(len) else {
        let content_range = Some(format!("bytes */{len}"));
        return Part {
            content_range,
            ..whole(script, &Bytes::new(), 416)
        };
    };
    let end = script
        .range_limit
        .map_or(end, |limit| end.min(start + limit));
    let label = format!("bytes {start}-{}/{len}", end - 1);
    let bytes = file.slice(start as usize..end as usize);
    if script.multipart {
        return multipart(script, &bytes, &label);
    }
    Part {
        status: 206,
        start,
        body: bytes,
        content_range: Some(label),
        media_type: script.media_type.clone(),
    }
}

fn whole(script: &Script, body: &Bytes, status: u16) -> Part {
    Part {
        status,
        start: 0,
        body: body.clone(),
        content_range: None,
        media_type: script.media_type.clone(),
    }
}

fn multipart(script: &Script, bytes: &Bytes, label: &str) -> Part {
    let media_type = script
        .media_type
        .as_deref()
        .unwrap_or("application/octet-stream");
    let mut body =
        format!("--PART\r\nContent-Type: {media_type}\r\nContent-Range: {label}\r\n\r\n")
            .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--PART--\r\n");
    let media_type = Some("multipart/byteranges; boundary=PART".to_owned());
    Part {
        status: 206,
        start: 0,
        body: body.into(),
        content_range: None,
        media_type,
    }
}

/// RFC 9110 §13.1.5: only a strong validator that matches exactly lets the range through.
fn if_range_holds(script: &Script, request: &Request) -> bool {
    let Some(given) = request.header("if-range") else {
        return true;
    };
    let strong_tag = script.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
    strong_tag == Some(given) || script.last_modified.as_deref() == Some(given)
}

fn is_not_modified(script: &Script, request: &Request) -> bool {
    match (
        request.header("if-none-match"),
        request.header("if-modified-since"),
    ) {
        (Some(given), _) => script
            .etag
            .as_deref()
            .is_some_and(|tag| given.split(", ").any(|one| one == tag)),
        (None, Some(given)) => script.last_modified.as_deref() == Some(given),
        (None, None) => false,
    }
}

fn is_bodyless(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

fn head_text(script: &Script, part: &Part, close: bool) -> String {
    let status = script.status.unwrap_or(part.status);
    let version = if script.http10 { "1.0" } else { "1.1" };
    let line = format!("HTTP/{version} {status} {}", reason(status));
    let mut text = script.status_line.clone().unwrap_or(line) + "\r\n";
    let mut push = |name: &str, value: Option<&str>| {
        let wanted = !script
            .without
            .iter()
            .any(|without| without.eq_ignore_ascii_case(name));
        if let Some(value) = value.filter(|_| wanted) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    };
    let length = (script.length && !is_bodyless(status)).then(|| part.body.len().to_string());
    push("Content-Type", part.media_type.as_deref());
    push(
        "Content-Length",
        script.content_length.as_deref().or(length.as_deref()),
    );
    push("Transfer-Encoding", script.chunked.then_some("chunked"));
    push(
        "Content-Range",
        script
            .content_range
            .as_deref()
            .or(part.content_range.as_deref()),
    );
    push("Accept-Ranges", script.ranges.then_some("bytes"));
    push("ETag", script.etag.as_deref());
    push("Last-Modified", script.last_modified.as_deref());
    push("Connection", (close && !script.http10).then_some("close"));
    for (name, value) in &script.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

fn place_faults(script: &Script, part: &Part) -> Vec<(u64, Fault)> {
    let placed = script.faults.iter().filter_map(|(place, fault)| {
        let offset = match (place, fault) {
            (Place::Body(offset), _) => Some(*offset),
            (Place::BeforeEnd(bytes), _) => (part.body.len() as u64).checked_sub(*bytes),
            (Place::File(offset), Fault::Hold(_)) => offset.checked_sub(part.start),
            // Strictly after the start, or a client that resumes at the fault would meet it for ever.
            (Place::File(offset), _) => offset.checked_sub(part.start).filter(|ahead| *ahead > 0),
        };
        offset.map(|offset| (offset, fault.clone()))
    });
    let mut faults: Vec<_> = placed.collect();
    faults.sort_by_key(|fault| fault.0);
    faults
}

fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        103 => "Early Hints",
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Scripted",
    }
}
