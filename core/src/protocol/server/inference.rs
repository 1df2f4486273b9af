//! The server's inference: for every layer, convolve the client's ciphertexts, send masked
//! results, and take the shares to the ReLU a window at a time. DESIGN sections 2 and 5.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroize;

use super::{NOT_READY, Server, Step, What};
use crate::Error;
use crate::bits::pack;
use crate::conv::{Ciphertext, Limbs, Work, zero_poly};
use crate::layer::{Activation, TensorId};
use crate::ntt::Poly;
use crate::params::{T_BITS, T_MOD};
use crate::prg::Seed;
use crate::privacy::{Response, respond, uniform_mask};
use crate::protocol::download::SendDownload;
use crate::protocol::frame::{FrameBuf, Kind, write};
use crate::protocol::greeting::write_control;
use crate::protocol::network::NetworkLayer;
use crate::protocol::upload::PIECE;
use crate::segment::{self, Output, OutputCursor, pack_input};
use crate::share::to_ring;

/// The layer that is being run.
#[derive(Default)]
pub(super) struct Current {
    inputs: Vec<Ciphertext>,
    responses: Vec<Response>,
    outputs: Vec<Output>,
    /// Shares of y mod t, in the order of `outputs`.
    shares: Vec<u32>,
    /// Outputs whose activation is done.
    done: usize,
    /// Outputs whose activation is done or is being done.
    gathered: usize,
    /// Responses sent.
    sent: usize,
}

impl Drop for Current {
    fn drop(&mut self) {
        self.shares.zeroize();
    }
}

