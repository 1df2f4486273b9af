//! A linear layer between the parties, in any packing: what the two state machines need of one.
//! DESIGN sections 4, 5 and 9. The packings are [`segment`], which is also coefficient packing, and
//! [`slot`]; each file holds both parties' halves.

pub mod segment;
pub mod slot;

use zeroize::Zeroize;

use super::activation::SCRATCH_WORDS;
use super::frame::{Frame, FrameBuf};
use crate::Error;
use crate::arith::transform::Poly;
use crate::network::layer::Layer;
use crate::packing::Places;
use crate::params::N;
use crate::random::{Kdf, Purpose, Seed};
use crate::rlwe::SecretKey;

#[cfg(feature = "server")]
pub use server::*;

/// What the client computes with at N = 4096: base transfers and windows in every packing, layers in
/// segments.
pub struct Workspace {
    /// The RLWE key in use: first that of the forward base transfers, then the session's.
    pub key: SecretKey,
    /// The polynomial being encrypted or decrypted.
    pub poly: Poly,
    /// Scratch of transforms, extensions and base transfers.
    pub scratch: [u32; SCRATCH_WORDS],
}

impl Workspace {
    pub(super) const EMPTY: Self = Self {
        key: SecretKey::zero(),
        poly: [0; N],
        scratch: [0; SCRATCH_WORDS],
    };

    /// Erases polynomial and scratch.
    pub fn wipe(&mut self) {
        self.poly.zeroize();
        self.scratch.zeroize();
    }
}

/// The part of the scratch that is a polynomial.
pub fn limb(scratch: &mut [u32; SCRATCH_WORDS]) -> &mut Poly {
    // The length is a constant above N.
    scratch.first_chunk_mut().unwrap_or_else(|| unreachable!())
}

/// The seeds of one upload.
pub struct UploadSeeds {
    /// Public: gives c1 of a ciphertext, or a of a key.
    pub a: Seed,
    /// Gives the errors.
    pub error: Seed,
}

impl UploadSeeds {
    /// Purposes of a ciphertext's seeds.
    pub const CIPHERTEXT: [Purpose; 2] = [Purpose::CiphertextA, Purpose::CiphertextError];
    /// Purposes of a public key's seeds.
    pub const PUBLIC_KEY: [Purpose; 2] = [Purpose::PublicKeyA, Purpose::PublicKeyError];

    /// The seeds of the next upload, of which `uploads` counts all.
    pub fn next(kdf: &Kdf, uploads: &mut u64, [a, error]: [Purpose; 2]) -> Self {
        *uploads += 1;
        Self {
            a: kdf.seed(a, *uploads - 1),
            error: kdf.seed(error, *uploads - 1),
        }
    }
}

/// The client's half of a packing: a value of fixed size, erased by its `zeroize`.
pub trait ClientLinear: Zeroize {
    /// Of no session. In segments all its bytes are zero: it has none.
    const EMPTY: Self;
    /// What the greeting names; see [`crate::protocol::greeting`].
    const PARAMETER_SET: u16;
    /// Whether the server asks for keys after the base transfers.
    const OWN_KEYS: bool;
    /// The layout of a layer.
    type Layout: Places + Copy;
    /// An input ciphertext under way.
    type Upload;
    /// A response under way.
    type Download: Default;

    /// Takes the frame that asks for keys.
    fn take_rotations(&mut self, frame: Frame<'_>, kdf: &Kdf) -> Result<(), Error>;

    /// Writes the next frame of those keys; true with the last.
    fn poll_keys(&mut self, kdf: &Kdf, uploads: &mut u64, out: &mut FrameBuf) -> (usize, bool);

    /// Checks a layer's description and lays it out. The error says what is wrong.
    fn layout(layer: &Layer) -> Result<Self::Layout, &'static str>;

    /// Prepares input ciphertext `input`. `value` gives the client's share (residue mod t) at
    /// (channel, row, column) of the layer's input.
    fn upload(
        &mut self,
        work: &mut Workspace,
        layout: &Self::Layout,
        input: usize,
        seeds: UploadSeeds,
        value: impl FnMut(usize, usize, usize) -> u32,
    ) -> Self::Upload;

    /// Writes the next frame of an input ciphertext; true with the last. Until then the workspace
    /// belongs to the upload.
    fn poll_upload(
        &mut self,
        work: &mut Workspace,
        upload: &mut Self::Upload,
        out: &mut FrameBuf,
    ) -> (usize, bool);

    /// Takes the next frame of a response; true with the last. Then [`Self::value`] gives what it
    /// says, until the next upload or download.
    fn receive(
        &mut self,
        work: &mut Workspace,
        layout: &Self::Layout,
        download: &mut Self::Download,
        frame: Frame<'_>,
    ) -> Result<bool, Error>;

    /// The client's share at a coefficient (of a segment) or slot of the last response.
    fn value(&self, work: &Workspace, coefficient: usize) -> u32;

    /// Erases what an inference left.
    fn wipe(&mut self);
}

#[cfg(feature = "server")]
mod server {
    use super::*;
    use crate::packing::slot::galois::Element;
    use crate::rlwe::operations::Work;
    use crate::rlwe::respond::PublicKey;
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    /// What a client has sent for its layers.
    #[derive(Default)]
    pub struct Keys {
        /// The public key at N = 4096.
        pub public: Option<PublicKey>,
        /// Those of slot packing.
        pub slot: Option<slot::SlotKeys>,
    }

    /// The server's half of a packing, for one layer; sessions share it.
    pub trait LinearLayer: Send + Sync {
        /// The layout.
        fn places(&self) -> &dyn Places;
        /// The automorphisms that it needs keys for.
        fn rotations(&self) -> Vec<Element>;
        /// Begins the layer in one inference.
        fn begin(self: Arc<Self>) -> Box<dyn LinearRun>;
    }

    /// The server's share of a layer's input at (channel, row, column): a residue mod t.
    pub type InputShare<'a> = dyn FnMut(usize, usize, usize) -> u32 + 'a;
    /// The server's shares of y of an output ciphertext, in order, from the ciphertext's number and
    /// the decoded mask.
    pub type OutputShares<'a> = dyn Fn(usize, &[u32]) -> Vec<u32> + Sync + 'a;

    /// A layer of one inference.
    pub trait LinearRun: Send {
        /// Takes a frame of the next input ciphertext. With its last frame adds the server's share,
        /// if there is one, and gives the ciphertext's bytes.
        fn receive(
            &mut self,
            frame: Frame<'_>,
            share: Option<&mut InputShare<'_>>,
        ) -> Result<Option<usize>, Error>;

        /// Makes all responses, each from a seed of its own, and the server's shares of y.
        fn run(
            &mut self,
            keys: &Keys,
            seeds: &[Seed],
            shares: &OutputShares<'_>,
        ) -> Result<(Vec<u32>, Work), Error>;

        /// Writes the next frame of the next response; none once after the last of each.
        fn poll(&mut self, out: &mut FrameBuf) -> Option<usize>;
    }

    /// Puts together what was made for each output ciphertext: response, shares, work.
    pub(super) fn collect<R>(results: Vec<(R, Vec<u32>, Work)>) -> (Vec<R>, Vec<u32>, Work) {
        // One allocation, so that no copy of a share stays behind.
        let count = results.iter().map(|(_, shares, _)| shares.len()).sum();
        let (mut responses, mut all) = (Vec::new(), Vec::with_capacity(count));
        let mut work = Work::default();
        for (response, mut shares, done) in results {
            responses.push(response);
            all.append(&mut shares);
            shares.zeroize();
            work.add(&done);
        }
        (responses, all, work)
    }
}
