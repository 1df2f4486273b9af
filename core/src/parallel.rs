//! Independent jobs on all cores where the feature `parallel` is on, in turn where it is not.

use alloc::vec::Vec;

/// `f(0), f(1), ... f(count - 1)`, in that order.
#[cfg(feature = "parallel")]
pub fn map<T: Send>(count: usize, f: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    use rayon::prelude::*;
    (0..count).into_par_iter().map(f).collect()
}

/// `f(0), f(1), ... f(count - 1)`, in that order.
#[cfg(not(feature = "parallel"))]
pub fn map<T: Send>(count: usize, f: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    (0..count).map(f).collect()
}
