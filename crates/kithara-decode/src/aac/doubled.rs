//! A container that counts frames of the core, where the decoder gives two for each.

use super::config::AacConfig;
use crate::demux::{Arrival, Demux, Packet, Track};
use crate::fault::Result;
use crate::trim::Trim;
use crate::{Notice, SeekMode};

/// Puts the places of all packets into the timeline of the output.
pub(super) struct Doubled {
    inner: Box<dyn Demux>,
}

impl Doubled {
    pub(super) fn new(inner: Box<dyn Demux>) -> Self {
        Self { inner }
    }
}

/// The same track in the timeline of the output. Times stay what they are.
pub(super) fn double(track: &mut Track) {
    track.frames = track.frames.map(|frames| frames.saturating_mul(2));
    track.trim = track.trim.map(|trim| Trim {
        front: trim.front.saturating_mul(2),
        total: trim.total.map(|total| total.saturating_mul(2)),
    });
}

/// Whether the output has two frames for each of the core.
pub(super) fn is_doubled(config: &AacConfig) -> bool {
    config.rate > config.core_rate
}

impl Demux for Doubled {
    fn next_packet(&mut self) -> Result<Option<Packet<'_>>> {
        Ok(self.inner.next_packet()?.map(|packet| packet.doubled()))
    }

    fn seek(&mut self, target: u64, mode: SeekMode) -> Result<Arrival> {
        let arrival = self.inner.seek(target / 2, mode)?;
        Ok(Arrival {
            frame: arrival.frame.saturating_mul(2),
            ..arrival
        })
    }

    fn resumes(&self) -> bool {
        self.inner.resumes()
    }

    fn states_times(&self) -> bool {
        self.inner.states_times()
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        self.inner.take_notices()
    }

    fn calibrate(&mut self, decoded: u64, stated: i64) -> bool {
        self.inner.calibrate(decoded / 2, stated / 2)
    }
}
