//! The server: one session of one client with one network.
//! DESIGN sections 2 and 5; the client's half of every step is in [`super::client`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::activation::ServerWindow;
use super::base::{self, CONFIRM_FRAMES, Message, OPENING_FRAMES, SLOTS};
use super::download::{Dense, SendDownload};
use super::frame::{Frame, FrameBuf, HEADER, Kind, MAX_FRAME, write};
use super::greeting::{
    Hello, InputSpec, PlanHash, VERSION, Welcome, read_control, relu_params, write_control,
};
use super::upload::{PIECE, ReceiveUpload};
use crate::Error;
use crate::bits::pack;
use crate::conv::{Ciphertext, Limbs, PreparedWeights, Weights, Work, zero_poly};
use crate::layer::{Activation, Layer, Layout, TensorId};
use crate::ntt::Poly;
use crate::ot::{Direction, Key, ReceiverTrees, SenderTrees, scratch_words};
use crate::params::{T_BITS, T_MOD};
use crate::prg::{Kdf, Purpose, Seed, SessionId, Stream};
use crate::privacy::{PublicKey, Response, respond, uniform_mask};
use crate::relu::ReluParams;
use crate::segment::{self, Output, OutputCursor, pack_input};
use crate::share::to_ring;

/// A layer with its weights, ready to be run.
pub struct NetworkLayer {
    layer: Layer,
    layout: Layout,
    weights: PreparedWeights,
    /// One an output channel, in units of y.
    bias: Vec<i32>,
}

impl NetworkLayer {
    /// Transforms the weights: `[out_channels, in_channels / groups, taps]`.
    pub fn new(layer: Layer, weights: &[i32], bias: &[i32]) -> Result<Self, &'static str> {
        let layout = layer.layout()?;
        let per_output = usize::from(layer.in_channels / layer.groups) * layer.kernel.taps();
        if weights.len() != usize::from(layer.out_channels) * per_output {
            return Err("wrong number of weights");
        }
        if bias.len() != usize::from(layer.out_channels) {
            return Err("wrong number of biases");
        }
        Ok(Self {
            weights: PreparedWeights::new(&layer, &layout, &Weights(weights)),
            layer,
            layout,
            bias: bias.to_vec(),
        })
    }

    /// The public description.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }
}

/// A network as the server runs it; sessions share it.
pub struct Network {
    /// Name, for people.
    pub name: heapless::String<{ super::greeting::MAX_NAME }>,
    /// Bits that an activation drops.
    pub shift: u8,
    /// Names of the classes, each at most [`super::greeting::MAX_NAME`] bytes.
    pub classes: Vec<String>,
    /// Logit units of 1.0.
    pub logit_scale: f32,
    /// The input.
    pub input: InputSpec,
    /// In execution order; the last gives logits.
    pub layers: Vec<NetworkLayer>,
}

/// What a server allows one session.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Inferences; each one counts when it starts.
    pub queries: u32,
}

/// Work of a session, counted where it is done.
#[derive(Clone, Default, Debug)]
pub struct Counters {
    /// Bytes of key material received.
    pub key_bytes: usize,
    /// Of these, bytes of public keys; the rest would be Galois keys.
    pub public_key_bytes: usize,
    /// Inferences started.
    pub queries: u32,
    /// By layer, summed over inferences.
    pub layers: Vec<LayerCounters>,
}

/// Work on one layer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LayerCounters {
    /// Products and rotations of ciphertexts.
    pub work: Work,
    /// Ciphertexts received.
    pub inputs: usize,
    /// Ciphertexts sent.
    pub outputs: usize,
    /// ReLUs done.
    pub activations: usize,
}

impl Counters {
    /// Rotations of ciphertexts in all layers.
    pub fn rotations(&self) -> usize {
        self.layers.iter().map(|layer| layer.work.rotations).sum()
    }

    /// Key material other than public keys, in bytes.
    pub fn galois_key_bytes(&self) -> usize {
        self.key_bytes - self.public_key_bytes
    }
}

/// The server's side of one session.
pub struct Server {
    network: Arc<Network>,
    limits: Limits,
    step: Step,
    secret: Seed,
    nonce: [u8; 32],
    session: Option<Session>,
    counters: Counters,
}

