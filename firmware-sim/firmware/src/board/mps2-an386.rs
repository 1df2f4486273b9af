//! QEMU's mps2-an386: Cortex-M4F, CMSDK UART and timer at 25 MHz.
//! Arm's Application Note AN386, and the CMSDK's technical reference manual.

use core::ptr::{read_volatile, write_volatile};

use cortex_m::peripheral::NVIC;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{entry, exception};

const CLOCK: u32 = 25_000_000;

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
        // SAFETY: as above; none of these registers lets a peripheral write to memory.
        unsafe { write_volatile(self.0 as *mut u32, value) }
    }
}

const UART_DATA: Register = Register(0x4000_4000);
const UART_STATE: Register = Register(0x4000_4004);
const UART_CONTROL: Register = Register(0x4000_4008);
const UART_INTERRUPT: Register = Register(0x4000_400C);
const UART_DIVIDER: Register = Register(0x4000_4010);
const TX_FULL: u32 = 1;
const RX_FULL: u32 = 2;
/// Transmitter and receiver on.
const ENABLE: u32 = 0b11;
const RX_INTERRUPT: u32 = 0b1000;
const RX_IRQ: Irq = Irq(0);

const TIMER_CONTROL: Register = Register(0x4000_0000);
const TIMER_VALUE: Register = Register(0x4000_0004);
const TIMER_RELOAD: Register = Register(0x4000_0008);

#[derive(Clone, Copy)]
struct Irq(u16);

// SAFETY: the numbers are those of this machine's interrupts.
unsafe impl cortex_m::interrupt::InterruptNumber for Irq {
    fn number(self) -> u16 {
        self.0
    }
}

#[entry]
fn main() -> ! {
    crate::start()
}

/// Takes away all access to the 256 MiB below RAM: region 0 of the memory protection unit. A stack
/// that overflows faults, however large the step; on this machine it would else write to nowhere.
/// Fault handlers are not subject to it.
fn guard_stack(core: &mut cortex_m::Peripherals) {
    const BELOW_RAM: u32 = 0x1000_0000;
    const VALID_REGION_0: u32 = 1 << 4;
    /// No access, never executed, 2^(27 + 1) bytes, on.
    const NO_ACCESS: u32 = 1 << 28 | 27 << 1 | 1;
    const ON_WITH_DEFAULT_MAP: u32 = 0b101;
    // SAFETY: takes away the access to memory that does not exist.
    unsafe {
        core.MPU.rbar.write(BELOW_RAM | VALID_REGION_0);
        core.MPU.rasr.write(NO_ACCESS);
        core.MPU.ctrl.write(ON_WITH_DEFAULT_MAP);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

pub fn init() {
    TIMER_RELOAD.write(u32::MAX);
    TIMER_VALUE.write(u32::MAX);
    TIMER_CONTROL.write(1);
    UART_DIVIDER.write(CLOCK / 921_600);
    UART_CONTROL.write(ENABLE);
    if let Some(mut core) = cortex_m::Peripherals::take() {
        guard_stack(&mut core);
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(CLOCK / 1000 - 1);
        core.SYST.clear_current();
        core.SYST.enable_counter();
        core.SYST.enable_interrupt();
    }
    resume_receiving();
    // SAFETY: the handlers below are ready, and no critical section is open.
    unsafe {
        NVIC::unmask(RX_IRQ);
        cortex_m::interrupt::enable();
    }
}

/// Lets the receiver interrupt again, after the ring was full or at the start. A byte that is
/// there already raises no interrupt of itself.
pub fn resume_receiving() {
    if UART_CONTROL.read() & RX_INTERRUPT == 0 {
        UART_CONTROL.write(ENABLE | RX_INTERRUPT);
        NVIC::pend(RX_IRQ);
    }
}

/// Whether the transmitter takes a byte.
pub fn can_send() -> bool {
    UART_STATE.read() & TX_FULL == 0
}

/// Sends a byte, which the transmitter must be ready to take.
pub fn send(byte: u8) {
    UART_DATA.write(byte.into());
}

/// Sleeps until an interrupt.
pub fn wait() {
    cortex_m::asm::wfi();
}

/// The instruction clock; it wraps.
pub fn ticks() -> u32 {
    !TIMER_VALUE.read()
}

/// Instructions in so many ticks: under `-icount shift=6` one takes 64 ns, and a tick 40.
pub fn instructions(ticks: u32) -> u64 {
    u64::from(ticks) * 40 / 64
}

#[exception]
fn SysTick() {
    super::in_interrupt(super::tick);
}

#[exception]
unsafe fn DefaultHandler(irq: i16) {
    if irq != RX_IRQ.0 as i16 {
        panic!("interrupt {irq} was not asked for");
    }
    super::in_interrupt(|| {
        UART_INTERRUPT.write(RX_FULL);
        let next = || (UART_STATE.read() & RX_FULL != 0).then(|| UART_DATA.read() as u8);
        if !super::receive(next) {
            // The byte stays in the UART until there is room.
            UART_CONTROL.write(ENABLE);
        }
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
        "b {fault}",
        fault = sym fault,
    )
}

extern "C" fn fault() -> ! {
    semihosting::println!("stria error fault: the stack overflowed, or worse");
    super::exit(3)
}
