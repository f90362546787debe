//! `source_text` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kithara_fuzz::source_text::run(data));