struct Session {
    id: SessionId,
    hello: Hello,
    relu: ReluParams,
    kdf: Kdf,
    key: Option<PublicKey>,
    /// First ciphertext of the forward base transfers, until the second is there.
    zero: Option<Ciphertext>,
    delta: Zeroizing<Key>,
    /// Mask slots of the forward base transfers; what the client opens is taken off it.
    mask: Zeroizing<Vec<u32>>,
    opening: Zeroizing<Vec<u32>>,
    receiver: ReceiverTrees,
    sender: Option<SenderTrees>,
    window: ServerWindow,
    /// Responses so far; each has a seed of its own.
    responses: u64,
    /// Shares mod t of every tensor of this inference; the image's are zero and not kept.
    tensors: Vec<Vec<u32>>,
    layer: usize,
    current: Option<Current>,
}

/// The layer that is being run.
struct Current {
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

enum Step {
    Hello,
    Welcome(Box<(Hello, Welcome)>),
    Label(usize),
    Upload(What, ReceiveUpload),
    BaseResponse(Direction, Box<Response>, SendDownload),
    Opening(usize),
    CheckConfirm(usize),
    SendConfirm(usize),
    Ready,
    Layer,
    Response(SendDownload),
    Logits { left: usize },
    Window,
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    BaseKey,
    BaseMessage(Message),
    SessionKey,
    BaseChoices,
    Input,
}

const NOT_READY: Error = Error::Usage("the session is not that far");

impl Server {
    /// A server that waits for a client's greeting. All its secrets come from `rng`.
    pub fn new(network: Arc<Network>, limits: Limits, rng: &mut impl CryptoRng) -> Self {
        let secret = Seed::random(rng);
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        Self {
            limits,
            step: Step::Hello,
            secret,
            nonce,
            session: None,
            counters: Counters {
                layers: vec![LayerCounters::default(); network.layers.len()],
                ..Counters::default()
            },
            network,
        }
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.step, Step::Closed)
    }

    /// Whether no inference runs, so that the session can be closed without loss.
    pub fn is_ready(&self) -> bool {
        matches!(self.step, Step::Ready)
    }

    /// Work done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The server's shares mod t of the last inference's tensors, `[channels, rows, cols]` each,
    /// the image's left out; for checks in which one process holds both parties' shares.
    #[cfg(feature = "audit")]
    pub fn audit_shares(&self) -> &[Vec<u32>] {
        self.session
            .as_ref()
            .map_or(&[], |session| &session.tensors)
    }

