//! See [`stria_fuzz::party`].
#![no_main]

use stria_fuzz::party::Side;

libfuzzer_sys::fuzz_target!(
    init: stria_fuzz::seeds::write("server"),
    |bytes: &[u8]| stria_fuzz::party::run(Side::Server, bytes)
);
