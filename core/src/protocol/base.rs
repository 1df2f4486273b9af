//! Base transfers, which begin the extensions of both directions. `docs/design.md#base-transfers`.
//!
//! | direction | who chooses | how |
//! |---|---|---|
//! | reverse | client | sends Enc(c); the server answers Enc(r0 + c (r1 - r0)), 12 slots a transfer |
//! | forward | server | by an extension of the reverse direction, where it chooses as well |
//!
//! Either way both parties then have keys, the one that chose one of each pair, and a frame carries
//! both messages of a transfer under them. Nobody opens a ciphertext that it did not make, and the
//! client tells nothing of what it decrypts.
//!
//! Only the reverse messages are confirmed, since a decryption can fail. A confirmation under a key of
//! the extension would let a server that deviates there test guesses of the client's delta, a few
//! bits at a time; without one a wrong guess looks like a right one.

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::corrections::Call;
use super::frame::{Frame, FrameBuf, Kind, write};
use super::transfer::Dense;
use crate::Error;
use crate::ot::{
    Code, Direction, Key, LANE, Lane, REVERSE, ReceiverRows, ReceiverTrees, RowUse, SenderRows,
    SenderTrees, confirmation, first_key, xor,
};
use crate::random::SessionId;
use crate::rlwe::ring::ring4096::{LOG_N, N, Poly, T_NTT};

/// Slots of a reverse transfer, a residue mod t each.
const SLOTS_PER_KEY: usize = 12;
/// Slots in use.
pub const SLOTS: usize = REVERSE * SLOTS_PER_KEY;
/// Bytes of a message.
const MESSAGE: usize = 16;
/// Bytes of a message's confirmation.
const CONFIRMATION: usize = 8;
/// Bytes of a transfer in a frame: both messages under their keys, and in the reverse direction both
/// confirmations.
const fn transfer_bytes(direction: Direction) -> usize {
    match direction {
        Direction::Forward => 2 * MESSAGE,
        Direction::Reverse => 2 * (MESSAGE + CONFIRMATION),
    }
}
/// Transfers in a frame.
const PER_FRAME: usize = 16;

/// Payload bytes of a frame of messages.
pub const fn frame_bytes(direction: Direction) -> usize {
    PER_FRAME * transfer_bytes(direction)
}

/// The reverse extension that the forward base transfers take, the first of a session.
pub const CALL: u64 = 0;
/// What its rows choose from.
const CODES: [Code; 2] = [Code::Bit, Code::Unused];

/// This extension.
pub const fn call(k_s: u32) -> Call {
    Call {
        direction: Direction::Reverse,
        k_s,
        codes: CODES,
        rows: LANE,
    }
}

/// The coefficients of the response: all.
pub const ALL: Dense = Dense(N);

/// Frames with the messages of a direction.
pub const fn frames(direction: Direction) -> usize {
    direction.columns() / PER_FRAME
}

/// Client: a plaintext polynomial with its choices in the reverse direction.
pub fn encode_choices(trees: &SenderTrees<REVERSE>, out: &mut Poly) {
    out.fill(0);
    let slots = out.chunks_exact_mut(SLOTS_PER_KEY);
    for (index, slots) in slots.take(REVERSE).enumerate() {
        slots.fill(trees.base_choice(index));
    }
    T_NTT.inverse(out, LOG_N);
}

