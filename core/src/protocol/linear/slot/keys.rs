//! The set-up of slot packing: the server names the automorphisms that its network needs, the
//! client answers with a public key and a Galois key for each.
//! DESIGN section 9; [`crate::packing::slot::rotate`] for what the keys do.

use super::transfer::{Object, SendUpload};
use crate::Error;
use crate::packing::slot::galois::Element;
use crate::protocol::frame::{Frame, FrameBuf, Kind, MAX_PAYLOAD, write};

#[cfg(feature = "server")]
pub use server::{ReceiveKeys, SlotKeys};

/// The most automorphisms of a network: one frame names them, two bytes each.
pub const MAX_ROTATIONS: usize = MAX_PAYLOAD / 2;

/// A list of automorphisms, in rising order of their exponents.
pub type Rotations = heapless::Vec<Element, MAX_ROTATIONS>;

/// Server: writes the list.
pub fn write_rotations(rotations: &Rotations, out: &mut FrameBuf) -> usize {
    write(out, Kind::Rotations, |payload| {
        for (bytes, element) in payload.as_chunks_mut().0.iter_mut().zip(rotations) {
            *bytes = (element.value() as u16).to_le_bytes();
        }
        2 * rotations.len()
    })
}

/// Client: takes the list. Each element must be a move, and above the one before, so that no key is
/// made twice.
pub fn read_rotations(frame: Frame<'_>) -> Result<Rotations, Error> {
    const MALFORMED: Error = Error::Malformed("list of rotations");
    let (values, rest) = frame.expect(Kind::Rotations)?.as_chunks();
    let mut rotations = Rotations::new();
    for bytes in values {
        let element = Element::new(u16::from_le_bytes(*bytes)).ok_or(MALFORMED)?;
        if element <= rotations.last().copied().unwrap_or(Element::IDENTITY) {
            return Err(MALFORMED);
        }
        rotations.push(element).map_err(|_| MALFORMED)?;
    }
    if rest.is_empty() {
        Ok(rotations)
    } else {
        Err(MALFORMED)
    }
}

/// Client: the list, and the key under way.
#[derive(Default)]
pub struct SendKeys {
    rotations: Rotations,
    upload: Option<SendUpload>,
    /// Keys sent; the public key comes first.
    sent: usize,
}

impl SendKeys {
    /// No keys.
    pub const EMPTY: Self = Self {
        rotations: Rotations::new(),
        upload: None,
        sent: 0,
    };

    /// The keys that the server asked for.
    pub fn new(rotations: Rotations) -> Self {
        Self {
            rotations,
            ..Self::EMPTY
        }
    }

    /// The upload under way, or that of the next key, which `start` makes.
    pub fn current(&mut self, start: impl FnOnce(Object) -> SendUpload) -> &mut SendUpload {
        let galois = self.sent.checked_sub(1).and_then(|i| self.rotations.get(i));
        let object = galois.map_or(Object::PublicKey, |element| Object::GaloisKey(*element));
        self.upload.get_or_insert_with(|| start(object))
    }

    /// Goes on after a key; true after the last.
    pub fn advance(&mut self) -> bool {
        self.upload = None;
        self.sent += 1;
        self.sent > self.rotations.len()
    }
}

#[cfg(feature = "server")]
mod server {
    use super::super::transfer::{ReceiveUpload, limbs};
    use super::*;
    use crate::packing::slot::params::{GALOIS_KEY_BYTES, KEY_LIMBS, PUBLIC_KEY_BYTES};
    use crate::packing::slot::privacy::PublicKey;
    use crate::packing::slot::rotate::{GaloisKey, GaloisKeys};

    /// A client's keys.
    pub struct SlotKeys {
        /// Its public key.
        pub public: PublicKey,
        /// Its Galois keys.
        pub galois: GaloisKeys,
    }

    /// Receives the keys of a list.
    pub struct ReceiveKeys {
        rotations: Rotations,
        received: usize,
        upload: ReceiveUpload,
        public: Option<PublicKey>,
        galois: GaloisKeys,
    }

    impl ReceiveKeys {
        /// Waits for the public key, then for those of `rotations`.
        pub fn new(rotations: Rotations) -> Self {
            Self {
                rotations,
                received: 0,
                upload: ReceiveUpload::new(Object::PublicKey),
                public: None,
                galois: GaloisKeys::default(),
            }
        }

        /// Takes the next frame. With a key's last one: what it is the key of, and its bytes.
        pub fn handle(&mut self, frame: Frame<'_>) -> Result<Option<(Object, usize)>, Error> {
            let object = self.upload.object();
            let Some((seed, polys)) = self.upload.handle(frame)? else {
                return Ok(None);
            };
            let bytes = match object {
                Object::GaloisKey(element) => {
                    let digit = |digit| limbs(&polys[digit * KEY_LIMBS..]);
                    let digits = core::array::from_fn(digit);
                    let key = GaloisKey::from_wire(element, digits, &seed);
                    self.galois.insert(element, key);
                    GALOIS_KEY_BYTES
                }
                _ => {
                    self.public = Some(PublicKey::from_wire(limbs(&polys), &seed));
                    PUBLIC_KEY_BYTES
                }
            };
            if let Some(&element) = self.rotations.get(self.received) {
                self.upload = ReceiveUpload::new(Object::GaloisKey(element));
            }
            self.received += 1;
            Ok(Some((object, bytes)))
        }

        /// The keys, once all are there.
        pub fn take(&mut self) -> Option<SlotKeys> {
            if self.received <= self.rotations.len() {
                return None;
            }
            Some(SlotKeys {
                public: self.public.take()?,
                galois: core::mem::take(&mut self.galois),
            })
        }
    }
}
