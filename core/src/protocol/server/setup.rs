//! The server's set-up: greeting and base transfers in both directions.
//! `docs/design.md#oblivious-transfer`; the client's half is in [`super::super::client`].

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use zeroize::{Zeroize, Zeroizing};

use super::inference::Inferring;
use super::session::Session;
use super::{Context, State};
use crate::Error;
use crate::arith::field::T_MOD;
use crate::ot::{Direction, ReceiverTrees, SenderTrees, scratch_words};
use crate::protocol::base::{self, CONFIRM_FRAMES, Message, OPENING_FRAMES, SLOTS};
use crate::protocol::frame::{Frame, FrameBuf, HEADER, Kind, MAX_FRAME, write};
use crate::protocol::greeting::{
    Hello, VERSION, Welcome, read_greeting, relu_params, write_control,
};
use crate::protocol::linear::Keys;
use crate::protocol::linear::slot::{ReceiveKeys, Rotations, write_rotations};
use crate::protocol::steps::{Setup, Upload};
use crate::protocol::transfer::{ReceiveUpload, SendResponse};
use crate::random::{Kdf, Purpose, Seed, Stream};
use crate::rlwe::ring::ring4096::Poly;
use crate::rlwe::{Limbs, Ring, Ring4096};

type Ciphertext = crate::rlwe::Ciphertext<Ring4096>;
type PublicKey = crate::rlwe::PublicKey<Ring4096>;
type Response = crate::rlwe::Response<Ring4096>;

/// What a session begins with.
pub(super) struct Secrets {
    pub(super) secret: Seed,
    pub(super) nonce: [u8; 32],
}

/// A step of the set-up, with what exists in it alone. What a step leaves to the next one says
/// in which order they come: it is that of [`Setup::next`], as debug builds check.
pub(super) enum Stage {
    /// Sends the greeting, a frame.
    Welcome(Vec<u8>),
    /// Sends the name of this class.
    Labels(usize),
    Upload(Awaited, ReceiveUpload<Ring4096>),
    BaseResponse(Answer, Box<Response>, SendResponse),
    /// Awaits this frame of what the client decrypts.
    Opening(Box<Opening>, usize),
    /// Awaits this frame of hashes, in the forward direction.
    CheckConfirm(usize),
    /// Sends this frame of hashes, in the reverse direction.
    SendConfirm(PublicKey, usize),
    /// Names the automorphisms that it needs keys of; slot packing only.
    Rotations(PublicKey, Box<Rotations>),
    Keys(PublicKey, Box<ReceiveKeys>),
}

/// What an upload carries, with what came before it.
pub(super) enum Awaited {
    BaseKey,
    /// The first message of the forward base transfers.
    Zero(PublicKey),
    /// The difference of the second one from it.
    Difference(PublicKey, Ciphertext),
    SessionKey,
    Choices(PublicKey),
}

/// What outlives a response of the base transfers.
pub(super) enum Answer {
    Forward(Box<Opening>),
    /// The key of the session.
    Reverse(PublicKey),
}

/// What the client opens of the forward base transfers.
pub(super) struct Opening {
    /// The mask's slots.
    mask: Box<Poly>,
    /// The sums, under the mask.
    slots: [u32; SLOTS],
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.mask.zeroize();
        self.slots.zeroize();
    }
}

impl Secrets {
    /// Checks the client's greeting, opens the session that both greetings name, and prepares the
    /// server's.
    pub(super) fn greeted(&self, context: &Context, frame: Frame<'_>) -> Result<State, Error> {
        let hello: Hello = read_greeting(frame.expect(Kind::Hello)?)?;
        hello.check()?;
        let network = &context.network;
        let (ours, theirs) = (network.parameter_set(), hello.parameters);
        if ours != theirs {
            return Err(Error::ParameterSet { ours, theirs });
        }
        let about = &network.about;
        let relu = relu_params(about.shift, hello.h)?;
        let welcome = Welcome {
            version: VERSION,
            nonce: self.nonce,
            name: about.name.clone(),
            shift: about.shift,
            layers: network.layers.len() as u16,
            layers_hash: network.layers_hash.0,
            classes: about.classes.len() as u16,
            logit_scale: about.logit_scale,
            input: about.input,
        };
        let mut buffer = [0; MAX_FRAME];
        let len = write_control(&mut buffer, Kind::Welcome, &welcome)?;
        let id = hello.session_id(&buffer[HEADER..len])?;

        let kdf = Kdf::new(&self.secret, &id);
        let mut stream = Stream::new(&kdf.seed(Purpose::Delta, 0), [0; 3]);
        let mut sender = SenderTrees::empty();
        sender.choose(core::array::from_fn(|_| stream.next_u32()));
        let roots = kdf.seed(Purpose::GgmRoots, 0);
        let session = Session {
            receiver: ReceiverTrees::new(Direction::Reverse, hello.k_s.into(), &id, &roots)?,
            id,
            hello,
            relu,
            kdf,
            sender,
            responses: 0,
        };
        let stage = Stage::Welcome(buffer[..len].to_vec());
        Ok(State::Setup(Box::new(session), stage))
    }
}

