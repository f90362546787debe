//! `http_head` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kithara_fuzz::http_head::run(data));
