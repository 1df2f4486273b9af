//! The link over the board's UART: on its stream, a line that loses, changes or adds bytes costs
//! only time, and a dead one is an error.

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use stria_core::link::{IoError, LinkIo, Timing};

use crate::board::{self, Stopwatch};

/// Bytes of the longest packet.
const MTU: usize = 256;
/// Packets under way: with 4 the link takes 3.1 KiB of RAM, with 2 half of that.
const WINDOW: usize = if cfg!(program = "answers") { 2 } else { 4 };
/// While the client computes, a peer can send a whole window, some of it twice, and
/// acknowledgements: on a line that cannot hold it back, what finds no room would have to be sent again.
const _: () = assert!(board::RECEIVES >= 2 * WINDOW * MTU);
/// Milliseconds without a sign of life after which the server is gone. Its end of the link has a
/// thread of its own and always answers; this side looks at the line at least every 0.1 s (the
/// client's longest call takes 1.5 million instructions, at 16 MHz).
const DEAD: u32 = 10_000;

/// A UART as the link wants it, which never waits.
struct Line<U> {
    uart: U,
    /// Instructions spent here, and asleep.
    spent: u64,
}

impl<U> Line<U> {
    fn measure<R>(&mut self, call: impl FnOnce(&mut U) -> R) -> R {
        let watch = Stopwatch::start();
        let result = call(&mut self.uart);
        self.spent += watch.stop();
        result
    }
}

impl<U: Read + ReadReady + Write + WriteReady> stria_core::link::Line for Line<U> {
    type Error = U::Error;

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, U::Error> {
        self.measure(|uart| {
            if uart.read_ready()? {
                uart.read(buffer)
            } else {
                Ok(0)
            }
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, U::Error> {
        self.measure(|uart| {
            if uart.write_ready()? {
                uart.write(bytes)
            } else {
                Ok(0)
            }
        })
    }

    fn now(&mut self) -> u64 {
        board::millis()
    }

    fn wait(&mut self, _until: Option<u64>) -> Result<(), U::Error> {
        self.measure(|_| {
            // Until the next tick, however many bytes come before: a look at the line takes hundreds
            // of instructions, and one for each byte was six times the work of the link.
            let begin = board::millis();
            while board::millis() == begin {
                board::wait();
            }
        });
        Ok(())
    }
}

/// A link that counts its instructions: packets, checksums and windows, without those of the UART
/// and without waiting.
pub struct Link<U> {
    io: LinkIo<Line<U>, MTU, WINDOW>,
    framing: u64,
}

impl<U: Read + ReadReady + Write + WriteReady> Link<U> {
    /// A link without a connection.
    pub fn new(uart: U) -> Self {
        let timing = Timing {
            dead: DEAD,
            ..Timing::default()
        };
        Self {
            io: LinkIo::new(Line { uart, spent: 0 }, timing),
            framing: 0,
        }
    }

    /// Opens a connection, and counts from here. `id` must be random.
    pub fn connect(&mut self, id: u32) -> Result<(), IoError<U::Error>> {
        self.framing = 0;
        self.measure(|io| io.connect(id))
    }

    /// Waits until the server has everything, and ends the connection.
    pub fn close(&mut self) -> Result<(), IoError<U::Error>> {
        self.measure(LinkIo::close)
    }

    /// Instructions of this connection.
    pub fn framing(&self) -> u64 {
        self.framing
    }

    fn measure<R>(&mut self, call: impl FnOnce(&mut LinkIo<Line<U>, MTU, WINDOW>) -> R) -> R {
        let before = self.io.line_mut().spent;
        let watch = Stopwatch::start();
        let result = call(&mut self.io);
        let all = watch.stop();
        self.framing += all.saturating_sub(self.io.line_mut().spent - before);
        result
    }
}

impl<U: ErrorType> ErrorType for Link<U> {
    type Error = IoError<U::Error>;
}

impl<U: Read + ReadReady + Write + WriteReady> Read for Link<U> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.measure(|io| io.read(buffer))
    }
}

impl<U: Read + ReadReady + Write + WriteReady> Write for Link<U> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.measure(|io| io.write(bytes))
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.measure(LinkIo::flush)
    }
}
