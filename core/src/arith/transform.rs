//! Negacyclic number-theoretic transforms of N residues (a power of two up to 8192), whole or of a
//! given depth.
//! `docs/design.md#parameters` and `#segment-packing`; the loop order is that of Seiler, "Faster
//! AVX2 optimized NTT" (2018).
//!
//! At depth d, coefficients `b*M .. (b+1)*M` with M = N/2^d hold the polynomial modulo
//! X^M - zeta_b, lowest power first, and the segments b stand in bit-reversed order.

use zeroize::Zeroize;

use crate::arith::modulus::{Modulus, sign_mask};

/// A polynomial of N residues: an array of them.
pub trait Residues:
    AsRef<[u32]> + AsMut<[u32]> + Copy + Zeroize + Send + Sync + sealed::Sealed + 'static
{
    /// N.
    const LEN: usize;
    /// All of them zero.
    const ZERO: Self;
}

impl<const N: usize> Residues for [u32; N] {
    const LEN: usize = N;
    const ZERO: Self = [0; N];
}

mod sealed {
    pub trait Sealed {}
    impl<const N: usize> Sealed for [u32; N] {}
}

/// log2 of the largest N.
const MAX_LOG_N: usize = 13;

/// One modulus with its table of roots, for polynomials `P`.
pub struct Ntt<P> {
    modulus: Modulus,
    /// psi^bitrev(i) in Montgomery form. The inverse roots are the same, negated and mirrored.
    roots: P,
    /// 2^-d in Montgomery form, by depth d.
    scale: [u32; MAX_LOG_N + 1],
}

impl<const N: usize> Ntt<[u32; N]> {
    /// The tables of a modulus with a primitive 2N-th root of unity: one is found here.
    pub(crate) const fn new(modulus: Modulus) -> Self {
        assert!(N.is_power_of_two() && Self::LOG_N <= MAX_LOG_N);
        let psi = primitive_root(modulus.value(), N);
        let mut roots = [0; N];
        let psi = modulus.montgomery(psi);
        let mut power = modulus.montgomery(1);
        let mut i = 0;
        while i < N {
            roots[(i as u32).reverse_bits() as usize >> (32 - Self::LOG_N)] = power;
            power = modulus.mul_montgomery(power, psi);
            i += 1;
        }
        let mut scale = [0; MAX_LOG_N + 1];
        let half = modulus.montgomery(modulus.value().div_ceil(2));
        let mut d = 0;
        let mut power = modulus.montgomery(1);
        while d <= MAX_LOG_N {
            scale[d] = power;
            power = modulus.mul_montgomery(power, half);
            d += 1;
        }
        Self {
            modulus,
            roots,
            scale,
        }
    }
}

impl<P: Residues> Ntt<P> {
    /// log2 of N: the depth at which segments are single residues.
    pub const LOG_N: usize = P::LEN.trailing_zeros() as usize;

    /// The modulus.
    pub fn modulus(&self) -> &Modulus {
        &self.modulus
    }

    /// zeta_b^(-1) of segment b at depth d, where segment b is modulo X^(N/2^d) - zeta_b.
    pub fn zeta_inverse(&self, depth: usize, b: usize) -> u32 {
        if depth == 0 {
            return self.modulus.value() - 1;
        }
        // Segment 2i of a level is modulo X^M - w and 2i+1 modulo X^M + w, w the level's i-th root.
        let half = 1 << (depth - 1);
        let inverse = self.modulus.neg(self.roots.as_ref()[2 * half - 1 - b / 2]);
        let inverse = self.modulus.mul_montgomery(inverse, 1);
        if b.is_multiple_of(2) {
            inverse
        } else {
            self.modulus.neg(inverse)
        }
    }

    /// Coefficients to depth `depth`, in place: residues below q in, residues below q out.
    pub fn forward(&self, a: &mut P, depth: usize) {
        self.forward_lazy(a, depth);
        if self.laziness() != Laziness::None {
            self.scale(a, self.scale[0]);
        }
    }

