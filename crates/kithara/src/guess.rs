//! A source whose name tells nothing: a file, unless what comes is a playlist.

use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use kithara_file::FileSource;
use kithara_hls::{Hls, HlsConfig};
use kithara_net::NetError;
use kithara_stream::{
    Interrupt, Rejection, ResourceId, Run, SeekRoute, Source, StreamError, StreamType,
};

/// Comments may come before the first tag of a playlist.
const FRONT: usize = 4096;

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
    /// It is said to be a playlist.
    said: bool,
    /// A run that could be read before its first byte had come.
    run: Option<Run>,
}

impl Guess {
    pub(crate) fn new(
        file: FileSource,
        said: bool,
        instead: impl FnOnce() -> HlsConfig + Send + 'static,
    ) -> Self {
        Self {
            source: Box::new(file),
            instead: Some(Box::new(instead)),
            said,
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
        let said = self.said;
        self.run.as_mut().map_or(Ok(false), |run| is_hls(run, said))
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

    fn reject(&mut self, part: ResourceId, why: Rejection) -> Result<bool, StreamError> {
        self.source.reject(part, why)
    }

    fn interrupt(&self) -> Interrupt {
        self.source.interrupt()
    }
}

/// What the bytes of a run begin like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Front {
    /// A playlist of HLS.
    Hls,
    /// A list of titles, without a tag that every playlist of HLS has one of (RFC 8216 §4.3.3.1, §4.3.4.2).
    Titles,
    Other,
}

impl Front {
    /// Reads what there is to see once the first byte of a run, or what there is in its place, has come. What is no playlist of
    /// HLS is left at its beginning.
    fn of(run: &mut Run) -> Result<Self, StreamError> {
        let mut front = vec![0; if run.bytes.is_remote() { 1 } else { FRONT }];
        let mut len = 0;
        while len < front.len() {
            match run.bytes.read(&mut front[len..]) {
                Ok(0) => break,
                Ok(more) => len += more,
                Err(error) => match StreamError::from_io(&error) {
                    Some(error) if is_playlist(&error) => return Ok(Self::Hls),
                    Some(StreamError::Interrupted) => return Err(StreamError::Interrupted),
                    // Whatever else is wrong with it, the decoder meets again.
                    _ => break,
                },
            }
        }
        run.bytes
            .seek(SeekFrom::Start(0))
            .map_err(|error| StreamError::Worker {
                what: format!("a run without a beginning: {error}"),
            })?;
        Ok(Self::like(&front[..len]))
    }

    fn like(front: &[u8]) -> Self {
        const TAG: &[u8] = b"#EXT-X-";
        match kithara_hls::is_playlist(front) {
            false => Self::Other,
            true if front.windows(TAG.len()).any(|window| window == TAG) => Self::Hls,
            true => Self::Titles,
        }
    }
}

/// Whether it is to be opened as HLS, `said` to be that by its name or a hint: what is none in spite of that is told so there.
pub(crate) fn is_hls(run: &mut Run, said: bool) -> Result<bool, StreamError> {
    let front = Front::of(run)?;
    Ok(front == Front::Hls || said && front == Front::Other)
}

/// Whether media was asked for and a playlist came.
pub(crate) fn is_playlist(error: &StreamError) -> bool {
    matches!(error, StreamError::Net(net) if matches!(net.root(), NetError::Playlist { .. }))
}
