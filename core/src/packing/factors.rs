//! Plaintext factors of a layer that are made once and shared by all sessions, or made when needed.

use alloc::vec::Vec;

use spin::Once;

use crate::rlwe::{Factor, Operations, Ring};

/// Factors that are prepared at once.
const BATCH: usize = 64;

/// A layer's factors, each made by whoever needs it first. Empty if they are not kept: then each is
/// made whenever it is needed.
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

    /// Whether they are kept.
    pub fn kept(&self) -> bool {
        !self.0.is_empty()
    }

    /// Makes all that are kept, on all cores. A few at a time: the work of sessions that go on
    /// meanwhile waits for what is under way.
    pub fn prepare(&self, make: impl Fn(usize) -> Factor<R> + Sync + Send) {
        for (batch, kept) in self.0.chunks(BATCH).enumerate() {
            crate::parallel::map(kept.len(), |i| {
                kept[i].call_once(|| make(BATCH * batch + i));
            });
        }
    }

    /// Uses factor `i`.
    pub fn with(
        &self,
        i: usize,
        make: impl FnOnce(usize) -> Factor<R>,
        take: impl FnOnce(&Factor<R>),
        operations: &mut Operations,
    ) {
        let make = || {
            operations.factors += 1;
            make(i)
        };
        match self.0.get(i) {
            Some(once) => take(once.call_once(make)),
            None => take(&make()),
        }
    }
}
