//! The result and the counts as lines `stria KEY VALUE...` on the debug channel, which the runner
//! reads and a person can.

use semihosting::println;

use crate::board;
use crate::meter::{Meter, Work};
use crate::picture::Picture;
use crate::stack;

/// Prints everything; `framing` is what the link took.
pub fn print(picture: &Picture, meter: &Meter, framing: u64) {
    let (stack, peak) = stack::size_and_peak();
    let logits = picture.logits();
    let probabilities = picture.probabilities();
    for (class, (logit, p)) in logits.iter().zip(probabilities).enumerate() {
        println!("stria class {} {} {}", class, logit, (p * 1e6) as u32);
    }
    // Of equal logits the first counts.
    let best = (0..logits.len()).rev().max_by_key(|&class| logits[class]);
    if let Some(best) = best {
        println!("stria top1 {}", best);
    }
    let counts = [
        ("keygen", meter.instructions(Work::Keys)),
        ("base_ot", meter.instructions(Work::BaseTransfers)),
        ("encrypt", meter.instructions(Work::Encryption)),
        ("decrypt", meter.instructions(Work::Decryption)),
        ("prepare", meter.instructions(Work::Preparing)),
        ("answer", meter.instructions(Work::Answering)),
        ("other", meter.instructions(Work::Other)),
        ("framing", framing),
        ("line", board::interrupt_instructions()),
        ("encryptions", meter.encryptions().into()),
        ("decryptions", meter.decryptions().into()),
        ("activations", meter.activations().into()),
        ("stack_size", stack as u64),
        ("stack_peak", peak as u64),
    ];
    for (name, count) in counts {
        println!("stria {} {}", name, count);
    }
    #[cfg(program = "answers")]
    println!("stria tickets_left {}", board::tickets_left());
}
