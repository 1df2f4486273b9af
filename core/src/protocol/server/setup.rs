//! The server's set-up: greeting and base transfers in both directions.
//! `docs/design.md#oblivious-transfer`; the client's half is in [`super::super::client`].

use alloc::boxed::Box;
use alloc::vec;

use zeroize::{Zeroize, Zeroizing};

use super::{NOT_READY, Server, Session, Step, What};
use crate::Error;
use crate::arith::field::T_MOD;
use crate::ot::{Direction, ReceiverTrees, SenderTrees, scratch_words};
use crate::protocol::activation::ServerWindow;
use crate::protocol::base::{self, Message, OPENING_FRAMES, SLOTS};
use crate::protocol::frame::{Frame, FrameBuf, HEADER, Kind};
use crate::protocol::greeting::{
    Hello, MAX_HELLO, VERSION, Welcome, read_greeting, relu_params, write_control,
};
use crate::protocol::linear::Keys;
use crate::protocol::transfer::SendResponse;
use crate::random::{Kdf, Purpose, Seed, SessionId, Stream};
use crate::rlwe::ring::ring4096::Poly;
use crate::rlwe::{Ciphertext, Limbs, PublicKey, Ring, Ring4096};

/// What the forward base transfers need until they are done.
pub(super) struct BaseTransfers {
    /// The first ciphertext, until the second is there.
    zero: Option<Ciphertext<Ring4096>>,
    /// Mask slots, then what the client opened without them.
    mask: Box<Poly>,
    opening: [u32; SLOTS],
}

impl Drop for BaseTransfers {
    fn drop(&mut self) {
        self.mask.zeroize();
        self.opening.zeroize();
    }
}

impl Server {
    /// Checks the client's greeting and prepares the answer.
    pub(super) fn greeted(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let hello: Hello = read_greeting(frame.expect(Kind::Hello)?)?;
        hello.check()?;
        let (ours, theirs) = (self.network.parameter_set(), hello.parameters);
        if ours != theirs {
            return Err(Error::ParameterSet { ours, theirs });
        }
        let about = &self.network.about;
        relu_params(about.shift, hello.h)?;
        let welcome = Welcome {
            version: VERSION,
            nonce: self.nonce,
            name: about.name.clone(),
            shift: about.shift,
            layers: self.network.layers.len() as u16,
            plan: self.network.plan.0,
            classes: about.classes.len() as u16,
            logit_scale: about.logit_scale,
            input: about.input,
        };
        self.step = Step::Welcome(Box::new((hello, welcome)));
        Ok(())
    }

    /// Writes the answer, and opens the session that both greetings name.
    pub(super) fn greet(
        &mut self,
        hello: Hello,
        welcome: &Welcome,
        out: &mut FrameBuf,
    ) -> Result<usize, Error> {
        let mut theirs = [0; MAX_HELLO];
        let theirs = postcard::to_slice(&hello, &mut theirs)
            .map_err(|_| Error::Usage("greeting longer than its buffer"))?;
        let len = write_control(out, Kind::Welcome, welcome)?;
        let id = SessionId::new(theirs, &out[HEADER..len]);

        let kdf = Kdf::new(&self.secret, &id);
        self.secret.zeroize();
        let relu = relu_params(self.network.about.shift, hello.h)?;
        let k_s = hello.k_s.into();
        let mut stream = Stream::new(&kdf.seed(Purpose::Delta, 0), [0; 3]);
        let mut sender = SenderTrees::empty();
        sender.choose(core::array::from_fn(|_| stream.next_u32()));
        let roots = kdf.seed(Purpose::GgmRoots, 0);
        self.step = if hello.labels {
            Step::Label(0)
        } else {
            What::BaseKey.receive()
        };
        self.session = Some(Session {
            receiver: ReceiverTrees::new(Direction::Reverse, k_s, &id, &roots)?,
            window: ServerWindow::new(relu, k_s, kdf.seed(Purpose::Relu, 0)),
            id,
            hello,
            relu,
            kdf,
            keys: Keys::default(),
            base: None,
            sender,
            responses: 0,
            tensors: vec![],
            layer: 0,
            current: None,
        });
        Ok(len)
    }

    /// Goes on after a whole upload.
    pub(super) fn uploaded(
        &mut self,
        what: What,
        seed: &Seed,
        limbs: Limbs<Ring4096>,
    ) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        if !matches!(what, What::BaseKey | What::SessionKey) {
            self.counters.ciphertext_bytes += Ring4096::upload_bytes();
        }
        match what {
            What::BaseKey | What::SessionKey => {
                session.keys.public = Some(PublicKey::from_wire(limbs, seed));
                self.counters.public_key_bytes += Ring4096::upload_bytes();
                let next = match what {
                    What::BaseKey => What::BaseMessage(Message::Zero),
                    _ => What::BaseChoices,
                };
                self.step = next.receive();
            }
            What::BaseMessage(Message::Zero) => {
                session.base = Some(BaseTransfers {
                    zero: Some(Ciphertext::from_wire(limbs, seed)),
                    mask: crate::rlwe::zero_poly::<Ring4096>(),
                    opening: [0; SLOTS],
                });
                self.step = What::BaseMessage(Message::Difference).receive();
            }
            What::BaseMessage(Message::Difference) => {
                let difference = Ciphertext::from_wire(limbs, seed);
                let seed = session.response_seed();
                // Used once: the key of the base transfers goes with them.
                let key = session.keys.public.take().ok_or(NOT_READY)?;
                let base = session.base.as_mut().ok_or(NOT_READY)?;
                let zero = base.zero.take().ok_or(NOT_READY)?;
                let delta = session.sender.delta();
                let (response, mask) = base::forward_response(zero, &difference, delta, &key, seed);
                base.mask = mask;
                let download = SendResponse::default();
                self.step = Step::BaseResponse(Direction::Forward, Box::new(response), download);
            }
            What::BaseChoices => {
                let choices = Ciphertext::from_wire(limbs, seed);
                let seed = session.response_seed();
                let key = session.keys.public.as_ref().ok_or(NOT_READY)?;
                let mut scratch = Zeroizing::new(vec![0; scratch_words(session.receiver.k_s())]);
                let response =
                    base::reverse_response(&choices, &session.receiver, key, seed, &mut scratch)?;
                let download = SendResponse::default();
                self.step = Step::BaseResponse(Direction::Reverse, Box::new(response), download);
            }
        }
        Ok(())
    }

    /// Takes a frame of the client's opening; the last one gives the keys.
    pub(super) fn opening(&mut self, index: usize, frame: Frame<'_>) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let base = session.base.as_mut().ok_or(NOT_READY)?;
        base::read_opening(frame, index, &mut base.opening)?;
        self.step = Step::Opening(index + 1);
        if index + 1 < OPENING_FRAMES {
            return Ok(());
        }
        for (x, m) in base.opening.iter_mut().zip(base.mask.iter()) {
            *x = T_MOD.sub(*x, *m);
        }
        let (id, k_s) = (&session.id, session.hello.k_s.into());
        let decode = |keys: &mut _| base::decode_keys(&base.opening, keys);
        session.sender.plant(Direction::Forward, k_s, id, decode)?;
        session.base = None;
        self.step = Step::CheckConfirm(0);
        Ok(())
    }
}
