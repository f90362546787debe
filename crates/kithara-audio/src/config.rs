//! How audio is opened.

use std::time::Duration;

use kithara_bufpool::{PcmPool, pcm_pool};
use kithara_decode::CodecSelector;
use kithara_stream::EventSink;

use crate::AudioEvent;

/// How audio is opened.
#[derive(Clone, Debug)]
pub struct AudioConfig {
    pub(crate) preload: usize,
    pub(crate) buffer: Duration,
    pub(crate) codec: CodecSelector,
    pub(crate) pool: PcmPool,
    pub(crate) events: EventSink<AudioEvent>,
    pub(crate) last_seek: u64,
}

/// One preloaded block, 2 s of buffer, any codec, the pool of the process, no listener.
impl Default for AudioConfig {
    fn default() -> Self {
        Self {
            preload: 1,
            buffer: Duration::from_secs(2),
            codec: CodecSelector::Auto,
            pool: pcm_pool().clone(),
            events: EventSink::default(),
            last_seek: 0,
        }
    }
}

impl AudioConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the memory of decoded blocks comes from.
    #[must_use]
    pub fn with_pool(mut self, pool: PcmPool) -> Self {
        self.pool = pool;
        self
    }

    /// How many blocks are decoded before the open resolves; at least one, at most what the buffer holds.
    #[must_use]
    pub fn with_preload(mut self, blocks: usize) -> Self {
        self.preload = blocks.max(1);
        self
    }

    /// How much decoded audio is kept ready, between 200 ms and 10 s, and never more than 2 MiB. A seek keeps a second
    /// buffer of the same size.
    #[must_use]
    pub fn with_buffer(mut self, buffer: Duration) -> Self {
        self.buffer = buffer.clamp(Duration::from_millis(200), Duration::from_secs(10));
        self
    }

    /// Which codec is accepted.
    #[must_use]
    pub fn with_codec(mut self, codec: CodecSelector) -> Self {
        self.codec = codec;
        self
    }

    /// Where events are reported, by the decode thread.
    #[must_use]
    pub fn with_events(mut self, events: EventSink<AudioEvent>) -> Self {
        self.events = events;
        self
    }

    /// The first seek gets the id after `id`, so that a test can come to the wrap of the counter.
    #[doc(hidden)]
    #[must_use]
    pub fn with_last_seek_id(mut self, id: u64) -> Self {
        self.last_seek = id;
        self
    }
}
