//! How audio is opened.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use kithara_bufpool::{PcmPool, pcm_pool};
use kithara_decode::{BackendPreference, CodecBackend, CodecSelector, FloatRange, GaplessMode};
use kithara_stream::EventSink;

use crate::effect::Effects;
use crate::timeline::Speed;
use crate::{AudioEffect, AudioEvent, ReplayGainOptions, ResamplerQuality};

/// A fade that takes longer is no longer heard as one.
const LONGEST_FADE: Duration = Duration::from_secs(1);

/// How audio is opened.
#[derive(Clone, Debug)]
pub struct AudioConfig {
    pub(crate) preload: usize,
    pub(crate) buffer: Duration,
    pub(crate) codec: CodecSelector,
    pub(crate) gapless: GaplessMode,
    pub(crate) backends: Vec<Arc<dyn CodecBackend>>,
    pub(crate) preference: BackendPreference,
    pub(crate) floats: FloatRange,
    pub(crate) pool: PcmPool,
    pub(crate) events: EventSink<AudioEvent>,
    pub(crate) effects: Effects,
    pub(crate) replay_gain: ReplayGainOptions,
    pub(crate) fades: Duration,
    pub(crate) last_seek: u64,
    pub(crate) rate: Option<NonZeroU32>,
    pub(crate) channels: Option<NonZeroU16>,
    pub(crate) speed: Speed,
    pub(crate) quality: ResamplerQuality,
}

/// One preloaded block, 2 s of buffer, any codec, what the media says of its ends, the pool of the process, no listener, rate
/// and channels of the first run, no effects or gain, fades of 10 ms.
impl Default for AudioConfig {
    fn default() -> Self {
        Self {
            preload: 1,
            buffer: Duration::from_secs(2),
            codec: CodecSelector::Auto,
            gapless: GaplessMode::default(),
            backends: Vec::new(),
            preference: BackendPreference::default(),
            floats: FloatRange::default(),
            pool: pcm_pool().clone(),
            events: EventSink::default(),
            effects: Effects::default(),
            replay_gain: ReplayGainOptions::default(),
            fades: Duration::from_millis(10),
            last_seek: 0,
            rate: None,
            channels: None,
            speed: Speed::NORMAL,
            quality: ResamplerQuality::default(),
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

    /// Which frames at the ends of a run are dropped because a codec added them.
    #[must_use]
    pub fn with_gapless(mut self, mode: GaplessMode) -> Self {
        self.gapless = mode;
        self
    }

    /// Registers decoders that may stand in for the built-in ones. Those registered first are asked first.
    #[must_use]
    pub fn with_backend(mut self, backend: Arc<dyn CodecBackend>) -> Self {
        self.backends.push(backend);
        self
    }

    /// Which of the registered backends are asked, and in which order. What none of them decodes, the built-in decoders do.
    #[must_use]
    pub fn with_backend_preference(mut self, preference: BackendPreference) -> Self {
        self.preference = preference;
        self
    }

    /// Where events are reported, by the decode thread.
    #[must_use]
    pub fn with_events(mut self, events: EventSink<AudioEvent>) -> Self {
        self.events = events;
        self
    }

    /// What becomes of floating-point samples that are no numbers, or are beyond all measure.
    #[must_use]
    pub fn with_float_range(mut self, floats: FloatRange) -> Self {
        self.floats = floats;
        self
    }

    /// The rate of everything read, whatever the title's, between 1 and 768 kHz. Default: that of the title's first run. It
    /// can be [changed](crate::AudioControl::set_host_sample_rate) while it plays.
    #[must_use]
    pub fn with_host_sample_rate(mut self, rate: NonZeroU32) -> Self {
        self.rate = Some(rate);
        self
    }

    /// The channels of everything read, whatever the title's, at most 32. Default: those of the title's first run.
    ///
    /// Channels are taken to be those of WAVE files, in their order: front left and right, centre, low frequency, back left
    /// and right, side left and right. Fewer are made of more by the factors of ITU-R BS.775 and ATSC A/52 (-3 dB for the
    /// centre in two channels and for a surround in the front of its side, no LFE), all turned down so far that the sum
    /// can't exceed full scale. One channel is the centre: alone in two channels it goes into both unchanged. More are made
    /// of fewer by leaving the others silent.
    #[must_use]
    pub fn with_channels(mut self, channels: NonZeroU16) -> Self {
        self.channels = Some(channels);
        self
    }

    /// How fast it plays from the beginning; see [`set_speed`](crate::AudioControl::set_speed).
    #[must_use]
    pub fn with_speed(mut self, factor: f64) -> Self {
        self.speed = Speed::nearest(factor).unwrap_or(self.speed);
        self
    }

    /// How well rates are converted, where they are.
    #[must_use]
    pub fn with_resampler_quality(mut self, quality: ResamplerQuality) -> Self {
        self.quality = quality;
        self
    }

    /// Adds an effect behind those given before. An effect serves one title: of several clones of a configuration that is
    /// the one opened first, and if that fails, the next.
    #[must_use]
    pub fn with_effect(mut self, effect: Box<dyn AudioEffect>) -> Self {
        self.effects.add(effect);
        self
    }

    /// How the title's loudness tags are applied; a [`ReplayGainMode`](crate::ReplayGainMode) will do. Default: not at all.
    #[must_use]
    pub fn with_replay_gain(mut self, options: impl Into<ReplayGainOptions>) -> Self {
        self.replay_gain = options.into();
        self
    }

    /// How long the fades of [`try_read`](crate::PcmReader::try_read) take, at most a second. Default 10 ms; with zero every
    /// frame it yields is as it was decoded, and all else is exact silence. Blocking and async reads never fade.
    ///
    /// A pause fades out, by frames that are still handed out; what follows it, a seek or an underrun fades in, except where
    /// the title begins; what a seek, an underrun or a failure cuts off dies away in its last frame. So nothing clicks,
    /// and nothing is added where one title follows another.
    #[must_use]
    pub fn with_fades(mut self, length: Duration) -> Self {
        self.fades = length.min(LONGEST_FADE);
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
