//! Pseudo-random bits: ChaCha8 as generator and correlation-robust hash, and the key derivation
//! that makes every seed belong to one purpose of one session.
//! DESIGN sections 5 ("Nothing is used twice") and 6 ("Oblivious transfer").

use chacha20::ChaChaCore;
use chacha20::cipher::{KeyIvInit, StreamCipherCore};
use chacha20::variants::Ietf;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Eight rounds: the number that the security argument of ChaCha leaves the widest margin per
/// cycle for; a change here changes every derived byte.
type Core = ChaChaCore<chacha20::R8, Ietf>;

/// Words of a ChaCha block: 16 x 32 = 512 bits.
pub const BLOCK_WORDS: usize = 16;

/// Public name of one session: the hash of both sides' greetings, which carry fresh nonces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionId(pub [u8; 32]);

impl SessionId {
    /// Hashes the two greeting frames, client first.
    pub fn new(client_hello: &[u8], server_hello: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"stria session 1");
        for part in [client_hello, server_hello] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The first 128 bits as words: the half of a ChaCha key that a 128-bit secret leaves free.
    pub fn half_key(&self) -> [u32; 4] {
        let w = words8(&self.0);
        [w[0], w[1], w[2], w[3]]
    }
}

/// A 256-bit secret; erased when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// A fresh seed from the caller's generator.
    pub fn random(rng: &mut impl rand_core::CryptoRng) -> Self {
        let mut seed = Self([0; 32]);
        rng.fill_bytes(&mut seed.0);
        seed
    }
}

/// What a derived seed is for. The discriminants are part of the wire format's derivations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Purpose {
    /// RLWE secret key.
    SecretKey = 1,
    /// `a` of an RLWE public key (public).
    PublicKeyA = 2,
    /// Error of an RLWE public key.
    PublicKeyError = 3,
    /// `c1` of a ciphertext (public).
    CiphertextA = 4,
    /// Error of a ciphertext.
    CiphertextError = 5,
    /// The client's activation shares of one inference.
    Shares = 6,
    /// Roots of the client's GGM trees.
    GgmRoots = 7,
    /// The client's half of the correlation of the reverse direction.
    Delta = 8,
    /// Server: u, errors, mask and flood of one returned ciphertext.
    Response = 9,
    /// Server: bits and masks of one chunk of ReLUs.
    Relu = 10,
    /// Client: random choice bits of one chunk.
    Choices = 11,
}

/// Derives seeds: `HKDF-SHA256(salt = session id, secret)`, expanded by purpose and counter.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Kdf(Seed);

impl Kdf {
    /// Binds a party's long secret to one session.
    pub fn new(secret: &Seed, session: &SessionId) -> Self {
        let (mut key, _) = Hkdf::<Sha256>::extract(Some(&session.0), &secret.0);
        let kdf = Self(Seed(key.into()));
        key.zeroize();
        kdf
    }

    /// Of no session.
    pub(crate) const fn empty() -> Self {
        Self(Seed([0; 32]))
    }

    /// The seed of (purpose, counter). Each pair must be used once.
    pub fn seed(&self, purpose: Purpose, counter: u64) -> Seed {
        let mut info = [0u8; 9];
        info[0] = purpose as u8;
        info[1..].copy_from_slice(&counter.to_le_bytes());
        let mut seed = Seed([0; 32]);
        Hkdf::<Sha256>::from_prk(&self.0.0)
            .expect("the key is as long as the hash")
            .expand(&info, &mut seed.0)
            .expect("32 bytes are far below HKDF's limit");
        seed
    }
}

fn words8(bytes: &[u8; 32]) -> [u32; 8] {
    core::array::from_fn(|i| {
        u32::from_le_bytes([
            bytes[4 * i],
            bytes[4 * i + 1],
            bytes[4 * i + 2],
            bytes[4 * i + 3],
        ])
    })
}

fn core_at(key: &[u32; 8], nonce: [u32; 3], counter: u32) -> Core {
    let mut key_bytes = Zeroizing::new([0u8; 32]);
    for (b, w) in key_bytes.chunks_exact_mut(4).zip(key) {
        b.copy_from_slice(&w.to_le_bytes());
    }
    let mut iv = [0u8; 12];
    for (b, w) in iv.chunks_exact_mut(4).zip(nonce) {
        b.copy_from_slice(&w.to_le_bytes());
    }
    let mut core = Core::new((&*key_bytes).into(), (&iv).into());
    core.set_block_pos(counter);
    core
}

fn take_block(core: &mut Core) -> [u32; BLOCK_WORDS] {
    let mut block = Zeroizing::new([0u8; 64]);
    core.write_keystream_block((&mut *block).into());
    core::array::from_fn(|i| {
        u32::from_le_bytes([
            block[4 * i],
            block[4 * i + 1],
            block[4 * i + 2],
            block[4 * i + 3],
        ])
    })
}

/// One ChaCha8 block: key of eight words, nonce of three, block counter.
pub fn block(key: &[u32; 8], nonce: [u32; 3], counter: u32) -> [u32; BLOCK_WORDS] {
    take_block(&mut core_at(key, nonce, counter))
}

/// One ChaCha8 block of a 128-bit secret; the session fills the other half of the key.
pub fn block128(
    secret: &[u32; 4],
    session_half: &[u32; 4],
    nonce: [u32; 3],
    counter: u32,
) -> [u32; BLOCK_WORDS] {
    let mut key = Zeroizing::new([0u32; 8]);
    key[..4].copy_from_slice(secret);
    key[4..].copy_from_slice(session_half);
    block(&key, nonce, counter)
}

/// A stream of words from a 256-bit seed.
pub struct Stream {
    core: Core,
    block: [u32; BLOCK_WORDS],
    used: usize,
}

impl Stream {
    /// The stream of `seed` under a nonce; (seed, nonce) pairs must not repeat.
    pub fn new(seed: &Seed, nonce: [u32; 3]) -> Self {
        let key = Zeroizing::new(words8(&seed.0));
        Self {
            core: core_at(&key, nonce, 0),
            block: [0; BLOCK_WORDS],
            used: BLOCK_WORDS,
        }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == BLOCK_WORDS {
            self.block = take_block(&mut self.core);
            self.used = 0;
        }
        let word = self.block[self.used];
        self.used += 1;
        word
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let lo = self.next_u32();
        u64::from(lo) | u64::from(self.next_u32()) << 32
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.block.zeroize();
    }
}
