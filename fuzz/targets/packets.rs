//! See [`stria_fuzz::packets`].
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: stria_fuzz::seeds::write("packets"),
    |bytes: &[u8]| stria_fuzz::packets::run(bytes)
);
