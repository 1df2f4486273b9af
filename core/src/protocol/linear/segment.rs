//! Layers in segments, and in one segment, which is coefficient packing: N = 4096, no keys but the
//! session's. `docs/design.md#parameters`, `#segment-packing` and `#circuit-privacy`;
//! [`crate::packing::segment`].

use zeroize::Zeroize;

use super::{Buffers, ClientLinear, Workspace};
use crate::Error;
use crate::packing::segment::SegmentLayout;
use crate::protocol::frame::{Frame, FrameBuf};
use crate::protocol::greeting::PARAMETER_SET;
use crate::random::Kdf;
use crate::rlwe::Ring4096;
use crate::rlwe::ring::ring4096::Poly;

/// The client's half. It has no memory of its own.
pub struct Segments;

impl Zeroize for Segments {
    fn zeroize(&mut self) {}
}

impl ClientLinear for Segments {
    const EMPTY: Self = Self;
    const PARAMETER_SET: u16 = PARAMETER_SET;
    const OWN_KEYS: bool = false;
    type Ring = Ring4096;
    type Layout = SegmentLayout;

    fn take_rotations(&mut self, frame: Frame<'_>, _: &Kdf) -> Result<(), Error> {
        Err(frame.unexpected())
    }

    fn poll_keys(&mut self, _: &Kdf, _: &mut u64, _: &mut FrameBuf) -> (usize, bool) {
        (0, true)
    }

    fn buffers<'a>(&'a mut self, work: &'a mut Workspace) -> Buffers<'a, Ring4096> {
        work.buffers()
    }

    fn poly<'a>(&'a self, work: &'a Workspace) -> &'a Poly {
        &work.poly
    }

    fn wipe(&mut self) {}
}

#[cfg(feature = "server")]
mod server {
    use crate::packing::segment::SegmentWeights;
    use crate::protocol::linear::{Keys, ServerWeights};
    use crate::rlwe::galois::Element;
    use crate::rlwe::{PublicKey, Ring4096};
    use alloc::vec::Vec;

    impl ServerWeights for SegmentWeights {
        fn rotations(&self) -> Vec<Element> {
            Vec::new()
        }

        fn keys(keys: &Keys) -> Option<(&PublicKey<Ring4096>, &())> {
            Some((keys.public.as_ref()?, &()))
        }
    }
}
