//! Base oblivious transfers out of RLWE: 128 keys of 128 bits are 1024 slots of 16 bits.
//! `docs/design.md#oblivious-transfer`.
//!
//! | direction | client sends | server answers |
//! |---|---|---|
//! | forward (server chooses) | Enc(k0), Enc(k1 - k0) | Enc(k0 + b (k1 - k0) + mask); the client returns the sums in clear |
//! | reverse (client chooses) | Enc(c) | Enc(k0 + c (k1 - k0)), uniform in the other slots |
//!
//! The forward direction makes the client decrypt in clear whatever the server sends, so it runs
//! under an RLWE key of its own, which is erased right after.

use subtle::ConstantTimeEq;

use super::frame::{Frame, FrameBuf, Kind, MAX_PAYLOAD, write};
use crate::Error;
use crate::arith::bits::{pack, unpack};
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::ot::{COLUMNS, Key, ReceiverTrees, SenderTrees, confirmation};
use crate::random::SessionId;
use crate::rlwe::ring::ring4096::{LOG_N, N, Poly, T_NTT};

use super::transfer::{Dense, PIECE};

/// Slots that a key takes, 16 bits each.
const SLOTS_PER_KEY: usize = 8;
/// Slots in use.
pub const SLOTS: usize = COLUMNS * SLOTS_PER_KEY;
/// Bytes of a key's confirmation.
const CONFIRMATION: usize = 8;
/// Keys confirmed in one frame: both messages of each.
const PER_FRAME: usize = MAX_PAYLOAD / (2 * CONFIRMATION);

fn piece(key: &Key, i: usize) -> u32 {
    key[i / 2] >> (16 * (i % 2)) & 0xffff
}

/// Which plaintext of the forward direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    /// k0.
    Zero,
    /// k1 - k0.
    Difference,
}

/// Client, forward: a plaintext polynomial with the tree sums of all transfers.
pub fn encode_messages(
    trees: &ReceiverTrees,
    message: Message,
    out: &mut Poly,
    scratch: &mut [u32],
) -> Result<(), Error> {
    fill_slots(trees, out, scratch, |k0, k1| match message {
        Message::Zero => k0,
        Message::Difference => T_MOD.sub(k1, k0),
    })?;
    T_NTT.inverse(out, LOG_N);
    Ok(())
}

/// Slots of all transfers, each from a piece of the transfer's two messages.
fn fill_slots(
    trees: &ReceiverTrees,
    out: &mut Poly,
    scratch: &mut [u32],
    slot: impl Fn(u32, u32) -> u32,
) -> Result<(), Error> {
    out.fill(0);
    for (index, slots) in out
        .chunks_exact_mut(SLOTS_PER_KEY)
        .take(COLUMNS)
        .enumerate()
    {
        let [k0, k1] = trees.base_message(index, scratch)?;
        for (i, x) in slots.iter_mut().enumerate() {
            *x = slot(piece(&k0, i), piece(&k1, i));
        }
    }
    Ok(())
}

/// Slots that hold the choice bits of a delta.
fn choice_slots(delta: &Key, out: &mut Poly) {
    out.fill(0);
    for (index, slots) in out
        .chunks_exact_mut(SLOTS_PER_KEY)
        .take(COLUMNS)
        .enumerate()
    {
        slots.fill(SenderTrees::base_choice(delta, index));
    }
}

/// Client, reverse: a plaintext polynomial with its choices.
pub fn encode_choices(delta: &Key, out: &mut Poly) {
    choice_slots(delta, out);
    T_NTT.inverse(out, LOG_N);
}

/// Keys out of slots; an error if a slot has more than 16 bits.
pub fn decode_keys(slots: &[u32], keys: &mut [Key; COLUMNS]) -> Result<(), Error> {
    keys.fill([0; 4]);
    let mut excess = 0;
    for (key, slots) in keys.iter_mut().zip(slots.chunks_exact(SLOTS_PER_KEY)) {
        for (i, &x) in slots.iter().enumerate() {
            excess |= x >> 16;
            key[i / 2] |= x << (16 * (i % 2));
        }
    }
    if excess == 0 {
        Ok(())
    } else {
        Err(Error::BaseTransferMismatch)
    }
}

/// Client, forward: returns the decrypted sums, a frame at a time.
pub fn write_opening(slots: &Poly, frame: usize, out: &mut FrameBuf) -> usize {
    let values = &slots[frame * PIECE..][..PIECE];
    write(out, Kind::Opening, |payload| {
        pack(payload, T_BITS, values.iter().copied())
    })
}

/// Frames of an opening.
pub const OPENING_FRAMES: usize = SLOTS / PIECE;

/// The coefficients of a base transfer's response: all.
pub const ALL: Dense = Dense(N);

