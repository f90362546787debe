//! A source whose name tells nothing: a file, unless what comes is a playlist.

use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use kithara_file::FileSource;
use kithara_hls::{Hls, HlsConfig};
use kithara_net::NetError;
use kithara_stream::{Interrupt, Run, SeekRoute, Source, StreamError, StreamType};

/// Blank lines and a byte-order mark may come before what a playlist begins with.
const FRONT: usize = 1024;

/// How it is opened if it is a playlist: made when that is known, because the cache may have to be looked for on the disk.
type Instead = Box<dyn FnOnce() -> HlsConfig + Send>;

/// Opens a URL or a path as a file, and as HLS in its place if that begins like a playlist, whatever its name and media type
/// say.
///
/// The network layer yields not a byte of a playlist where media is asked for, so nothing of it is kept. It costs a request. A
/// file on this machine is looked at.
pub(crate) struct Guess {
    /// What it is taken for.
    source: Box<dyn Source>,
    /// What it may be instead, until its first byte has come.
    instead: Option<Instead>,
    /// A run that could be read before its first byte had come.
    run: Option<Run>,
}

impl Guess {
    pub(crate) fn new(
        file: FileSource,
        instead: impl FnOnce() -> HlsConfig + Send + 'static,
    ) -> Self {
        Self {
            source: Box::new(file),
            instead: Some(Box::new(instead)),
            run: None,
        }
    }

    /// Whether it is a playlist, once its first byte, or what there is in its place, has come. An interrupt leaves all as it is.
    fn is_something_else(&mut self) -> Result<bool, StreamError> {
        if self.run.is_none() {
            self.run = match self.source.next_run() {
                Err(error) if is_playlist(&error) => return Ok(true),
                settled => settled?,
            };
        }
        self.run.as_mut().map_or(Ok(false), begins_playlist)
    }
}

impl Source for Guess {
    fn next_run(&mut self) -> Result<Option<Run>, StreamError> {
        if self.instead.is_none() {
            return self.source.next_run();
        }
        let is_something_else = self.is_something_else()?;
        let run = self.run.take();
        match self.instead.take() {
            Some(instead) if is_something_else => {
                // Whoever waits for this source holds its interrupt already.
                let config = instead().with_interrupt(self.source.interrupt());
                self.source = Box::new(Hls::open(config)?);
                self.source.next_run()
            }
            _ => Ok(run),
        }
    }

    fn seek(&mut self, to: Duration) -> Result<SeekRoute, StreamError> {
        self.source.seek(to)
    }

    fn reject(&mut self, why: String) -> Result<bool, StreamError> {
        self.source.reject(why)
    }

    fn interrupt(&self) -> Interrupt {
        self.source.interrupt()
    }
}

/// Whether the bytes of a run are a playlist, once the first of them, or what there is in its place, has come; otherwise it is
/// left at its beginning.
pub(crate) fn begins_playlist(run: &mut Run) -> Result<bool, StreamError> {
    let mut front = [0; FRONT];
    let most = if run.bytes.is_remote() { 1 } else { FRONT };
    let mut len = 0;
    while len < most {
        match run.bytes.read(&mut front[len..most]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) => match StreamError::from_io(&error) {
                Some(error) if is_playlist(&error) => return Ok(true),
                Some(StreamError::Interrupted) => return Err(StreamError::Interrupted),
                // Whatever else is wrong with it, the decoder meets again.
                _ => break,
            },
        }
    }
    if kithara_hls::is_playlist(&front[..len]) {
        return Ok(true);
    }
    run.bytes
        .seek(SeekFrom::Start(0))
        .map_err(|error| StreamError::Worker {
            what: format!("a run without a beginning: {error}"),
        })?;
    Ok(false)
}

/// Whether media was asked for and a playlist came.
pub(crate) fn is_playlist(error: &StreamError) -> bool {
    matches!(error, StreamError::Net(net) if matches!(net.root(), NetError::Playlist { .. }))
}
