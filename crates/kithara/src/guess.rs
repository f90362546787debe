//! A URL whose name tells nothing: a file, unless what comes is a playlist.

use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use kithara_file::FileSource;
use kithara_hls::{Hls, HlsConfig};
use kithara_net::NetError;
use kithara_stream::{Interrupt, Run, SeekRoute, Source, StreamError, StreamType};

/// Opens a URL as a file, and as HLS in its place if that begins like a playlist, whatever its name and media type say.
///
/// The network layer yields not a byte of a playlist where media is asked for, so nothing of it is kept. It costs a request.
pub(crate) struct Guess {
    /// What it is taken for.
    source: Box<dyn Source>,
    /// What it may be instead, until its first byte has come.
    instead: Option<HlsConfig>,
    /// A run that could be read before its first byte had come.
    run: Option<Run>,
}

impl Guess {
    pub(crate) fn new(file: FileSource, instead: HlsConfig) -> Self {
        Self {
            source: Box::new(file),
            instead: Some(instead),
            run: None,
        }
    }

    /// The first run of the file once its first byte, or what there is in its place, has come. An interrupt leaves all as it is.
    fn first_run(&mut self) -> Result<Option<Run>, StreamError> {
        if self.run.is_none() {
            self.run = self.source.next_run()?;
        }
        if let Some(run) = &mut self.run {
            let looked = run.bytes.read(&mut [0]);
            if let Some(error) = looked.err().as_ref().and_then(StreamError::from_io)
                && (matches!(error, StreamError::Interrupted) || is_playlist(&error))
            {
                return Err(error);
            }
            // Whatever else is wrong with it, the decoder meets again.
            run.bytes
                .seek(SeekFrom::Start(0))
                .map_err(|error| StreamError::Worker {
                    what: format!("a run without a beginning: {error}"),
                })?;
        }
        self.instead = None;
        Ok(self.run.take())
    }
}

impl Source for Guess {
    fn next_run(&mut self) -> Result<Option<Run>, StreamError> {
        if self.instead.is_none() {
            return self.source.next_run();
        }
        match self.first_run() {
            Err(error) if is_playlist(&error) => {}
            settled => return settled,
        }
        self.run = None;
        if let Some(config) = self.instead.take() {
            // Whoever waits for this source holds its interrupt already.
            let config = config.with_interrupt(self.source.interrupt());
            self.source = Box::new(Hls::open(config)?);
        }
        self.source.next_run()
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

/// Whether media was asked for and a playlist came.
pub(crate) fn is_playlist(error: &StreamError) -> bool {
    matches!(error, StreamError::Net(net) if matches!(net.root(), NetError::Playlist { .. }))
}
