//! One accepted connection: reads requests, performs answers, and always notices when the client goes.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::answer::Answer;
use super::link::Link;
use super::log::{Entry, Log, Outcome};
use super::request::Request;
use super::script::{Body, Fault, Script, Step};

/// The longest request head the server reads.
const MAX_HEAD: usize = 1 << 20;
/// The most that is written, and so counted, in one go.
const WRITE: usize = 16 * 1024;

/// The scripts of one path and how many were used.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) scripts: Vec<Script>,
    pub(crate) used: usize,
}

/// Shared because the test adds routes while connections look them up; both only for an instant.
pub(crate) type Routes = Arc<Mutex<HashMap<String, Route>>>;

/// Why an answer stopped.
enum Stop {
    /// The script says so.
    Scripted(Outcome),
    ClientGone,
}

/// What is to happen after an answer.
#[derive(PartialEq)]
enum Next {
    Request,
    DropRequest,
    Close,
}

pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes read and not yet used.
    pending: Vec<u8>,
    routes: Routes,
    log: Log,
    id: u64,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, routes: Routes, log: Log) -> Self {
        let id = log.update(|state| {
            state.connections += 1;
            state.open += 1;
            state.connections - 1
        });
        Self {
            stream,
            pending: Vec::new(),
            routes,
            log,
            id,
        }
    }

    /// Answers requests until the client or a script ends the connection.
    pub(crate) async fn run(mut self) {
        let mut next = Next::Request;
        let mut index = 0;
        while let Some(request) = self.read_request().await {
            let entry = Entry::new(&self.log, &request, self.id, index);
            index += 1;
            if next == Next::DropRequest {
                self.arm_reset();
                entry.end(Outcome::Dropped);
                return;
            }
            next = self.answer(&request, &entry).await;
            if next == Next::Close {
                return;
            }
        }
    }

    async fn answer(&mut self, request: &Request, entry: &Entry) -> Next {
        let script = self.script_for(request);
        let (result, next) = match &script.body {
            Body::Raw(steps) => (self.perform_steps(steps, entry).await, Next::Request),
            _ => {
                let answer = Answer::new(&script, request);
                let next = match (answer.close, script.dies_when_reused) {
                    (true, _) => Next::Close,
                    (false, true) => Next::DropRequest,
                    (false, false) => Next::Request,
                };
                (self.perform(&script, &answer, entry).await, next)
            }
        };
        let outcome = match result {
            Ok(()) => Outcome::Complete,
            Err(Stop::Scripted(outcome)) => outcome,
            Err(Stop::ClientGone) => Outcome::ClientGone,
        };
        if outcome == Outcome::Reset {
            self.arm_reset();
        }
        entry.end(outcome);
        if outcome == Outcome::Complete {
            next
        } else {
            Next::Close
        }
    }

    fn script_for(&self, request: &Request) -> Script {
        let mut routes = self.routes.lock();
        let key = if routes.contains_key(&request.target) {
            &request.target
        } else {
            request.path()
        };
        let Some(route) = routes.get_mut(key) else {
            return Script::of_status(404);
        };
        let script = route.scripts[route.used.min(route.scripts.len() - 1)].clone();
        route.used += 1;
        match script.on_head {
            Some(on_head) if request.is_head() => *on_head,
            _ => script,
        }
    }

    async fn perform(
        &mut self,
        script: &Script,
        answer: &Answer,
        entry: &Entry,
    ) -> Result<(), Stop> {
        if let Some(delay) = script.head_delay {
            self.pause(sleep(delay)).await?;
        }
        if let Some(gate) = &script.head_gate {
            self.pause(gate.pass()).await?;
        }
        self.write(&answer.head).await?;
        let pace = script.throttle.map(|rate| (rate, Instant::now()));
        let mut faults = answer.faults.iter().peekable();
        let mut sent = 0_u64;
        loop {
            while let Some((_, fault)) = faults.next_if(|fault| fault.0 <= sent) {
                self.perform_fault(fault).await?;
            }
            let piece = piece(
                answer,
                sent,
                faults.peek().map(|fault| fault.0),
                most(script),
            );
            if piece.is_empty() {
                break;
            }
            if let Some((rate, since)) = pace {
                let due = Duration::from_secs_f64((sent + piece.len() as u64) as f64 / rate as f64);
                self.pause(sleep_until(since + due)).await?;
            }
            if let Some(link) = &script.link {
                self.pause(sleep_until(link.pass(piece.len()))).await?;
            }
            self.write_piece(&piece, answer.chunked, entry).await?;
            sent += piece.len() as u64;
        }
        if answer.chunked {
            self.write(b"0\r\n\r\n").await?;
        }
        self.write(&answer.trailing).await
    }

    async fn perform_fault(&mut self, fault: &Fault) -> Result<(), Stop> {
        match fault {
            Fault::Cut => Err(Stop::Scripted(Outcome::Cut)),
            Fault::Reset => Err(Stop::Scripted(Outcome::Reset)),
            Fault::Stall => self.pause(pending()).await,
            Fault::Hold(gate) => self.pause(gate.pass()).await,
            Fault::Pause(time) => self.pause(sleep(*time)).await,
            Fault::BadChunk => {
                self.write(b"zz\r\n").await?;
                Err(Stop::Scripted(Outcome::Cut))
            }
        }
    }

    async fn perform_steps(&mut self, steps: &[Step], entry: &Entry) -> Result<(), Stop> {
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    self.write_counted(bytes, entry).await?;
                }
                Step::Wait(time) => self.pause(sleep(*time)).await?,
                Step::Release(gate) => self.pause(gate.pass()).await?,
                Step::Stall => self.pause(pending()).await?,
                Step::Reset => return Err(Stop::Scripted(Outcome::Reset)),
                Step::Close => return Err(Stop::Scripted(Outcome::Cut)),
            }
        }
        Ok(())
    }

    async fn write_piece(&self, piece: &[u8], chunked: bool, entry: &Entry) -> Result<(), Stop> {
        if chunked {
            self.write(format!("{:x}\r\n", piece.len()).as_bytes())
                .await?;
        }
        self.write_counted(piece, entry).await?;
        if chunked {
            self.write(b"\r\n").await?;
        }
        Ok(())
    }

    async fn write(&self, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let taken = self.write_some(|| self.stream.try_write(bytes)).await?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    async fn write_counted(&self, mut bytes: &[u8], entry: &Entry) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let taken = self
                .write_some(|| entry.counted(|| self.stream.try_write(bytes)))
                .await?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    async fn write_some(
        &self,
        mut write: impl FnMut() -> io::Result<usize>,
    ) -> Result<usize, Stop> {
        loop {
            self.stream.writable().await.map_err(|_| Stop::ClientGone)?;
            match write() {
                Ok(taken) => return Ok(taken),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(Stop::ClientGone),
            }
        }
    }

    /// Waits for `done`, or finds out that the client has gone.
    async fn pause(&mut self, done: impl Future<Output = ()>) -> Result<(), Stop> {
        tokio::select! {
            () = done => Ok(()),
            () = read_until_end(&self.stream, &mut self.pending) => Err(Stop::ClientGone),
        }
    }

    async fn read_request(&mut self) -> Option<Request> {
        loop {
            if let Some(end) = find_head_end(&self.pending) {
                let request = Request::parse(&self.pending[..end])?;
                self.pending.drain(..end);
                self.skip_body(request.body_len()).await?;
                return Some(request);
            }
            if self.pending.len() > MAX_HEAD || !read_more(&self.stream, &mut self.pending).await {
                return None;
            }
        }
    }

    async fn skip_body(&mut self, len: usize) -> Option<()> {
        while self.pending.len() < len {
            if !read_more(&self.stream, &mut self.pending).await {
                return None;
            }
        }
        self.pending.drain(..len);
        Some(())
    }

    /// Makes the coming close an RST.
    fn arm_reset(&self) {
        // Fails only on a socket that is gone already, which is reset enough.
        let _ = self.stream.set_zero_linger();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.log.update(|state| state.open -= 1);
    }
}

