//! Layers in slots, with rotations: N = 8192, and keys of their own.
//! DESIGN sections 5 and 9; [`crate::packing::slot`]. Base transfers and windows are those of every packing.

pub mod keys;
pub mod transfer;

use zeroize::Zeroize;

use self::keys::{SendKeys, read_rotations};
use self::transfer::{Object, ReceiveDownload, SendUpload};
use super::{ClientLinear, UploadSeeds, Workspace};
use crate::Error;
use crate::network::layer::Layer;
use crate::packing::slot::encoding::encode;
use crate::packing::slot::layout::SlotLayout;
use crate::packing::slot::params::{N, Poly};
use crate::packing::slot::rlwe::{SecretKey, add_errors};
use crate::protocol::frame::{Frame, FrameBuf};
use crate::protocol::greeting::SLOT_PARAMETER_SET;
use crate::random::{Kdf, Purpose};

#[cfg(feature = "server")]
pub use keys::SlotKeys;
#[cfg(feature = "server")]
pub use server::SlotLayer;

/// The client's half: about 100 KiB.
pub struct Slots {
    /// A key that serves layers alone.
    key: SecretKey,
    keys: SendKeys,
    /// The message being encrypted, or the ciphertext being decrypted.
    poly: Poly,
    /// The polynomial being sent; scratch of decryption.
    limb: Poly,
    /// Slots of an input, then of the last response.
    slots: Poly,
}

impl Zeroize for Slots {
    fn zeroize(&mut self) {
        self.key.zeroize();
        self.keys = SendKeys::EMPTY;
        self.wipe();
    }
}

impl ClientLinear for Slots {
    const EMPTY: Self = Self {
        key: SecretKey::zero(),
        keys: SendKeys::EMPTY,
        poly: [0; N],
        limb: [0; N],
        slots: [0; N],
    };
    const PARAMETER_SET: u16 = SLOT_PARAMETER_SET;
    const OWN_KEYS: bool = true;
    type Layout = SlotLayout;
    type Upload = SendUpload;
    type Download = ReceiveDownload;

    fn take_rotations(&mut self, frame: Frame<'_>, kdf: &Kdf) -> Result<(), Error> {
        self.keys = SendKeys::new(read_rotations(frame)?);
        self.key = SecretKey::generate(&kdf.seed(Purpose::SlotSecretKey, 0));
        Ok(())
    }

    fn poll_keys(&mut self, kdf: &Kdf, uploads: &mut u64, out: &mut FrameBuf) -> (usize, bool) {
        let poly = &mut self.poly;
        let upload = self.keys.current(|object| {
            let purposes = match object {
                Object::GaloisKey(_) => [Purpose::GaloisKeyA, Purpose::GaloisKeyError],
                _ => UploadSeeds::PUBLIC_KEY,
            };
            let seeds = UploadSeeds::next(kdf, uploads, purposes);
            // A public key is an encryption of zero. Galois keys make their errors themselves.
            poly.fill(0);
            add_errors(poly, &seeds.error);
            SendUpload::new(object, seeds)
        });
        let (len, sent) = upload.poll(&self.key, &self.poly, &mut self.limb, out);
        (len, sent && self.keys.advance())
    }

    fn layout(layer: &Layer) -> Result<SlotLayout, &'static str> {
        SlotLayout::new(layer)
    }

    fn upload(
        &mut self,
        _: &mut Workspace,
        layout: &SlotLayout,
        input: usize,
        seeds: UploadSeeds,
        value: impl FnMut(usize, usize, usize) -> u32,
    ) -> SendUpload {
        layout.pack_input(input, &mut self.slots, value);
        encode(&self.slots, &mut self.poly);
        add_errors(&mut self.poly, &seeds.error);
        SendUpload::new(Object::Ciphertext, seeds)
    }

    fn poll_upload(
        &mut self,
        _: &mut Workspace,
        upload: &mut SendUpload,
        out: &mut FrameBuf,
    ) -> (usize, bool) {
        upload.poll(&self.key, &self.poly, &mut self.limb, out)
    }

    fn receive(
        &mut self,
        _: &mut Workspace,
        _: &SlotLayout,
        download: &mut ReceiveDownload,
        frame: Frame<'_>,
    ) -> Result<bool, Error> {
        let polys = [&mut self.poly, &mut self.limb, &mut self.slots];
        download.handle(frame, &self.key, polys)
    }

    fn value(&self, _: &Workspace, slot: usize) -> u32 {
        self.slots[slot]
    }

    fn wipe(&mut self) {
        self.poly.zeroize();
        self.limb.zeroize();
        self.slots.zeroize();
    }
}

