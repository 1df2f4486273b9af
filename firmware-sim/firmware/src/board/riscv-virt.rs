//! QEMU's riscv32 virt: one RV32IMAC hart, a 16550 UART, PLIC and CLINT.

use core::arch::{asm, global_asm};
use core::ptr::{read_volatile, write_volatile};

use riscv_rt::entry;

/// The CLINT's clock.
const CLOCK: u64 = 10_000_000;

/// A register of a peripheral, 8 or 32 bits wide.
#[derive(Clone, Copy)]
struct Register<T>(usize, core::marker::PhantomData<T>);

impl<T> Register<T> {
    const fn new(address: usize) -> Self {
        Self(address, core::marker::PhantomData)
    }

    fn read(self) -> T {
        // SAFETY: the constants below name registers that this machine has, whose reads have no
        // effect but those documented.
        unsafe { read_volatile(self.0 as *const T) }
    }

    fn write(self, value: T) {
        // SAFETY: as above; none of these registers lets a peripheral write to memory.
        unsafe { write_volatile(self.0 as *mut T, value) }
    }
}

const UART: usize = 0x1000_0000;
const UART_DATA: Register<u8> = Register::new(UART);
const UART_INTERRUPTS: Register<u8> = Register::new(UART + 1);
const UART_FIFO: Register<u8> = Register::new(UART + 2);
const UART_LINE: Register<u8> = Register::new(UART + 3);
const UART_STATUS: Register<u8> = Register::new(UART + 5);
const DATA_READY: u8 = 1;
const SENDER_EMPTY: u8 = 1 << 5;

const UART_IRQ: u32 = 10;
const PLIC: usize = 0x0C00_0000;
const PLIC_PRIORITY: Register<u32> = Register::new(PLIC + 4 * UART_IRQ as usize);
const PLIC_ENABLE: Register<u32> = Register::new(PLIC + 0x2000);
const PLIC_THRESHOLD: Register<u32> = Register::new(PLIC + 0x20_0000);
const PLIC_CLAIM: Register<u32> = Register::new(PLIC + 0x20_0004);

const CLINT: usize = 0x0200_0000;
const TIME_COMPARE: [Register<u32>; 2] =
    [Register::new(CLINT + 0x4000), Register::new(CLINT + 0x4004)];
const TIME: [Register<u32>; 2] = [Register::new(CLINT + 0xBFF8), Register::new(CLINT + 0xBFFC)];

unsafe extern "C" {
    /// Lowest address of the stack; the linker script's.
    static _stack_end: u32;
}

#[entry]
fn main() -> ! {
    crate::start()
}

/// Locks the 512 KiB below the stack, for machine mode too: entry 0 of the memory protection, an
/// aligned power of two without any permission. A stack that overflows faults.
fn guard_stack() {
    const SIZE: usize = 512 << 10;
    const LOCKED_NAPOT: usize = 0b1001_1000;
    let start = &raw const _stack_end as usize - SIZE;
    // SAFETY: the trap entry is ready; then takes away the access to memory that nothing uses.
    unsafe {
        asm!("csrw mtvec, {}", in(reg) trap_entry as *const () as usize);
        asm!("csrw pmpaddr0, {}", in(reg) start >> 2 | (SIZE / 8 - 1));
        asm!("csrw pmpcfg0, {}", in(reg) LOCKED_NAPOT);
    }
}

pub fn init() {
    guard_stack();
    // The divisor's latch, then 8 bits, no parity.
    UART_LINE.write(0x80);
    UART_DATA.write(1);
    UART_INTERRUPTS.write(0);
    UART_LINE.write(3);
    // FIFOs on, with an interrupt at 14 bytes.
    UART_FIFO.write(0xC1);
    UART_INTERRUPTS.write(1);
    PLIC_PRIORITY.write(1);
    PLIC_ENABLE.write(1 << UART_IRQ);
    PLIC_THRESHOLD.write(0);
    next_tick();
    // SAFETY: the handlers below are ready; external and timer interrupts, then all.
    unsafe {
        asm!("csrs mie, {}", in(reg) 1 << 11 | 1 << 7);
        asm!("csrsi mstatus, 8");
    }
}

fn next_tick() {
    let now = loop {
        let high = TIME[1].read();
        let low = TIME[0].read();
        if TIME[1].read() == high {
            break u64::from(high) << 32 | u64::from(low);
        }
    };
    let next = now + CLOCK / 1000;
    TIME_COMPARE[1].write(u32::MAX);
    TIME_COMPARE[0].write(next as u32);
    TIME_COMPARE[1].write((next >> 32) as u32);
}

/// Lets the receiver interrupt again, after the ring was full.
pub fn resume_receiving() {
    if UART_INTERRUPTS.read() == 0 {
        UART_INTERRUPTS.write(1);
    }
}

/// Whether the transmitter takes a byte.
pub fn can_send() -> bool {
    UART_STATUS.read() & SENDER_EMPTY != 0
}

/// Sends a byte, which the transmitter must be ready to take.
pub fn send(byte: u8) {
    UART_DATA.write(byte);
}

/// Sleeps until an interrupt.
pub fn wait() {
    riscv::asm::wfi();
}

/// The instruction clock; it wraps.
pub fn ticks() -> u32 {
    let count;
    // SAFETY: reads a counter.
    unsafe { asm!("csrr {}, minstret", out(reg) count, options(nomem, nostack)) };
    count
}

/// Instructions in so many ticks.
pub fn instructions(ticks: u32) -> u64 {
    ticks.into()
}

#[unsafe(no_mangle)]
extern "C" fn MachineTimer() {
    super::in_interrupt(|| {
        super::tick();
        next_tick();
    });
}

#[unsafe(no_mangle)]
extern "C" fn MachineExternal() {
    super::in_interrupt(|| {
        let irq = PLIC_CLAIM.read();
        if irq == UART_IRQ {
            let next = || (UART_STATUS.read() & DATA_READY != 0).then(|| UART_DATA.read());
            if !super::receive(next) {
                // What comes stays in the FIFO until there is room.
                UART_INTERRUPTS.write(0);
            }
        }
        if irq != 0 {
            PLIC_CLAIM.write(irq);
        }
    });
}

// Traps come here first. Interrupts go on to the runtime's entry. Any exception is fatal; since the
// stack may be what is at fault, its handler takes it anew from the top, where the runtime's entry
// would first save registers to it.
global_asm!(
    ".balign 4",
    "trap_entry:",
    "csrw mscratch, t0",
    "csrr t0, mcause",
    "bgez t0, 1f",
    "csrr t0, mscratch",
    "j _start_trap",
    "1: la sp, _stack_start",
    "j {fault}",
    fault = sym fault,
);

unsafe extern "C" {
    fn trap_entry();
}

extern "C" fn fault() -> ! {
    semihosting::println!("stria error fault: the stack overflowed, or worse");
    super::exit(3)
}
