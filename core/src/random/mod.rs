//! Pseudo-random bits: ChaCha with 8 rounds as generator and with 12 as correlation-robust hash, and the
//! key derivation that makes every seed belong to one purpose of one session.
//! `docs/design.md#nothing-is-used-twice` and `#oblivious-transfer`.

mod chacha;
pub mod sample;

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

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

    /// Its words. The first four fill the half of a ChaCha key that a 128-bit secret leaves free.
    pub fn words(&self) -> [u32; 8] {
        let mut all = [0; 8];
        all.copy_from_slice(words(&self.0).as_flattened());
        all
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

    /// Its words, as halves of a ChaCha key.
    pub(crate) fn write_halves(&self, halves: &mut [[u32; 4]; 2]) {
        *halves = words(&self.0);
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
    /// First levels of the client's GGM trees.
    GgmRoots = 7,
    /// The client's half of the correlation of the reverse direction.
    Delta = 8,
    /// Server: u, errors, mask and flood of one returned ciphertext.
    Response = 9,
    /// Server: bits and masks of its ReLUs.
    Relu = 10,
    /// Client: bits of its ReLUs.
    Choices = 11,
    /// RLWE secret key of slot packing.
    SlotSecretKey = 12,
    /// `a` of a Galois key (public).
    GaloisKeyA = 13,
    /// Error of a Galois key.
    GaloisKeyError = 14,
    /// Server: residues that the keys of the base transfers are hashed from.
    BaseResidues = 15,
    /// Client: key of the records of one inference that the server keeps.
    Records = 16,
    /// Client: the secret of one inference of a batch, from which its shares and the rest of it follow.
    Inference = 17,
    /// Client: what the secrets of the inferences of a batch follow from.
    Batch = 23,
    /// Client: what the secrets of all later inferences follow from.
    Ratchet = 18,
    /// Client: what seeds of uploads follow from, once the set-up is over.
    Uploads = 22,
    /// Client: what redeems a ticket.
    Token = 19,
    /// Server: key of a stored ticket.
    Stored = 20,
    /// Server: what it calls its network.
    Model = 21,
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

    /// Derives from a uniform secret that serves nothing else.
    pub fn of(secret: Seed) -> Self {
        Self(secret)
    }

    /// Of no session.
    pub(crate) const fn empty() -> Self {
        Self(Seed([0; 32]))
    }

    /// The secret that it derives from, for a ticket of the client.
    pub(crate) fn secret(&self) -> &Seed {
        &self.0
    }

    /// The seed of (purpose, counter). Each pair must be used once.
    #[expect(clippy::expect_used, reason = "both lengths are constants")]
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

/// Little-endian words of 32 bytes, in halves.
fn words(bytes: &[u8; 32]) -> [[u32; 4]; 2] {
    let mut words = [[0; 4]; 2];
    for (word, bytes) in words.iter_mut().flatten().zip(bytes.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// One ChaCha block with 8 rounds, the fewest in common use that keep a margin: a key's halves, nonce
/// of three words, block counter. Both numbers of rounds are part of the protocol.
#[inline]
pub fn block(key: [&[u32; 4]; 2], nonce: [u32; 3], counter: u32) -> [u32; BLOCK_WORDS] {
    chacha::block::<8>(key, nonce, counter)
}

/// The first block with 12 rounds: a hash of the key, where keys are related.
#[inline]
pub fn hash_block(key: [&[u32; 4]; 2], nonce: [u32; 3]) -> [u32; BLOCK_WORDS] {
    chacha::block::<12>(key, nonce, 0)
}

/// A stream of words from a 256-bit seed.
pub struct Stream {
    key: Zeroizing<[[u32; 4]; 2]>,
    nonce: [u32; 3],
    counter: u32,
    block: [u32; BLOCK_WORDS],
    used: usize,
}

impl Stream {
    /// The stream of `seed` under a nonce; (seed, nonce) pairs must not repeat.
    pub fn new(seed: &Seed, nonce: [u32; 3]) -> Self {
        Self {
            key: Zeroizing::new(words(&seed.0)),
            nonce,
            counter: 0,
            block: [0; BLOCK_WORDS],
            used: BLOCK_WORDS,
        }
    }

    /// The next 32 bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.used == BLOCK_WORDS {
            self.block = block(self.key.each_ref(), self.nonce, self.counter);
            self.counter = self.counter.wrapping_add(1);
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
