//! The figures at the end.

use std::time::Duration;

use kithara::hls::SegmentSource;
use kithara::prelude::*;
use serde_json::json;

/// What the events add up to.
#[derive(Default)]
pub struct Tally {
    pub switches: u64,
    pub from_network: u64,
    pub from_cache: u64,
    pub from_disk: u64,
    /// Events that came faster than they were read.
    pub missed: u64,
}

impl Tally {
    pub fn count(&mut self, event: &ResourceEvent) {
        let ResourceEvent::Hls(event) = event else {
            return;
        };
        match event {
            HlsEvent::VariantChanged { from: Some(_), .. } => self.switches += 1,
            HlsEvent::SegmentLoaded {
                source: SegmentSource::Network,
                ..
            } => self.from_network += 1,
            HlsEvent::SegmentLoaded {
                source: SegmentSource::Cache,
                ..
            } => self.from_cache += 1,
            HlsEvent::SegmentLoaded {
                source: SegmentSource::Disk,
                ..
            } => self.from_disk += 1,
            _ => {}
        }
    }
}

/// What was read.
#[derive(Default)]
pub struct Summary {
    pub frames: u64,
    pub seconds: f64,
    pub bytes: u64,
    pub requests: u64,
    pub first_frame: Option<Duration>,
}

impl Summary {
    /// One line for programs.
    pub fn json(&self, tally: &Tally) -> String {
        json!({
            "frames": self.frames,
            "seconds": self.seconds,
            "switches": tally.switches,
            "segments_from_network": tally.from_network,
            "segments_from_cache": tally.from_cache,
            "segments_from_disk": tally.from_disk,
            "bytes": self.bytes,
            "requests": self.requests,
            "first_frame_ms": self.first_frame.map(|time| time.as_secs_f64() * 1000.0),
            "events_missed": tally.missed,
        })
        .to_string()
    }

    /// A few words for people.
    pub fn text(&self, tally: &Tally) -> String {
        format!(
            "{} frames ({:.3} s), {} switches, {} segments from the network, {} from the cache, {} from disk, {} bytes, {} requests, \
             first frame after {:.0} ms",
            self.frames,
            self.seconds,
            tally.switches,
            tally.from_network,
            tally.from_cache,
            tally.from_disk,
            self.bytes,
            self.requests,
            self.first_frame.unwrap_or_default().as_secs_f64() * 1000.0,
        )
    }
}
