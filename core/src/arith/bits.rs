//! Residues as packed bit streams, least significant bit first: the wire form of bulk data.

use crate::Error;

/// Bytes of `count` values of `bits` bits.
pub const fn packed_len(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// Packs values of `bits` <= 32 bits into `out`, which must have room; returns the bytes written.
pub fn pack(out: &mut [u8], bits: u32, values: impl Iterator<Item = u32>) -> usize {
    // A word at a time: `pending` holds `filled` < 32 bits.
    let (mut pending, mut filled, mut words) = (0u32, 0, 0);
    for value in values {
        pending |= value << filled;
        filled += bits;
        if filled >= 32 {
            out[4 * words..][..4].copy_from_slice(&pending.to_le_bytes());
            words += 1;
            filled -= 32;
            // The bits of the value that had no room; all shifts are below 32.
            pending = value >> 1 >> (bits - 1 - filled);
        }
    }
    let tail = filled.div_ceil(8) as usize;
    out[4 * words..][..tail].copy_from_slice(&pending.to_le_bytes()[..tail]);
    4 * words + tail
}

/// Unpacks `count` values of `bits` <= 32 bits below `bound`; values of 32 bits have no bound. Refuses
/// a wrong length, a value at or above the bound, and padding that is not zero; `kind` is for the
/// error message.
pub fn unpack(
    kind: u8,
    bytes: &[u8],
    bits: u32,
    bound: u32,
    count: usize,
    mut take: impl FnMut(usize, u32),
) -> Result<(), Error> {
    let expected = packed_len(count, bits);
    if bytes.len() != expected {
        return Err(Error::FrameLength {
            kind,
            expected,
            got: bytes.len(),
        });
    }
    let (words, tail) = bytes.as_chunks();
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    let words = words.iter().chain(core::iter::once(&last));
    let mut words = words.map(|word| u32::from_le_bytes(*word));
    let mask = u32::MAX.checked_shr(32 - bits).unwrap_or(0);
    // `pending` holds `filled` < 32 bits, and zeros above them.
    let (mut pending, mut filled) = (0u32, 0);
    for i in 0..count {
        let value = if filled >= bits {
            let value = pending & mask;
            pending >>= bits;
            filled -= bits;
            value
        } else {
            // The length was checked above, so a word is there.
            let word = words.next().unwrap_or(0);
            let value = (pending | word << filled) & mask;
            pending = word >> 1 >> (bits - filled - 1);
            filled += 32 - bits;
            value
        };
        if bits < 32 && value >= bound {
            return Err(Error::ResidueTooLarge {
                residue: value,
                modulus: bound,
            });
        }
        take(i, value);
    }
    if pending != 0 {
        return Err(Error::DirtyPadding);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(bits in 0u32..=31, values in prop::collection::vec(any::<u32>(), 0..70)) {
            let values: Vec<u32> = values.iter().map(|v| v & ((1 << bits) - 1)).collect();
            let mut bytes = vec![0; packed_len(values.len(), bits)];
            prop_assert_eq!(pack(&mut bytes, bits, values.iter().copied()), bytes.len());
            let mut back = Vec::new();
            unpack(0, &bytes, bits, 1 << bits, values.len(), |_, v| back.push(v)).unwrap();
            prop_assert_eq!(&back, &values);
            if let Some(&max) = values.iter().max() {
                let refused = unpack(0, &bytes, bits, max, values.len(), |_, _| ());
                prop_assert!(matches!(refused, Err(Error::ResidueTooLarge { .. })), "{:?}", refused);
            }
        }
    }

    #[test]
    fn no_bits_are_zeros_in_no_bytes() {
        assert_eq!(pack(&mut [], 0, [0; 9].into_iter()), 0);
        assert_eq!(unpack(0, &[], 0, 1, 9, |_, v| assert_eq!(v, 0)), Ok(()));
    }

    #[test]
    fn refuses_bad_length_and_padding() {
        let refused = unpack(7, &[0; 3], 3, 8, 3, |_, _| ());
        assert_eq!(
            refused,
            Err(Error::FrameLength {
                kind: 7,
                expected: 2,
                got: 3
            })
        );
        assert_eq!(
            unpack(7, &[0, 0x80], 3, 8, 3, |_, _| ()),
            Err(Error::DirtyPadding)
        );
    }
}
