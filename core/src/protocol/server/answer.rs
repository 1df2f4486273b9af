//! The server answers a prepared inference: it convolves its own shares in the clear, and each ReLU
//! takes one round trip. No ciphertext is touched. `docs/design.md#two-phases`; the client's half is
//! in [`super::super::client`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::inferring::{Inferring, Shares, Ticket};
use super::session::Terms;
use super::{Context, State};
use crate::Error;
use crate::arith::bits::unpack;
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::network::layer::Activation;
use crate::protocol::activation::ServerAnswers;
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::greeting::write_control;
use crate::protocol::network::NetworkLayer;
use crate::protocol::steps::{Answer, AnswerSteps, CHUNK, LayerFacts, Room, image_piece};

/// Where an inference was prepared, and what comes after its answer.
pub(super) enum Home {
    /// In this session.
    Here(Box<Inferring>),
    /// In an earlier one.
    Ticket,
}

/// An inference that is being answered.
pub(super) struct Answering {
    pub(super) terms: Terms,
    /// The client has not been told yet that its ticket is taken.
    telling: bool,
    /// Shares of all tensors so far.
    pub(super) tensors: Shares,
    steps: AnswerSteps,
    at: Answer,
    /// Index of the layer that was entered last.
    layer: usize,
    /// How many of its outputs a window has taken.
    taken: usize,
    /// The server's shares of y mod t, in the order of the outputs.
    shares: Zeroizing<Vec<u32>>,
    /// Its new shares, or those of the image.
    tensor: Zeroizing<Vec<u32>>,
    window: ServerAnswers,
    ticket: Ticket,
}

impl Answering {
    /// Of an inference that was prepared by these terms; `telling` where the client asked for it by
    /// name.
    pub(super) fn new(terms: Terms, context: &Context, ticket: Ticket, telling: bool) -> Box<Self> {
        let (layers, image) = (
            context.network.layers.len(),
            context.network.about.input.values(),
        );
        let Terms {
            relu, k_s, room, ..
        } = terms;
        let mut steps = AnswerSteps::new(room, layers, image);
        Box::new(Self {
            terms,
            telling,
            tensors: Shares::default(),
            at: steps.next(&LayerFacts::NONE),
            steps,
            layer: 0,
            taken: 0,
            shares: Zeroizing::default(),
            tensor: Zeroizing::new(Vec::with_capacity(image)),
            window: ServerAnswers::new(relu, k_s.into(), room),
            ticket,
        })
    }

    /// Goes on from a step that is over to the next message, or to what comes after the answer.
    fn go_on(mut self: Box<Self>, home: Home, context: &mut Context) -> Result<State, Error> {
        loop {
            if let Answer::Window(count) = self.at {
                self.window_done(count, context);
            }
            self.at = self.steps.next(&context.network.layers[self.layer].facts());
            match self.at {
                Answer::Enter(index) => {
                    self.enter(index, context);
                    if self.terms.room != Room::Whole {
                        break;
                    }
                }
                Answer::Window(count) => {
                    let chunks = &mut self.ticket.layers[self.layer].chunks;
                    let shares = &self.shares[self.taken..][..count];
                    let shift = context.network.about.shift.into();
                    let first = self.taken / CHUNK;
                    self.window.start(chunks, first, shares, shift)?;
                    break;
                }
                Answer::Done => {
                    self.keep();
                    context.counters.answered += 1;
                    let (session, shares) = (self.terms.session, self.tensors.answered());
                    return Ok(match home {
                        Home::Here(mut inferring) => {
                            inferring.last = shares;
                            State::Ready(inferring)
                        }
                        Home::Ticket => State::Redeem(session, shares),
                    });
                }
                Answer::Image(_) => break,
            }
        }
        Ok(State::Answer(home, self))
    }

    /// Keeps the tensor that was made, the image's or a layer's.
    fn keep(&mut self) {
        self.tensors.0.push(core::mem::take(&mut *self.tensor));
    }

