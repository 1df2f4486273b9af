//! Seconds of the linear part of a layer, from its counts and a machine's constants.

use stria_core::packing::Packing;

use super::linear::Linear;
use crate::report::Constants;

/// Seconds of the linear part of a layer, by who works.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct LinearSeconds {
    /// Client: all ciphertexts up.
    pub encrypt: f64,
    /// Server: the same.
    pub receive: f64,
    /// Server: products.
    pub products: f64,
    /// Server: rotations for taps.
    pub internal_rotations: f64,
    /// Server: rotations for channels.
    pub external_rotations: f64,
    /// Server: responses.
    pub respond: f64,
    /// Client: all ciphertexts down.
    pub decrypt: f64,
}

impl LinearSeconds {
    /// Server: all that it does between the ciphertexts up and down.
    pub fn compute(&self) -> f64 {
        self.products + self.internal_rotations + self.external_rotations + self.respond
    }
}

/// Seconds of the linear part of a layer; `kept` says whether the server keeps its transformed
/// weights.
pub(super) fn linear(
    constants: &Constants,
    packing: Packing,
    linear: &Linear,
    kept: bool,
) -> LinearSeconds {
    let ring = match packing {
        Packing::Segment | Packing::Coefficient => &constants.segment,
        Packing::Slot => &constants.slot,
    };
    let product = if kept {
        ring.product
    } else {
        ring.fresh_product
    };
    let (inputs, outputs) = (linear.inputs as f64, linear.outputs() as f64);
    let (internal, external) = (linear.internal_rotations, linear.external_rotations);
    // Every rotation for channels is of another ciphertext; those for taps share theirs.
    let shared = linear.decompositions - external;
    let taps = internal as f64 * constants.key_switch + shared as f64 * constants.decompose;
    let channels = external as f64 * (constants.key_switch + constants.decompose);
    let slower = |jobs| uneven(jobs, constants.cores);
    LinearSeconds {
        encrypt: inputs * ring.encrypt,
        receive: inputs * ring.receive,
        products: linear.products as f64 * product * slower(linear.jobs.outputs),
        internal_rotations: taps * slower(linear.jobs.inputs),
        external_rotations: channels * slower(linear.jobs.channels),
        respond: outputs * ring.respond * slower(linear.jobs.outputs),
        decrypt: outputs * ring.decrypt,
    }
}

/// How many times as long so many equal jobs take as on cores that are all busy to the end.
fn uneven(jobs: usize, cores: usize) -> f64 {
    let jobs = jobs.max(1);
    jobs.next_multiple_of(cores) as f64 / jobs as f64
}
