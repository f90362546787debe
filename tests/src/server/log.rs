//! What the server saw and sent: the facts that tests assert.

use std::io;

use super::board::Board;
use super::request::Request;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Still being answered, held at a gate or stalled.
    Running,
    /// Everything the script says was written.
    Complete,
    /// The script closed the connection early, with FIN.
    Cut,
    /// The script closed the connection early, with RST.
    Reset,
    /// The client closed or reset the connection before the answer was whole.
    ClientGone,
    /// The request came on a connection that was scripted to die when reused: no byte was answered.
    Dropped,
}

/// One request, as it came, and what became of its answer.
#[derive(Clone, Debug)]
pub struct LoggedRequest {
    /// `GET`, `HEAD`, as sent.
    pub method: String,
    /// The request target as sent, query included.
    pub path: String,
    /// The `Range` header: first byte and last byte (inclusive, if given). `None` without the header and for a suffix
    /// or several ranges; those are in `headers`.
    pub range: Option<(u64, Option<u64>)>,
    /// Name (lower case) and value, in the order sent.
    pub headers: Vec<(String, String)>,
    /// Connections are numbered from 0 in the order they were accepted.
    pub connection_id: u64,
    /// 0 for the first request on its connection.
    pub at_connection_index: u32,
    /// Body bytes the kernel took from the server so far (never fewer than the client received), without chunk framing; for a raw script every byte. The
    /// client's program has seen at most this many; about 32 KiB may be in the server's send buffer and as much as
    /// the client's receive buffer holds (64 KiB unless it reads) in the client's kernel.
    pub sent_body: u64,
    /// How many other requests were being answered when it came. One whose last byte the client has may still count.
    pub beside: usize,
    /// How the answer ended, or that it has not. A client can have the last byte an instant before this says so: use
    /// [`super::FaultServer::wait_until`].
    pub outcome: Outcome,
}

impl LoggedRequest {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let wanted = |header: &&(String, String)| header.0.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(wanted)
            .map(|header| header.1.as_str())
    }
}

#[derive(Debug, Default)]
pub(crate) struct LogState {
    pub(crate) requests: Vec<LoggedRequest>,
    pub(crate) connections: u64,
    pub(crate) open: u64,
    pub(crate) body_bytes: u64,
}

/// The log, shared by the server's thread (writes) and the test (reads and waits).
pub(crate) type Log = Board<LogState>;

/// The log's entry of one request, updated while it is answered.
#[derive(Debug)]
pub(crate) struct Entry {
    log: Log,
    index: usize,
}

impl Entry {
    pub(crate) fn new(
        log: &Log,
        request: &Request,
        connection_id: u64,
        at_connection_index: u32,
    ) -> Self {
        let logged = LoggedRequest {
            method: request.method.clone(),
            path: request.target.clone(),
            range: request.range().and_then(|range| range.bounded()),
            headers: request.headers.clone(),
            connection_id,
            at_connection_index,
            sent_body: 0,
            beside: 0,
            outcome: Outcome::Running,
        };
        let index = log.update(|state| {
            let running = |request: &&LoggedRequest| request.outcome == Outcome::Running;
            let beside = state.requests.iter().filter(running).count();
            state.requests.push(LoggedRequest { beside, ..logged });
            state.requests.len() - 1
        });
        Self {
            log: log.clone(),
            index,
        }
    }

    /// Counts what `write` says the kernel took. It runs under the log's lock, so that nobody who has received a byte
    /// can read a count without it; so it must not wait.
    pub(crate) fn counted(&self, write: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        self.log.update(|state| {
            let taken = write()?;
            state.body_bytes += taken as u64;
            state.requests[self.index].sent_body += taken as u64;
            Ok(taken)
        })
    }

    pub(crate) fn end(&self, outcome: Outcome) {
        self.log
            .update(|state| state.requests[self.index].outcome = outcome);
    }
}
