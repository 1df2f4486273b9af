//! Plaintext factors of a layer that are made once and shared by all sessions, or made when needed.

use alloc::vec::Vec;

use spin::Once;

use crate::rlwe::{Factor, Ring};

/// A layer's factors, each made by whoever needs it first. Empty if they are not kept: then each is
/// made for every product.
pub(super) struct Factors<R: Ring>(Vec<Once<Factor<R>>>);

impl<R: Ring> Factors<R> {
    /// So many factors, kept if `keep` says so of their bytes.
    pub fn new(count: usize, keep: impl FnOnce(usize) -> bool) -> Self {
        let kept = count.checked_mul(Factor::<R>::BYTES).is_some_and(keep);
        Self(
            (0..if kept { count } else { 0 })
                .map(|_| Once::new())
                .collect(),
        )
    }

    /// Makes all that are kept, on all cores.
    pub fn prepare(&self, make: impl Fn(usize) -> Factor<R> + Sync + Send) {
        crate::parallel::map(self.0.len(), |i| {
            self.0[i].call_once(|| make(i));
        });
    }

    /// Uses factor `i`.
    pub fn with(
        &self,
        i: usize,
        make: impl FnOnce(usize) -> Factor<R>,
        take: impl FnOnce(&Factor<R>),
    ) {
        match self.0.get(i) {
            Some(once) => take(once.call_once(|| make(i))),
            None => take(&make(i)),
        }
    }
}
