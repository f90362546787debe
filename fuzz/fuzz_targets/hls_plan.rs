//! `hls_plan` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: kithara_fuzz::abort_on_own_panics(),
    |data: &[u8]| kithara_fuzz::hls_plan::run(data)
);
