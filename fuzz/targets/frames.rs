//! See [`stria_fuzz::frames`].
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: stria_fuzz::seeds::write("frames"),
    |bytes: &[u8]| stria_fuzz::frames::run(bytes)
);
