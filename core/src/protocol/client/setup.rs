//! The client's set-up: greeting, base transfers in both directions, and every upload's seeds.
//! `docs/design.md#oblivious-transfer`; the server's half is in [`super::super::server`].

use zeroize::Zeroize;

use super::memory::Memory;
use super::session::Session;
use super::{Application, Client, Step};
use crate::Error;
use crate::network::name::is_clean;
use crate::ot::Direction;
use crate::protocol::base;
use crate::protocol::frame::{Frame, FrameBuf, Kind};
use crate::protocol::greeting::{
    Hello, LayersHash, MAX_NAME, VERSION, Welcome, read_greeting, write_control,
};
use crate::protocol::linear::{Buffers, ClientLinear, Workspace};
use crate::protocol::steps::{Setup, SetupOf, Upload};
use crate::protocol::transfer::{ReceiveResponse, SendUpload, UploadSeeds};
use crate::random::{Kdf, Purpose, Stream};
use crate::rlwe::add_errors;
use crate::rlwe::ring::ring4096::{LOG_N, T_NTT};

/// The message that the set-up is at.
pub(super) enum At {
    Hello,
    Welcome,
    /// Awaits the name of this class.
    Labels(u16),
    /// Awaits the description of this layer.
    Layers(usize),
    /// Sends a key or a ciphertext of the set-up.
    Upload(Upload, SendUpload),
    /// Receives the response to its choices.
    BaseResponse(ReceiveResponse),
    /// Awaits this frame of the messages that it chooses from.
    TakeMessages(usize),
    /// Awaits this frame of the extension in which the server chooses.
    BaseCorrection(usize),
    /// Sends this frame of the messages that the server chooses from.
    SendMessages(usize),
    /// Awaits the list of keys, then sends them; only where the packing has keys of its own.
    Rotations,
    Keys,
}

impl<M: Memory, L: ClientLinear> Session<M, L> {
    fn hello(&self) -> Hello {
        Hello {
            version: VERSION,
            parameters: L::PARAMETER_SET,
            nonce: self.nonce,
            k_s: self.settings.k_s,
            h: self.settings.h,
            window: M::ROOM.window(),
            labels: self.settings.labels,
        }
    }

    /// Begins the session that both greetings name.
    #[inline(never)]
    fn greeted(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let payload = frame.expect(Kind::Welcome)?;
        let welcome: Welcome = read_greeting(payload)?;
        let relu = welcome.check(&self.settings)?;
        let id = self.hello().session_id(payload)?;
        self.kdf = Kdf::new(&self.secret, &id);
        self.secret.zeroize();

        let k_s = self.settings.k_s.into();
        let roots = self.kdf.seed(Purpose::GgmRoots, 0);
        self.receiver.plant(Direction::Forward, k_s, &id, &roots)?;
        let mut stream = Stream::new(&self.kdf.seed(Purpose::Delta, 0), [0; 3]);
        self.sender.choose(k_s, &id, || stream.next_u32())?;
        self.choices = self.kdf.seed(Purpose::Choices, 0);
        self.ratchet = Kdf::of(self.kdf.seed(Purpose::Ratchet, 0));
        self.window.begin_session::<M>(relu, k_s);
        self.inference.session = id;
        self.inference.layers_hash = LayersHash::default();
        self.inference.welcome = welcome;
        Ok(())
    }

    /// What comes after a step of the set-up.
    #[inline(never)]
    fn after(&mut self, step: Setup) -> Result<Step, Error> {
        let of = SetupOf {
            labels: self.settings.labels,
            room: M::ROOM,
            own_keys: L::OWN_KEYS,
        };
        let Some(next) = step.next(of) else {
            self.wipe();
            // What the set-up's secrets and the ratchet followed from is not needed any more.
            self.kdf = Kdf::of(self.kdf.seed(Purpose::Uploads, 0));
            return Ok(Step::Ready);
        };
        Ok(Step::Setup(match next {
            Setup::Hello => At::Hello,
            Setup::Welcome => At::Welcome,
            Setup::Labels => At::Labels(0),
            Setup::Layers => At::Layers(0),
            Setup::Upload(upload) => At::Upload(upload, self.upload(upload)?),
            Setup::Response => At::BaseResponse(ReceiveResponse::default()),
            Setup::BaseMessages(Direction::Reverse) => At::TakeMessages(0),
            Setup::BaseCorrection => At::BaseCorrection(0),
            Setup::BaseMessages(Direction::Forward) => At::SendMessages(0),
            Setup::Rotations => At::Rotations,
            Setup::Keys => At::Keys,
        }))
    }

    /// Starts an upload with fresh seeds.
    fn upload(&mut self, upload: Upload) -> Result<SendUpload, Error> {
        let Workspace { key, poly, .. } = &mut self.work;
        let purposes = match upload {
            Upload::Key => {
                key.draw(&self.kdf.seed(Purpose::SecretKey, 0));
                poly.fill(0);
                UploadSeeds::PUBLIC_KEY
            }
            Upload::BaseChoices => {
                base::encode_choices(&self.sender, poly);
                UploadSeeds::CIPHERTEXT
            }
        };
        let UploadSeeds { a, error } = UploadSeeds::next(&self.kdf, &mut self.uploads, purposes);
        add_errors(&mut self.work.poly, &error);
        Ok(SendUpload::new(a))
    }