/// The key of a reverse transfer, from the residues that its chooser got.
fn slot_key(session: &SessionId, index: usize, residues: impl Iterator<Item = u32>) -> Key {
    let mut hash = Sha256::new();
    hash.update(b"stria base transfer");
    hash.update(session.0);
    hash.update((index as u32).to_le_bytes());
    residues.for_each(|residue| hash.update(residue.to_le_bytes()));
    let digest: Zeroizing<[u8; 32]> = Zeroizing::new(hash.finalize().into());
    let mut key = [0; 4];
    for (word, bytes) in key.iter_mut().zip(digest.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    key
}

/// Client, reverse: the key of a transfer, from the slots that it decrypted.
pub fn slot_key_chosen(session: &SessionId, index: usize, slots: &Poly) -> Key {
    let slots = slots.iter().skip(index * SLOTS_PER_KEY).take(SLOTS_PER_KEY);
    slot_key(session, index, slots.copied())
}

/// Server, forward: its choices in the reverse extension that stands for base transfers.
pub fn choose<const COLUMNS: usize>(trees: &SenderTrees<COLUMNS>, lanes: &mut [Lane; 2]) {
    let choices = (0..COLUMNS).map(|index| trees.base_choice(index));
    lanes[0].choose(CODES[0], choices);
}

/// Server, forward: the key of a transfer.
pub fn row_key_chosen(rows: &ReceiverRows<'_>, index: usize) -> Key {
    first_key(&rows.hash(0, index, RowUse::Base))
}

/// Client, forward: both keys of each transfer.
pub fn row_keys(rows: &SenderRows<'_>) -> impl Fn(usize) -> [Key; 2] {
    let one = rows.word(CODES[0], 1);
    move |index| {
        let blocks = rows.hashes(0, index, RowUse::Base, &one);
        blocks.each_ref().map(first_key)
    }
}

fn bytes(key: &Key) -> [u8; MESSAGE] {
    let mut bytes = [0; MESSAGE];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(key) {
        *bytes = word.to_le_bytes();
    }
    bytes
}

/// The side that made the trees: a frame of their messages, where `keys` gives both keys of a
/// transfer.
pub fn write_messages(
    trees: &ReceiverTrees,
    session: &SessionId,
    frame: usize,
    mut keys: impl FnMut(usize) -> [Key; 2],
    out: &mut FrameBuf,
) -> usize {
    let direction = trees.direction();
    write(out, Kind::BaseMessages, |payload| {
        let transfers = payload.chunks_exact_mut(transfer_bytes(direction));
        for (index, transfer) in (frame * PER_FRAME..).zip(transfers.take(PER_FRAME)) {
            let messages = Zeroizing::new(trees.base_message(index));
            let keys = Zeroizing::new(keys(index));
            let (hidden, confirmations) = transfer.split_at_mut(2 * MESSAGE);
            let pairs = messages.iter().zip(keys.iter());
            for ((message, key), hidden) in pairs.zip(hidden.chunks_exact_mut(MESSAGE)) {
                hidden.copy_from_slice(&bytes(&xor(message, key)));
            }
            // Of the reverse direction alone: there is room for none in the other.
            let confirmations = confirmations.chunks_exact_mut(CONFIRMATION);
            for (message, confirmed) in messages.iter().zip(confirmations) {
                confirmed.copy_from_slice(&confirmation(message, direction, session, index));
            }
        }
        frame_bytes(direction)
    })
}

/// The side that chose: takes a frame of messages, where `key` gives the key of its choice. Where they
/// are confirmed, both sides must have the same message. Constant-time.
pub fn read_messages<const COLUMNS: usize>(
    frame: Frame<'_>,
    index: usize,
    trees: &mut SenderTrees<COLUMNS>,
    session: &SessionId,
    mut key: impl FnMut(usize) -> Key,
) -> Result<(), Error> {
    let direction = trees.direction();
    let payload = frame.expect_len(Kind::BaseMessages, frame_bytes(direction))?;
    let mut equal = subtle::Choice::from(1);
    let transfers = payload.chunks_exact(transfer_bytes(direction));
    for (index, transfer) in (index * PER_FRAME..).zip(transfers) {
        let choice = (trees.base_choice(index) as u8).into();
        let (messages, confirmations) = transfer.split_at(2 * MESSAGE);
        let select = |bytes: &[u8], i: usize, half: usize| {
            u8::conditional_select(&bytes[i], &bytes[half + i], choice)
        };
        let hidden: Zeroizing<[u8; MESSAGE]> =
            Zeroizing::new(core::array::from_fn(|i| select(messages, i, MESSAGE)));
        let mut message = Zeroizing::new(key(index));
        for (word, bytes) in message.iter_mut().zip(hidden.as_chunks().0) {
            *word ^= u32::from_le_bytes(*bytes);
        }
        if !confirmations.is_empty() {
            let own = confirmation(&message, direction, session, index);
            for (i, own) in own.iter().enumerate() {
                equal &= own.ct_eq(&select(confirmations, i, CONFIRMATION));
            }
        }
        trees.plant(index, &message);
    }
    if equal.into() {
        Ok(())
    } else {
        Err(Error::BaseTransferMismatch)
    }
}

#[cfg(feature = "server")]
pub use server::Residues;

#[cfg(feature = "server")]
mod server {
    use super::*;
    use crate::arith::field::T_MOD;
    use crate::random::sample::residue_t;
    use crate::random::{Seed, Stream};
    use crate::rlwe::{Factor, PublicKey, Randomness, Response, Ring4096, respond, zero_poly};
    use alloc::boxed::Box;
    use zeroize::Zeroize;

    type Ciphertext = crate::rlwe::Ciphertext<Ring4096>;

    /// The server's residues of the reverse direction: r0 and r1, a slot each.
    pub struct Residues([Box<Poly>; 2]);

    impl Drop for Residues {
        fn drop(&mut self) {
            self.0.iter_mut().for_each(|slots| slots.zeroize());
        }
    }

    impl Residues {
        /// Uniform ones, from a seed that serves nothing else.
        pub fn new(seed: &Seed) -> Self {
            let mut stream = Stream::new(seed, [0; 3]);
            let mut draw = || {
                let mut slots = zero_poly::<Ring4096>();
                slots[..SLOTS].fill_with(|| residue_t(&mut stream));
                slots
            };
            Self([draw(), draw()])
        }

        /// Both keys of a transfer.
        pub fn keys(&self, session: &SessionId, index: usize) -> [Key; 2] {
            (self.0.each_ref()).map(|slots| slot_key_chosen(session, index, slots))
        }

        /// The response to a client's choices. The mask is made in the slot domain: r0 where there
        /// is an answer, uniform elsewhere. `seed` belongs to this response alone.
        pub fn respond(
            &self,
            choices: &Ciphertext,
            key: &PublicKey<Ring4096>,
            seed: Seed,
        ) -> Response<Ring4096> {
            let [zero, one] = &self.0;
            let mut slots = zero_poly::<Ring4096>();
            for (x, (zero, one)) in slots.iter_mut().zip(zero.iter().zip(one.iter())) {
                *x = T_MOD.sub(*one, *zero);
            }
            T_NTT.inverse(&mut slots, LOG_N);
            let mut result = Ciphertext::zero();
            result.multiply_add(&Factor::<Ring4096>::lift(&slots), choices);

            let random = Randomness::<Ring4096>::new(seed);
            let mask = random.mask();
            slots[..SLOTS].copy_from_slice(&zero[..SLOTS]);
            slots[SLOTS..].copy_from_slice(&mask[SLOTS..]);
            T_NTT.inverse(&mut slots, LOG_N);
            let response = respond(result, key, &slots, &random);
            slots.zeroize();
            response
        }
    }
}
