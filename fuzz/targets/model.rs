//! See [`stria_fuzz::model`].
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: stria_fuzz::seeds::write("model"),
    |bytes: &[u8]| stria_fuzz::model::run(bytes)
);
