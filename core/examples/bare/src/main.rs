//! A client without an operating system, here on an STM32F405: USART1, its random numbers, and TIM2
//! as a clock of milliseconds. Elsewhere it is an empty program, so that the workspace builds.
//!
//!     cargo build -p stria-bare --target thumbv7em-none-eabihf
//!
//! The client's state is a static that takes no flash, and the link makes a serial line reliable.
//! A product has a start-up crate (`cortex-m-rt`) in place of `_start`, which sets the stack and the
//! clocks; `firmware-sim/firmware` is one that runs, with both.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod device;

#[cfg(not(target_os = "none"))]
fn main() {}
