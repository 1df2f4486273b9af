//! The stack's high-water mark, by painting: what is below the stack pointer at the start is
//! filled with a pattern, and what is still painted at the end was never used.

const PAINT: u32 = 0xC5C5_C5C5;
/// Bytes right below the stack pointer that are left alone while painting.
const MARGIN: usize = 64;

unsafe extern "C" {
    /// Lowest address of the stack; the linker script's.
    static mut _stack_end: u32;
    /// One above its highest; the linker script's.
    static mut _stack_start: u32;
}

fn bounds() -> (usize, usize) {
    (
        &raw const _stack_end as usize,
        &raw const _stack_start as usize,
    )
}

/// Paints the free part of the stack.
#[inline(never)]
pub fn paint() {
    let here = 0u32;
    let (end, _) = bounds();
    let free = (&raw const here as usize).saturating_sub(MARGIN + end) / 4;
    for i in 0..free {
        // SAFETY: between the stack's end and this frame nothing lives; interrupts are still off.
        unsafe { (&raw mut _stack_end).add(i).write_volatile(PAINT) };
    }
}

/// Bytes that the stack has, and the most that were in use.
pub fn size_and_peak() -> (usize, usize) {
    let (end, start) = bounds();
    let mut at = end;
    // SAFETY: reads words of the stack's own memory.
    while at < start && unsafe { (at as *const u32).read_volatile() } == PAINT {
        at += 4;
    }
    (start - end, start - at)
}