#[cfg(feature = "server")]
mod server {
    use super::transfer::{ReceiveUpload, SendDownload, limbs};
    use super::*;
    use crate::packing::Places;
    use crate::packing::slot::cipher::Ciphertext;
    use crate::packing::slot::conv::SlotWeights;
    use crate::packing::slot::galois::Element;
    use crate::packing::slot::params::CIPHERTEXT_BYTES;
    use crate::packing::slot::privacy::{Response, respond, uniform_mask};
    use crate::protocol::linear::{
        InputShare, Keys, LinearLayer, LinearRun, OutputShares, collect,
    };
    use crate::random::Seed;
    use crate::rlwe::ciphertext::zero_poly;
    use crate::rlwe::operations::Work;
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    /// The server's half.
    pub struct SlotLayer {
        layout: SlotLayout,
        weights: SlotWeights,
    }

    impl SlotLayer {
        /// A layer with its weights.
        pub fn new(layout: SlotLayout, weights: SlotWeights) -> Self {
            Self { layout, weights }
        }
    }

    impl LinearLayer for SlotLayer {
        fn places(&self) -> &dyn Places {
            &self.layout
        }

        fn rotations(&self) -> Vec<Element> {
            self.layout.rotations().collect()
        }

        fn begin(self: Arc<Self>) -> Box<dyn LinearRun> {
            Box::new(SlotRun {
                layer: self,
                receive: ReceiveUpload::new(Object::Ciphertext),
                inputs: Vec::new(),
                responses: Vec::new(),
                sent: 0,
                download: SendDownload::default(),
            })
        }
    }

    struct SlotRun {
        layer: Arc<SlotLayer>,
        receive: ReceiveUpload,
        inputs: Vec<Ciphertext>,
        responses: Vec<Response>,
        sent: usize,
        download: SendDownload,
    }

    impl LinearRun for SlotRun {
        fn receive(
            &mut self,
            frame: Frame<'_>,
            share: Option<&mut InputShare<'_>>,
        ) -> Result<Option<usize>, Error> {
            let Some((seed, polys)) = self.receive.handle(frame)? else {
                return Ok(None);
            };
            let mut c0 = limbs(&polys);
            if let Some(share) = share {
                let (mut slots, mut message) = (zero_poly(), zero_poly());
                let layout = &self.layer.layout;
                layout.pack_input(self.inputs.len(), &mut slots, share);
                encode(&slots, &mut message);
                Ciphertext::add_plaintext(&mut c0, &message);
                slots.zeroize();
                message.zeroize();
            }
            self.inputs.push(Ciphertext::from_wire(c0, &seed));
            Ok(Some(CIPHERTEXT_BYTES))
        }

        fn run(
            &mut self,
            keys: &Keys,
            seeds: &[Seed],
            shares: &OutputShares<'_>,
        ) -> Result<(Vec<u32>, Work), Error> {
            let SlotKeys { public, galois } =
                keys.slot.as_ref().ok_or(Error::Internal("no slot keys"))?;
            let SlotLayer { layout, weights } = &*self.layer;
            let (mut all, mut total) = (Vec::new(), Work::default());
            let parts = self.inputs.chunks_exact(layout.inputs_per_set);
            for (part, inputs) in parts.enumerate() {
                let rotated = weights.rotate_inputs(inputs, galois, &mut total)?;
                let make = |output: usize| {
                    let mut work = Work::default();
                    let at = (part % layout.sets, output);
                    let result = weights.output(&rotated, at, galois, &mut work)?;
                    let o = part * layout.outputs_per_set + output;
                    let mut mask = uniform_mask(&seeds[o]);
                    let mut message = zero_poly();
                    encode(&mask, &mut message);
                    let response = respond(result, public, &message, &seeds[o]);
                    let shares = shares(o, &mask[..]);
                    mask.zeroize();
                    message.zeroize();
                    Ok((response, shares, work))
                };
                let results = crate::parallel::map(layout.outputs_per_set, make);
                for result in results {
                    all.push(result?);
                }
            }
            let (responses, shares, work) = collect(all);
            self.responses = responses;
            self.inputs.clear();
            total.add(&work);
            Ok((shares, total))
        }

        fn poll(&mut self, out: &mut FrameBuf) -> Option<usize> {
            let response = self.responses.get(self.sent)?;
            let len = self.download.poll(response, out);
            if len.is_none() {
                self.sent += 1;
                self.download = SendDownload::default();
            }
            len
        }
    }
}
