//! Independent jobs on all cores where the feature `parallel` is on, in turn where it is not.

use alloc::vec::Vec;

/// `f(0), f(1), ... f(count - 1)`, in that order.
#[cfg(feature = "parallel")]
pub fn map<T: Send>(count: usize, f: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    use rayon::prelude::*;
    (0..count).into_par_iter().map(f).collect()
}

/// `f(i, item i)` for all items, in their order.
#[cfg(feature = "parallel")]
pub fn map_mut<T: Send, U: Send>(
    items: &mut [T],
    f: impl Fn(usize, &mut T) -> U + Send + Sync,
) -> Vec<U> {
    use rayon::prelude::*;
    let items = items.par_iter_mut().enumerate();
    items.map(|(i, item)| f(i, item)).collect()
}

/// `f(i, item i)` for all items, in their order.
#[cfg(not(feature = "parallel"))]
pub fn map_mut<T: Send, U: Send>(
    items: &mut [T],
    f: impl Fn(usize, &mut T) -> U + Send + Sync,
) -> Vec<U> {
    let items = items.iter_mut().enumerate();
    items.map(|(i, item)| f(i, item)).collect()
}

/// `f(0), f(1), ... f(count - 1)`, in that order.
#[cfg(not(feature = "parallel"))]
pub fn map<T: Send>(count: usize, f: impl Fn(usize) -> T + Send + Sync) -> Vec<T> {
    (0..count).map(f).collect()
}
