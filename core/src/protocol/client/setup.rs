//! The client's set-up: greeting, base transfers in both directions, and every upload's seeds.
//! `docs/design.md#oblivious-transfer`; the server's half is in [`super::super::server`].

use zeroize::{Zeroize, Zeroizing};

use super::{App, Client, Maybe, Step, What};
use crate::Error;
use crate::network::name::is_clean;
use crate::ot::Direction;
use crate::protocol::base::{self, Message};
use crate::protocol::frame::{Frame, Kind};
use crate::protocol::greeting::{MAX_HELLO, MAX_NAME, Welcome, read_greeting};
use crate::protocol::linear::{ClientLinear, Workspace};
use crate::protocol::transfer::{ReceiveResponse, SendUpload, UploadSeeds};
use crate::random::{Kdf, Purpose, SessionId, Stream};
use crate::rlwe::ring::ring4096::LOG_N;
use crate::rlwe::ring::ring4096::T_NTT;
use crate::rlwe::{Expansion, SecretKey, add_errors};

impl<const CHUNKS: usize, const SUPPLY: usize, L: ClientLinear> Client<CHUNKS, SUPPLY, L> {
    /// Opens the session on the server's greeting.
    #[inline(never)]
    pub(super) fn greeted(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let payload = frame.expect(Kind::Welcome)?;
        let welcome: Welcome = read_greeting(payload)?;
        let relu = welcome.check(self.settings.h)?;
        let mut hello = [0; MAX_HELLO];
        let hello = postcard::to_slice(&self.hello(), &mut hello)
            .map_err(|_| Error::Usage("greeting longer than its buffer"))?;
        self.id = SessionId::new(hello, payload);
        self.kdf = Kdf::new(&self.secret, &self.id);
        self.secret.zeroize();

        let k_s = self.settings.k_s.into();
        let roots = self.kdf.seed(Purpose::GgmRoots, 0);
        self.receiver
            .plant(Direction::Forward, k_s, &self.id, &roots)?;
        let mut stream = Stream::new(&self.kdf.seed(Purpose::Delta, 0), [0; 3]);
        let delta = Zeroizing::new(core::array::from_fn(|_| stream.next_u32()));
        self.sender.choose(*delta);
        self.choices = self.kdf.seed(Purpose::Choices, 0);
        self.window.begin_session(relu, k_s);
        self.welcome = Maybe::Full(welcome);
        if self.settings.labels {
            self.step = Step::Labels(0);
            return Ok(());
        }
        self.base_key();
        Ok(())
    }

    pub(super) fn label(
        &mut self,
        class: u16,
        app: &mut impl App,
        frame: Frame<'_>,
    ) -> Result<(), Error> {
        let name = frame.expect(Kind::Label)?;
        let name = core::str::from_utf8(name).map_err(|_| Error::Malformed("class name"))?;
        if name.len() > MAX_NAME || !is_clean(name) {
            return Err(Error::Malformed("class name"));
        }
        app.label(class, name);
        self.step = Step::Labels(class + 1);
        if class + 1 == self.welcome.get()?.classes {
            self.base_key();
        }
        Ok(())
    }

    /// Starts the forward base transfers, under a key that serves nothing else.
    fn base_key(&mut self) {
        self.work.key = SecretKey::generate(&self.kdf.seed(Purpose::SecretKey, 0));
        self.upload(What::BaseKey);
    }

    /// Starts the reverse base transfers, under the session's key; the other one, which opened
    /// whatever came, is erased here.
    pub(super) fn session_key(&mut self) {
        self.work.key = SecretKey::generate(&self.kdf.seed(Purpose::SecretKey, 1));
        self.upload(What::SessionKey);
    }

    /// Starts an upload of what is in `poly`, or of a key, with fresh seeds.
    fn upload(&mut self, what: What) {
        let is_key = what.expansion() == Expansion::PublicKey;
        let purposes = if is_key {
            UploadSeeds::PUBLIC_KEY
        } else {
            UploadSeeds::CIPHERTEXT
        };
        let UploadSeeds { a, error } = UploadSeeds::next(&self.kdf, &mut self.uploads, purposes);
        if is_key {
            self.work.poly.fill(0);
        }
        add_errors(&mut self.work.poly, &error);
        self.step = Step::Upload(what, SendUpload::new(a));
    }

    pub(super) fn after_upload(&mut self, what: What) -> Result<(), Error> {
        match what {
            What::BaseKey => self.upload_messages(Message::Zero)?,
            What::BaseMessage(Message::Zero) => self.upload_messages(Message::Difference)?,
            What::BaseMessage(Message::Difference) => {
                self.step = Step::BaseResponse(Direction::Forward, ReceiveResponse::default());
            }
            What::SessionKey => {
                base::encode_choices(self.sender.delta(), &mut self.work.poly);
                self.upload(What::BaseChoices);
            }
            What::BaseChoices => {
                self.step = Step::BaseResponse(Direction::Reverse, ReceiveResponse::default());
            }
        }
        Ok(())
    }

    fn upload_messages(&mut self, message: Message) -> Result<(), Error> {
        let Workspace { poly, scratch, .. } = &mut self.work;
        base::encode_messages(&self.receiver, message, poly, scratch)?;
        self.upload(What::BaseMessage(message));
        Ok(())
    }

    /// Goes on after a base transfer's response, which is in `poly`.
    pub(super) fn base_response(&mut self, direction: Direction) -> Result<(), Error> {
        T_NTT.forward(&mut self.work.poly, LOG_N);
        self.step = match direction {
            Direction::Forward => Step::Opening(0),
            Direction::Reverse => {
                let (k_s, poly) = (self.settings.k_s.into(), &self.work.poly);
                let decode = |keys: &mut _| base::decode_keys(poly, keys);
                self.sender.plant(direction, k_s, &self.id, decode)?;
                Step::CheckConfirm(0)
            }
        };
        Ok(())
    }

    /// Goes on after the base transfers.
    pub(super) fn set_up_keys(&mut self) {
        if L::OWN_KEYS {
            self.step = Step::Rotations;
        } else {
            self.set_up();
        }
    }

    /// Ends the set-up.
    pub(super) fn set_up(&mut self) {
        self.wipe();
        self.step = Step::Ready;
    }
}
