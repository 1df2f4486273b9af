//! The micro:bit's nRF51822, as QEMU has it: Cortex-M0, 16 MHz, without a tick of the core and without memory
//! protection. Nordic's nRF51 Series Reference Manual. The chip itself also needs its pins chosen for the UART, and
//! the crystal started.

use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::peripheral::NVIC;
use cortex_m_rt::{entry, exception};

/// A register of a peripheral.
#[derive(Clone, Copy)]
struct Register(usize);

impl Register {
    fn read(self) -> u32 {
        // SAFETY: the constants below name registers that this machine has, whose reads have no
        // effect but those documented.
        unsafe { read_volatile(self.0 as *const u32) }
    }

    fn write(self, value: u32) {
        // SAFETY: as above; none of these registers lets a peripheral write to RAM.
        unsafe { write_volatile(self.0 as *mut u32, value) }
    }
}

const UART_START_RX: Register = Register(0x4000_2000);
const UART_START_TX: Register = Register(0x4000_2008);
const UART_RECEIVED: Register = Register(0x4000_2108);
const UART_SENT: Register = Register(0x4000_211C);
const UART_INTERRUPT_ON: Register = Register(0x4000_2304);
const UART_INTERRUPT_OFF: Register = Register(0x4000_2308);
const UART_ENABLE: Register = Register(0x4000_2500);
const UART_RX: Register = Register(0x4000_2518);
const UART_TX: Register = Register(0x4000_251C);
const UART_BAUD: Register = Register(0x4000_2524);
const ENABLE: u32 = 4;
/// The fastest, 1 Mbit/s.
const BAUD: u32 = 0x1000_0000;
const ON_RECEIVED: u32 = 1 << 2;
const UART_IRQ: Irq = Irq(2);

/// Counts instructions: 32 bits, 16 MHz, never stopped.
const COUNTER: Timer = Timer(0x4000_8000);
/// Gives a tick a millisecond.
const TICK: Timer = Timer(0x4000_9000);
const TICK_IRQ: Irq = Irq(9);

/// A timer, and its registers.
#[derive(Clone, Copy)]
struct Timer(usize);

impl Timer {
    const START: usize = 0x000;
    const CAPTURE: usize = 0x040;
    const COMPARED: usize = 0x140;
    const SHORTS: usize = 0x200;
    const INTERRUPT_ON: usize = 0x304;
    const BITS: usize = 0x508;
    const PRESCALER: usize = 0x510;
    const VALUE: usize = 0x540;

    const fn at(self, offset: usize) -> Register {
        Register(self.0 + offset)
    }
}

const FLASH_READY: Register = Register(0x4001_E400);
const FLASH_MODE: Register = Register(0x4001_E504);
const FLASH_ERASE: Register = Register(0x4001_E508);
const READ_ONLY: u32 = 0;
const ERASE: u32 = 2;

#[derive(Clone, Copy)]
struct Irq(u16);

// SAFETY: the numbers are those of this machine's interrupts.
unsafe impl cortex_m::interrupt::InterruptNumber for Irq {
    fn number(self) -> u16 {
        self.0
    }
}

/// Whether the transmitter takes a byte whatever its last event was: before the first.
static NOTHING_SENT: AtomicBool = AtomicBool::new(true);

#[entry]
fn main() -> ! {
    crate::start()
}

pub fn init() {
    COUNTER.at(Timer::BITS).write(3);
    COUNTER.at(Timer::PRESCALER).write(0);
    COUNTER.at(Timer::START).write(1);
    // 1 MHz, and back to 0 with the tick.
    TICK.at(Timer::PRESCALER).write(4);
    TICK.at(Timer::VALUE).write(1000);
    TICK.at(Timer::SHORTS).write(1);
    TICK.at(Timer::INTERRUPT_ON).write(1 << 16);
    TICK.at(Timer::START).write(1);
    UART_BAUD.write(BAUD);
    UART_ENABLE.write(ENABLE);
    UART_START_RX.write(1);
    UART_START_TX.write(1);
    resume_receiving();
    // SAFETY: the handlers below are ready, and no critical section is open.
    unsafe {
        NVIC::unmask(UART_IRQ);
        NVIC::unmask(TICK_IRQ);
        cortex_m::interrupt::enable();
    }
}

/// Lets the receiver interrupt again, after the ring was full or at the start.
pub fn resume_receiving() {
    UART_INTERRUPT_ON.write(ON_RECEIVED);
}

/// Whether the transmitter takes a byte.
pub fn can_send() -> bool {
    UART_SENT.read() != 0 || NOTHING_SENT.load(Ordering::Relaxed)
}

/// Sends a byte, which the transmitter must be ready to take.
pub fn send(byte: u8) {
    NOTHING_SENT.store(false, Ordering::Relaxed);
    UART_SENT.write(0);
    UART_TX.write(byte.into());
}

/// Sleeps until an interrupt.
pub fn wait() {
    cortex_m::asm::wfi();
}

/// The instruction clock; it wraps.
pub fn ticks() -> u32 {
    // An interrupt's own look would change what was captured.
    critical_section::with(|_| {
        COUNTER.at(Timer::CAPTURE).write(1);
        COUNTER.at(Timer::VALUE).read()
    })
}

/// Instructions in so many ticks: under `-icount shift=6` one takes 64 ns, and a tick 62.5.
pub fn instructions(ticks: u32) -> u64 {
    u64::from(ticks) * 125 / 128
}

/// Erases a page of flash.
pub fn erase(page: usize) {
    FLASH_MODE.write(ERASE);
    FLASH_ERASE.write(page as u32);
    while FLASH_READY.read() == 0 {}
    FLASH_MODE.write(READ_ONLY);
}

#[exception]
unsafe fn DefaultHandler(irq: i16) {
    super::in_interrupt(|| match irq {
        2 => {
            let next = || {
                (UART_RECEIVED.read() != 0).then(|| {
                    UART_RECEIVED.write(0);
                    UART_RX.read() as u8
                })
            };
            if !super::receive(next) {
                // The byte stays in the UART until there is room.
                UART_INTERRUPT_OFF.write(ON_RECEIVED);
            }
        }
        9 => {
            TICK.at(Timer::COMPARED).write(0);
            super::tick();
        }
        _ => panic!("interrupt {irq} was not asked for"),
    });
}

/// Any fault. The stack may be what is at fault, so the handler takes it anew from the top.
// SAFETY: the runtime's vector table looks for this name, and only the core calls it.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn HardFault() -> ! {
    core::arch::naked_asm!(
        "ldr r0, =_stack_start",
        "mov sp, r0",
        "ldr r0, ={fault}",
        "bx r0",
        fault = sym fault,
    )
}

extern "C" fn fault() -> ! {
    semihosting::println!("stria error fault: the stack overflowed, or worse");
    super::exit(3)
}