    /// Takes a frame of the messages that the client chooses from; the keys are in the slots of the
    /// polynomial.
    fn take_messages(&mut self, frame: Frame<'_>, index: usize) -> Result<(), Error> {
        let (id, slots) = (&self.inference.session, &self.work.poly);
        let key = |transfer| base::slot_key_chosen(id, transfer, slots);
        base::read_messages(frame, index, &mut self.sender, id, key)
    }

    /// Takes a frame of the extension in which the server chooses; true with the last.
    fn base_correction(&mut self, frame: Frame<'_>, index: usize) -> Result<bool, Error> {
        let (sender, scratch) = (&self.sender, &mut self.work.scratch[..]);
        let call = base::call(sender.k_s());
        call.absorb(base::CALL, (frame, index), sender, scratch)
    }

    /// Writes a frame of the messages that the server chooses from, under keys of that extension.
    fn send_messages(&mut self, frame: usize, out: &mut FrameBuf) -> Result<usize, Error> {
        let scratch = &self.work.scratch;
        let rows = self.sender.rows(base::CALL, scratch)?;
        let keys = base::row_keys(&rows);
        let trees = &self.receiver;
        let id = &self.inference.session;
        Ok(base::write_messages(trees, id, frame, keys, out))
    }
}

impl<M: Memory, L: ClientLinear> Client<M, L> {
    /// Writes the next frame of the set-up; none while the server's is awaited.
    pub(super) fn poll_setup(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let session = &mut self.session;
        let Step::Setup(at) = &mut self.step else {
            return Ok(None);
        };
        let len = match at {
            At::Hello => {
                *at = At::Welcome;
                write_control(out, Kind::Hello, &session.hello())?
            }
            At::Upload(upload, send) => {
                let expansion = upload.expansion();
                let (len, last) = session.work.buffers().poll(send, expansion, out);
                if last {
                    self.step = session.after(Setup::Upload(*upload))?;
                }
                len
            }
            At::SendMessages(frame) => {
                let len = session.send_messages(*frame, out)?;
                *frame += 1;
                if *frame == base::frames(Direction::Forward) {
                    self.step = session.after(Setup::BaseMessages(Direction::Forward))?;
                }
                len
            }
            At::Keys => {
                let Session { kdf, uploads, .. } = session;
                let (len, last) = session.linear.poll_keys(kdf, uploads, out);
                if last {
                    self.step = session.after(Setup::Keys)?;
                }
                len
            }
            _ => return Ok(None),
        };
        Ok(Some(len))
    }

    /// Takes a frame of the set-up.
    pub(super) fn handle_setup(
        &mut self,
        app: &mut impl Application,
        frame: Frame<'_>,
    ) -> Result<(), Error> {
        let session = &mut self.session;
        let Step::Setup(at) = &mut self.step else {
            return Err(frame.unexpected());
        };
        match at {
            At::Welcome => {
                session.greeted(frame)?;
                self.step = session.after(Setup::Welcome)?;
            }
            At::Labels(class) => {
                app.label(*class, label(frame)?);
                *class += 1;
                if *class == session.inference.welcome.classes {
                    self.step = session.after(Setup::Labels)?;
                }
            }
            At::Layers(index) => {
                let inference = &mut session.inference;
                let current = inference.described(*index, frame)?;
                let (layer, outputs) = (current.layer, current.facts().outputs);
                let fail = |reason| Error::Layer {
                    index: current.index,
                    reason,
                };
                inference.memory.describe(layer, outputs).map_err(fail)?;
                *index += 1;
                if *index == usize::from(inference.welcome.layers) {
                    self.step = session.after(Setup::Layers)?;
                }
            }
            At::BaseResponse(download) => {
                let Buffers { key, poly, scratch } = session.work.buffers();
                if download.handle(frame, &base::ALL, key, poly, scratch)? {
                    T_NTT.forward(&mut session.work.poly, LOG_N);
                    self.step = session.after(Setup::Response)?;
                }
            }
            At::TakeMessages(index) => {
                session.take_messages(frame, *index)?;
                *index += 1;
                if *index == base::frames(Direction::Reverse) {
                    self.step = session.after(Setup::BaseMessages(Direction::Reverse))?;
                }
            }
            At::BaseCorrection(index) => {
                if session.base_correction(frame, *index)? {
                    self.step = session.after(Setup::BaseCorrection)?;
                } else {
                    *index += 1;
                }
            }
            At::Rotations => {
                session.linear.take_rotations(frame, &session.kdf)?;
                self.step = session.after(Setup::Rotations)?;
            }
            // This side has the word.
            _ => return Err(frame.unexpected()),
        }
        Ok(())
    }
}

/// The name of a class.
fn label(frame: Frame<'_>) -> Result<&str, Error> {
    let name = frame.expect(Kind::Label)?;
    let name = core::str::from_utf8(name).map_err(|_| Error::Malformed("class name"))?;
    if name.len() > MAX_NAME || !is_clean(name) {
        return Err(Error::Malformed("class name"));
    }
    Ok(name)
}
