//! The client's set-up: greeting, base transfers in both directions, and every upload's seeds.
//! `docs/design.md#oblivious-transfer`; the server's half is in [`super::super::server`].

use zeroize::Zeroize;

use super::memory::Memory;
use super::{Session, Step};
use crate::Error;
use crate::network::name::is_clean;
use crate::ot::Direction;
use crate::protocol::base;
use crate::protocol::frame::{Frame, FrameBuf, Kind};
use crate::protocol::greeting::{Hello, LayersHash, MAX_NAME, VERSION, Welcome, read_greeting};
use crate::protocol::linear::{ClientLinear, Workspace};
use crate::protocol::steps::{Setup, SetupOf, Upload};
use crate::protocol::transfer::{ReceiveResponse, SendUpload, UploadSeeds};
use crate::random::{Kdf, Purpose, Stream};
use crate::rlwe::add_errors;

impl<M: Memory, L: ClientLinear> Session<M, L> {
    pub(super) fn hello(&self) -> Hello {
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
    pub(super) fn greeted(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let payload = frame.expect(Kind::Welcome)?;
        let welcome: Welcome = read_greeting(payload)?;
        let relu = welcome.check(&self.settings)?;
        self.id = self.hello().session_id(payload)?;
        self.kdf = Kdf::new(&self.secret, &self.id);
        self.secret.zeroize();

        let k_s = self.settings.k_s.into();
        let roots = self.kdf.seed(Purpose::GgmRoots, 0);
        self.receiver
            .plant(Direction::Forward, k_s, &self.id, &roots)?;
        let mut stream = Stream::new(&self.kdf.seed(Purpose::Delta, 0), [0; 3]);
        self.sender.choose(k_s, &self.id, || stream.next_u32())?;
        self.choices = self.kdf.seed(Purpose::Choices, 0);
        self.window.begin_session::<M>(relu, k_s);
        self.layers_hash = LayersHash::default();
        self.welcome = welcome;
        Ok(())
    }

    /// What comes after a step of the set-up.
    #[inline(never)]
    pub(super) fn after(&mut self, step: Setup) -> Result<Step, Error> {
        let of = SetupOf {
            labels: self.settings.labels,
            room: M::ROOM,
            own_keys: L::OWN_KEYS,
        };
        let Some(next) = step.next(of) else {
            self.wipe();
            return Ok(Step::Ready);
        };
        Ok(match next {
            Setup::Hello => Step::Hello,
            Setup::Welcome => Step::Welcome,
            Setup::Labels => Step::Labels(0),
            Setup::Layers => Step::Layers(0),
            Setup::Upload(upload) => Step::Upload(upload, self.upload(upload)?),
            Setup::Response => Step::BaseResponse(ReceiveResponse::default()),
            Setup::BaseMessages(Direction::Reverse) => Step::TakeMessages(0),
            Setup::BaseCorrection => Step::BaseCorrection(0),
            Setup::BaseMessages(Direction::Forward) => Step::SendMessages(0),
            Setup::Rotations => Step::Rotations,
            Setup::Keys => Step::Keys,
        })
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
    pub(super) fn take_messages(&mut self, frame: Frame<'_>, index: usize) -> Result<(), Error> {
        let (id, slots) = (&self.id, &self.work.poly);
        let key = |transfer| base::slot_key_chosen(id, transfer, slots);
        base::read_messages(frame, index, &mut self.sender, id, key)
    }

    /// Takes a frame of the extension in which the server chooses; true with the last.
    pub(super) fn base_correction(
        &mut self,
        frame: Frame<'_>,
        index: usize,
    ) -> Result<bool, Error> {
        let (sender, scratch) = (&self.sender, &mut self.work.scratch[..]);
        let call = base::call(sender.k_s());
        call.absorb(base::CALL, (frame, index), sender, scratch)
    }

    /// Writes a frame of the messages that the server chooses from, under keys of that extension.
    pub(super) fn send_messages(
        &mut self,
        frame: usize,
        out: &mut FrameBuf,
    ) -> Result<usize, Error> {
        let scratch = &self.work.scratch;
        let rows = self.sender.rows(base::CALL, scratch)?;
        let keys = base::row_keys(&rows);
        let trees = &self.receiver;
        Ok(base::write_messages(trees, &self.id, frame, keys, out))
    }
}

/// The name of a class.
pub(super) fn label(frame: Frame<'_>) -> Result<&str, Error> {
    let name = frame.expect(Kind::Label)?;
    let name = core::str::from_utf8(name).map_err(|_| Error::Malformed("class name"))?;
    if name.len() > MAX_NAME || !is_clean(name) {
        return Err(Error::Malformed("class name"));
    }
    Ok(name)
}
