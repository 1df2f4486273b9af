//! The server's inference: for every layer, convolve the client's ciphertexts, send masked
//! results, and take the shares to the ReLU a window at a time. `docs/design.md#one-inference` and
//! `#circuit-privacy`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use zeroize::{Zeroize, Zeroizing};

use super::session::Session;
use super::{Context, State};
use crate::Error;
use crate::arith::bits::{pack, unpack};
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::network::layer::{Activation, TensorId};
use crate::packing::{Output, OutputCursor};
use crate::protocol::activation::{CHUNK, ServerWindow};
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::greeting::write_control;
use crate::protocol::linear::{Keys, LinearRun};
use crate::protocol::network::NetworkLayer;
use crate::protocol::share::to_ring;
use crate::protocol::steps::{LayerFacts, LayerStep, LayerSteps, frame_values};
use crate::random::{Purpose, Seed};

/// What exists from the end of the set-up on.
pub(super) struct Inferring {
    pub(super) session: Box<Session>,
    keys: Keys,
    window: ServerWindow,
    /// Shares mod t of every tensor of this inference; the image's are zero and not kept.
    pub(super) tensors: Vec<Vec<u32>>,
}

/// The layer that is being run.
pub(super) struct Current {
    index: usize,
    run: Box<dyn LinearRun>,
    steps: LayerSteps,
    at: LayerStep,
    /// All outputs, once the inputs are there.
    outputs: Vec<Output>,
    /// Shares of y mod t, in the order of `outputs`.
    shares: Vec<u32>,
    /// The new shares.
    tensor: Vec<u32>,
    /// Outputs that a message has taken, or a window.
    taken: usize,
    /// Of these, the ones whose window is done, if there are windows.
    done: usize,
}

impl Drop for Inferring {
    fn drop(&mut self) {
        self.tensors.zeroize();
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        self.shares.zeroize();
        self.tensor.zeroize();
    }
}

impl Inferring {
    pub(super) fn new(session: Box<Session>, keys: Keys) -> Self {
        let (k_s, seed) = (session.hello.k_s.into(), session.kdf.seed(Purpose::Relu, 0));
        Self {
            window: ServerWindow::new(session.relu, k_s, seed),
            session,
            keys,
            tensors: Vec::new(),
        }
    }

    /// Takes the frame that begins an inference.
    pub(super) fn begin(
        mut self: Box<Self>,
        context: &mut Context,
        frame: Frame<'_>,
    ) -> Result<State, Error> {
        frame.expect_array::<0>(Kind::Begin)?;
        // A query is charged when it starts, whatever becomes of it.
        context.budget.charge()?;
        context.counters.queries += 1;
        self.tensors.zeroize();
        Ok(State::Describe(self, 0))
    }

    /// Writes the description of a layer.
    pub(super) fn describe(
        self: Box<Self>,
        index: usize,
        context: &mut Context,
        out: &mut FrameBuf,
    ) -> Result<(State, Option<usize>), Error> {
        let NetworkLayer { layer, linear, .. } = &context.network.layers[index];
        let len = write_control(out, Kind::Layer, layer)?;
        let current = Box::new(Current {
            index,
            run: Arc::clone(linear).begin(),
            steps: LayerSteps::default(),
            at: LayerStep::Done,
            outputs: Vec::new(),
            shares: Vec::new(),
            tensor: Vec::new(),
            taken: 0,
            done: 0,
        });
        Ok((current.go_on(self, context)?, Some(len)))
    }
}

impl Current {
    /// Goes on to the next message, or to what comes after the layer.
    fn go_on(
        mut self: Box<Self>,
        mut inferring: Box<Inferring>,
        context: &Context,
    ) -> Result<State, Error> {
        let network = &context.network;
        let NetworkLayer { layer, linear, .. } = &network.layers[self.index];
        let Session {
            hello, receiver, ..
        } = &*inferring.session;
        let facts = LayerFacts {
            activation: layer.activation,
            inputs: linear.places().inputs(),
            capacity: usize::from(hello.window) * CHUNK,
        };
        loop {
            let output = self.outputs.get(self.taken).copied();
            self.at = self.steps.next(&facts, output);
            match self.at {
                LayerStep::Gather(_) => self.taken += 1,
                LayerStep::Window => {
                    let shift = network.about.shift.into();
                    let shares = &self.shares[self.done..self.taken];
                    let shares = shares.iter().map(|&share| to_ring(share, shift));
                    inferring.window.start(shares, receiver)?;
                    break;
                }
                LayerStep::Done => {
                    inferring.tensors.push(core::mem::take(&mut self.tensor));
                    let next = self.index + 1;
                    return Ok(if next < network.layers.len() {
                        State::Describe(inferring, next)
                    } else {
                        State::Ready(inferring)
                    });
                }
                _ => break,
            }
        }
        Ok(State::Layer(inferring, self))
    }

    /// Writes the next frame, where the server has the word.
    pub(super) fn poll(
        mut self: Box<Self>,
        mut inferring: Box<Inferring>,
        context: &mut Context,
        out: &mut FrameBuf,
    ) -> Result<(State, Option<usize>), Error> {
        let len = match self.at {
            LayerStep::Response => self.run.poll(out),
            LayerStep::Window => inferring.window.poll(out),
            LayerStep::Logits => {
                let len = self.logits(out);
                return Ok((self.go_on(inferring, context)?, Some(len)));
            }
            _ => None,
        };
        if len.is_none() && self.at == LayerStep::Response {
            context.counters.layers[self.index].outputs += 1;
            return self.go_on(inferring, context)?.poll(context, out);
        }
        Ok((State::Layer(inferring, self), len))
    }

