//! A linear layer between the parties, in any packing: what the two state machines need of one.
//! `docs/design.md#segment-packing`, `#circuit-privacy` and `#baselines`. The client encrypts its
//! shares of the input, the server convolves these ciphertexts, and sends masked responses. [`segment`]
//! and [`slot`] say what each packing adds. The server's own share is convolved in the clear
//! ([`crate::clear`]).

pub mod segment;
pub mod slot;

use zeroize::Zeroize;

use super::activation::SCRATCH_WORDS;
use super::frame::{Frame, FrameBuf};
use super::transfer::{ReceiveResponse, SendUpload, UploadSeeds};
use crate::Error;
use crate::packing::Layout;
use crate::random::Kdf;
use crate::rlwe::ring::ring4096::{N, Poly};
use crate::rlwe::{ExactRing, Expansion, Ring, Ring4096, SecretKey, add_errors, encrypt_limb};

#[cfg(feature = "server")]
pub use server::*;

/// What the client computes with at N = 4096: base transfers and windows in every packing, layers in
/// segments.
pub struct Workspace {
    /// The session's RLWE key.
    pub key: SecretKey<Ring4096>,
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

    /// Key, polynomial, and the part of the scratch that is one.
    #[expect(clippy::unreachable, reason = "the length is N at least")]
    pub fn buffers(&mut self) -> Buffers<'_, Ring4096> {
        let scratch = (self.scratch.first_chunk_mut()).unwrap_or_else(|| unreachable!());
        Buffers {
            key: &self.key,
            poly: &mut self.poly,
            scratch: core::array::from_mut(scratch),
        }
    }
}

/// What ciphertexts and responses of a ring are worked on with.
pub struct Buffers<'a, R: Ring> {
    /// The secret key.
    pub key: &'a SecretKey<R>,
    /// The message being encrypted, or the ciphertext being decrypted.
    pub poly: &'a mut R::Poly,
    /// The polynomial being sent; scratch of decryption.
    pub scratch: &'a mut R::Scratch,
}

