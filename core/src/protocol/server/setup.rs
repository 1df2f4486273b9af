//! The server's set-up: greeting and base transfers in both directions.
//! `docs/design.md#oblivious-transfer`; the client's half is in [`super::super::client`].

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::inferring::Inferring;
use super::session::Session;
use super::{Context, State};
use crate::Error;
use crate::ot::{Direction, Lane, ReceiverTrees, SenderTrees, receiver_words};
use crate::protocol::base::{self, Residues};
use crate::protocol::frame::{Frame, FrameBuf, HEADER, Kind, MAX_FRAME, write};
use crate::protocol::greeting::{
    Hello, VERSION, Welcome, read_greeting, relu_params, write_control,
};
use crate::protocol::linear::Keys;
use crate::protocol::linear::slot::{ReceiveKeys, Rotations, write_rotations};
use crate::protocol::steps::{Room, Setup, SetupOf, Upload};
use crate::protocol::transfer::{ReceiveUpload, SendResponse};
use crate::random::{Kdf, Purpose, Seed, Stream};
use crate::rlwe::{Limbs, Ring, Ring4096};

type Ciphertext = crate::rlwe::Ciphertext<Ring4096>;
type PublicKey = crate::rlwe::PublicKey<Ring4096>;

/// What a session begins with.
pub(super) struct Secrets {
    pub(super) secret: Seed,
    pub(super) nonce: [u8; 32],
}

/// A step of the set-up, with what exists in it alone. What a step leaves to the next one says
/// in which order they come: it is that of [`Setup::next`], which is checked.
pub(super) enum Stage {
    /// Sends the greeting, a frame.
    Welcome(Vec<u8>),
    /// Sends the name of this class.
    Labels(usize),
    /// Sends the description of this layer.
    Layers(usize),
    Upload(Awaited, ReceiveUpload<Ring4096>),
    BaseResponse(Choosing, SendResponse),
    /// Sends this frame of the messages that the client chooses from.
    SendMessages(Choosing, usize),
    /// Sends this frame of the extension in which it chooses.
    BaseCorrection(PublicKey, Box<Choices>, usize),
    /// Awaits this frame of the messages that it chooses from.
    TakeMessages(PublicKey, Box<Choices>, usize),
    /// Names the automorphisms that it needs keys of; slot packing only.
    Rotations(PublicKey, Box<Rotations>),
    Keys(PublicKey, Box<ReceiveKeys>),
}

/// What an upload carries, with what came before it.
pub(super) enum Awaited {
    Key,
    Choices(PublicKey),
}

/// What exists while the client chooses.
pub(super) struct Choosing {
    key: PublicKey,
    residues: Residues,
}

/// What exists while the server chooses, by an extension.
pub(super) struct Choices {
    lanes: [Lane; 2],
    scratch: Zeroizing<Vec<u32>>,
}

impl Choices {
    fn new(session: &Session) -> Box<Self> {
        let words = receiver_words(session.receiver.direction());
        let mut choices = Box::new(Self {
            lanes: [Lane::UNUSED, Lane::UNUSED],
            scratch: Zeroizing::new(vec![0; words]),
        });
        base::choose(&session.sender, &mut choices.lanes);
        choices
    }