    /// Takes the client's next frame.
    pub(super) fn handle(
        mut self: Box<Self>,
        mut inferring: Box<Inferring>,
        context: &mut Context,
        frame: Frame<'_>,
    ) -> Result<State, Error> {
        let done = match self.at {
            LayerStep::Input(i) => self.input(i, &mut inferring, context, frame)?,
            LayerStep::Window => {
                let Inferring {
                    session, window, ..
                } = &mut *inferring;
                window.handle(frame, &session.sender)?;
                if window.idle() {
                    self.window_done(window, context);
                }
                window.idle()
            }
            LayerStep::Reshares => {
                self.reshares(context, frame)?;
                true
            }
            // This side has the word.
            _ => return Err(frame.unexpected()),
        };
        if done {
            return self.go_on(inferring, context);
        }
        Ok(State::Layer(inferring, self))
    }

    /// Takes a frame of input ciphertext `i`; true with its last one. Runs the layer when all are
    /// there.
    fn input(
        &mut self,
        i: usize,
        inferring: &mut Inferring,
        context: &mut Context,
        frame: Frame<'_>,
    ) -> Result<bool, Error> {
        let linear = &context.network.layers[self.index].linear;
        let received = self.run.receive(frame)?;
        context.counters.upload_bytes += frame.payload.len();
        let Some(bytes) = received else {
            return Ok(false);
        };
        context.counters.ciphertext_bytes += bytes;
        context.counters.layers[self.index].inputs += 1;
        if i + 1 == linear.places().inputs() {
            self.convolve(inferring, context)?;
        }
        Ok(true)
    }

    /// Convolves the client's ciphertexts and the server's own share, and makes every response and the
    /// server's shares of y.
    fn convolve(&mut self, inferring: &mut Inferring, context: &mut Context) -> Result<(), Error> {
        let network = &context.network.layers[self.index];
        let places = network.linear.places();
        let seeds: Vec<Seed> = (0..places.outputs())
            .map(|_| inferring.session.response_seed())
            .collect();
        let mut cursor = OutputCursor::start();
        self.outputs = core::iter::from_fn(|| cursor.next(places)).collect();
        if network.layer.activation != Activation::Logits {
            self.tensor = vec![0; self.outputs.len()];
        }

        let (outputs, tensors) = (&self.outputs, &inferring.tensors);
        let input = tensor(tensors, network.layer.input);
        let own = input.and_then(|share| network.clear.residues(&[share]).pop());
        let own = Zeroizing::new(own.unwrap_or_default());
        let shift = context.network.about.shift;
        let shares = |o: usize, mask: &[u32]| {
            let first = outputs.partition_point(|output| output.ciphertext < o);
            outputs[first..]
                .iter()
                .take_while(|output| output.ciphertext == o)
                .map(|output| network.share(output, mask, &own, tensors, shift))
                .collect()
        };
        let (shares, operations) = self.run.run(&inferring.keys, seeds, &shares)?;
        self.shares = shares;
        context.counters.layers[self.index]
            .operations
            .add(&operations);
        Ok(())
    }

    /// Values of the next frame of logits or reshares.
    fn frame_values(&self) -> usize {
        frame_values(self.outputs[self.taken..].iter().copied())
    }

    /// Writes a frame of the server's shares of logits.
    fn logits(&mut self, out: &mut FrameBuf) -> usize {
        let shares = &self.shares[self.taken..][..self.frame_values()];
        self.taken += shares.len();
        write(out, Kind::Logits, |payload| {
            pack(payload, T_BITS, shares.iter().copied())
        })
    }

    /// Takes a frame of differences, in a layer without activation.
    fn reshares(&mut self, context: &Context, frame: Frame<'_>) -> Result<(), Error> {
        let area = context.network.layers[self.index].out_area();
        let (first, count) = (self.taken, self.frame_values());
        let payload = frame.expect(Kind::Reshare)?;
        unpack(Kind::Reshare as u8, payload, T_BITS, T, count, |i, x| {
            let at = self.outputs[first + i].index(area);
            self.tensor[at] = T_MOD.add(self.shares[first + i], x);
        })?;
        self.taken += count;
        Ok(())
    }

    /// Keeps the new shares of a window.
    fn window_done(&mut self, window: &ServerWindow, context: &mut Context) {
        let area = context.network.layers[self.index].out_area();
        let outputs = &self.outputs[self.done..self.taken];
        for (output, &share) in outputs.iter().zip(window.outputs()) {
            self.tensor[output.index(area)] = share;
        }
        context.counters.layers[self.index].activations += outputs.len();
        self.done = self.taken;
    }
}

impl NetworkLayer {
    /// The server's share of one output: its own share convolved, less the mask, plus bias and its
    /// share of a residual, plus half a unit that centres the truncation's error. It has no share of
    /// the image: then `own` is empty.
    fn share(
        &self,
        output: &Output,
        mask: &[u32],
        own: &[u32],
        tensors: &[Vec<u32>],
        shift: u8,
    ) -> u32 {
        let index = output.index(self.out_area());
        let mut bias = self.bias[usize::from(output.channel)];
        if self.layer.activation == Activation::Relu {
            bias += 1 << (shift - 1);
        }
        let mut share = T_MOD.sub(T_MOD.residue(bias), mask[output.coefficient]);
        share = T_MOD.add(share, own.get(index).copied().unwrap_or(0));
        if let Some(skip) = self.layer.skip
            && let Some(tensor) = tensor(tensors, skip.tensor)
        {
            let x = tensor[index];
            share = T_MOD.add(share, T_MOD.mul(x, skip.factor));
        }
        share
    }
}

/// The server's shares of a tensor; none for the image, where they are zero.
fn tensor(tensors: &[Vec<u32>], id: TensorId) -> Option<&Vec<u32>> {
    tensors.get(usize::from(id).checked_sub(1)?)
}
