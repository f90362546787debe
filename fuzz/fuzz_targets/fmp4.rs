//! `fmp4` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kithara_fuzz::fmp4::run(data));
