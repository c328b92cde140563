#![no_main]

#[path = "../../rust/oracles/mod.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::compress::check(data));
