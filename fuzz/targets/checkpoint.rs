//! See [`stria_fuzz::checkpoint`].
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: stria_fuzz::seeds::write("checkpoint"),
    |bytes: &[u8]| stria_fuzz::checkpoint::run(bytes)
);
