//! `mpeg_audio` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kithara_fuzz::mpeg_audio::run(data));
