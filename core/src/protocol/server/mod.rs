//! The server: one session of one client with one network.
//! `docs/design.md#one-inference` and `#circuit-privacy`; the client's half of every step is in
//! [`super::client`].

mod inference;
mod setup;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use rand_core::CryptoRng;
use zeroize::Zeroize;

use self::inference::Current;
use self::setup::BaseTransfers;
use super::activation::ServerWindow;
use super::base::{self, CONFIRM_FRAMES, Message};
use super::frame::{Frame, FrameBuf, Kind, write};
use super::greeting::{Hello, Welcome};
use super::linear::Keys;
use super::linear::slot::{ReceiveKeys, write_rotations};
use super::network::Network;
use super::transfer::{ReceiveUpload, SendResponse};
use crate::Error;
use crate::ot::{Direction, ReceiverTrees, SenderTrees, scratch_words};
use crate::random::{Kdf, Purpose, Seed, SessionId};
use crate::relu::ReluParams;
use crate::rlwe::{Operations, Response, Ring4096};

/// Inferences that may still be started; its clones share one count.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicU32>);

impl Budget {
    /// A budget of so many inferences.
    pub fn new(queries: u32) -> Self {
        Self(Arc::new(AtomicU32::new(queries)))
    }

    /// Inferences left.
    pub fn left(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn charge(&self) -> Result<(), Error> {
        let charged = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        match charged {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::BudgetSpent),
        }
    }
}

/// Work of a session, counted where it is done.
#[derive(Clone, Default, Debug)]
pub struct Counters {
    /// Bytes of key material and ciphertexts received.
    pub upload_bytes: usize,
    /// Of these, bytes of public keys.
    pub public_key_bytes: usize,
    /// Of these, bytes of ciphertexts: of base transfers and of layers.
    pub ciphertext_bytes: usize,
    /// Inferences started.
    pub queries: u32,
    /// By layer, summed over inferences.
    pub layers: Vec<LayerCounters>,
}

/// Work on one layer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LayerCounters {
    /// Products and rotations of ciphertexts.
    pub operations: Operations,
    /// Ciphertexts received.
    pub inputs: usize,
    /// Ciphertexts sent.
    pub outputs: usize,
    /// ReLUs done.
    pub activations: usize,
}

impl Counters {
    /// Operations of all layers.
    pub fn operations(&self) -> Operations {
        let mut sum = Operations::default();
        self.layers
            .iter()
            .for_each(|layer| sum.add(&layer.operations));
        sum
    }

    /// Rotations of ciphertexts in all layers.
    pub fn rotations(&self) -> usize {
        self.operations().rotations()
    }

    /// Bytes received that were neither a public key nor a ciphertext: Galois keys, in slot packing.
    /// While an upload is under way its bytes count here too.
    pub fn galois_key_bytes(&self) -> usize {
        self.upload_bytes - self.public_key_bytes - self.ciphertext_bytes
    }
}

/// The server's side of one session.
pub struct Server {
    network: Arc<Network>,
    budget: Budget,
    step: Step,
    secret: Seed,
    nonce: [u8; 32],
    session: Option<Session>,
    counters: Counters,
}

/// What exists from the greetings on.
struct Session {
    id: SessionId,
    hello: Hello,
    relu: ReluParams,
    kdf: Kdf,
    keys: Keys,
    base: Option<BaseTransfers>,
    receiver: ReceiverTrees,
    sender: SenderTrees,
    window: ServerWindow,
    /// Responses so far; each has a seed of its own.
    responses: u64,
    /// Shares mod t of every tensor of this inference; the image's are zero and not kept.
    tensors: Vec<Vec<u32>>,
    layer: usize,
    current: Option<Current>,
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
    }
}

enum Step {
    Hello,
    Welcome(Box<(Hello, Welcome)>),
    Label(usize),
    Upload(What, ReceiveUpload<Ring4096>),
    BaseResponse(Direction, Box<Response<Ring4096>>, SendResponse),
    Opening(usize),
    CheckConfirm(usize),
    SendConfirm(usize),
    /// Names the automorphisms that it needs keys of; slot packing only.
    Rotations,
    Keys(Box<ReceiveKeys>),
    Ready,
    Layer,
    Input,
    Response,
    Logits {
        left: usize,
    },
    /// Differences of a layer without activation that are still to come for this response.
    Reshares {
        left: usize,
    },
    Window,
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    BaseKey,
    BaseMessage(Message),
    SessionKey,
    BaseChoices,
}

impl What {
    /// Waits for this upload.
    fn receive(self) -> Step {
        Step::Upload(self, ReceiveUpload::limbs())
    }
}

const NOT_READY: Error = Error::Usage("the session is not that far");