impl Server {
    /// Writes the description of the next layer.
    pub(super) fn describe_layer(&mut self, out: &mut FrameBuf) -> Result<usize, Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        session.current = Some(Current::default());
        self.step = What::Input.receive();
        let layer = &self.network.layers[session.layer].layer;
        write_control(out, Kind::Layer, layer)
    }

    /// Adds the server's share to an input ciphertext; runs the layer when all are there.
    pub(super) fn input(&mut self, seed: &Seed, mut limbs: Box<Limbs>) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let NetworkLayer { layer, layout, .. } = &self.network.layers[session.layer];
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        if let Some(shares) = tensor(&session.tensors, layer.input) {
            let mut message = zero_poly();
            let side = usize::from(layer.in_side);
            let index = current.inputs.len();
            pack_input(layout, index, &mut message, |channel, row, col| {
                let map = &shares[channel * side * side..][..side * side];
                if layer.pool {
                    map.iter().fold(0, |sum, &x| T_MOD.add(sum, x))
                } else {
                    map[row * side + col]
                }
            });
            Ciphertext::add_plaintext(&mut limbs, &message);
            message.zeroize();
        }
        current.inputs.push(Ciphertext::from_wire(limbs, seed));
        self.counters.layers[session.layer].inputs += 1;
        if current.inputs.len() < layout.inputs() {
            self.step = What::Input.receive();
            return Ok(());
        }
        self.run_layer()
    }

    /// Convolves, and makes every response and the server's shares of y.
    fn run_layer(&mut self) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let network = &self.network.layers[session.layer];
        let layout = &network.layout;
        let seeds: Vec<Seed> = (0..layout.outputs())
            .map(|_| session.response_seed())
            .collect();
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let mut cursor = OutputCursor::start();
        current.outputs = core::iter::from_fn(|| cursor.next(layout)).collect();

        let key = session.key.as_ref().ok_or(NOT_READY)?;
        let (inputs, outputs, tensors) = (&current.inputs, &current.outputs, &session.tensors);
        let shift = self.network.about.shift;
        let make = |o: usize| {
            let tile = layout.output_tile(o) * layout.inputs_per_tile;
            let tile = &inputs[tile..tile + layout.inputs_per_tile];
            let mut work = Work::default();
            let output = o % layout.outputs_per_tile;
            let result = network.weights.apply(tile, output, &mut work);
            let mut mask = uniform_mask(&seeds[o]);
            let response = respond(result, key, &mask, &seeds[o]);
            segment::decode(&mut mask, layout.depth);
            let first = outputs.partition_point(|output| output.ciphertext < o);
            let shares: Vec<u32> = outputs[first..]
                .iter()
                .take_while(|output| output.ciphertext == o)
                .map(|output| network.share(output, &mask, tensors, shift))
                .collect();
            mask.zeroize();
            (response, shares, work)
        };
        current.shares.reserve_exact(outputs.len());
        for (response, mut shares, work) in crate::parallel::map(layout.outputs(), make) {
            current.responses.push(response);
            current.shares.append(&mut shares);
            shares.zeroize();
            self.counters.layers[session.layer].work.add(&work);
        }
        current.inputs.clear();
        session.tensors.push(vec![0; current.outputs.len()]);
        self.next_outputs()
    }

    /// Goes on to the next response, window or layer; mirrors the client's `next_outputs`.
    fn next_outputs(&mut self) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let relu = self.network.layers[session.layer].layer.activation == Activation::Relu;
        let capacity = usize::from(session.hello.window) * session.relu.chunk();
        while let Some(output) = current.outputs.get(current.gathered) {
            if relu && current.gathered - current.done == capacity {
                break;
            }
            if output.ciphertext >= current.sent {
                self.step = Step::Response(SendDownload::default());
                return Ok(());
            }
            if !relu {
                let rest = current.outputs[current.gathered..].iter();
                let left = rest
                    .take_while(|next| next.ciphertext == output.ciphertext)
                    .count();
                self.step = Step::Logits { left };
                return Ok(());
            }
            current.gathered += 1;
        }
        if relu && current.gathered > current.done {
            let shift = self.network.about.shift.into();
            let shares = &current.shares[current.done..current.gathered];
            session
                .window
                .start(shares.iter().map(|&share| to_ring(share, shift)));
            self.step = Step::Window;
            return Ok(());
        }
        session.current = None;
        session.layer += 1;
        self.step = if session.layer < self.network.layers.len() {
            Step::Layer
        } else {
            Step::Ready
        };
        Ok(())
    }

    /// Writes the next frame of a response, or goes on after its last.
    pub(super) fn poll_response(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let Step::Response(download) = &mut self.step else {
            return Err(NOT_READY);
        };
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let layout = &self.network.layers[session.layer].layout;
        let response = current.responses.get(current.sent).ok_or(NOT_READY)?;
        if let Some(len) = download.poll(response, layout, out) {
            return Ok(Some(len));
        }
        current.sent += 1;
        self.counters.layers[session.layer].outputs += 1;
        self.next_outputs()?;
        self.poll_inner(out)
    }

    /// Writes the server's shares of up to [`PIECE`] logits; `left` are to be sent for this
    /// response.
    pub(super) fn poll_logits(&mut self, left: usize, out: &mut FrameBuf) -> Result<usize, Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let count = left.min(PIECE);
        let shares = &current.shares[current.gathered..][..count];
        current.gathered += count;
        let len = write(out, Kind::Logits, |payload| {
            pack(payload, T_BITS, shares.iter().copied())
        });
        self.step = Step::Logits { left: left - count };
        if left == count {
            self.next_outputs()?;
        }
        Ok(len)
    }

    /// Keeps the new shares of a window.
    pub(super) fn window_done(&mut self) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let out_side = self.network.layers[session.layer].layout.out_side;
        let tensor = session.tensors.last_mut().ok_or(NOT_READY)?;
        let outputs = &current.outputs[current.done..current.gathered];
        for (output, &share) in outputs.iter().zip(session.window.outputs()) {
            let channel = usize::from(output.channel) * out_side * out_side;
            tensor[channel + output.position as usize] = share;
        }
        self.counters.layers[session.layer].activations += outputs.len();
        current.done = current.gathered;
        self.next_outputs()
    }
}

impl NetworkLayer {
    /// The server's share of one output: what the client does not get of the mask, plus bias and
    /// its share of a residual, plus half a unit that centres the truncation's error.
    fn share(&self, output: &Output, mask: &Poly, tensors: &[Vec<u32>], shift: u8) -> u32 {
        let mut bias = self.bias[usize::from(output.channel)];
        if self.layer.activation == Activation::Relu {
            bias += 1 << (shift - 1);
        }
        let mut share = T_MOD.sub(T_MOD.from_i32(bias), mask[output.coefficient]);
        if let Some(skip) = self.layer.skip
            && let Some(tensor) = tensor(tensors, skip.tensor)
        {
            let area = self.layout.out_side * self.layout.out_side;
            let x = tensor[usize::from(output.channel) * area + output.position as usize];
            share = T_MOD.add(share, T_MOD.mul(x, skip.factor));
        }
        share
    }
}

/// The server's shares of a tensor; none for the image, where they are zero.
fn tensor(tensors: &[Vec<u32>], id: TensorId) -> Option<&Vec<u32>> {
    tensors.get(usize::from(id).checked_sub(1)?)
}