impl Session {
    /// Goes on with a stage, if it is what follows another one in the list of steps.
    fn stage(
        self: Box<Self>,
        context: &Context,
        after: Setup,
        stage: Stage,
    ) -> Result<State, Error> {
        self.follows(context, after, Some(stage.step()))?;
        Ok(State::Setup(self, stage))
    }

    /// Ends the set-up, if nothing follows.
    fn ready(self: Box<Self>, context: &Context, after: Setup, keys: Keys) -> Result<State, Error> {
        self.follows(context, after, None)?;
        Ok(State::Ready(Box::new(Inferring::new(self, keys))))
    }

    fn follows(&self, context: &Context, after: Setup, step: Option<Setup>) -> Result<(), Error> {
        if after.next(self.hello.labels, context.network.rotations.is_some()) != step {
            return Err(Error::Internal(
                "a step of the set-up that is not the next one",
            ));
        }
        Ok(())
    }
}

impl Awaited {
    /// Waits for this upload.
    fn receive(self) -> Stage {
        Stage::Upload(self, ReceiveUpload::limbs())
    }

    /// Goes on after the whole upload.
    fn uploaded(
        self,
        session: &mut Session,
        context: &mut Context,
        (seed, limbs): (Seed, Limbs<Ring4096>),
    ) -> Result<Stage, Error> {
        let counters = &mut context.counters;
        *match self {
            Self::BaseKey | Self::SessionKey => &mut counters.public_key_bytes,
            _ => &mut counters.ciphertext_bytes,
        } += Ring4096::upload_bytes();
        let respond = |answer, response| {
            Stage::BaseResponse(answer, Box::new(response), SendResponse::default())
        };
        Ok(match self {
            Self::BaseKey => Self::Zero(PublicKey::from_wire(limbs, &seed)).receive(),
            Self::Zero(key) => Self::Difference(key, Ciphertext::from_wire(limbs, &seed)).receive(),
            Self::Difference(key, zero) => {
                let difference = Ciphertext::from_wire(limbs, &seed);
                let seed = session.response_seed();
                let delta = session.sender.delta();
                // The key serves no other response.
                let (response, mask) = base::forward_response(zero, &difference, delta, &key, seed);
                let slots = [0; SLOTS];
                respond(Answer::Forward(Box::new(Opening { mask, slots })), response)
            }
            Self::SessionKey => Self::Choices(PublicKey::from_wire(limbs, &seed)).receive(),
            Self::Choices(key) => {
                let choices = Ciphertext::from_wire(limbs, &seed);
                let seed = session.response_seed();
                let trees = &session.receiver;
                let mut scratch = Zeroizing::new(vec![0; scratch_words(trees.k_s())]);
                let response = base::reverse_response(&choices, trees, &key, seed, &mut scratch)?;
                respond(Answer::Reverse(key), response)
            }
        })
    }
}

impl Opening {
    /// The sums without the mask give the keys.
    fn keys(&mut self, session: &mut Session) -> Result<(), Error> {
        for (x, m) in self.slots.iter_mut().zip(self.mask.iter()) {
            *x = T_MOD.sub(*x, *m);
        }
        let (id, k_s) = (&session.id, session.hello.k_s.into());
        let decode = |keys: &mut _| base::decode_keys(&self.slots, keys);
        session.sender.plant(Direction::Forward, k_s, id, decode)
    }
}

impl Stage {
    /// Its place in the list of steps.
    fn step(&self) -> Setup {
        match self {
            Self::Welcome(_) => Setup::Welcome,
            Self::Labels(_) => Setup::Labels,
            Self::Upload(awaited, _) => Setup::Upload(match awaited {
                Awaited::BaseKey => Upload::BaseKey,
                Awaited::Zero(_) => Upload::BaseMessage(Message::Zero),
                Awaited::Difference(..) => Upload::BaseMessage(Message::Difference),
                Awaited::SessionKey => Upload::SessionKey,
                Awaited::Choices(_) => Upload::BaseChoices,
            }),
            Self::BaseResponse(Answer::Forward(_), ..) => Setup::Response(Direction::Forward),
            Self::BaseResponse(Answer::Reverse(_), ..) => Setup::Response(Direction::Reverse),
            Self::Opening(..) => Setup::Opening,
            Self::CheckConfirm(_) => Setup::Confirm(Direction::Forward),
            Self::SendConfirm(..) => Setup::Confirm(Direction::Reverse),
            Self::Rotations(..) => Setup::Rotations,
            Self::Keys(..) => Setup::Keys,
        }
    }

