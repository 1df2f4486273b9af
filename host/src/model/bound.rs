//! Ranges of a layer's sums, and why they stay in them. `core/docs/design.md#integer-model`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An interval of integers, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Range {
    /// Smallest value.
    pub low: i64,
    /// Largest value.
    pub high: i64,
}

impl Range {
    /// The integers from `low` to `high`.
    pub const fn new(low: i64, high: i64) -> Self {
        Self { low, high }
    }

    /// The integers of at most this magnitude.
    pub fn around_zero(magnitude: u64) -> Self {
        let high = i64::try_from(magnitude).unwrap_or(i64::MAX);
        Self::new(-high, high)
    }

    /// The largest magnitude that is inside on either side of 0.
    pub fn magnitude(self) -> u64 {
        self.low.unsigned_abs().min(self.high.unsigned_abs())
    }

    /// Whether `other` lies inside.
    pub fn contains(self, other: Self) -> bool {
        self.low <= other.low && other.high <= self.high
    }

    /// The smallest range that holds both.
    pub(super) fn union(self, other: Self) -> Self {
        Self::new(self.low.min(other.low), self.high.max(other.high))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.low, self.high)
    }
}

/// Why a layer's sums stay in their range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The worst case over all inputs lies in the range.
    Proved,
    /// The largest sum seen on training images, with headroom, lies in it.
    Calibrated,
}

/// What is known about the range of a layer's sums y.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bound {
    /// The worst case over all inputs, from the L1 norm of the weights.
    pub worst: Range,
    /// What the protocol computes correctly.
    pub allowed: Range,
    /// The calibrated maximum of |y|, where the file has one.
    pub max_abs: Option<u64>,
    /// Which of the two keeps y in the allowed range.
    pub evidence: Evidence,
}

impl Bound {
    /// The sums y that are reached, as far as is known.
    pub fn reached(&self) -> Range {
        match (self.evidence, self.max_abs) {
            (Evidence::Calibrated, Some(max)) => Range::around_zero(max),
            _ => self.worst,
        }
    }
}
