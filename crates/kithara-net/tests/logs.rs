//! What this crate logs. Alone in its process, because a log statement remembers whether anybody listened when it was
//! first reached, on whichever thread.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[allow(dead_code, reason = "shared with the other tests")]
mod support;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use kithara_net::{Headers, Net, NetExt, Request, RetryPolicy};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use support::*;

const CANARY: &str = "c4n4ry";

/// Everything at every level of our own target.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("kithara")
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_logged_at_any_level() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let server = Server::start(
        |seen| match (seen.number, seen.path().starts_with("/old")) {
            (_, true) => reply(
                "302 Found",
                &format!("Location: /{CANARY}?{CANARY}\r\nX-A: {CANARY}\r\n"),
                b"",
            ),
            (1, _) => reply(
                &format!("503 {CANARY}"),
                &format!("Retry-After: {CANARY}\r\n"),
                CANARY.as_bytes(),
            ),
            (2..4, _) => raw(format!(
                "HTTP/1.1 200 OK\r\nETag: \"{CANARY}\"\r\nContent-Length: 100\r\n\r\n{CANARY}"
            )),
            _ => reply(&format!("404 {CANARY}"), "", CANARY.as_bytes()),
        },
    )
    .await;
    let net = client().with_retry(RetryPolicy::default());
    let mut url = server.url(&format!("/old/{CANARY}?{CANARY}#{CANARY}"));
    url.set_username(CANARY).unwrap();
    let headers = Headers::new().with("X-Api-Key", CANARY).unwrap();
    let mut response = net
        .fetch(Request::get(url).with_headers(headers))
        .await
        .unwrap();
    let (_, error) = drain(&mut response.body).await;
    assert!(error.is_some());
    let text = log.0.lock().unwrap().clone();
    assert!(!text.contains(CANARY), "{text}");
    for expected in [
        "message=request",
        "message=retrying",
        "message=redirected",
        "message=response",
    ] {
        assert!(text.contains(expected), "{expected} is missing in {text}");
    }
}