/// Server, forward: takes a frame of the opening into `slots`.
pub fn read_opening(frame: Frame<'_>, index: usize, slots: &mut [u32]) -> Result<(), Error> {
    let payload = frame.expect(Kind::Opening)?;
    let slots = &mut slots[index * PIECE..][..PIECE];
    unpack(Kind::Opening as u8, payload, T_BITS, T, PIECE, |i, x| {
        slots[i] = x
    })
}

/// Frames of a confirmation.
pub const CONFIRM_FRAMES: usize = COLUMNS / PER_FRAME;

/// The side that made the messages: hashes of both messages of every transfer.
pub fn write_confirmation(
    trees: &ReceiverTrees,
    session: &SessionId,
    frame: usize,
    scratch: &mut [u32],
    out: &mut FrameBuf,
) -> Result<usize, Error> {
    let mut result = Ok(());
    let len = write(out, Kind::Confirm, |payload| {
        let indices = frame * PER_FRAME..(frame + 1) * PER_FRAME;
        for (index, bytes) in indices.zip(payload.chunks_exact_mut(2 * CONFIRMATION)) {
            match trees.base_message(index, scratch) {
                Ok(keys) => {
                    for (key, bytes) in keys.iter().zip(bytes.chunks_exact_mut(CONFIRMATION)) {
                        bytes.copy_from_slice(&confirmation(
                            key,
                            trees.direction(),
                            session,
                            index,
                        ));
                    }
                }
                Err(error) => result = Err(error),
            }
        }
        PER_FRAME * 2 * CONFIRMATION
    });
    result.map(|()| len)
}

/// The side that chose: each key's hash must be that of the message it chose. Constant-time.
pub fn check_confirmation(
    frame: Frame<'_>,
    index: usize,
    trees: &SenderTrees,
    session: &SessionId,
) -> Result<(), Error> {
    let payload: &[u8; PER_FRAME * 2 * CONFIRMATION] = frame.expect_array(Kind::Confirm)?;
    let mut equal = subtle::Choice::from(1);
    let indices = index * PER_FRAME..(index + 1) * PER_FRAME;
    for (index, bytes) in indices.zip(payload.chunks_exact(2 * CONFIRMATION)) {
        let own = confirmation(&trees.base_key(index), trees.direction(), session, index);
        let (zero, one) = bytes.split_at(CONFIRMATION);
        let choice = (trees.choice(index) as u8).into();
        for ((own, zero), one) in own.iter().zip(zero).zip(one) {
            let chosen: u8 = subtle::ConditionallySelectable::conditional_select(zero, one, choice);
            equal &= own.ct_eq(&chosen);
        }
    }
    if equal.into() {
        Ok(())
    } else {
        Err(Error::BaseTransferMismatch)
    }
}

#[cfg(feature = "server")]
pub use server::{forward_response, reverse_response};

#[cfg(feature = "server")]
mod server {
    use super::*;
    use crate::random::Seed;
    use crate::rlwe::{Factor, Randomness, Ring4096, respond, zero_poly};
    use alloc::boxed::Box;
    use zeroize::Zeroize;

    type Ciphertext = crate::rlwe::Ciphertext<Ring4096>;
    type PublicKey = crate::rlwe::PublicKey<Ring4096>;
    type Response = crate::rlwe::Response<Ring4096>;

    /// Server, forward: the response, and the mask's slots, which it takes off the opening.
    /// `seed` belongs to this response alone.
    pub fn forward_response(
        mut zero: Ciphertext,
        difference: &Ciphertext,
        delta: &Key,
        key: &PublicKey,
        seed: Seed,
    ) -> (Response, Box<Poly>) {
        let mut choices = zero_poly::<Ring4096>();
        encode_choices(delta, &mut choices);
        zero.multiply_add(&Factor::<Ring4096>::lift(&choices), difference);
        choices.zeroize();
        let random = Randomness::new(seed);
        let mut mask = random.mask();
        let response = respond(zero, key, &mask, &random);
        T_NTT.forward(&mut mask, LOG_N);
        (response, mask)
    }

    /// Server, reverse: the response. The mask is made in the slot domain: k0 where there is an
    /// answer, uniform elsewhere.
    pub fn reverse_response(
        choices: &Ciphertext,
        trees: &ReceiverTrees,
        key: &PublicKey,
        seed: Seed,
        scratch: &mut [u32],
    ) -> Result<Response, Error> {
        let mut slots = zero_poly::<Ring4096>();
        fill_slots(trees, &mut slots, scratch, |k0, k1| T_MOD.sub(k1, k0))?;
        T_NTT.inverse(&mut slots, LOG_N);
        let mut result = Ciphertext::zero();
        result.multiply_add(&Factor::<Ring4096>::lift(&slots), choices);

        fill_slots(trees, &mut slots, scratch, |k0, _| k0)?;
        let random = Randomness::<Ring4096>::new(seed);
        let mask = random.mask();
        slots[SLOTS..].copy_from_slice(&mask[SLOTS..]);
        T_NTT.inverse(&mut slots, LOG_N);
        let response = respond(result, key, &slots, &random);
        slots.zeroize();
        Ok(response)
    }
}
