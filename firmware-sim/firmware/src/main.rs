//! The client of a private inference on a microcontroller: keys, encryption, decryption, oblivious
//! transfer and ReLU in 64 KiB of RAM, against an unmodified server on a serial line.
//!
//! What depends on the board is in `board`; all the rest is one application over it, and the
//! protocol is `stria_core`'s client as it is.
#![no_std]
#![no_main]

mod board;
mod line;
mod meter;
mod picture;
mod report;
mod session;
mod stack;

use chacha20::ChaCha20Rng;
use core::cell::RefCell;
use critical_section::Mutex;
use rand_core::{Rng, SeedableRng};
use stria_core::{DriveError, SmallClient};
use zeroize::Zeroizing;

use line::Link;
use meter::{Meter, Metered};
use picture::Picture;
use session::classify;

/// How often a session is tried that a dead line ends.
const TRIES: u32 = 3;

/// The client's state, all of it.
static CLIENT: Mutex<RefCell<SmallClient>> = Mutex::new(RefCell::new(SmallClient::closed()));

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
    // The only use of the client: the borrow lasts for ever, and no interrupt asks for it.
    let client =
        critical_section::with(|token| -> *mut SmallClient { CLIENT.borrow(token).as_ptr() });
    // SAFETY: `start` is called once, by the runtime's entry, and nothing else names CLIENT.
    let client = unsafe { &mut *client };
    let mut link = Link::new(board::Uart::new());
    for _ in 0..TRIES {
        let mut meter = Meter::new();
        let mut session = Metered {
            client: &mut *client,
            picture: &mut picture,
            meter: &mut meter,
        };
        let connected = link.connect(rng.next_u32()).map_err(DriveError::Io);
        let result = connected.and_then(|()| classify(&mut session, &mut link, &mut rng));
        match result {
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
