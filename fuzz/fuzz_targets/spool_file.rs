#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| linkit_bridge_fuzz::spool_file::check(input));
