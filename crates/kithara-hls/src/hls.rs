//! The HLS protocol: a plan for each stream.

use kithara_stream::{Backend, BackendConfig, StreamError, StreamType};

use crate::{HlsConfig, HlsEvent, HlsPlan};

/// Names the protocol in `Stream<Hls>`.
#[derive(Clone, Copy, Debug)]
pub enum Hls {}

impl StreamType for Hls {
    type Config = HlsConfig;
    type Event = HlsEvent;
    type Source = Backend;

    fn open(config: HlsConfig) -> Result<Backend, StreamError> {
        let commands = config.handle.take_commands();
        let plan = HlsPlan::new(&config);
        let events = config.handle.listen(&config.events);
        let backend = BackendConfig::new(config.net)
            .with_store(config.store)
            .with_events(events)
            .with_cancel(config.cancel)
            .with_interrupt(config.interrupt);
        Backend::start_with(plan, backend, commands)
    }
}
