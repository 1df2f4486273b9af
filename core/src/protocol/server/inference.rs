//! The server's inference: for every layer, convolve the client's ciphertexts, send masked
//! results, and take the shares to the ReLU a window at a time. `docs/design.md#one-inference` and
//! `#circuit-privacy`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroize;

use super::{NOT_READY, Server, Step};
use crate::Error;
use crate::arith::bits::{pack, unpack};
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::network::layer::{Activation, TensorId};
use crate::packing::{Output, OutputCursor};
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::greeting::write_control;
use crate::protocol::linear::LinearRun;
use crate::protocol::network::NetworkLayer;
use crate::protocol::share::to_ring;
use crate::protocol::transfer::PIECE;
use crate::random::Seed;

/// The layer that is being run.
pub(super) struct Current {
    run: Box<dyn LinearRun>,
    /// Input ciphertexts received.
    received: usize,
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
        let NetworkLayer { layer, linear, .. } = &self.network.layers[session.layer];
        session.current = Some(Current {
            run: Arc::clone(linear).begin(),
            received: 0,
            outputs: Vec::new(),
            shares: Vec::new(),
            done: 0,
            gathered: 0,
            sent: 0,
        });
        self.step = Step::Input;
        write_control(out, Kind::Layer, layer)
    }

    /// Takes a frame of an input ciphertext; runs the layer when all are there.
    pub(super) fn input(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let NetworkLayer { layer, linear, .. } = &self.network.layers[session.layer];
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let received = match tensor(&session.tensors, layer.input) {
            None => current.run.receive(frame, None),
            Some(shares) => {
                let side = usize::from(layer.in_side);
                let mut share = |channel: usize, row: usize, col: usize| {
                    let map = &shares[channel * side * side..][..side * side];
                    let pixels = layer.pooled(row, col);
                    pixels.fold(0, |sum, (row, col)| T_MOD.add(sum, map[row * side + col]))
                };
                current.run.receive(frame, Some(&mut share))
            }
        };
        let received = received?;
        self.counters.upload_bytes += frame.payload.len();
        if let Some(bytes) = received {
            self.counters.ciphertext_bytes += bytes;
            self.counters.layers[session.layer].inputs += 1;
            current.received += 1;
            if current.received == linear.places().inputs() {
                return self.run_layer();
            }
        }
        Ok(())
    }

    /// Convolves, and makes every response and the server's shares of y.
    fn run_layer(&mut self) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let network = &self.network.layers[session.layer];
        let places = network.linear.places();
        let seeds: Vec<Seed> = (0..places.outputs())
            .map(|_| session.response_seed())
            .collect();
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let mut cursor = OutputCursor::start();
        current.outputs = core::iter::from_fn(|| cursor.next(places)).collect();

        let (outputs, tensors) = (&current.outputs, &session.tensors);
        let shift = self.network.about.shift;
        let shares = |o: usize, mask: &[u32]| {
            let first = outputs.partition_point(|output| output.ciphertext < o);
            outputs[first..]
                .iter()
                .take_while(|output| output.ciphertext == o)
                .map(|output| network.share(output, mask, tensors, shift))
                .collect()
        };
        let (shares, operations) = current.run.run(&session.keys, seeds, &shares)?;
        current.shares = shares;
        self.counters.layers[session.layer]
            .operations
            .add(&operations);
        session.tensors.push(vec![0; current.outputs.len()]);
        self.next_outputs()
    }

    /// Goes on to the next response, window or layer; mirrors the client's `next_outputs`.
    fn next_outputs(&mut self) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let activation = self.network.layers[session.layer].layer.activation;
        let relu = activation == Activation::Relu;
        let capacity = usize::from(session.hello.window) * session.relu.chunk();
        while let Some(output) = current.outputs.get(current.gathered) {
            if relu && current.gathered - current.done == capacity {
                break;
            }
            if output.ciphertext >= current.sent {
                self.step = Step::Response;
                return Ok(());
            }
            if !relu {
                let rest = current.outputs[current.gathered..].iter();
                let left = rest
                    .take_while(|next| next.ciphertext == output.ciphertext)
                    .count();
                self.step = if activation == Activation::Linear {
                    Step::Reshares { left }
                } else {
                    Step::Logits { left }
                };
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
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        if let Some(len) = current.run.poll(out) {
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

    /// Takes up to [`PIECE`] differences of a layer without activation; `left` are to come for this
    /// response.
    pub(super) fn reshares(&mut self, left: usize, frame: Frame<'_>) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let area = self.network.layers[session.layer]
            .linear
            .places()
            .out_side()
            .pow(2);
        let tensor = session.tensors.last_mut().ok_or(NOT_READY)?;
        let (first, count) = (current.gathered, left.min(PIECE));
        let payload = frame.expect(Kind::Reshare)?;
        unpack(Kind::Reshare as u8, payload, T_BITS, T, count, |i, x| {
            let output = &current.outputs[first + i];
            let at = usize::from(output.channel) * area + output.position as usize;
            tensor[at] = T_MOD.add(current.shares[first + i], x);
        })?;
        current.gathered += count;
        current.done = current.gathered;
        self.step = Step::Reshares { left: left - count };
        if left == count {
            self.next_outputs()?;
        }
        Ok(())
    }

    /// Keeps the new shares of a window.
    pub(super) fn window_done(&mut self) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let out_side = self.network.layers[session.layer].out_side();
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
    fn share(&self, output: &Output, mask: &[u32], tensors: &[Vec<u32>], shift: u8) -> u32 {
        let mut bias = self.bias[usize::from(output.channel)];
        if self.layer.activation == Activation::Relu {
            bias += 1 << (shift - 1);
        }
        let mut share = T_MOD.sub(T_MOD.from_i32(bias), mask[output.coefficient]);
        if let Some(skip) = self.layer.skip
            && let Some(tensor) = tensor(tensors, skip.tensor)
        {
            let area = self.out_side() * self.out_side();
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