    /// Writes the next frame; none while the client's is awaited, or when closed.
    pub fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let result = self.poll_inner(out);
        self.end_on_error(result)
    }

    /// Takes the client's next frame.
    pub fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let result = self.handle_inner(frame);
        self.end_on_error(result)
    }

    /// An aborted session is dead: its material is erased, and nothing of it is used again.
    fn end_on_error<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.close();
        }
        result
    }

    fn close(&mut self) {
        self.session = None;
        self.secret.zeroize();
        self.step = Step::Closed;
    }

    fn poll_inner(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let len = match &mut self.step {
            Step::Welcome(greetings) => {
                let hello = greetings.0.clone();
                let mut frame = [0; MAX_FRAME];
                let hello_len = write_control(&mut frame, Kind::Hello, &hello)?;
                let len = write_control(out, Kind::Welcome, &greetings.1)?;
                let id = SessionId::new(&frame[HEADER..hello_len], &out[HEADER..len]);
                self.open(id, hello)?;
                len
            }
            Step::Label(class) => {
                let class = *class;
                let name = self.network.classes.get(class).ok_or(NOT_READY)?;
                self.step = if class + 1 < self.network.classes.len() {
                    Step::Label(class + 1)
                } else {
                    upload(What::BaseKey)
                };
                write(out, Kind::Label, |payload| {
                    payload[..name.len()].copy_from_slice(name.as_bytes());
                    name.len()
                })
            }
            Step::BaseResponse(direction, response, download) => {
                match download.poll(response, &Dense, out) {
                    Some(len) => len,
                    None => {
                        self.step = match direction {
                            Direction::Forward => Step::Opening(0),
                            Direction::Reverse => Step::SendConfirm(0),
                        };
                        return self.poll_inner(out);
                    }
                }
            }
            Step::SendConfirm(frame) => {
                let frame = *frame;
                let session = self.session.as_ref().ok_or(NOT_READY)?;
                let mut scratch = vec![0; scratch_words(session.receiver.k_s())];
                let (trees, id) = (&session.receiver, &session.id);
                self.step = if frame + 1 < CONFIRM_FRAMES {
                    Step::SendConfirm(frame + 1)
                } else {
                    Step::Ready
                };
                base::write_confirmation(trees, id, frame, &mut scratch, out)?
            }
            Step::Layer => {
                let session = self.session.as_mut().ok_or(NOT_READY)?;
                let layer = &self
                    .network
                    .layers
                    .get(session.layer)
                    .ok_or(NOT_READY)?
                    .layer;
                self.step = upload(What::Input);
                write_control(out, Kind::Layer, layer)?
            }
            Step::Response(download) => {
                let session = self.session.as_mut().ok_or(NOT_READY)?;
                let current = session.current.as_mut().ok_or(NOT_READY)?;
                let layout = &self.network.layers[session.layer].layout;
                let response = current.responses.get(current.sent).ok_or(NOT_READY)?;
                match download.poll(response, layout, out) {
                    Some(len) => len,
                    None => {
                        current.sent += 1;
                        self.counters.layers[session.layer].outputs += 1;
                        self.next_outputs()?;
                        return self.poll_inner(out);
                    }
                }
            }
            Step::Logits { left } => {
                let session = self.session.as_mut().ok_or(NOT_READY)?;
                let current = session.current.as_mut().ok_or(NOT_READY)?;
                let count = (*left).min(PIECE);
                *left -= count;
                let last = *left == 0;
                let shares = &current.shares[current.gathered..][..count];
                current.gathered += count;
                let len = write(out, Kind::Logits, |payload| {
                    pack(payload, T_BITS, shares.iter().copied())
                });
                if last {
                    self.next_outputs()?;
                }
                len
            }
            Step::Window => {
                let session = self.session.as_mut().ok_or(NOT_READY)?;
                return Ok(session.window.poll(out));
            }
            _ => return Ok(None),
        };
        Ok(Some(len))
    }

    fn handle_inner(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        match &mut self.step {
            Step::Hello => self.greeted(frame),
            Step::Upload(what, receive) => {
                let what = *what;
                receive.handle(frame)?;
                match receive.take() {
                    Some((seed, limbs)) => self.uploaded(what, &seed, limbs),
                    None => Ok(()),
                }
            }
            Step::Opening(index) => {
                let index = *index;
                let session = self.session.as_mut().ok_or(NOT_READY)?;
                base::read_opening(frame, index, &mut session.opening)?;
                self.step = Step::Opening(index + 1);
                if index + 1 == OPENING_FRAMES {
                    for (x, m) in session.opening.iter_mut().zip(session.mask.iter()) {
                        *x = T_MOD.sub(*x, *m);
                    }
                    let keys = Zeroizing::new(base::decode_keys(&session.opening)?);
                    let (id, k_s) = (&session.id, session.hello.k_s.into());
                    let trees =
                        SenderTrees::new(Direction::Forward, k_s, id, &session.delta, &keys)?;
                    session.sender = Some(trees);
                    self.step = Step::CheckConfirm(0);
                }
                Ok(())
            }
            Step::CheckConfirm(index) => {
                let index = *index;
                let session = self.session.as_ref().ok_or(NOT_READY)?;
                let trees = session.sender.as_ref().ok_or(NOT_READY)?;
                base::check_confirmation(frame, index, trees, &session.id)?;
                self.step = if index + 1 < CONFIRM_FRAMES {
                    Step::CheckConfirm(index + 1)
                } else {
                    upload(What::SessionKey)
                };
                Ok(())
            }
            Step::Ready if frame.kind == Kind::Bye => {
                frame.expect_array::<0>(Kind::Bye)?;
                self.close();
                Ok(())
            }
            Step::Ready => {
                frame.expect_array::<0>(Kind::Begin)?;
                // A query is charged when it starts, whatever becomes of it.
                if self.counters.queries >= self.limits.queries {
                    return Err(Error::Negotiation {
                        what: "one more query than the session's limit",
                        value: self.limits.queries,
                    });
                }
                self.counters.queries += 1;
                let session = self.session.as_mut().ok_or(NOT_READY)?;
                session.tensors.clear();
                session.layer = 0;
                self.step = Step::Layer;
                Ok(())
            }
            Step::Window => {
                let session = self.session.as_mut().ok_or(NOT_READY)?;
                let sender = session.sender.as_ref().ok_or(NOT_READY)?;
                session.window.handle(frame, &session.receiver, sender)?;
                if session.window.idle() {
                    self.window_done()?;
                }
                Ok(())
            }
            _ => {
                frame.expect(Kind::Fail)?;
                Err(Error::Usage("frame out of turn"))
            }
        }
    }

    /// Checks the client's greeting and prepares the answer.
    fn greeted(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let hello: Hello = read_control(frame.expect(Kind::Hello)?, "greeting")?;
        hello.check()?;
        let network = &self.network;
        relu_params(network.shift, hello.h)?;
        let mut plan = PlanHash::default();
        for layer in &network.layers {
            plan.add_layer(&layer.layer)?;
        }
        let welcome = Welcome {
            version: VERSION,
            nonce: self.nonce,
            name: network.name.clone(),
            shift: network.shift,
            layers: network.layers.len() as u16,
            plan: plan.finish(),
            classes: network.classes.len() as u16,
            logit_scale: network.logit_scale,
            input: network.input,
        };
        self.step = Step::Welcome(Box::new((hello, welcome)));
        Ok(())
    }

    /// Opens the session that both greetings name.
    fn open(&mut self, id: SessionId, hello: Hello) -> Result<(), Error> {
        let relu = relu_params(self.network.shift, hello.h)?;
        self.step = if hello.labels && !self.network.classes.is_empty() {
            Step::Label(0)
        } else {
            upload(What::BaseKey)
        };
        let kdf = Kdf::new(&self.secret, &id);
        let mut delta = Zeroizing::new([0; 4]);
        let mut stream = Stream::new(&kdf.seed(Purpose::Delta, 0), [0; 3]);
        delta.fill_with(|| stream.next_u32());
        let k_s = hello.k_s.into();
        let roots = kdf.seed(Purpose::GgmRoots, 0);
        self.session = Some(Session {
            receiver: ReceiverTrees::new(Direction::Reverse, k_s, &id, &roots)?,
            window: ServerWindow::new(relu, k_s, kdf.seed(Purpose::Relu, 0)),
            id,
            hello,
            relu,
            kdf,
            key: None,
            zero: None,
            delta,
            mask: Zeroizing::new(Vec::new()),
            opening: Zeroizing::new(vec![0; SLOTS]),
            sender: None,
            responses: 0,
            tensors: Vec::new(),
            layer: 0,
            current: None,
        });
        Ok(())
    }

    /// Goes on after a whole upload.
    fn uploaded(&mut self, what: What, seed: &Seed, limbs: Box<Limbs>) -> Result<(), Error> {
        let bytes = 32 + limbs_bytes();
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        match what {
            What::BaseKey | What::SessionKey => {
                session.key = Some(PublicKey::from_wire(limbs, seed));
                self.counters.key_bytes += bytes;
                self.counters.public_key_bytes += bytes;
                self.step = upload(if what == What::BaseKey {
                    What::BaseMessage(Message::Zero)
                } else {
                    What::BaseChoices
                });
            }
            What::BaseMessage(Message::Zero) => {
                session.zero = Some(Ciphertext::from_wire(limbs, seed));
                self.step = upload(What::BaseMessage(Message::Difference));
            }
            What::BaseMessage(Message::Difference) => {
                let difference = Ciphertext::from_wire(limbs, seed);
                let seed = session.response_seed();
                // Used once: the key of the base transfers goes with them.
                let key = session.key.take().ok_or(NOT_READY)?;
                let zero = session.zero.take().ok_or(NOT_READY)?;
                let (response, mask) =
                    base::forward_response(zero, &difference, &session.delta, &key, &seed);
                session.mask = Zeroizing::new(mask[..SLOTS].to_vec());
                let download = SendDownload::default();
                self.step = Step::BaseResponse(Direction::Forward, Box::new(response), download);
            }
            What::BaseChoices => {
                let choices = Ciphertext::from_wire(limbs, seed);
                let seed = session.response_seed();
                let key = session.key.as_ref().ok_or(NOT_READY)?;
                let mut scratch = vec![0; scratch_words(session.receiver.k_s())];
                let response =
                    base::reverse_response(&choices, &session.receiver, key, &seed, &mut scratch)?;
                let download = SendDownload::default();
                self.step = Step::BaseResponse(Direction::Reverse, Box::new(response), download);
            }
            What::Input => return self.input(seed, limbs),
        }
        Ok(())
    }

    /// Adds the server's share to an input ciphertext; runs the layer when all are there.
    fn input(&mut self, seed: &Seed, mut limbs: Box<Limbs>) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let NetworkLayer { layer, layout, .. } = &self.network.layers[session.layer];
        let current = session.current.get_or_insert_with(|| Current {
            inputs: Vec::new(),
            responses: Vec::new(),
            outputs: Vec::new(),
            shares: Vec::new(),
            done: 0,
            gathered: 0,
            sent: 0,
        });
        if layer.input > 0 {
            let mut message = zero_poly();
            let side = usize::from(layer.in_side);
            let map = &session.tensors[usize::from(layer.input) - 1];
            pack_input(
                layout,
                current.inputs.len(),
                &mut message,
                |channel, row, col| {
                    let map = &map[channel * side * side..][..side * side];
                    if layer.pool {
                        map.iter().fold(0, |sum, &x| T_MOD.add(sum, x))
                    } else {
                        map[row * side + col]
                    }
                },
            );
            Ciphertext::add_plaintext(&mut limbs, &message);
        }
        current.inputs.push(Ciphertext::from_wire(limbs, seed));
        self.counters.layers[session.layer].inputs += 1;
        if current.inputs.len() < layout.inputs() {
            self.step = upload(What::Input);
            return Ok(());
        }
        self.run_layer()
    }

    /// Convolves, and makes every response and the server's shares of y.
    fn run_layer(&mut self) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let network = &self.network.layers[session.layer];
        let layout = &network.layout;
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let mut cursor = OutputCursor::start();
        current.outputs = core::iter::from_fn(|| cursor.next(layout)).collect();

        let seeds: Vec<Seed> = (0..layout.outputs())
            .map(|i| {
                session
                    .kdf
                    .seed(Purpose::Response, session.responses + i as u64)
            })
            .collect();
        session.responses += layout.outputs() as u64;
        let key = session.key.as_ref().ok_or(NOT_READY)?;
        let (inputs, outputs, tensors) = (&current.inputs, &current.outputs, &session.tensors);
        let shift = self.network.shift;
        let make = |o: usize| {
            let tile = layout.output_tile(o) * layout.inputs_per_tile;
            let tile = &inputs[tile..tile + layout.inputs_per_tile];
            let mut work = Work::default();
            let result = network
                .weights
                .apply(tile, o % layout.outputs_per_tile, &mut work);
            let mut mask = uniform_mask(&seeds[o]);
            let response = respond(result, key, &mask, &seeds[o]);
            segment::decode(&mut mask, layout.depth);
            let first = outputs.partition_point(|output| output.ciphertext < o);
            let shares: Vec<u32> = outputs[first..]
                .iter()
                .take_while(|output| output.ciphertext == o)
                .map(|output| network.share(output, &mask, tensors, shift))
                .collect();
            (response, shares, work)
        };
        for (response, shares, work) in crate::parallel::map(layout.outputs(), make) {
            current.responses.push(response);
            current.shares.extend(shares);
            self.counters.layers[session.layer].work.add(&work);
        }
        current.inputs.clear();
        let outputs = current.outputs.len();
        session.tensors.push(vec![0; outputs]);
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
                    .filter(|next| next.ciphertext == output.ciphertext)
                    .count();
                self.step = Step::Logits { left };
                return Ok(());
            }
            current.gathered += 1;
        }
        if current.gathered > current.done && relu {
            let shift = self.network.shift.into();
            let shares: Vec<u16> = current.shares[current.done..current.gathered]
                .iter()
                .map(|&share| to_ring(share, shift))
                .collect();
            session.window.start(&shares);
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

    /// Keeps the new shares of a window.
    fn window_done(&mut self) -> Result<(), Error> {
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

impl Session {
    fn response_seed(&mut self) -> Seed {
        self.responses += 1;
        self.kdf.seed(Purpose::Response, self.responses - 1)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.tensors.zeroize();
        if let Some(current) = &mut self.current {
            current.shares.zeroize();
        }
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

fn upload(what: What) -> Step {
    Step::Upload(what, ReceiveUpload::new())
}

fn limbs_bytes() -> usize {
    Layout::upload_bytes() - 32
}
