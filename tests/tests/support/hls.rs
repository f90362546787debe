//! What the HLS tests share: an origin with all fixtures, and what to hold a title to.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::ops::Range;
use std::time::Duration;

use kithara::{HlsEvent, HlsPolicy, ResourceConfig, ResourceEvent};
use kithara_tests::fixtures::hls::{self, HlsFixture};
use kithara_tests::server::{FaultServer, LoggedRequest};

use crate::network::*;

/// A server of all fixtures.
pub fn origin() -> FaultServer {
    let server = FaultServer::start();
    hls::serve(&server);
    server
}

/// The title in `folder` by its media playlist.
pub fn title(server: &FaultServer, folder: &str) -> ResourceConfig {
    config(&server.url(&hls::fixture(folder).playlist()))
}

/// Fetches no more than the next segment ahead.
pub fn near() -> HlsPolicy {
    HlsPolicy {
        look_ahead: Duration::from_millis(500),
        parallel: 1,
        ..HlsPolicy::default()
    }
}

pub fn hls_events(events: &[ResourceEvent]) -> impl Iterator<Item = &HlsEvent> {
    events.iter().filter_map(|event| match event {
        ResourceEvent::Hls(event) => Some(event),
        _ => None,
    })
}

/// Where the segments of a title begin and end, in frames of what is delivered.
pub fn segments(fixture: &HlsFixture) -> Vec<Range<usize>> {
    let text = hls::text(&format!("{}/media.m3u8", fixture.folder));
    let seconds = text.lines().filter_map(|line| {
        let duration = line.strip_prefix("#EXTINF:")?.trim_end_matches(',');
        duration.parse::<f64>().ok()
    });
    let mut at = 0.0;
    let frames = |seconds: f64| (seconds * f64::from(fixture.sample_rate)).round() as usize;
    seconds
        .map(|duration| {
            let start = frames(at);
            at += duration;
            start..frames(at)
        })
        .collect()
}

/// The paths asked for, in order, without those of playlists.
pub fn media_paths(requests: &[LoggedRequest]) -> Vec<&str> {
    let paths = requests.iter().map(|request| request.path.as_str());
    paths.filter(|path| !path.ends_with(".m3u8")).collect()
}

/// How many requests there were for one path.
pub fn count(server: &FaultServer, path: &str) -> usize {
    server.requests_for(path).len()
}

/// The samples of these frames.
pub fn frames(pcm: &[f32], frames: Range<usize>) -> &[f32] {
    &pcm[2 * frames.start..2 * frames.end]
}
