//! What happens to a stream, in one short line each.

use std::time::{Duration, Instant};

use kithara::audio::AudioEvent;
use kithara::hls::{GapCause, Merge, SegmentSource};
use kithara::prelude::*;

/// Who reads as fast as bytes come waits for each of them; what lasts this long is a stall.
const STALL: Duration = Duration::from_millis(200);

/// Turns events into lines.
#[derive(Default)]
pub struct News {
    stalled: Option<Instant>,
}

impl News {
    /// `None` for what is told elsewhere, or is of no interest to people.
    pub fn line(&mut self, event: &ResourceEvent) -> Option<String> {
        match event {
            ResourceEvent::Hls(HlsEvent::Stalled { waiting: true, .. }) => {
                self.stalled = Some(Instant::now());
                None
            }
            ResourceEvent::Hls(HlsEvent::Stalled { at, .. }) => {
                let lasted = self.stalled.take().map(|since| since.elapsed());
                let lasted = lasted.filter(|lasted| *lasted >= STALL)?;
                Some(format!("stalled for {} at {}", time(lasted), time(*at)))
            }
            ResourceEvent::Hls(event) => of_stream(event),
            ResourceEvent::Audio(event) => of_sound(event),
            _ => None,
        }
    }
}

fn of_stream(event: &HlsEvent) -> Option<String> {
    Some(match event {
        HlsEvent::Variants { variants, dropped } => {
            let mut lines: Vec<String> = variants.iter().map(variant).collect();
            let dropped = dropped.iter();
            lines
                .extend(dropped.map(|one| format!("left out (line {}): {}", one.line, one.reason)));
            lines.join("\n")
        }
        HlsEvent::VariantChanged {
            from,
            to,
            reason,
            at,
        } => {
            let from = from.map_or("start".into(), |from| format!("variant {from}"));
            format!("{from} -> variant {to} from {}: {reason:?}", time(*at))
        }
        HlsEvent::PlaylistLoaded { .. }
        | HlsEvent::Window { .. }
        | HlsEvent::Late { .. }
        | HlsEvent::LiveEdge { .. } => of_playlist(event)?,
        HlsEvent::SegmentLoaded { .. }
        | HlsEvent::SegmentAbandoned { .. }
        | HlsEvent::SegmentFailed { .. }
        | HlsEvent::Gap { .. } => of_segment(event)?,
        HlsEvent::Throughput { bits_per_second } => {
            format!("throughput {} kbit/s", bits_per_second / 1000)
        }
        HlsEvent::KeyLoaded { name } => format!("key {name}"),
        HlsEvent::Retrying {
            attempt,
            delay,
            error,
        } => {
            format!("retry {attempt} in {}: {error}", time(*delay))
        }
        HlsEvent::NotKept { reason } => format!("not kept: {reason:?}"),
        HlsEvent::Failed { error } => format!("failed: {error}"),
        _ => return None,
    })
}

fn variant(variant: &VariantInfo) -> String {
    let bandwidth = variant
        .bandwidth_bps
        .map_or("?".into(), |bps| (bps / 1000).to_string());
    let codecs = variant.codecs.as_deref().unwrap_or("unknown codecs");
    let name = variant
        .name
        .as_deref()
        .map_or(String::new(), |name| format!(", {name}"));
    format!(
        "variant {}: {bandwidth} kbit/s, {codecs}{name}",
        variant.index
    )
}

fn of_playlist(event: &HlsEvent) -> Option<String> {
    Some(match event {
        HlsEvent::PlaylistLoaded {
            variant,
            merge,
            segments,
            ..
        } => {
            let what = match merge {
                None => format!("{segments} segments"),
                Some(Merge::Unchanged) => "reloaded, unchanged".into(),
                Some(Merge::Advanced { added }) => format!("reloaded, {added} more segments"),
                Some(Merge::Skipped { missed }) => format!("reloaded, {missed} segments missed"),
                Some(Merge::Reset) => "reloaded, begun anew".into(),
                Some(_) => "reloaded".into(),
            };
            format!("playlist of variant {variant}: {what}")
        }
        HlsEvent::Window { seekable, live } => {
            let live = if *live { "live, " } else { "" };
            format!(
                "{live}seekable from {} to {}",
                time(seekable.start),
                time(seekable.end)
            )
        }
        HlsEvent::Late { variant, still } => {
            format!(
                "playlist of variant {variant}: nothing new for {}",
                time(*still)
            )
        }
        HlsEvent::LiveEdge { at } => format!("live edge at {}", time(*at)),
        _ => return None,
    })
}

fn of_segment(event: &HlsEvent) -> Option<String> {
    Some(match event {
        HlsEvent::SegmentLoaded {
            variant,
            sequence,
            bytes,
            elapsed,
            source,
        } => {
            let from = match source {
                SegmentSource::Network => format!("in {} from the network", time(*elapsed)),
                SegmentSource::Cache => "from the cache".into(),
                SegmentSource::Disk => "from this machine".into(),
            };
            format!("segment {sequence} of variant {variant}: {bytes} bytes {from}")
        }
        HlsEvent::SegmentAbandoned {
            variant,
            sequence,
            bytes,
        } => {
            format!(
                "segment {sequence} of variant {variant}: too slow, given up after {bytes} bytes"
            )
        }
        HlsEvent::SegmentFailed {
            variant,
            sequence,
            error,
        } => {
            format!("segment {sequence} of variant {variant}: {error}")
        }
        HlsEvent::Gap {
            at,
            duration,
            silent,
            cause,
        } => {
            let what = if *silent { "silence" } else { "a jump" };
            let why = match cause {
                GapCause::Announced => "announced".into(),
                GapCause::Passed => "it came and went".into(),
                GapCause::Failed(error) => error.to_string(),
            };
            format!("gap of {} at {}, {what}: {why}", time(*duration), time(*at))
        }
        _ => return None,
    })
}

fn of_sound(event: &AudioEvent) -> Option<String> {
    Some(match event {
        AudioEvent::FormatDetected { spec, info } => {
            let codec = info.codec.map_or("?".into(), |codec| codec.to_string());
            format!(
                "decoding {codec}, {} Hz, {} channels",
                spec.sample_rate, spec.channels
            )
        }
        AudioEvent::Spliced { at, .. } => format!("spliced at {}", time(*at)),
        AudioEvent::SeekDone { target, landed, .. } => {
            format!("sought {}, landed at {}", time(*target), time(*landed))
        }
        _ => return None,
    })
}

fn time(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