    /// A frame of the extension; with its last one the rows are there.
    fn write(
        &mut self,
        trees: &ReceiverTrees,
        frame: usize,
        out: &mut FrameBuf,
    ) -> Result<usize, Error> {
        let (call, lanes) = (base::call(trees.k_s()), self.lanes.each_ref());
        call.write(base::CALL, frame, (trees, lanes), &mut self.scratch, out)
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
        let relu = relu_params(about.shift, hello.h, hello.k_s)?;
        let batch = match context.tickets {
            Some(_) => network.batch(Room::of(hello.window), context.batch_memory),
            None => 0,
        };
        let welcome = Welcome {
            version: VERSION,
            nonce: self.nonce,
            model: (context.tickets.as_ref()).map_or([0; 16], |tickets| tickets.model()),
            name: about.name.clone(),
            shift: about.shift,
            layers: network.layers.len() as u16,
            layers_hash: network.layers_hash.0,
            batch,
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
        sender.choose(hello.k_s.into(), &id, || stream.next_u32())?;
        let roots = kdf.seed(Purpose::GgmRoots, 0);
        let session = Session {
            receiver: ReceiverTrees::new(Direction::Reverse, hello.k_s.into(), &id, &roots)?,
            id,
            hello,
            relu,
            kdf,
            sender,
            batch,
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

    fn setup_of(&self, context: &Context) -> SetupOf {
        SetupOf {
            labels: self.hello.labels,
            room: self.room(),
            own_keys: context.network.rotations.is_some(),
        }
    }

    fn follows(&self, context: &Context, after: Setup, step: Option<Setup>) -> Result<(), Error> {
        if after.next(self.setup_of(context)) != step {
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
            Self::Key => &mut counters.public_key_bytes,
            Self::Choices(_) => &mut counters.ciphertext_bytes,
        } += Ring4096::upload_bytes();
        Ok(match self {
            Self::Key => Self::Choices(PublicKey::from_wire(limbs, &seed)).receive(),
            Self::Choices(key) => {
                let choices = Ciphertext::from_wire(limbs, &seed);
                let residues = Residues::new(&session.kdf.seed(Purpose::BaseResidues, 0));
                let response = residues.respond(&choices, &key, session.response_seed());
                let choosing = Choosing { key, residues };
                Stage::BaseResponse(choosing, SendResponse::new(&response, &base::ALL))
            }
        })
    }
}

impl Stage {
    /// Its place in the list of steps.
    fn step(&self) -> Setup {
        match self {
            Self::Welcome(_) => Setup::Welcome,
            Self::Labels(_) => Setup::Labels,
            Self::Layers(_) => Setup::Layers,
            Self::Upload(Awaited::Key, _) => Setup::Upload(Upload::Key),
            Self::Upload(Awaited::Choices(_), _) => Setup::Upload(Upload::BaseChoices),
            Self::BaseResponse(..) => Setup::Response,
            Self::SendMessages(..) => Setup::BaseMessages(Direction::Reverse),
            Self::BaseCorrection(..) => Setup::BaseCorrection,
            Self::TakeMessages(..) => Setup::BaseMessages(Direction::Forward),
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
                let next = match step.next(session.setup_of(context)) {
                    Some(Setup::Labels) => Self::Labels(0),
                    Some(Setup::Layers) => Self::Layers(0),
                    _ => Awaited::Key.receive(),
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
                match session.room() {
                    Room::Whole => (len, Self::Layers(0)),
                    Room::Chunks(_) => (len, Awaited::Key.receive()),
                }
            }
            Self::Layers(index) => {
                let len = write_control(out, Kind::Layer, &network.layers[index].layer)?;
                if index + 1 < network.layers.len() {
                    return Ok((State::Setup(session, Self::Layers(index + 1)), Some(len)));
                }
                (len, Awaited::Key.receive())
            }
            Self::BaseResponse(choosing, mut response) => {
                if let Some(len) = response.poll(out) {
                    let stage = Self::BaseResponse(choosing, response);
                    return Ok((State::Setup(session, stage), Some(len)));
                }
                let next = Self::SendMessages(choosing, 0);
                return session.stage(context, step, next)?.poll(context, out);
            }
            Self::SendMessages(choosing, frame) => {
                let (trees, id) = (&session.receiver, &session.id);
                let keys = |transfer| choosing.residues.keys(id, transfer);
                let len = base::write_messages(trees, id, frame, keys, out);
                if frame + 1 < base::frames(Direction::Reverse) {
                    let stage = Self::SendMessages(choosing, frame + 1);
                    return Ok((State::Setup(session, stage), Some(len)));
                }
                let choices = Choices::new(&session);
                (len, Self::BaseCorrection(choosing.key, choices, 0))
            }
            Self::BaseCorrection(key, mut choices, frame) => {
                let trees = &session.receiver;
                let len = choices.write(trees, frame, out)?;
                if frame + 1 < base::call(trees.k_s()).frames() {
                    let stage = Self::BaseCorrection(key, choices, frame + 1);
                    return Ok((State::Setup(session, stage), Some(len)));
                }
                (len, Self::TakeMessages(key, choices, 0))
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
            Self::TakeMessages(key, choices, index) => {
                let Session {
                    receiver,
                    sender,
                    id,
                    ..
                } = &mut *session;
                let rows = receiver.rows(base::CALL, &choices.scratch)?;
                let chosen = |transfer| base::row_key_chosen(&rows, transfer);
                base::read_messages(frame, index, sender, id, chosen)?;
                if index + 1 < base::frames(Direction::Forward) {
                    let stage = Self::TakeMessages(key, choices, index + 1);
                    return Ok(State::Setup(session, stage));
                }
                let Some(rotations) = &context.network.rotations else {
                    let keys = Keys {
                        public: Some(key),
                        slot: None,
                    };
                    return session.ready(context, step, keys);
                };
                Self::Rotations(key, Box::new(rotations.clone()))
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
