//! Layers in slots, with rotations: N = 8192, and keys of their own. The server names the automorphisms
//! that its network needs, the client answers with a public key and a Galois key for each.
//! `docs/design.md#circuit-privacy` and `#rotations`; [`crate::packing::slot`],
//! [`crate::rlwe::galois`].

use zeroize::Zeroize;

use super::{Buffers, ClientLinear, Workspace};
use crate::Error;
use crate::packing::slot::SlotLayout;
use crate::protocol::frame::{Frame, FrameBuf, Kind, MAX_PAYLOAD, write};
use crate::protocol::greeting::SLOT_PARAMETER_SET;
use crate::protocol::transfer::{SendUpload, UploadSeeds};
use crate::random::{Kdf, Purpose, Seed};
use crate::rlwe::galois::{Element, galois_key_limb};
use crate::rlwe::ring::ring8192::{KEY_LIMBS, LIMBS, N, Poly};
use crate::rlwe::{Expansion, Ring, Ring8192, SecretKey, add_errors};

#[cfg(feature = "server")]
pub use server::ReceiveKeys;

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

/// Polynomials of a Galois key: all limbs of a digit after another.
pub const GALOIS_KEY_POLYS: usize = LIMBS * KEY_LIMBS;

/// The client's half: about 100 KiB.
pub struct Slots {
    /// A key that serves layers alone.
    key: SecretKey<Ring8192>,
    rotations: Rotations,
    /// Keys sent; the public key comes first.
    sent: usize,
    /// The key under way, and the seed of its errors.
    sending: Option<(SendUpload, Seed)>,
    /// The message being encrypted, or the ciphertext being decrypted.
    poly: Poly,
    /// The polynomial being sent; scratch of decryption.
    scratch: [Poly; 2],
}

impl Zeroize for Slots {
    fn zeroize(&mut self) {
        self.key.zeroize();
        self.rotations.clear();
        self.sent = 0;
        self.sending = None;
        self.wipe();
    }
}

impl ClientLinear for Slots {
    const EMPTY: Self = Self {
        key: SecretKey::zero(),
        rotations: Rotations::new(),
        sent: 0,
        sending: None,
        poly: [0; N],
        scratch: Ring8192::SCRATCH,
    };
    const PARAMETER_SET: u16 = SLOT_PARAMETER_SET;
    const OWN_KEYS: bool = true;
    type Ring = Ring8192;
    type Layout = SlotLayout;

    fn take_rotations(&mut self, frame: Frame<'_>, kdf: &Kdf) -> Result<(), Error> {
        self.rotations = read_rotations(frame)?;
        self.sent = 0;
        self.key.draw(&kdf.seed(Purpose::SlotSecretKey, 0));
        Ok(())
    }

    fn poll_keys(&mut self, kdf: &Kdf, uploads: &mut u64, out: &mut FrameBuf) -> (usize, bool) {
        let galois = (self.sent.checked_sub(1)).and_then(|i| self.rotations.get(i).copied());
        let poly = &mut self.poly;
        let (upload, errors) = self.sending.get_or_insert_with(|| {
            let purposes = match galois {
                Some(_) => UploadSeeds::GALOIS_KEY,
                None => UploadSeeds::PUBLIC_KEY,
            };
            let UploadSeeds { a, error } = UploadSeeds::next(kdf, uploads, purposes);
            // A public key is an encryption of zero. Galois keys make their errors themselves.
            poly.fill(0);
            add_errors(poly, &error);
            (SendUpload::new(a), error)
        });
        let (len, last) = match galois {
            Some(element) => {
                let key = &self.key;
                let make = |i: usize, a: &Seed, out: &mut Poly| {
                    let part = (i / KEY_LIMBS, i % KEY_LIMBS);
                    galois_key_limb(key, element, part, a, errors, out);
                };
                upload.poll::<Ring8192>(GALOIS_KEY_POLYS, make, &mut self.scratch[0], out)
            }
            None => {
                let mut buffers = Buffers {
                    key: &self.key,
                    poly,
                    scratch: &mut self.scratch,
                };
                buffers.poll(upload, Expansion::PublicKey, out)
            }
        };
        if last {
            self.sending = None;
            self.sent += 1;
        }
        (len, self.sent > self.rotations.len())
    }

    fn buffers<'a>(&'a mut self, _: &'a mut Workspace) -> Buffers<'a, Ring8192> {
        Buffers {
            key: &self.key,
            poly: &mut self.poly,
            scratch: &mut self.scratch,
        }
    }

    fn poly<'a>(&'a self, _: &'a Workspace) -> &'a Poly {
        &self.poly
    }

    fn wipe(&mut self) {
        self.poly.zeroize();
        self.scratch.zeroize();
    }
}

#[cfg(feature = "server")]
mod server {
    use super::*;
    use crate::packing::Weights;
    use crate::packing::slot::SlotWeights;
    use crate::protocol::linear::{Keys, ServerWeights, SlotKeys};
    use crate::protocol::transfer::ReceiveUpload;
    use crate::rlwe::PublicKey;
    use crate::rlwe::galois::{GaloisKey, GaloisKeys};
    use alloc::vec::Vec;

    impl ServerWeights for SlotWeights {
        fn rotations(&self) -> Vec<Element> {
            self.layout().rotations().collect()
        }

        fn keys(keys: &Keys) -> Option<(&PublicKey<Ring8192>, &GaloisKeys)> {
            let SlotKeys { public, galois } = keys.slot.as_ref()?;
            Some((public, galois))
        }
    }

    /// Receives the keys of a list.
    pub struct ReceiveKeys {
        rotations: Rotations,
        /// Galois keys received.
        received: usize,
        upload: ReceiveUpload<Ring8192>,
        public: Option<PublicKey<Ring8192>>,
        galois: GaloisKeys,
    }

    impl ReceiveKeys {
        /// Waits for the public key, then for those of `rotations`.
        pub fn new(rotations: Rotations) -> Self {
            Self {
                rotations,
                received: 0,
                upload: ReceiveUpload::limbs(),
                public: None,
                galois: GaloisKeys::default(),
            }
        }

        /// Takes the next frame. With the public key's last one: its bytes.
        pub fn handle(&mut self, frame: Frame<'_>) -> Result<Option<usize>, Error> {
            let Some((seed, polys)) = self.upload.handle(frame)? else {
                return Ok(None);
            };
            if self.public.is_none() {
                self.public = Some(PublicKey::from_wire(polys, &seed));
                self.upload = ReceiveUpload::new(GALOIS_KEY_POLYS);
                return Ok(Some(Ring8192::upload_bytes()));
            }
            if let Some(&element) = self.rotations.get(self.received) {
                let key = GaloisKey::from_wire(element, &polys, &seed);
                self.galois.insert(element, key);
                self.received += 1;
            }
            Ok(None)
        }

        /// The keys, once all are there.
        pub fn take(&mut self) -> Option<SlotKeys> {
            if self.received < self.rotations.len() {
                return None;
            }
            Some(SlotKeys {
                public: self.public.take()?,
                galois: core::mem::take(&mut self.galois),
            })
        }
    }
}