    /// As [`Self::forward`], but residues come out as words, which may be above q.
    fn forward_lazy(&self, a: &mut P, depth: usize) {
        match self.laziness() {
            Laziness::Full => forward_layers(Lazy(self.modulus), &self.roots, a, depth),
            Laziness::Half => forward_layers(HalfLazy(self.modulus), &self.roots, a, depth),
            Laziness::None => forward_layers(Exact(self.modulus), &self.roots, a, depth),
        }
    }

    /// Depth `depth` back to coefficients, in place: the inverse of [`Ntt::forward`].
    pub fn inverse(&self, a: &mut P, depth: usize) {
        self.inverse_scaled(a, depth, self.scale[depth]);
    }

    /// The inverse transform, times `scale` / 2^32.
    fn inverse_scaled(&self, a: &mut P, depth: usize, scale: u32) {
        self.inverse_lazy(a, depth);
        self.scale(a, scale);
    }

    /// The inverse transform times 2^depth, as words, which may be above q.
    fn inverse_lazy(&self, a: &mut P, depth: usize) {
        match self.laziness() {
            Laziness::Full => inverse_layers(Lazy(self.modulus), &self.roots, a, depth),
            Laziness::Half => inverse_layers(HalfLazy(self.modulus), &self.roots, a, depth),
            Laziness::None => inverse_layers(Exact(self.modulus), &self.roots, a, depth),
        }
    }

    /// a = a * scale / 2^32, words in, residues below q out.
    fn scale(&self, a: &mut P, scale: u32) {
        for x in a.as_mut() {
            *x = self.modulus.mul_montgomery(*x, scale);
        }
    }

    /// a = a * b as polynomials, where a is in the coefficient domain, and b gives residues below
    /// q in the NTT domain.
    pub fn convolve(&self, a: &mut P, b: impl Iterator<Item = u32>) {
        self.forward_lazy(a, Self::LOG_N);
        for (x, y) in a.as_mut().iter_mut().zip(b) {
            *x = self.modulus.mul_montgomery(*x, y);
        }
        // The products lack a factor 2^32, which the scale of the inverse makes up for.
        let scale = self.modulus.montgomery(self.scale[Self::LOG_N]);
        self.inverse_scaled(a, Self::LOG_N, scale);
    }

    /// The factor of [`Ntt::multiply_inverse`].
    pub fn factor(&self) -> u32 {
        self.scale[Self::LOG_N]
    }

    /// a = a * b / [`Ntt::factor`] as polynomials, residues below q: a and b are in the NTT domain, the
    /// result in the coefficient domain. Whoever makes b with that factor saves a pass.
    pub fn multiply_inverse(&self, a: &mut P, b: &P) {
        for (x, &y) in a.as_mut().iter_mut().zip(b.as_ref()) {
            *x = self.modulus.mul_montgomery(*x, y);
        }
        self.inverse_lazy(a, Self::LOG_N);
        if self.laziness() != Laziness::None {
            self.scale(a, self.scale[0]);
        }
    }

    /// How many multiples of q fit a word.
    fn laziness(&self) -> Laziness {
        match self.modulus.value() {
            q if q < 1 << 27 => Laziness::Full,
            q if q < 1 << 30 => Laziness::Half,
            _ => Laziness::None,
        }
    }

    /// a = a * b, residue by residue.
    pub fn multiply(&self, a: &mut P, b: &P) {
        for (x, &y) in a.as_mut().iter_mut().zip(b.as_ref()) {
            *x = self.modulus.mul(*x, y);
        }
    }
}

