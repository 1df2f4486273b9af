//! Z_t, the field of plaintexts and of all shares.
//! `docs/design.md#parameters`; section 4 for its roots, section 6 for t mod 2^20.

use super::modulus::Modulus;

/// Plaintext modulus t = 7 * 2^20 + 1: splits completely, and is 1 modulo 2^20.
pub const T: u32 = 7_340_033;
/// Bits of a residue modulo `T` on the wire.
pub const T_BITS: u32 = 23;
/// The plaintext modulus with its Montgomery constants.
pub const T_MOD: Modulus = Modulus::new(T);
/// j: accumulators are signed numbers of this many bits, so |y| < 2^(j-1).
pub const ACC_BITS: u32 = 20;
