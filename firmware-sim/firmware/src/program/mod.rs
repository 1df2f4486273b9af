//! What a board can do: `classify` is a session in which the picture gets its logits.

#[cfg(program = "answers")]
mod answers;
#[cfg(program = "client")]
mod client;

#[cfg(program = "answers")]
pub use answers::classify;
#[cfg(program = "client")]
pub use client::classify;

use core::cell::RefCell;

use critical_section::Mutex;
use embedded_io::{Read, ReadReady, Write, WriteReady};
use stria_core::DriveError;
use stria_core::link::IoError;

/// What ends a session over a UART.
pub type Failed<U> = DriveError<IoError<<U as embedded_io::ErrorType>::Error>>;

/// The line to the server.
pub trait Port: Read + ReadReady + Write + WriteReady {}

impl<U: Read + ReadReady + Write + WriteReady> Port for U {}

/// A static, without any more bookkeeping.
///
/// # Safety
///
/// Nothing else uses it as long as the result is there, no interrupt either.
unsafe fn alone<T>(cell: &'static Mutex<RefCell<T>>) -> &'static mut T {
    let cell = critical_section::with(|token| cell.borrow(token).as_ptr());
    // SAFETY: the caller's promise.
    unsafe { &mut *cell }
}
