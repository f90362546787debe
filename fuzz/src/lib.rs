//! Fuzz targets: functions of arbitrary bytes that panic when a promise is broken.
//!
//! They are **not** tests of what is decoded; the fixtures are that. Start reading at [`TARGETS`].

pub mod decode;
pub mod file_plan;
pub mod fmp4;
pub mod http_head;
pub mod mpeg_audio;
pub mod mutation;
pub mod seeds;
pub mod source_text;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, on the command line and in file names.
    pub name: &'static str,
    /// Runs one input.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Stops here although there is time left.
    pub most: u64,
}

/// Every target.
pub const TARGETS: [Target; 6] = [
    target("decode", decode::run, seeds::files),
    target("fmp4", fmp4::run, seeds::mp4),
    target("mpeg_audio", mpeg_audio::run, seeds::mpeg_audio),
    target("source_text", source_text::run, seeds::sources),
    target("file_plan", file_plan::run, seeds::noise),
    Target {
        // Each takes a port of loopback that is not free again for a minute.
        most: 12_000,
        ..target("http_head", http_head::run, seeds::answers)
    },
];

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target {
        name,
        run,
        seeds,
        most: u64::MAX,
    }
}
