//! One ChaCha block, straight from key words to key stream words: RFC 8439, section 2.3, with fewer
//! rounds. Keys change from block to block here, where a library that makes several blocks of one
//! key at a time keeps one of them; the tests compare with the crate `chacha20`.

/// The block of a key's halves, a nonce and a block counter, with an even number of rounds.
/// Constant-time. Not inlined: a copy takes 2 KiB on a microcontroller.
#[inline(never)]
pub fn block<const ROUNDS: usize>(key: [&[u32; 4]; 2], nonce: [u32; 3], counter: u32) -> [u32; 16] {
    const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
    let [[k0, k1, k2, k3], [k4, k5, k6, k7]] = key;
    let [c0, c1, c2, c3] = CONSTANTS;
    let [n0, n1, n2] = nonce;
    let mut x = [
        c0, c1, c2, c3, *k0, *k1, *k2, *k3, *k4, *k5, *k6, *k7, counter, n0, n1, n2,
    ];
    for _ in 0..ROUNDS / 2 {
        quarter(&mut x, 0, 4, 8, 12);
        quarter(&mut x, 1, 5, 9, 13);
        quarter(&mut x, 2, 6, 10, 14);
        quarter(&mut x, 3, 7, 11, 15);
        quarter(&mut x, 0, 5, 10, 15);
        quarter(&mut x, 1, 6, 11, 12);
        quarter(&mut x, 2, 7, 8, 13);
        quarter(&mut x, 3, 4, 9, 14);
    }
    for i in 0..4 {
        x[i] = x[i].wrapping_add(CONSTANTS[i]);
        x[4 + i] = x[4 + i].wrapping_add(key[0][i]);
        x[8 + i] = x[8 + i].wrapping_add(key[1][i]);
    }
    x[12] = x[12].wrapping_add(counter);
    for i in 0..3 {
        x[13 + i] = x[13 + i].wrapping_add(nonce[i]);
    }
    x
}

#[inline(always)]
fn quarter(x: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    x[a] = x[a].wrapping_add(x[b]);
    x[d] = (x[d] ^ x[a]).rotate_left(16);
    x[c] = x[c].wrapping_add(x[d]);
    x[b] = (x[b] ^ x[c]).rotate_left(12);
    x[a] = x[a].wrapping_add(x[b]);
    x[d] = (x[d] ^ x[a]).rotate_left(8);
    x[c] = x[c].wrapping_add(x[d]);
    x[b] = (x[b] ^ x[c]).rotate_left(7);
}

#[cfg(test)]
mod tests {
    use super::block;
    use chacha20::cipher::{KeyIvInit, StreamCipherCore};
    use chacha20::variants::Ietf;
    use chacha20::{ChaChaCore, R8, R12, Rounds};
    use proptest::prelude::*;

    /// The crate's block.
    fn reference<R: Rounds>(key: [[u32; 4]; 2], nonce: [u32; 3], counter: u32) -> [u32; 16] {
        let (mut key_bytes, mut iv, mut block) = ([0; 32], [0; 12], [0; 64]);
        let words = key_bytes.as_chunks_mut().0.iter_mut();
        words
            .zip(key.as_flattened())
            .for_each(|(b, w)| *b = w.to_le_bytes());
        let words = iv.as_chunks_mut().0.iter_mut();
        words.zip(nonce).for_each(|(b, w)| *b = w.to_le_bytes());
        let mut core = ChaChaCore::<R, Ietf>::new((&key_bytes).into(), (&iv).into());
        core.set_block_pos(counter);
        core.write_keystream_block((&mut block).into());
        let words = block.as_chunks().0;
        core::array::from_fn(|i| u32::from_le_bytes(words[i]))
    }

    proptest! {
        #[test]
        fn a_block_is_that_of_the_crate(key: [[u32; 4]; 2], nonce: [u32; 3], counter: u32) {
            let halves = key.each_ref();
            let eight = reference::<R8>(key, nonce, counter);
            prop_assert_eq!(block::<8>(halves, nonce, counter), eight);
            let twelve = reference::<R12>(key, nonce, counter);
            prop_assert_eq!(block::<12>(halves, nonce, counter), twelve);
        }
    }
}
