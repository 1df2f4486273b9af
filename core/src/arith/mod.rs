//! Arithmetic on residues below a prime: one modulus, its transforms, and the packed form on the wire.
//! Residues below q go in and come out; everything is constant-time in them unless it says otherwise.

pub mod bits;
pub mod field;
pub mod modulus;
pub mod transform;
