//! `file_plan` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kithara_fuzz::file_plan::run(data));
