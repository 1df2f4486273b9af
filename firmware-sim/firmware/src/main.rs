//! The client of a private inference on a microcontroller, against an unmodified server on a serial
//! line.
//!
//! What depends on the board is in `board`; what it can do, in `program`: `client` has keys, encrypts,
//! decrypts and runs transfers in 64 KiB of RAM, `answers` redeems tickets in 16. All the rest is one
//! application over both, and the protocol is `stria_core`'s client as it is.
#![no_std]
#![no_main]

mod board;
mod line;
mod meter;
mod picture;
mod program;
mod report;
mod stack;

use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::Zeroizing;

use line::Link;
use meter::Meter;
use picture::Picture;
use program::classify;

/// How often a session is tried that a dead line ends.
const TRIES: u32 = 3;

/// What runs once the board's runtime has set up memory.
fn start() -> ! {
    stack::paint();
    board::init();
    let seed = Zeroizing::new(board::entropy());
    let mut rng = ChaCha20Rng::from_seed(*seed);
    drop(seed);
    let Some(mut picture) = Picture::in_flash() else {
        semihosting::println!("stria error there is no picture in flash");
        board::exit(2);
    };
    let mut link = Link::new(board::Uart::new());
    for _ in 0..TRIES {
        let mut meter = Meter::new();
        match classify(&mut picture, &mut meter, &mut link, &mut rng) {
            Ok(()) => {
                if let Err(error) = link.close() {
                    // The result is there all the same.
                    semihosting::println!("stria error {}", error);
                }
                report::print(&picture, &meter, link.framing());
                board::exit(0);
            }
            Err(error) => semihosting::println!("stria error {}", error),
        }
    }
    board::exit(1);
}
