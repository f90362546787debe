//! Fuzz targets: functions of arbitrary bytes that panic when a promise is broken.
//!
//! They are **not** tests of what is decoded; the fixtures are that. Start reading at [`TARGETS`].

pub mod aes_chunks;
pub mod cache_files;
pub mod decode;
pub mod file_plan;
pub mod fmp4;
pub mod hls_plan;
pub mod http_head;
pub mod mpeg_audio;
pub mod mutation;
pub mod playlist;
mod script;
pub mod seeds;
pub mod source_text;
pub mod stretches;

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
pub const TARGETS: [Target; 11] = [
    target("decode", decode::run, seeds::files),
    target("fmp4", fmp4::run, seeds::mp4),
    target("mpeg_audio", mpeg_audio::run, seeds::mpeg_audio),
    target("source_text", source_text::run, seeds::sources),
    target("cache_files", cache_files::run, cache_files::seeds),
    target("file_plan", file_plan::run, seeds::noise),
    target("hls_plan", hls_plan::run, seeds::noise),
    target("playlist", playlist::run, playlist::seeds),
    target("stretches", stretches::run, stretches::seeds),
    target("aes_chunks", aes_chunks::run, aes_chunks::seeds),
    Target {
        // Each takes a port of loopback that is not free again for a minute.
        most: 12_000,
        ..target("http_head", http_head::run, seeds::answers)
    },
];

/// Whether a panic, told as a hook sees it, was in the library's own code or in a target. Codecs may panic, where that is
/// contained.
pub fn is_own(panic: &str) -> bool {
    panic.contains("crates/kithara") || panic.contains("panicked at src/")
}

/// For libFuzzer, whose own hook ends the process at every panic: at those in our code only. What escapes a target ends
/// the process anyhow.
pub fn abort_on_own_panics() {
    std::panic::set_hook(Box::new(|info| {
        let panic = info.to_string();
        if is_own(&panic) {
            eprintln!("{panic}");
            std::process::abort();
        }
    }));
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target {
        name,
        run,
        seeds,
        most: u64::MAX,
    }
}