/// The most that is written at once: a write's size, or a hundredth of a second's worth.
fn most(script: &Script) -> u64 {
    let paced = script.throttle.map(|rate| (rate / 100).max(1));
    let linked = script.link.as_ref().map(Link::piece);
    [paced, linked]
        .into_iter()
        .flatten()
        .fold(WRITE as u64, u64::min)
}

/// The next bytes to write: no further than the next fault, and no more than `most`.
fn piece(answer: &Answer, sent: u64, next_fault: Option<u64>, most: u64) -> Bytes {
    let most = next_fault.map_or(most, |at| most.min(at - sent));
    let len = answer.body.len() as u64;
    let start = if answer.endless {
        sent % len
    } else {
        sent.min(len)
    };
    answer
        .body
        .slice(start as usize..(start + most).min(len) as usize)
}

fn find_head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// Appends what the client sends; `false` at its end.
async fn read_more(stream: &TcpStream, pending: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    loop {
        if stream.readable().await.is_err() {
            return false;
        }
        match stream.try_read(&mut buffer) {
            Ok(0) => return false,
            Ok(read) => {
                pending.extend_from_slice(&buffer[..read]);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
}

async fn read_until_end(stream: &TcpStream, pending: &mut Vec<u8>) {
    while read_more(stream, pending).await {}
}
