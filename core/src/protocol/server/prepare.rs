//! The server prepares a batch of inferences: for every layer it convolves the client's ciphertexts,
//! sends masked results, and takes all outputs through the transfers. `docs/design.md#two-phases` and
//! `#circuit-privacy`; the client's half is in [`super::super::client`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::inferring::{Inferring, LayerTicket, Ticket};
use super::tickets;
use super::{Context, State};
use crate::Error;
use crate::arith::field::T_MOD;
use crate::network::layer::Activation;
use crate::packing::Output;
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::greeting::write_control;
use crate::protocol::linear::LinearRun;
use crate::protocol::network::NetworkLayer;
use crate::protocol::steps::{LayerFacts, Prepare, PrepareSteps, Room};
use crate::protocol::ticket::Deposit;
use crate::random::Seed;

/// Inferences that are being prepared.
pub(super) struct Preparing {
    steps: PrepareSteps,
    at: Prepare,
    /// Index of the layer that was entered last.
    layer: usize,
    /// How many of its outputs a step has taken.
    taken: usize,
    /// The ciphertexts of every layer that was entered.
    runs: Vec<Box<dyn LinearRun>>,
    /// Number of the first in the session.
    first: u64,
    batch: Vec<InBatch>,
    /// Whose outputs are taken.
    turn: usize,
}

/// An inference of a batch.
#[derive(Default)]
struct InBatch {
    ticket: Ticket,
    /// Where it becomes a ticket: whose.
    deposit: Option<Deposit>,
}

impl Preparing {
    /// A batch of so many inferences, before the first is begun, which has this number.
    pub(super) fn new(
        inferring: &Inferring,
        context: &Context,
        first: u64,
        count: u16,
    ) -> Box<Self> {
        let layers = context.network.layers.len();
        let mut steps = PrepareSteps::new(inferring.session.room(), layers, count);
        Box::new(Self {
            at: steps.next(&LayerFacts::NONE, None),
            steps,
            layer: 0,
            taken: 0,
            runs: Vec::new(),
            first,
            batch: Vec::new(),
            turn: 0,
        })
    }

    /// Begins the next inference of the batch.
    pub(super) fn begin(
        mut self: Box<Self>,
        inferring: Box<Inferring>,
        context: &Context,
        deposit: Option<Deposit>,
    ) -> Result<State, Error> {
        let mut ticket = Ticket::default();
        let layers = &context.network.layers;
        ticket
            .layers
            .resize_with(layers.len(), LayerTicket::default);
        self.batch.push(InBatch { ticket, deposit });
        self.go_on(inferring, context)
    }

    /// Takes what begins an inference after the first of its batch.
    fn follow(&self, frame: Frame<'_>) -> Result<Option<Deposit>, Error> {
        let deposit = tickets::deposit(frame)?;
        let last = self.batch.last().and_then(|last| last.deposit.as_ref());
        let expected = last.map(|last| (last.owner, last.following.checked_sub(1)));
        match deposit.map(|deposit| (deposit.owner, Some(deposit.following))) == expected {
            true => Ok(deposit),
            false => Err(Error::Malformed("deposit of another batch")),
        }
    }

    /// Goes on from a step that is over to the next message, or to what comes after the preparing.
    pub(super) fn go_on(
        mut self: Box<Self>,
        mut inferring: Box<Inferring>,
        context: &Context,
    ) -> Result<State, Error> {
        loop {
            if self.at == Prepare::Window {
                self.window_done(&mut inferring)?;
            }
            let network = &context.network.layers[self.layer];
            let output = network.outputs.get(self.taken).copied();
            self.at = self.steps.next(&network.facts(), output);
            match self.at {
                Prepare::Enter(index) => {
                    self.enter(index, context);
                    if inferring.session.room() != Room::Whole {
                        break;
                    }
                }
                Prepare::Outputs(inference) => {
                    (self.turn, self.taken) = (inference.into(), 0);
                }
                Prepare::Gather(_) => {
                    let activation = network.layer.activation;
                    inferring.window.gather(self.layer as u16, activation);
                    self.taken += 1;
                }
                Prepare::Window => {
                    inferring.window.start();
                    if !inferring.window.idle() {
                        break;
                    }
                }
                Prepare::Done => {
                    // Those that are kept for another session are not this one's any more.
                    let of_session = self.batch.pop().filter(|last| last.deposit.is_none());
                    inferring.ticket = of_session.map(|last| last.ticket);
                    return Ok(State::Ready(inferring));
                }
                Prepare::Begin(_)
                | Prepare::Input(..)
                | Prepare::Response
                | Prepare::Confirm(_) => break,
            }
        }
        Ok(State::Prepare(inferring, self))
    }

    fn enter(&mut self, index: usize, context: &Context) {
        (self.layer, self.taken) = (index, 0);
        // With room for a whole inference a layer is entered twice.
        if self.runs.len() == index {
            let linear = &context.network.layers[index].linear;
            self.runs.push(Arc::clone(linear).begin());
        }
    }