    /// Computes the server's shares of a layer.
    fn enter(&mut self, index: usize, context: &Context) {
        self.keep();
        let network = &context.network.layers[index];
        self.layer = index;
        self.taken = 0;
        let offsets = &self.ticket.layers[index].offsets;
        self.shares = network.shares(offsets, &self.tensors.0);
        self.tensor = Zeroizing::default();
        if network.layer.activation != Activation::Logits {
            self.tensor.resize(network.outputs.len(), 0);
        }
        // Of a layer with an activation there are none.
        let chunks = &self.ticket.layers[index].chunks;
        let reshares = chunks.iter().flat_map(|chunk| &*chunk.reshares);
        let outputs = network.outputs.iter().zip(&*self.shares);
        for ((output, &share), &reshare) in outputs.zip(reshares) {
            self.tensor[output.index(network.out_area())] = T_MOD.add(share, reshare);
        }
    }

    /// Writes the next frame, where the server has the word.
    pub(super) fn poll(
        mut self: Box<Self>,
        home: Home,
        context: &mut Context,
        out: &mut FrameBuf,
    ) -> Result<(State, Option<usize>), Error> {
        let len = match self.at {
            _ if self.telling => {
                self.telling = false;
                Some(write(out, Kind::Redeemed, |_| 0))
            }
            Answer::Enter(index) => {
                let layer = &context.network.layers[index].layer;
                let len = write_control(out, Kind::Layer, layer)?;
                return Ok((self.go_on(home, context)?, Some(len)));
            }
            Answer::Window(_) => {
                let chunks = &mut self.ticket.layers[self.layer].chunks;
                let len = self.window.poll(chunks, out);
                if self.window.idle() {
                    return Ok((self.go_on(home, context)?, len));
                }
                len
            }
            Answer::Image(_) | Answer::Done => None,
        };
        Ok((State::Answer(home, self), len))
    }

    /// Takes the client's next frame.
    pub(super) fn handle(
        mut self: Box<Self>,
        home: Home,
        context: &mut Context,
        frame: Frame<'_>,
    ) -> Result<State, Error> {
        let done = match self.at {
            // This side has the word.
            _ if self.telling => return Err(frame.unexpected()),
            Answer::Image(index) => {
                let payload = frame.expect(Kind::Image)?;
                let values = context.network.about.input.values();
                let (kind, count) = (Kind::Image as u8, image_piece(values, index).len());
                unpack(kind, payload, T_BITS, T, count, |_, x| self.tensor.push(x))?;
                true
            }
            Answer::Window(_) => {
                let chunks = &self.ticket.layers[self.layer].chunks;
                self.window.handle(frame, chunks)?;
                self.window.idle()
            }
            Answer::Enter(_) | Answer::Done => return Err(frame.unexpected()),
        };
        if done {
            return self.go_on(home, context);
        }
        Ok(State::Answer(home, self))
    }

    /// Keeps the new shares of a window of so many outputs.
    fn window_done(&mut self, count: usize, context: &mut Context) {
        let network = &context.network.layers[self.layer];
        let made = self.window.outputs();
        let outputs = network.outputs[self.taken..].iter();
        for (output, &share) in outputs.zip(made) {
            self.tensor[output.index(network.out_area())] = share;
        }
        context.counters.layers[self.layer].activations += made.len();
        self.taken += count;
    }
}

impl NetworkLayer {
    /// The server's shares of y, in the order of the outputs: its share of the input convolved, with what
    /// was prepared and its share of a residual.
    fn shares(&self, offsets: &[u32], tensors: &[Vec<u32>]) -> Zeroizing<Vec<u32>> {
        let tensor = |id: u16| tensors.get(usize::from(id)).map_or(&[][..], Vec::as_slice);
        let convolved = self.clear.residues(&[tensor(self.layer.input)]).pop();
        let convolved = Zeroizing::new(convolved.unwrap_or_default());
        let area = self.out_area();
        let shares = self.outputs.iter().zip(offsets).map(|(output, &offset)| {
            let index = output.index(area);
            let share = T_MOD.add(offset, convolved[index]);
            match self.layer.skip {
                Some(skip) => {
                    let x = tensor(skip.tensor)[index];
                    T_MOD.add(share, T_MOD.mul(x, skip.factor))
                }
                None => share,
            }
        });
        Zeroizing::new(shares.collect())
    }
}