/// A primitive 2n-th root of unity: the smallest c >= 2 raised to (q-1)/2n whose n-th power is -1.
pub(crate) const fn primitive_root(q: u32, n: usize) -> u32 {
    let mut c = 2;
    loop {
        let root = Modulus::pow_const(c, (q - 1) / (2 * n as u32), q);
        if Modulus::pow_const(root, n as u32, q) == q - 1 {
            return root;
        }
        c += 1;
    }
}

/// The layers of the forward transform, two a pass over memory. Not inlined: all registers are
/// needed.
#[inline(never)]
fn forward_layers<B: Butterfly, P: Residues>(butterfly: B, roots: &P, a: &mut P, depth: usize) {
    let (roots, a) = (roots.as_ref(), a.as_mut());
    let mut level = depth % 2;
    if level == 1 {
        let (low, high) = a.split_at_mut(P::LEN / 2);
        for (x, y) in low.iter_mut().zip(high) {
            (*x, *y) = butterfly.forward(*x, *y, roots[1]);
        }
    }
    while level < depth {
        let quarter = P::LEN >> (level + 2);
        let outer = &roots[1 << level..2 << level];
        let inner = roots[2 << level..4 << level].as_chunks().0;
        let step = |[x0, x1, x2, x3]: [&mut u32; 4], w: u32, [v0, v1]: [u32; 2]| {
            let (a0, a2) = butterfly.forward(*x0, *x2, w);
            let (a1, a3) = butterfly.forward(*x1, *x3, w);
            (*x0, *x1) = butterfly.forward(a0, a1, v0);
            (*x2, *x3) = butterfly.forward(a2, a3, v1);
        };
        pass(a, quarter, outer.iter().zip(inner), step);
        level += 2;
    }
}

/// The layers of the inverse transform, two a pass over memory.
#[inline(never)]
fn inverse_layers<B: Butterfly, P: Residues>(butterfly: B, roots: &P, a: &mut P, depth: usize) {
    let (roots, a) = (roots.as_ref(), a.as_mut());
    let one = roots[0];
    let mut level = depth;
    while level >= 2 {
        level -= 2;
        let quarter = P::LEN >> (level + 2);
        // The roots of a level are those of the forward transform, mirrored.
        let outer = roots[1 << level..2 << level].iter().rev();
        let inner = roots[2 << level..4 << level].as_chunks().0.iter().rev();
        let step = |[x0, x1, x2, x3]: [&mut u32; 4], w: u32, [v1, v0]: [u32; 2]| {
            let (a0, a1) = butterfly.inverse::<4>(*x0, *x1, v0);
            let (a2, a3) = butterfly.inverse::<4>(*x2, *x3, v1);
            let (sum, difference) = butterfly.inverse::<8>(a0, a2, w);
            (*x0, *x2) = (butterfly.reduce(sum, one), difference);
            (*x1, *x3) = butterfly.inverse::<2>(a1, a3, w);
        };
        pass(a, quarter, outer.zip(inner), step);
    }
    if level == 1 {
        let (low, high) = a.split_at_mut(P::LEN / 2);
        for (x, y) in low.iter_mut().zip(high) {
            (*x, *y) = butterfly.inverse::<4>(*x, *y, roots[1]);
        }
    }
}

/// Two layers of all blocks: `step` takes an element of each quarter, with the block's roots in the
/// outer and the inner layer.
#[inline(always)]
fn pass<'a>(
    a: &mut [u32],
    quarter: usize,
    roots: impl Iterator<Item = (&'a u32, &'a [u32; 2])>,
    step: impl Fn([&mut u32; 4], u32, [u32; 2]),
) {
    if quarter == 1 {
        let blocks = a.as_chunks_mut::<4>().0.iter_mut();
        for (block, (&w, &v)) in blocks.zip(roots) {
            step(block.each_mut(), w, v);
        }
    } else {
        let blocks = a.chunks_exact_mut(4 * quarter);
        for (block, (&w, &v)) in blocks.zip(roots) {
            quarters(block, quarter).for_each(|x| step(x, w, v));
        }
    }
}