impl Server {
    /// A server that waits for a client's greeting. All its secrets come from `rng`, which must
    /// never repeat what it gave before.
    pub fn new(network: Arc<Network>, budget: Budget, rng: &mut impl CryptoRng) -> Self {
        let secret = Seed::random(rng);
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        Self {
            budget,
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

    /// Ends the session and erases its material, when the line fails for example. Any error of
    /// this server does so by itself.
    pub fn close(&mut self) {
        self.session = None;
        self.secret.zeroize();
        self.step = Step::Closed;
    }

    /// Writes the next frame; none while the client's is awaited, or when closed. After an error
    /// the session is closed.
    pub fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let result = self.poll_inner(out);
        if result.is_err() {
            self.close();
        }
        result
    }

    /// Takes the client's next frame. After an error the session is closed.
    pub fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let result = self.handle_inner(frame);
        if result.is_err() {
            self.close();
        }
        result
    }

    fn poll_inner(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let len = match &mut self.step {
            Step::Welcome(greetings) => {
                let (hello, welcome) = &**greetings;
                let (hello, welcome) = (hello.clone(), welcome.clone());
                self.greet(hello, &welcome, out)?
            }
            Step::Label(class) => {
                let class = *class;
                let classes = &self.network.about.classes;
                let name = classes.get(class).ok_or(NOT_READY)?;
                self.step = if class + 1 < classes.len() {
                    Step::Label(class + 1)
                } else {
                    What::BaseKey.receive()
                };
                write(out, Kind::Label, |payload| {
                    payload[..name.len()].copy_from_slice(name.as_bytes());
                    name.len()
                })
            }
            Step::BaseResponse(direction, response, download) => {
                let Some(len) = download.poll(response, &base::ALL, out) else {
                    self.step = match direction {
                        Direction::Forward => Step::Opening(0),
                        Direction::Reverse => Step::SendConfirm(0),
                    };
                    return self.poll_inner(out);
                };
                len
            }
            Step::SendConfirm(frame) => {
                let frame = *frame;
                let session = self.session.as_ref().ok_or(NOT_READY)?;
                let mut scratch = vec![0; scratch_words(session.receiver.k_s())];
                let (trees, id) = (&session.receiver, &session.id);
                let len = base::write_confirmation(trees, id, frame, &mut scratch, out)?;
                scratch.zeroize();
                self.step = if frame + 1 < CONFIRM_FRAMES {
                    Step::SendConfirm(frame + 1)
                } else if self.network.rotations.is_some() {
                    Step::Rotations
                } else {
                    Step::Ready
                };
                len
            }
            Step::Rotations => {
                let rotations = self.network.rotations.as_ref().ok_or(NOT_READY)?;
                self.step = Step::Keys(Box::new(ReceiveKeys::new(rotations.clone())));
                write_rotations(rotations, out)
            }
            Step::Layer => self.describe_layer(out)?,
            Step::Response => return self.poll_response(out),
            Step::Logits { left } => {
                let left = *left;
                self.poll_logits(left, out)?
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
                let received = receive.handle(frame)?;
                self.counters.upload_bytes += frame.payload.len();
                match received {
                    Some((seed, limbs)) => self.uploaded(what, &seed, limbs),
                    None => Ok(()),
                }
            }
            Step::Opening(index) => {
                let index = *index;
                self.opening(index, frame)
            }
            Step::Keys(receive) => {
                let key = receive.handle(frame)?;
                self.counters.upload_bytes += frame.payload.len();
                if let Some(bytes) = key {
                    self.counters.public_key_bytes += bytes;
                }
                if let Some(keys) = receive.take() {
                    let session = self.session.as_mut().ok_or(NOT_READY)?;
                    session.keys.slot = Some(keys);
                    self.step = Step::Ready;
                }
                Ok(())
            }
            Step::Input => self.input(frame),
            Step::CheckConfirm(index) => {
                let index = *index;
                let session = self.session.as_ref().ok_or(NOT_READY)?;
                base::check_confirmation(frame, index, &session.sender, &session.id)?;
                self.step = if index + 1 < CONFIRM_FRAMES {
                    Step::CheckConfirm(index + 1)
                } else {
                    What::SessionKey.receive()
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
                self.budget.charge()?;
                self.counters.queries += 1;
                let session = self.session.as_mut().ok_or(NOT_READY)?;
                session.tensors.zeroize();
                session.layer = 0;
                self.step = Step::Layer;
                Ok(())
            }
            Step::Window => {
                let session = self.session.as_mut().ok_or(NOT_READY)?;
                session
                    .window
                    .handle(frame, &session.receiver, &session.sender)?;
                if session.window.idle() {
                    self.window_done()?;
                }
                Ok(())
            }
            Step::Reshares { left } => {
                let left = *left;
                self.reshares(left, frame)
            }
            // This side has the word.
            _ => Err(frame.unexpected()),
        }
    }
}