    /// Writes the next frame, where the server has the word.
    pub(super) fn poll(
        mut self: Box<Self>,
        mut inferring: Box<Inferring>,
        context: &mut Context,
        out: &mut FrameBuf,
    ) -> Result<(State, Option<usize>), Error> {
        let len = match self.at {
            Prepare::Enter(index) => {
                let layer = &context.network.layers[index].layer;
                let len = write_control(out, Kind::Layer, layer)?;
                return Ok((self.go_on(inferring, context)?, Some(len)));
            }
            Prepare::Response => {
                let len = self.runs[self.layer].poll(out);
                if len.is_none() {
                    context.counters.layers[self.layer].outputs += 1;
                    return self.go_on(inferring, context)?.poll(context, out);
                }
                len
            }
            Prepare::Window => {
                let Inferring {
                    session, window, ..
                } = &mut *inferring;
                let len = window.poll(&session.receiver, out)?;
                if window.idle() {
                    return Ok((self.go_on(inferring, context)?, len));
                }
                len
            }
            Prepare::Confirm(inference) => {
                let of_batch = &mut self.batch[usize::from(inference)];
                if let Some(deposit) = &of_batch.deposit {
                    let ticket = core::mem::take(&mut of_batch.ticket);
                    let number = self.first + u64::from(inference);
                    tickets::keep(&inferring, context, number, deposit, &ticket)?;
                }
                let len = write(out, Kind::Prepared, |_| 0);
                return Ok((self.go_on(inferring, context)?, Some(len)));
            }
            _ => None,
        };
        Ok((State::Prepare(inferring, self), len))
    }

    /// Takes the client's next frame.
    pub(super) fn handle(
        mut self: Box<Self>,
        mut inferring: Box<Inferring>,
        context: &mut Context,
        frame: Frame<'_>,
    ) -> Result<State, Error> {
        let done = match self.at {
            Prepare::Begin(_) => {
                let deposit = self.follow(frame)?;
                return self.begin(inferring, context, deposit);
            }
            Prepare::Input(inference, i) => {
                let at = (inference.into(), i);
                self.input(at, &mut inferring, context, frame)?
            }
            Prepare::Window => {
                let Inferring {
                    session, window, ..
                } = &mut *inferring;
                window.handle(frame, &session.sender)?;
                window.idle()
            }
            // This side has the word.
            _ => return Err(frame.unexpected()),
        };
        if done {
            return self.go_on(inferring, context);
        }
        Ok(State::Prepare(inferring, self))
    }

    /// Takes a frame of an inference's input ciphertext `i`; true with its last one. Runs the layer
    /// when all are there.
    fn input(
        &mut self,
        (inference, i): (usize, usize),
        inferring: &mut Inferring,
        context: &mut Context,
        frame: Frame<'_>,
    ) -> Result<bool, Error> {
        let inputs = context.network.layers[self.layer].linear.places().inputs();
        let received = self.runs[self.layer].receive(frame)?;
        context.counters.upload_bytes += frame.payload.len();
        let Some(bytes) = received else {
            return Ok(false);
        };
        context.counters.ciphertext_bytes += bytes;
        context.counters.layers[self.layer].inputs += 1;
        if inference + 1 == self.batch.len() && i + 1 == inputs {
            self.convolve(inferring, context)?;
        }
        Ok(true)
    }

    /// Convolves the client's ciphertexts, and makes every response and what it takes from the server's
    /// shares of y.
    fn convolve(&mut self, inferring: &mut Inferring, context: &mut Context) -> Result<(), Error> {
        let network = &context.network.layers[self.layer];
        let responses = self.batch.len() * network.linear.places().outputs();
        let seeds: Vec<Seed> = (0..responses)
            .map(|_| inferring.session.response_seed())
            .collect();
        let shift = context.network.about.shift;
        let outputs = &network.outputs;
        let offsets = |o: usize, mask: &[u32]| {
            let first = outputs.partition_point(|output| output.ciphertext < o);
            let end = outputs.partition_point(|output| output.ciphertext <= o);
            let of_response = outputs[first..end].iter();
            // Of known length, so that no copy stays behind.
            let offset = |output| network.offset(output, mask, shift);
            of_response.map(offset).collect()
        };
        let run = &mut self.runs[self.layer];
        let (offsets, operations) = run.run(&inferring.keys, seeds, &offsets)?;
        for (of_batch, offsets) in self.batch.iter_mut().zip(offsets) {
            of_batch.ticket.layers[self.layer].offsets = offsets.into();
        }
        context.counters.layers[self.layer]
            .operations
            .add(&operations);
        Ok(())
    }

    /// Keeps what a window made for the answers. All responses to its outputs are sent.
    fn window_done(&mut self, inferring: &mut Inferring) -> Result<(), Error> {
        let Inferring {
            session, window, ..
        } = inferring;
        for (layer, chunk) in window.finish(&session.sender)? {
            self.batch[self.turn].ticket.layers[layer]
                .chunks
                .push(chunk);
        }
        Ok(())
    }
}

impl NetworkLayer {
    pub(super) fn facts(&self) -> LayerFacts {
        LayerFacts {
            activation: self.layer.activation,
            inputs: self.linear.places().inputs(),
            outputs: self.outputs.len(),
        }
    }

    /// What the layer adds to the server's share of an output: bias, less the mask, and before a ReLU
    /// half a unit, which centres the truncation's error.
    fn offset(&self, output: &Output, mask: &[u32], shift: u8) -> u32 {
        let mut bias = self.bias[usize::from(output.channel)];
        if self.layer.activation == Activation::Relu {
            bias += 1 << (shift - 1);
        }
        T_MOD.sub(T_MOD.residue(bias), mask[output.coefficient])
    }
}