impl<R: Ring> Buffers<'_, R> {
    /// Writes the next frame of the ciphertext (of the message in `poly`, with its errors) or
    /// public key (zeros and errors) that `upload` sends; true with the last. Until then the
    /// buffers belong to it.
    pub fn poll(
        &mut self,
        upload: &mut SendUpload,
        expansion: Expansion,
        out: &mut FrameBuf,
    ) -> (usize, bool) {
        let (key, message) = (self.key, &*self.poly);
        let make = |limb, a: &_, out: &mut _| {
            encrypt_limb(key, limb, message, (a, expansion), out);
        };
        upload.poll::<R>(R::LIMBS, make, &mut self.scratch.as_mut()[0], out)
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
    /// The parameter set.
    type Ring: ExactRing;
    /// The layout of a layer.
    type Layout: Layout<Ring = Self::Ring>;

    /// Takes the frame that asks for keys.
    fn take_rotations(&mut self, frame: Frame<'_>, kdf: &Kdf) -> Result<(), Error>;

    /// Writes the next frame of those keys; true with the last.
    fn poll_keys(&mut self, kdf: &Kdf, uploads: &mut u64, out: &mut FrameBuf) -> (usize, bool);

    /// The buffers: the packing's own, or those of the workspace.
    fn buffers<'a>(&'a mut self, work: &'a mut Workspace) -> Buffers<'a, Self::Ring>;

    /// The polynomial of the buffers.
    fn poly<'a>(&'a self, work: &'a Workspace) -> &'a <Self::Ring as Ring>::Poly;

    /// Erases what an inference left.
    fn wipe(&mut self);

    /// Prepares input ciphertext `input`. `value` gives the client's share (residue mod t) at
    /// (channel, row, column) of the layer's input.
    fn upload(
        &mut self,
        work: &mut Workspace,
        layout: &Self::Layout,
        input: usize,
        seeds: UploadSeeds,
        value: impl FnMut(usize, usize, usize) -> u32,
    ) -> SendUpload {
        let Buffers { poly, .. } = self.buffers(work);
        layout.pack(input, poly, value);
        layout.encode(poly);
        add_errors(poly, &seeds.error);
        SendUpload::new(seeds.a)
    }

    /// Writes the next frame of an input ciphertext; true with the last. Until then the buffers
    /// belong to the upload.
    fn poll_upload(
        &mut self,
        work: &mut Workspace,
        upload: &mut SendUpload,
        out: &mut FrameBuf,
    ) -> (usize, bool) {
        (self.buffers(work)).poll(upload, Expansion::Ciphertext, out)
    }

    /// Takes the next frame of a response; true with the last. Then [`Self::value`] gives what it
    /// says, until the next upload or response.
    fn receive(
        &mut self,
        work: &mut Workspace,
        layout: &Self::Layout,
        response: &mut ReceiveResponse,
        frame: Frame<'_>,
    ) -> Result<bool, Error> {
        let Buffers { key, poly, scratch } = self.buffers(work);
        let last = response.handle(frame, layout, key, poly, scratch)?;
        if last {
            layout.decode(poly);
        }
        Ok(last)
    }

    /// The client's share at a coefficient of the last response, decoded.
    fn value(&self, work: &Workspace, coefficient: usize) -> u32 {
        self.poly(work).as_ref()[coefficient]
    }
}

#[cfg(feature = "server")]
mod server {
    use super::*;
    use crate::packing::{Places, RingOf, Weights};
    use crate::protocol::transfer::{ReceiveUpload, SendResponse, response_bytes};
    use crate::random::Seed;
    use crate::rlwe::galois::{Element, GaloisKeys};
    use crate::rlwe::{Ciphertext, Operations, PublicKey, Randomness, Ring8192, respond};
    use alloc::boxed::Box;
    use alloc::collections::VecDeque;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    /// What a client has sent for its layers.
    #[derive(Default)]
    pub struct Keys {
        /// The public key at N = 4096.
        pub public: Option<PublicKey<Ring4096>>,
        /// Those of slot packing.
        pub slot: Option<SlotKeys>,
    }

    /// A client's keys for slot packing.
    pub struct SlotKeys {
        /// Its public key.
        pub public: PublicKey<Ring8192>,
        /// Its Galois keys.
        pub galois: GaloisKeys,
    }

    /// The server's half of a packing, for one layer; sessions share it.
    pub trait LinearLayer: Send + Sync {
        /// The layout.
        fn places(&self) -> &dyn Places;
        /// The automorphisms that it needs keys for.
        fn rotations(&self) -> Vec<Element>;
        /// Makes the plaintext factors that are kept.
        fn prepare(&self);
        /// Bytes of an inference's input ciphertexts, and of its responses until they are sent.
        fn bytes(&self) -> (usize, usize);
        /// Begins the layer in a batch of inferences.
        fn begin(self: Arc<Self>) -> Box<dyn LinearRun>;
    }

    /// Weights of a packing, with the keys that a client has for it.
    pub trait ServerWeights: Weights {
        /// The automorphisms that the layer needs keys for.
        fn rotations(&self) -> Vec<Element>;
        /// The keys for its responses and for its products.
        fn keys(keys: &Keys) -> Option<(&PublicKey<RingOf<Self>>, &Self::Keys)>;
    }

    impl<W: ServerWeights> LinearLayer for W {
        fn places(&self) -> &dyn Places {
            self.layout()
        }

        fn rotations(&self) -> Vec<Element> {
            ServerWeights::rotations(self)
        }

        fn prepare(&self) {
            Weights::prepare(self);
        }

        fn bytes(&self) -> (usize, usize) {
            let layout = self.layout();
            let ciphertext = 2 * RingOf::<W>::LIMBS * size_of::<<RingOf<W> as Ring>::Poly>();
            let response = response_bytes::<RingOf<W>>(layout);
            (layout.inputs() * ciphertext, layout.outputs() * response)
        }

        fn begin(self: Arc<Self>) -> Box<dyn LinearRun> {
            Box::new(Run {
                weights: self,
                receive: ReceiveUpload::limbs(),
                inputs: Vec::new(),
                responses: VecDeque::new(),
            })
        }
    }

    /// The server's shares of y of an output ciphertext, in order, from the ciphertext's number and
    /// the mask's values.
    pub type OutputShares<'a> = dyn Fn(usize, &[u32]) -> Vec<u32> + Sync + 'a;

    /// A layer of a batch of inferences, which are in order wherever there is something of each.
    pub trait LinearRun: Send {
        /// Takes a frame of the next input ciphertext; with its last frame gives the ciphertext's
        /// bytes.
        fn receive(&mut self, frame: Frame<'_>) -> Result<Option<usize>, Error>;

        /// Makes all responses, each from a seed of its own, and the server's shares of y of each
        /// inference.
        fn run(
            &mut self,
            keys: &Keys,
            seeds: Vec<Seed>,
            shares: &OutputShares<'_>,
        ) -> Result<(Vec<Vec<u32>>, Operations), Error>;

        /// Writes the next frame of the next response; none once after the last of each.
        fn poll(&mut self, out: &mut FrameBuf) -> Option<usize>;
    }

    struct Run<W: ServerWeights> {
        weights: Arc<W>,
        receive: ReceiveUpload<RingOf<W>>,
        inputs: Vec<Ciphertext<RingOf<W>>>,
        /// Those that are not sent yet. Each has an output, so the parties go on to an inference's next
        /// layer only when all its responses here are sent.
        responses: VecDeque<SendResponse>,
    }

    impl<W: ServerWeights> LinearRun for Run<W> {
        fn receive(&mut self, frame: Frame<'_>) -> Result<Option<usize>, Error> {
            let Some((seed, c0)) = self.receive.handle(frame)? else {
                return Ok(None);
            };
            self.inputs.push(Ciphertext::from_wire(c0, &seed));
            Ok(Some(RingOf::<W>::upload_bytes()))
        }

        fn run(
            &mut self,
            keys: &Keys,
            seeds: Vec<Seed>,
            shares: &OutputShares<'_>,
        ) -> Result<(Vec<Vec<u32>>, Operations), Error> {
            let missing = Error::Internal("no keys for this packing");
            let (public, keys) = W::keys(keys).ok_or(missing)?;
            let layout = self.weights.layout();
            let randomness: Vec<_> = seeds.into_iter().map(Randomness::new).collect();
            let finish = |i: usize, sum| {
                let mask = layout.mask(&randomness[i]);
                let response = respond(sum, public, &mask.message, &randomness[i]);
                let shares = shares(i % layout.outputs(), mask.values.as_ref().as_ref());
                (SendResponse::new(&response, layout), shares)
            };
            let mut operations = Operations::default();
            let results = (self.weights).apply(&self.inputs, keys, &mut operations, finish)?;
            let mut results = results.into_iter();
            let mut all = Vec::new();
            for _ in 0..self.inputs.len() / layout.inputs() {
                let of_inference: Vec<_> = results.by_ref().take(layout.outputs()).collect();
                // One allocation, so that no copy of a share stays behind.
                let count = of_inference.iter().map(|(_, shares)| shares.len()).sum();
                let mut joined = Vec::with_capacity(count);
                for (response, mut shares) in of_inference {
                    self.responses.push_back(response);
                    joined.append(&mut shares);
                    shares.zeroize();
                }
                all.push(joined);
            }
            self.inputs = Vec::new();
            Ok((all, operations))
        }

        fn poll(&mut self, out: &mut FrameBuf) -> Option<usize> {
            let len = self.responses.front_mut()?.poll(out);
            if len.is_none() {
                self.responses.pop_front();
            }
            len
        }
    }
}
