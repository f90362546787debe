//! The file protocol: a plan for remote files, nothing at all for local ones.

use std::time::Duration;

use kithara_stream::{
    Backend, BackendConfig, Interrupt, LocalSource, MediaInfo, Run, SeekRoute, Source, StreamError,
    StreamType,
};

use crate::{FileConfig, FilePlan, FileSrc};

/// Names the protocol in `Stream<File>`.
#[derive(Clone, Copy, Debug)]
pub enum File {}

/// One file as a source of one run.
#[derive(Debug)]
pub enum FileSource {
    /// Read where it lies.
    Local(LocalSource),
    /// Fetched as it is read.
    Remote(Backend),
}

impl StreamType for File {
    type Config = FileConfig;
    type Event = crate::FileEvent;
    type Source = FileSource;

    fn open(config: FileConfig) -> Result<FileSource, StreamError> {
        let info = MediaInfo {
            hint: config.hint.clone(),
            ..MediaInfo::default()
        };
        match config.src.clone() {
            FileSrc::Local(path) => Ok(FileSource::Local(LocalSource::new(path, info))),
            FileSrc::Remote(url, net) => {
                let key = config.key(&url);
                let plan = FilePlan::new(url, info, config.policy).with_key(key);
                let config = BackendConfig::new(net)
                    .with_store(config.store)
                    .with_events(config.events)
                    .with_cancel(config.cancel);
                Backend::start(plan, config).map(FileSource::Remote)
            }
        }
    }
}

impl Source for FileSource {
    fn next_run(&mut self) -> Result<Option<Run>, StreamError> {
        match self {
            Self::Local(source) => source.next_run(),
            Self::Remote(source) => source.next_run(),
        }
    }

    fn seek(&mut self, to: Duration) -> Result<SeekRoute, StreamError> {
        match self {
            Self::Local(source) => source.seek(to),
            Self::Remote(source) => source.seek(to),
        }
    }

    fn interrupt(&self) -> Interrupt {
        match self {
            Self::Local(source) => source.interrupt(),
            Self::Remote(source) => source.interrupt(),
        }
    }
}
