//! The client's set-up: greeting, base transfers in both directions, and every upload's seeds.
//! `docs/design.md#oblivious-transfer`; the server's half is in [`super::super::server`].

use zeroize::{Zeroize, Zeroizing};

use super::{Session, Step};
use crate::Error;
use crate::network::name::is_clean;
use crate::ot::Direction;
use crate::protocol::base;
use crate::protocol::frame::{Frame, Kind};
use crate::protocol::greeting::{Hello, MAX_NAME, VERSION, Welcome, read_greeting};
use crate::protocol::linear::{ClientLinear, Workspace};
use crate::protocol::steps::{Setup, Upload};
use crate::protocol::transfer::{ReceiveResponse, SendUpload, UploadSeeds};
use crate::random::{Kdf, Purpose, Stream};
use crate::rlwe::add_errors;
use crate::rlwe::ring::ring4096::{LOG_N, T_NTT};

impl<const CHUNKS: usize, const SUPPLY: usize, L: ClientLinear> Session<CHUNKS, SUPPLY, L> {
    pub(super) fn hello(&self) -> Hello {
        Hello {
            version: VERSION,
            parameters: L::PARAMETER_SET,
            nonce: self.nonce,
            k_s: self.settings.k_s,
            h: self.settings.h,
            window: CHUNKS as u16,
            labels: self.settings.labels,
        }
    }

    /// Begins the session that both greetings name.
    #[inline(never)]
    pub(super) fn greeted(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let payload = frame.expect(Kind::Welcome)?;
        let welcome: Welcome = read_greeting(payload)?;
        let relu = welcome.check(self.settings.h)?;
        self.id = self.hello().session_id(payload)?;
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
        self.welcome = welcome;
        Ok(())
    }

    /// What comes after a step of the set-up.
    #[inline(never)]
    pub(super) fn after(&mut self, step: Setup) -> Result<Step, Error> {
        let Some(next) = step.next(self.settings.labels, L::OWN_KEYS) else {
            self.wipe();
            return Ok(Step::Ready);
        };
        Ok(match next {
            Setup::Hello => Step::Hello,
            Setup::Welcome => Step::Welcome,
            Setup::Labels => Step::Labels(0),
            Setup::Upload(upload) => Step::Upload(upload, self.upload(upload)?),
            Setup::Response(direction) => Step::BaseResponse(direction, ReceiveResponse::default()),
            Setup::Opening => Step::Opening(0),
            Setup::Confirm(Direction::Forward) => Step::SendConfirm(0),
            Setup::Confirm(Direction::Reverse) => Step::CheckConfirm(0),
            Setup::Rotations => Step::Rotations,
            Setup::Keys => Step::Keys,
        })
    }

    /// Starts an upload with fresh seeds. The key that a public key belongs to takes the place of
    /// the one before: that of the forward base transfers, which opened whatever came, is erased.
    fn upload(&mut self, upload: Upload) -> Result<SendUpload, Error> {
        let Workspace { key, poly, scratch } = &mut self.work;
        let mut public_key = |number| {
            key.draw(&self.kdf.seed(Purpose::SecretKey, number));
            poly.fill(0);
            UploadSeeds::PUBLIC_KEY
        };
        let purposes = match upload {
            Upload::BaseKey => public_key(0),
            Upload::SessionKey => public_key(1),
            Upload::BaseMessage(message) => {
                base::encode_messages(&self.receiver, message, poly, scratch)?;
                UploadSeeds::CIPHERTEXT
            }
            Upload::BaseChoices => {
                base::encode_choices(self.sender.delta(), poly);
                UploadSeeds::CIPHERTEXT
            }
        };
        let UploadSeeds { a, error } = UploadSeeds::next(&self.kdf, &mut self.uploads, purposes);
        add_errors(&mut self.work.poly, &error);
        Ok(SendUpload::new(a))
    }

    /// Takes what a base transfer's response says, which is in `poly`.
    pub(super) fn base_response(&mut self, direction: Direction) -> Result<(), Error> {
        let poly = &mut self.work.poly;
        T_NTT.forward(poly, LOG_N);
        if direction == Direction::Reverse {
            let decode = |keys: &mut _| base::decode_keys(poly, keys);
            let k_s = self.settings.k_s.into();
            self.sender.plant(direction, k_s, &self.id, decode)?;
        }
        Ok(())
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
