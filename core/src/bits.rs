//! Residues as packed bit streams, least significant bit first: the wire form of bulk data.

use crate::Error;

/// Bytes of `count` values of `bits` bits.
pub const fn packed_len(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// Packs values of `bits` <= 32 bits into `out`, which must have room; returns the bytes written.
pub fn pack(out: &mut [u8], bits: u32, values: impl Iterator<Item = u32>) -> usize {
    let (mut pending, mut filled, mut len) = (0u64, 0, 0);
    for value in values {
        pending |= u64::from(value) << filled;
        filled += bits;
        while filled >= 8 {
            out[len] = pending as u8;
            len += 1;
            pending >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out[len] = pending as u8;
        len += 1;
    }
    len
}

/// Unpacks `count` values of `bits` <= 32 bits below `bound`. Refuses a wrong length, a value at
/// or above the bound, and padding that is not zero; `kind` is for the error message.
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
    let (mut pending, mut filled, mut bytes) = (0u64, 0, bytes.iter());
    for i in 0..count {
        while filled < bits {
            // The length was checked above, so a byte is there.
            pending |= u64::from(*bytes.next().unwrap_or(&0)) << filled;
            filled += 8;
        }
        let value = (pending & ((1 << bits) - 1)) as u32;
        pending >>= bits;
        filled -= bits;
        if value >= bound {
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
        fn round_trip(bits in 1u32..=31, values in prop::collection::vec(any::<u32>(), 0..70)) {
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