/// The four quarters of a block, side by side.
#[inline(always)]
fn quarters(block: &mut [u32], quarter: usize) -> impl Iterator<Item = [&mut u32; 4]> {
    let (low, high) = block.split_at_mut(2 * quarter);
    let (x0, x1) = low.split_at_mut(quarter);
    let (x2, x3) = high.split_at_mut(quarter);
    let low = x0.iter_mut().zip(x1);
    let high = x2.iter_mut().zip(x3);
    low.zip(high).map(|((x0, x1), (x2, x3))| [x0, x1, x2, x3])
}

/// Which butterflies a modulus allows.
#[derive(PartialEq)]
enum Laziness {
    /// 32 q fits a word: no reductions but Montgomery's.
    Full,
    /// 4 q fits a word: one conditional subtraction a butterfly.
    Half,
    /// Everything is reduced.
    None,
}

/// How two residues are combined; roots are in Montgomery form.
trait Butterfly {
    /// (x + w y, x - w y).
    fn forward(&self, x: u32, y: u32, w: u32) -> (u32, u32);
    /// (x + y, w (y - x)), where x is below `BOUND` q.
    fn inverse<const BOUND: u32>(&self, x: u32, y: u32, w: u32) -> (u32, u32);
    /// A sum of sums back to the size that a pass begins with; `one` in Montgomery form.
    fn reduce(&self, x: u32, one: u32) -> u32;
}

/// Residues below q, for any q.
struct Exact(Modulus);

impl Butterfly for Exact {
    #[inline(always)]
    fn forward(&self, x: u32, y: u32, w: u32) -> (u32, u32) {
        let t = self.0.mul_montgomery(y, w);
        (self.0.add(x, t), self.0.sub(x, t))
    }

    #[inline(always)]
    fn inverse<const BOUND: u32>(&self, x: u32, y: u32, w: u32) -> (u32, u32) {
        let difference = self.0.sub(y, x);
        (self.0.add(x, y), self.0.mul_montgomery(difference, w))
    }

    #[inline(always)]
    fn reduce(&self, x: u32, _one: u32) -> u32 {
        x
    }
}

/// Words for q < 2^30 (Harvey, "Faster arithmetic for number-theoretic transforms", 2014): below 4 q
/// forward, below 2 q inverse.
struct HalfLazy(Modulus);

impl HalfLazy {
    #[inline(always)]
    fn product(&self, x: u32, w: u32) -> u32 {
        self.0.montgomery_lazy(u64::from(x) * u64::from(w))
    }

    /// x - 2 q if x >= 2 q, for x < 4 q.
    #[inline(always)]
    fn halve(&self, x: u32) -> u32 {
        let y = x.wrapping_sub(2 * self.0.value());
        y.wrapping_add((2 * self.0.value()) & sign_mask(y))
    }
}

impl Butterfly for HalfLazy {
    #[inline(always)]
    fn forward(&self, x: u32, y: u32, w: u32) -> (u32, u32) {
        let (x, t) = (self.halve(x), self.product(y, w));
        (x + t, x + 2 * self.0.value() - t)
    }

    #[inline(always)]
    fn inverse<const BOUND: u32>(&self, x: u32, y: u32, w: u32) -> (u32, u32) {
        let difference = y + 2 * self.0.value() - x;
        (self.halve(x + y), self.product(difference, w))
    }

    #[inline(always)]
    fn reduce(&self, x: u32, _one: u32) -> u32 {
        x
    }
}

/// Words for q < 2^27, with no reductions but those of the products, which leave less than 2 q.
/// Forward, a layer adds 2 q, which makes 27 q after thirteen. Inverse, a pass begins with less than
/// 4 q: its sums of sums grow to 16 q before they are reduced, its sums of products have 4 q.
struct Lazy(Modulus);

impl Lazy {
    #[inline(always)]
    fn product(&self, x: u32, w: u32) -> u32 {
        self.0.montgomery_lazy(u64::from(x) * u64::from(w))
    }
}