    /// Writes the next frame, where the server has the word.
    pub(super) fn poll(
        self,
        session: Box<Session>,
        context: &mut Context,
        out: &mut FrameBuf,
    ) -> Result<(State, Option<usize>), Error> {
        let (network, step) = (&context.network, self.step());
        let classes = &network.about.classes;
        let (len, next) = match self {
            Self::Welcome(frame) => {
                out[..frame.len()].copy_from_slice(&frame);
                let next = if session.hello.labels {
                    Self::Labels(0)
                } else {
                    Awaited::BaseKey.receive()
                };
                (frame.len(), next)
            }
            Self::Labels(class) => {
                let name = &classes[class];
                let len = write(out, Kind::Label, |payload| {
                    payload[..name.len()].copy_from_slice(name.as_bytes());
                    name.len()
                });
                if class + 1 < classes.len() {
                    return Ok((State::Setup(session, Self::Labels(class + 1)), Some(len)));
                }
                (len, Awaited::BaseKey.receive())
            }
            Self::BaseResponse(answer, response, mut download) => {
                if let Some(len) = download.poll(&response, &base::ALL, out) {
                    let stage = Self::BaseResponse(answer, response, download);
                    return Ok((State::Setup(session, stage), Some(len)));
                }
                let next = match answer {
                    Answer::Forward(opening) => Self::Opening(opening, 0),
                    Answer::Reverse(key) => Self::SendConfirm(key, 0),
                };
                return session.stage(context, step, next)?.poll(context, out);
            }
            Self::SendConfirm(key, frame) => {
                let trees = &session.receiver;
                let mut scratch = Zeroizing::new(vec![0; scratch_words(trees.k_s())]);
                let len = base::write_confirmation(trees, &session.id, frame, &mut scratch, out)?;
                if frame + 1 < CONFIRM_FRAMES {
                    let stage = Self::SendConfirm(key, frame + 1);
                    return Ok((State::Setup(session, stage), Some(len)));
                }
                let Some(rotations) = &network.rotations else {
                    let keys = Keys {
                        public: Some(key),
                        slot: None,
                    };
                    return Ok((session.ready(context, step, keys)?, Some(len)));
                };
                (len, Self::Rotations(key, Box::new(rotations.clone())))
            }
            Self::Rotations(key, rotations) => {
                let len = write_rotations(&rotations, out);
                (len, Self::Keys(key, Box::new(ReceiveKeys::new(*rotations))))
            }
            stage => return Ok((State::Setup(session, stage), None)),
        };
        Ok((session.stage(context, step, next)?, Some(len)))
    }

    /// Takes the client's next frame.
    pub(super) fn handle(
        self,
        mut session: Box<Session>,
        context: &mut Context,
        frame: Frame<'_>,
    ) -> Result<State, Error> {
        let step = self.step();
        let next = match self {
            Self::Upload(awaited, mut receive) => {
                let upload = receive.handle(frame)?;
                context.counters.upload_bytes += frame.payload.len();
                let Some(upload) = upload else {
                    return Ok(State::Setup(session, Self::Upload(awaited, receive)));
                };
                awaited.uploaded(&mut session, context, upload)?
            }
            Self::Opening(mut opening, index) => {
                base::read_opening(frame, index, &mut opening.slots)?;
                if index + 1 < OPENING_FRAMES {
                    return Ok(State::Setup(session, Self::Opening(opening, index + 1)));
                }
                opening.keys(&mut session)?;
                Self::CheckConfirm(0)
            }
            Self::CheckConfirm(index) => {
                base::check_confirmation(frame, index, &session.sender, &session.id)?;
                if index + 1 < CONFIRM_FRAMES {
                    return Ok(State::Setup(session, Self::CheckConfirm(index + 1)));
                }
                Awaited::SessionKey.receive()
            }
            Self::Keys(public, mut receive) => {
                let key = receive.handle(frame)?;
                context.counters.upload_bytes += frame.payload.len();
                if let Some(bytes) = key {
                    context.counters.public_key_bytes += bytes;
                }
                let Some(keys) = receive.take() else {
                    return Ok(State::Setup(session, Self::Keys(public, receive)));
                };
                let keys = Keys {
                    public: Some(public),
                    slot: Some(keys),
                };
                return session.ready(context, step, keys);
            }
            // This side has the word.
            _ => return Err(frame.unexpected()),
        };
        session.stage(context, step, next)
    }
}
