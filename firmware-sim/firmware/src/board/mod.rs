//! What the application needs of a board, made of what the board's own module exports: docs/porting.md lists
//! that.

mod ring;

// The board's own module, as `machine`: build.rs takes it from the list of boards.
include!(concat!(env!("OUT_DIR"), "/board.rs"));

use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::sync::atomic::{AtomicU32, Ordering};

use critical_section::Mutex;
pub use machine::{init, wait};
use ring::Ring;
pub use ring::SIZE as RECEIVES;

/// Bytes that came and were not read yet.
static RECEIVED: Mutex<RefCell<Ring>> = Mutex::new(RefCell::new(Ring::new()));
/// Ticks of the instruction clock that interrupts took.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
/// Milliseconds since the start.
static MILLIS: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

/// Ticks that the transmitter is waited for: a byte takes less than two from 9600 baud on.
const PATIENCE: u64 = 2;

/// The board's one UART.
pub struct Uart(());

impl Uart {
    /// The UART, which `init` has started.
    pub fn new() -> Self {
        Self(())
    }
}

impl embedded_io::ErrorType for Uart {
    type Error = Infallible;
}

impl embedded_io::Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        loop {
            let count = critical_section::with(|token| {
                let count = RECEIVED.borrow_ref_mut(token).take(buffer);
                machine::resume_receiving();
                count
            });
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            wait();
        }
    }
}

impl embedded_io::ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(critical_section::with(|token| {
            !RECEIVED.borrow_ref(token).is_empty()
        }))
    }
}

impl embedded_io::Write for Uart {
    fn write(&mut self, buffer: &[u8]) -> Result<usize, Infallible> {
        for (sent, &byte) in buffer.iter().enumerate() {
            while !has_room() {
                if sent > 0 {
                    return Ok(sent);
                }
            }
            machine::send(byte);
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl embedded_io::WriteReady for Uart {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(has_room())
    }
}

/// Whether the transmitter takes a byte, after at most the time of one: a line that holds its
/// sender back may keep it busy for ever.
fn has_room() -> bool {
    if machine::can_send() {
        return true;
    }
    let begin = millis();
    while millis() - begin <= PATIENCE {
        if machine::can_send() {
            return true;
        }
    }
    false
}

/// Milliseconds since the start.
pub fn millis() -> u64 {
    critical_section::with(|token| MILLIS.borrow(token).get())
}

/// Instructions spent in interrupts, which bytes of the line cause, and the clock.
pub fn interrupt_instructions() -> u64 {
    machine::instructions(INTERRUPTS.load(Ordering::Relaxed))
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
        let all = machine::ticks().wrapping_sub(self.ticks);
        let interrupts = INTERRUPTS.load(Ordering::Relaxed);
        let interrupts = interrupts.wrapping_sub(self.interrupts);
        machine::instructions(all.saturating_sub(interrupts))
    }
}

/// What an interrupt handler does, counted.
fn in_interrupt(work: impl FnOnce()) {
    let begin = machine::ticks();
    work();
    let sum = INTERRUPTS.load(Ordering::Relaxed).wrapping_sub(begin);
    INTERRUPTS.store(sum.wrapping_add(machine::ticks()), Ordering::Relaxed);
}

/// A millisecond has passed.
fn tick() {
    critical_section::with(|token| {
        let millis = MILLIS.borrow(token);
        millis.set(millis.get() + 1);
    });
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

#[cfg(program = "answers")]
unsafe extern "C" {
    /// Where tickets begin; the linker script's.
    static _tickets: u8;
    /// Where they end; the linker script's.
    static _tickets_end: u8;
    /// At the address that is the number of bytes of a page; the linker script's.
    static _ticket_page: u8;
}

/// A page of flash for a ticket: its length, 16 bits, little-endian, and its bytes. An erased page has
/// none.
#[cfg(program = "answers")]
#[derive(Clone, Copy)]
pub struct TicketPage(usize);

#[cfg(program = "answers")]
impl TicketPage {
    /// All pages.
    pub fn all() -> impl Iterator<Item = Self> {
        let range = &raw const _tickets as usize..&raw const _tickets_end as usize;
        range.step_by(Self::bytes()).map(Self)
    }

    fn bytes() -> usize {
        &raw const _ticket_page as usize
    }

    /// Reads its ticket, if there is one.
    pub fn read<R>(self, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        // SAFETY: the linker script sets these pages aside in readable memory. Only `erase` writes them,
        // and while `take` runs nobody calls it.
        let page = unsafe { core::slice::from_raw_parts(self.0 as *const u8, Self::bytes()) };
        let (len, bytes) = page.split_first_chunk::<2>()?;
        bytes.get(..u16::from_le_bytes(*len).into()).map(take)
    }

    /// Erases it: when this returns, the ticket is gone whatever happens to the power.
    pub fn erase(self) {
        machine::erase(self.0);
        for at in (self.0..self.0 + Self::bytes()).step_by(4) {
            // SAFETY: a word of the page. Volatile: the compiler does not see what erases it.
            if unsafe { (at as *const u32).read_volatile() } != u32::MAX {
                semihosting::println!("stria error a ticket cannot be erased");
                exit(4);
            }
        }
    }
}

/// Pages that have a ticket.
#[cfg(program = "answers")]
pub fn tickets_left() -> usize {
    let has = |page: &TicketPage| page.read(|_| ()).is_some();
    TicketPage::all().filter(has).count()
}

/// Ends the emulation.
pub fn exit(code: i32) -> ! {
    semihosting::process::exit(code)
}
