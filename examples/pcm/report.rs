//! The progress bar and the figures at the end.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use kithara::{MediaDuration, PcmSpec, Resource, Stats};
use serde_json::json;

use crate::args::Args;

/// A bar on a terminal; nothing elsewhere.
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub fn new(args: &Args, resource: &Resource) -> Self {
        let wanted = std::io::stderr().is_terminal() && !args.events;
        let total = resource.duration().map(MediaDuration::value);
        let bar = wanted.then(|| {
            let bar = ProgressBar::new(total.map_or(0, millis));
            let style = ProgressStyle::with_template("{wide_bar} {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar }
    }

    pub fn show(&self, position: Duration) {
        if let Some(bar) = &self.bar {
            bar.set_position(millis(position));
            bar.set_message(format!("{:.1} s", position.as_secs_f64()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What was done.
pub struct Report {
    spec: PcmSpec,
    codec: String,
    began: Instant,
    first_frame: Option<Duration>,
    frames: u64,
    took: Duration,
    stats: Stats,
    /// How often the variant changed.
    pub switches: u64,
}

impl Report {
    pub fn new(resource: &Resource, began: Instant) -> Self {
        let info = resource.media_info();
        let codec = info.codec.map_or("?".into(), |codec| codec.to_string());
        let container = info
            .container
            .map_or("?".into(), |container| container.to_string());
        Self {
            spec: resource.spec(),
            codec: format!("{codec} in {container}"),
            began,
            first_frame: None,
            frames: 0,
            took: Duration::ZERO,
            stats: Stats::default(),
            switches: 0,
        }
    }

    pub fn add(&mut self, frames: u64) {
        self.first_frame.get_or_insert_with(|| self.began.elapsed());
        self.frames += frames;
    }

    pub fn finish(&mut self, resource: &Resource) {
        self.took = self.began.elapsed();
        self.stats = resource.control().stats();
    }

    /// One line for programs.
    pub fn json(&self) -> String {
        json!({
            "first_frame_ms": self.first_frame.map(|time| time.as_secs_f64() * 1000.0),
            "requests": self.stats.requests,
            "bytes": self.stats.bytes_fetched,
            "frames": self.frames,
            "rate": self.spec.sample_rate.get(),
            "channels": self.spec.channels.get(),
            "codec": self.codec,
            "switches": self.switches,
            "elapsed_ms": self.took.as_secs_f64() * 1000.0,
            "peak_memory_bytes": peak_memory(),
        })
        .to_string()
    }

    /// A few words for people.
    pub fn text(&self) -> String {
        let rate = f64::from(self.spec.sample_rate.get());
        let first = self.first_frame.unwrap_or(self.took);
        let memory = peak_memory().map_or(String::new(), |bytes| {
            format!(", peak memory {:.1} MB", bytes as f64 / 1e6)
        });
        let switches = match self.switches {
            0 => String::new(),
            count => format!(", {count} switches of variants"),
        };
        format!(
            "{}, {} Hz, {} channels: {} frames ({:.3} s) in {:.2} s, first after {:.0} ms, \
             {} requests, {} bytes{switches}{memory}",
            self.codec,
            self.spec.sample_rate,
            self.spec.channels,
            self.frames,
            self.frames as f64 / rate,
            self.took.as_secs_f64(),
            first.as_secs_f64() * 1000.0,
            self.stats.requests,
            self.stats.bytes_fetched,
        )
    }
}

/// The largest resident set of this process so far, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
