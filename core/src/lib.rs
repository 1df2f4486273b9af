//! Private inference of convolutional networks for devices that have no room for it.
//!
//! The client's side allocates nothing and runs in one value of fixed size; the server's side is
//! behind the feature `server`.
//!
//! A client over any `embedded-io` stream: TCP, a UART, or a [`link::LinkIo`] where the line loses
//! bytes. [`drive`](drive()) exchanges frames until the client rests: after the set-up, after each
//! inference, and after the goodbye.
//!
//! ```
//! use embedded_io::{Read, Write};
//! use rand_core::CryptoRng;
//! use stria_core::{Application, DriveError, Error, MAX_FRAME, Settings, SmallClient, Usage, drive};
//!
//! struct Camera {
//!     pixels: [[i32; 8]; 8],
//!     best: (i32, u16),
//! }
//!
//! impl Application for Camera {
//!     fn pixel(&mut self, _channel: usize, row: usize, col: usize) -> i32 {
//!         self.pixels[row][col]
//!     }
//!     fn logit(&mut self, class: u16, value: i32) {
//!         self.best = self.best.max((value, class));
//!     }
//! }
//!
//! fn classify<L: Read + Write>(
//!     line: &mut L,
//!     camera: &mut Camera,
//!     rng: &mut impl CryptoRng,
//! ) -> Result<u16, DriveError<L::Error>> {
//!     let mut client = SmallClient::new(Settings::default(), rng);
//!     let mut buffer = [0; MAX_FRAME];
//!     let mut session = (&mut client, camera);
//!     drive(&mut session, line, &mut buffer, &mut ())?;
//!     let input = session.0.welcome().map(|welcome| &welcome.input);
//!     if !input.is_some_and(|input| (input.channels, input.side) == (1, 8)) {
//!         return Err(Error::Usage(Usage::Image).into());
//!     }
//!     session.0.start()?;
//!     drive(&mut session, line, &mut buffer, &mut ())?;
//!     session.0.finish()?;
//!     drive(&mut session, line, &mut buffer, &mut ())?;
//!     Ok(session.1.best.1)
//! }
//! # #[cfg(feature = "server")]
//! # mod stripes {
//! #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/stripes/mod.rs"));
//! # }
//! # #[cfg(feature = "server")]
//! # fn main() {
//! #     use std::net::{TcpListener, TcpStream};
//! #     use chacha20::ChaCha20Rng;
//! #     use embedded_io_adapters::std::FromStd;
//! #     use rand_core::SeedableRng;
//! #     use stria_core::{Budget, Server};
//! #     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
//! #     let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
//! #     let (there, _) = listener.accept().unwrap();
//! #     let serve = std::thread::spawn(move || {
//! #         let mut rng = ChaCha20Rng::seed_from_u64(1);
//! #         let mut server = Server::new(stripes::network().unwrap(), Budget::new(1), &mut rng);
//! #         drive(&mut server, &mut FromStd::new(there), &mut [0; MAX_FRAME], &mut ())
//! #     });
//! #     let stripes = |col: usize| if col % 4 < 2 { 127 } else { -127 };
//! #     let mut camera = Camera {
//! #         pixels: [std::array::from_fn(stripes); 8],
//! #         best: (0, 0),
//! #     };
//! #     let mut rng = ChaCha20Rng::seed_from_u64(2);
//! #     let class = classify(&mut FromStd::new(here), &mut camera, &mut rng).unwrap();
//! #     assert_eq!(stripes::CLASSES[usize::from(class)], "columns");
//! #     serve.join().unwrap().unwrap();
//! # }
//! # #[cfg(not(feature = "server"))]
//! # fn main() {}
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![deny(clippy::unreachable, clippy::todo, clippy::unimplemented)]
#![cfg_attr(
    not(feature = "unstable"),
    allow(
        dead_code,
        unused_imports,
        reason = "what only this repository's other crates use"
    )
)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(test)]
extern crate std;

// The design, bottom up. Users need what is re-exported below; the modules themselves are for this
// repository's other crates, behind the feature `unstable`.

// Residues, bits and number-theoretic transforms.
#[cfg(not(feature = "unstable"))]
mod arith;
#[cfg(feature = "unstable")]
pub mod arith;

// Pseudo-random bits, key derivation, samplers.
#[cfg(not(feature = "unstable"))]
mod random;
#[cfg(feature = "unstable")]
pub mod random;

// Keys, encryption and decryption, ciphertexts, circuit privacy, rotations; over one of two rings.
#[cfg(not(feature = "unstable"))]
mod rlwe;
#[cfg(feature = "unstable")]
pub mod rlwe;

// What both parties know of a network.
#[cfg(not(feature = "unstable"))]
mod network;
#[cfg(feature = "unstable")]
pub mod network;

// Where the values of a layer stand in polynomials, and what the server multiplies them by.
#[cfg(not(feature = "unstable"))]
mod packing;
#[cfg(feature = "unstable")]
pub mod packing;

// A layer's convolution in the clear, of the server's own share.
#[cfg(not(feature = "unstable"))]
#[cfg(feature = "server")]
mod clear;
#[cfg(feature = "unstable")]
#[cfg(feature = "server")]
pub mod clear;

// Oblivious transfer by extension.
#[cfg(not(feature = "unstable"))]
mod ot;
#[cfg(feature = "unstable")]
pub mod ot;

// The ReLU on shares.
#[cfg(not(feature = "unstable"))]
mod relu;
#[cfg(feature = "unstable")]
pub mod relu;

// The two parties as state machines, step by step.
#[cfg(not(feature = "unstable"))]
mod protocol;
#[cfg(feature = "unstable")]
pub mod protocol;

// Serial lines that lose and change bytes.
pub mod link;

// Exchanges frames over a line.
mod drive;

// What can go wrong.
mod error;

// Enums as bytes.
mod wire;

// The server's work on all cores.
#[cfg(feature = "server")]
mod parallel;
#[cfg(feature = "unstable")]
#[cfg(feature = "server")]
pub use parallel::map as parallel_map;

pub use arith::field::T_BITS;
pub use drive::{DriveError, Observer, Party, drive, loopback, read_frame};
#[cfg(feature = "async")]
pub use drive::{drive_async, read_frame_async};
pub use error::{Error, PeerError, TicketError, Usage};
pub use network::LayerError;
pub use network::input::{normalise, softmax_in_place};
pub use network::name::{Shown, is_clean};
pub use protocol::activation::Phase;
pub use protocol::client::{
    AnswerClient, Application, Chunks, Client, Memory, SlotClient, SmallClient, Ticket,
};
#[cfg(feature = "alloc")]
pub use protocol::client::{LargeClient, Whole};
pub use protocol::frame::{Frame, FrameBuf, HEADER, Kind, MAX_FRAME, MAX_PAYLOAD, write_failure};
pub use protocol::greeting::{InputSpec, MAX_IMAGE_CHANNELS, MAX_NAME, Settings, VERSION, Welcome};
pub use protocol::ticket::{Claim, TicketId};
#[cfg(feature = "server")]
pub use {
    network::layer::{Activation, Kernel, Layer, Pool, Skip},
    packing::Packing,
    protocol::network::{About, Network, NetworkLayer, WeightMemory},
    protocol::server::{Budget, Counters, LayerCounters, Server, Tickets},
    rlwe::Operations,
};