impl Butterfly for Lazy {
    #[inline(always)]
    fn forward(&self, x: u32, y: u32, w: u32) -> (u32, u32) {
        let t = self.product(y, w);
        (
            x.wrapping_add(t),
            (x.wrapping_add(2 * self.0.value())).wrapping_sub(t),
        )
    }

    #[inline(always)]
    fn inverse<const BOUND: u32>(&self, x: u32, y: u32, w: u32) -> (u32, u32) {
        let difference = y.wrapping_add(BOUND * self.0.value()).wrapping_sub(x);
        (x.wrapping_add(y), self.product(difference, w))
    }

    #[inline(always)]
    fn reduce(&self, x: u32, one: u32) -> u32 {
        self.product(x, one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arith::field::T;
    use crate::random::{Seed, Stream};
    use crate::rlwe::ring::ring4096::{LOG_N, N, Poly, Q_NTT, T_NTT};
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// The product of two polynomials modulo X^len - zeta.
    fn schoolbook(a: &[u32], b: &[u32], zeta: u32, q: u32) -> Vec<u32> {
        let len = a.len();
        let mut product = alloc::vec![0u64; len];
        for (i, &x) in a.iter().enumerate().filter(|(_, x)| **x != 0) {
            for (j, &y) in b.iter().enumerate() {
                let xy = u64::from(x) * u64::from(y) % u64::from(q);
                let (k, xy) = if i + j < len {
                    (i + j, xy)
                } else {
                    (i + j - len, xy * u64::from(zeta) % u64::from(q))
                };
                product[k] = (product[k] + xy) % u64::from(q);
            }
        }
        product.into_iter().map(|x| x as u32).collect()
    }

    fn poly(seed: u64, q: u32, sparse: bool) -> Box<Poly> {
        let mut stream = Stream::new(&Seed([9; 32]), [seed as u32, (seed >> 32) as u32, 0]);
        Box::new(core::array::from_fn(|i| {
            let value = stream.next_u32() % q;
            if sparse && i % 37 != 0 { 0 } else { value }
        }))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10))]
        #[test]
        fn product_is_negacyclic_convolution(seed: u64, which in 0usize..5) {
            let ntt = [&Q_NTT[0], &Q_NTT[1], &Q_NTT[2], &Q_NTT[3], &T_NTT][which];
            let q = ntt.modulus().value();
            let (mut a, mut b) = (poly(seed, q, true), poly(!seed, q, false));
            let expected = schoolbook(&a[..], &b[..], q - 1, q);
            ntt.forward(&mut a, LOG_N);
            ntt.forward(&mut b, LOG_N);
            ntt.multiply(&mut a, &b);
            ntt.inverse(&mut a, LOG_N);
            prop_assert_eq!(&a[..], &expected[..]);
        }

        #[test]
        fn partial_depth_splits_into_segments(seed: u64, depth in 0usize..=LOG_N) {
            let (a, b) = (poly(seed, T, true), poly(!seed, T, false));
            let q = T;
            let mut whole: Box<Poly> = Box::new(schoolbook(&a[..], &b[..], q - 1, q).try_into().unwrap());
            let (mut a, mut b) = (a, b);
            let original = a.clone();
            for x in [&mut a, &mut b, &mut whole] {
                T_NTT.forward(x, depth);
            }
            let m = N >> depth;
            for (s, ((x, y), z)) in a.chunks(m).zip(b.chunks(m)).zip(whole.chunks(m)).enumerate().take(40) {
                let zeta = Modulus::inverse_const(T_NTT.zeta_inverse(depth, s), q);
                prop_assert_eq!(&schoolbook(x, y, zeta, q)[..], z);
            }
            T_NTT.inverse(&mut a, depth);
            prop_assert_eq!(&a[..], &original[..]);
        }
    }
}
