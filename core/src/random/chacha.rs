//! One ChaCha block for 32-bit processors, straight from key words to key stream words.
//! RFC 8439, section 2.3, with fewer rounds; the crate `chacha20` serves all others, and the tests.

/// The block of a key's halves, a nonce and a block counter, with an even number of rounds.
/// Constant-time.
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
