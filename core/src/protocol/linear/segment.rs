//! Layers in segments, and in one segment, which is coefficient packing: N = 4096, no keys but the
//! session's. DESIGN sections 3 to 5; [`crate::packing::segment`], [`crate::rlwe::ciphertext`], [`crate::rlwe::respond`].

use zeroize::Zeroize;

use super::{ClientLinear, UploadSeeds, Workspace, limb};
use crate::Error;
use crate::network::layer::{Layer, Layout};
use crate::packing::segment::{self, pack_input};
use crate::protocol::download::ReceiveDownload;
use crate::protocol::frame::{Frame, FrameBuf};
use crate::protocol::greeting::PARAMETER_SET;
use crate::protocol::upload::SendUpload;
use crate::random::Kdf;
use crate::rlwe::{Expansion, add_errors};

#[cfg(feature = "server")]
pub use server::SegmentLayer;

/// The client's half. It has no memory of its own.
pub struct Segments;

impl Zeroize for Segments {
    fn zeroize(&mut self) {}
}

impl ClientLinear for Segments {
    const EMPTY: Self = Self;
    const PARAMETER_SET: u16 = PARAMETER_SET;
    const OWN_KEYS: bool = false;
    type Layout = Layout;
    type Upload = SendUpload;
    type Download = ReceiveDownload;

    fn take_rotations(&mut self, frame: Frame<'_>, _: &Kdf) -> Result<(), Error> {
        Err(frame.unexpected())
    }

    fn poll_keys(&mut self, _: &Kdf, _: &mut u64, _: &mut FrameBuf) -> (usize, bool) {
        (0, true)
    }

    fn layout(layer: &Layer) -> Result<Layout, &'static str> {
        layer.layout()
    }

    fn upload(
        &mut self,
        work: &mut Workspace,
        layout: &Layout,
        input: usize,
        seeds: UploadSeeds,
        value: impl FnMut(usize, usize, usize) -> u32,
    ) -> SendUpload {
        pack_input(layout, input, &mut work.poly, value);
        add_errors(&mut work.poly, &seeds.error);
        SendUpload::new(seeds.a, Expansion::Ciphertext)
    }

    fn poll_upload(
        &mut self,
        work: &mut Workspace,
        upload: &mut SendUpload,
        out: &mut FrameBuf,
    ) -> (usize, bool) {
        let scratch = limb(&mut work.scratch);
        let len = upload.poll(&work.key, &work.poly, scratch, out);
        (len, upload.done())
    }

    fn receive(
        &mut self,
        work: &mut Workspace,
        layout: &Layout,
        download: &mut ReceiveDownload,
        frame: Frame<'_>,
    ) -> Result<bool, Error> {
        let scratch = limb(&mut work.scratch);
        let last = download.handle(frame, layout, &work.key, &mut work.poly, scratch)?;
        if last {
            segment::decode(&mut work.poly, layout.depth);
        }
        Ok(last)
    }

    fn value(&self, work: &Workspace, coefficient: usize) -> u32 {
        work.poly[coefficient]
    }

    fn wipe(&mut self) {}
}

#[cfg(feature = "server")]
mod server {
    use super::*;
    use crate::packing::Places;
    use crate::packing::slot::galois::Element;
    use crate::protocol::download::SendDownload;
    use crate::protocol::linear::{
        InputShare, Keys, LinearLayer, LinearRun, OutputShares, collect,
    };
    use crate::protocol::upload::ReceiveUpload;
    use crate::random::Seed;
    use crate::rlwe::ciphertext::{Ciphertext, SegmentWeights, zero_poly};
    use crate::rlwe::operations::Work;
    use crate::rlwe::respond::{Response, respond, uniform_mask};
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    /// The server's half.
    pub struct SegmentLayer {
        layout: Layout,
        weights: SegmentWeights,
    }

    impl SegmentLayer {
        /// A layer with its weights.
        pub fn new(layout: Layout, weights: SegmentWeights) -> Self {
            Self { layout, weights }
        }
    }

    impl LinearLayer for SegmentLayer {
        fn places(&self) -> &dyn Places {
            &self.layout
        }

        fn rotations(&self) -> Vec<Element> {
            Vec::new()
        }

        fn begin(self: Arc<Self>) -> Box<dyn LinearRun> {
            Box::new(SegmentRun {
                layer: self,
                receive: ReceiveUpload::new(),
                inputs: Vec::new(),
                responses: Vec::new(),
                sent: 0,
                download: SendDownload::default(),
            })
        }
    }

    struct SegmentRun {
        layer: Arc<SegmentLayer>,
        receive: ReceiveUpload,
        inputs: Vec<Ciphertext>,
        responses: Vec<Response>,
        sent: usize,
        download: SendDownload,
    }

    impl LinearRun for SegmentRun {
        fn receive(
            &mut self,
            frame: Frame<'_>,
            share: Option<&mut InputShare<'_>>,
        ) -> Result<Option<usize>, Error> {
            self.receive.handle(frame)?;
            let Some((seed, mut limbs)) = self.receive.take() else {
                return Ok(None);
            };
            if let Some(share) = share {
                let mut message = zero_poly();
                pack_input(&self.layer.layout, self.inputs.len(), &mut message, share);
                Ciphertext::add_plaintext(&mut limbs, &message);
                message.zeroize();
            }
            self.inputs.push(Ciphertext::from_wire(limbs, &seed));
            Ok(Some(Layout::upload_bytes()))
        }

        fn run(
            &mut self,
            keys: &Keys,
            seeds: &[Seed],
            shares: &OutputShares<'_>,
        ) -> Result<(Vec<u32>, Work), Error> {
            let missing = Error::Internal("no public key");
            let key = keys.public.as_ref().ok_or(missing)?;
            let SegmentLayer { layout, weights } = &*self.layer;
            let make = |o: usize| {
                let part = &self.inputs[layout.inputs_of(o)];
                let mut work = Work::default();
                let result = weights.apply(part, o % layout.outputs_per_tile(), &mut work);
                let mut mask = uniform_mask(&seeds[o]);
                let response = respond(result, key, &mask, &seeds[o]);
                segment::decode(&mut mask, layout.depth);
                let shares = shares(o, &mask[..]);
                mask.zeroize();
                (response, shares, work)
            };
            let results = crate::parallel::map(layout.outputs(), make);
            let (responses, shares, work) = collect(results);
            self.responses = responses;
            self.inputs.clear();
            Ok((shares, work))
        }

        fn poll(&mut self, out: &mut FrameBuf) -> Option<usize> {
            let response = self.responses.get(self.sent)?;
            let len = self.download.poll(response, &self.layer.layout, out);
            if len.is_none() {
                self.sent += 1;
                self.download = SendDownload::default();
            }
            len
        }
    }
}
