//! What the application needs of a board. A port to another board is one more module here with
//! these items, and a memory map in `memory/`:
//!
//! | item | is |
//! |---|---|
//! | the runtime's entry | calls `crate::start` with the statics set up and interrupts off |
//! | `init` | starts the UART and the counters; guards the stack's end; enables interrupts |
//! | [`Line`] | the UART as `embedded-io` `Read` and `Write`; a read that waits too long fails |
//! | `entropy` | 256 random bits; **a product must take them from its TRNG** |
//! | [`Stopwatch`] | counts instructions (or cycles), without those of interrupts |
//! | `exit` | ends the program; on a product, resets |

mod ring;

#[cfg(feature = "mps2-an386")]
mod mps2_an386;
#[cfg(feature = "mps2-an386")]
use mps2_an386 as machine;

#[cfg(feature = "riscv-virt")]
mod riscv_virt;
#[cfg(feature = "riscv-virt")]
use riscv_virt as machine;

use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};

use critical_section::Mutex;
pub use machine::init;
use ring::Ring;

/// Bytes that came and were not read yet.
static RECEIVED: Mutex<RefCell<Ring>> = Mutex::new(RefCell::new(Ring::new()));
/// Instructions that interrupts took.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
/// Tenths of a second since the start.
static TENTHS: AtomicU32 = AtomicU32::new(0);

/// Tenths of a second that a read waits for the next byte: the server may be at work for long.
const PATIENCE: u32 = 600;
/// Tenths of a second without a byte after which a line is quiet.
const QUIET: u32 = 5;

/// The UART.
pub struct Line(());

/// What a line can suffer.
#[derive(Clone, Copy, Debug)]
pub enum LineError {
    /// Nothing came for too long.
    Silent,
}

impl core::fmt::Display for LineError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Silent => f.write_str("nothing came for too long"),
        }
    }
}

impl core::error::Error for LineError {}

impl embedded_io::Error for LineError {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::TimedOut
    }
}

impl Line {
    /// The board's one line, which `init` has started.
    pub fn new() -> Self {
        Self(())
    }

    /// Throws away what comes until the line is quiet.
    pub fn settle(&mut self) {
        let mut sink = [0; 16];
        while self.read_for(&mut sink, QUIET).is_ok() {}
    }

    /// Instructions spent in interrupts, which bytes of the line cause.
    pub fn interrupt_instructions(&self) -> u64 {
        INTERRUPTS.load(Ordering::Relaxed).into()
    }

    fn read_for(&mut self, buffer: &mut [u8], tenths: u32) -> Result<usize, LineError> {
        let begin = TENTHS.load(Ordering::Relaxed);
        loop {
            let count = critical_section::with(|token| {
                let count = RECEIVED.borrow_ref_mut(token).take(buffer);
                machine::resume_receiving();
                if count == 0 && !buffer.is_empty() {
                    // Interrupts are off, and wake the core all the same: none can be missed.
                    machine::wait();
                }
                count
            });
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if TENTHS.load(Ordering::Relaxed).wrapping_sub(begin) > tenths {
                return Err(LineError::Silent);
            }
        }
    }
}

impl embedded_io::ErrorType for Line {
    type Error = LineError;
}

impl embedded_io::Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, LineError> {
        self.read_for(buffer, PATIENCE)
    }
}

impl embedded_io::Write for Line {
    fn write(&mut self, buffer: &[u8]) -> Result<usize, LineError> {
        buffer.iter().for_each(|byte| machine::send(*byte));
        Ok(buffer.len())
    }

    fn flush(&mut self) -> Result<(), LineError> {
        Ok(())
    }
}

/// Counts the instructions from its start, without those of interrupts.
pub struct Stopwatch {
    ticks: u32,
    interrupts: u32,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self {
            interrupts: INTERRUPTS.load(Ordering::Relaxed),
            ticks: machine::ticks(),
        }
    }

    /// Instructions since the start, at most 2^31 or so.
    pub fn stop(self) -> u64 {
        let all = machine::instructions(machine::ticks().wrapping_sub(self.ticks));
        let interrupts = INTERRUPTS
            .load(Ordering::Relaxed)
            .wrapping_sub(self.interrupts);
        all.saturating_sub(interrupts.into())
    }
}

/// What an interrupt handler does, counted.
fn in_interrupt(work: impl FnOnce()) {
    let begin = machine::ticks();
    work();
    let spent = machine::instructions(machine::ticks().wrapping_sub(begin));
    let sum = INTERRUPTS.load(Ordering::Relaxed);
    INTERRUPTS.store(sum.wrapping_add(spent as u32), Ordering::Relaxed);
}

/// A tenth of a second has passed.
fn tick() {
    TENTHS.store(
        TENTHS.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

/// Puts what the UART has into the ring; false when the ring is full and more may wait.
fn receive(mut next: impl FnMut() -> Option<u8>) -> bool {
    critical_section::with(|token| {
        let mut ring = RECEIVED.borrow_ref_mut(token);
        while !ring.is_full() {
            match next() {
                Some(byte) => ring.push(byte),
                None => return true,
            }
        }
        false
    })
}

/// 256 bits of entropy: on QEMU, which has none, the debugger's argument `seed=HEX`. A product
/// must take them from its TRNG instead: whoever knows them knows all secrets.
pub fn entropy() -> [u8; 32] {
    let mut seed = [0; 32];
    let found = semihosting::experimental::env::args::<256>()
        .is_ok_and(|args| (&args).flatten().any(|arg| read_seed(arg, &mut seed)));
    if !found {
        semihosting::println!("stria error there is no seed");
        exit(2);
    }
    seed
}

fn read_seed(arg: &str, seed: &mut [u8; 32]) -> bool {
    let Some(hex) = arg.strip_prefix("seed=").filter(|hex| hex.len() == 64) else {
        return false;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    for (byte, pair) in seed.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => *byte = (high << 4 | low) as u8,
            _ => return false,
        }
    }
    true
}

/// Ends the emulation.
pub fn exit(code: i32) -> ! {
    semihosting::process::exit(code)
}
