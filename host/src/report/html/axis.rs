//! Axes of plots.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

use super::super::numbers::count;

/// An axis is logarithmic where the largest value is so many times the smallest.
const WIDE_SPAN: f64 = 50.0;
/// Only powers of ten are written on axes that are longer than this.
const MANY_TICKS: f64 = 1000.0;

/// An axis, linear or logarithmic.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Axis {
    pub logarithmic: bool,
    /// Values at its ends.
    pub low: f64,
    pub high: f64,
    /// Values that are written beside it.
    pub ticks: Vec<f64>,
}

impl Axis {
    /// An axis from 0 that reaches to `largest`; where `values` have a wide span and it may be,
    /// a logarithmic one. None where no value is above 0.
    pub fn new(
        values: impl Iterator<Item = f64>,
        largest: f64,
        may_be_logarithmic: bool,
    ) -> Option<Self> {
        let smallest = values
            .filter(|value| value.is_finite() && *value > 0.0)
            .reduce(f64::min)?;
        if !largest.is_finite() {
            return None;
        }
        if !may_be_logarithmic || largest < WIDE_SPAN * smallest {
            let step = step(largest / 5.0);
            let steps = (largest / step).floor() as i32;
            return Some(Self {
                logarithmic: false,
                low: 0.0,
                high: 1.02 * largest,
                ticks: (0..=steps).map(|i| step * f64::from(i)).collect(),
            });
        }
        let decades = smallest.log10().floor() as i32..=largest.log10().floor() as i32;
        let mut ticks: Vec<f64> = decades
            .flat_map(|power| [1.0, 2.0, 5.0].map(|factor| factor * 10f64.powi(power)))
            .collect();
        let low = ticks.iter().rfind(|tick| **tick <= smallest);
        let low = low.copied().unwrap_or(smallest);
        let high = 1.1 * largest;
        ticks.retain(|tick| (low..=high).contains(tick));
        if high > MANY_TICKS * low {
            ticks.retain(|tick| tick.log10().fract().abs() < 1e-9);
        }
        Some(Self {
            logarithmic: true,
            low,
            high,
            ticks,
        })
    }

    /// Numbers from 1 to `count`, of which about six are written.
    pub fn numbers(count: usize) -> Self {
        let step = step(count as f64 / 6.0).max(1.0);
        let steps = (count as f64 / step).floor() as i32;
        let mut ticks: Vec<f64> = (1..=steps).map(|i| step * f64::from(i)).collect();
        if step > 1.0 {
            ticks.insert(0, 1.0);
        }
        Self {
            logarithmic: false,
            low: 0.5,
            high: count as f64 + 0.5,
            ticks,
        }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let place = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        from + (place * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // There are no finer lines between the ticks.
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.ticks.clone(),
        }
    }
}

/// 1, 2 or 5 times a power of ten, not less than `least`.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0].into_iter();
    let mut steps = factors.map(|factor| factor * power);
    steps.find(|step| *step >= least).unwrap_or(least)
}

/// A value beside an axis.
pub(super) fn tick_label(value: f64) -> String {
    if value >= 1e3 {
        return count(value.round() as u64);
    }
    let digits = format!("{value:.6}");
    digits.trim_end_matches('0').trim_end_matches('.').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_fit_their_values() {
        let ticks = [0.0, 0.1 + 0.2, 20.0, 1000.0].map(tick_label);
        assert_eq!(ticks, ["0", "0.3", "20", "1,000"]);
        let axis = |values: &[f64]| Axis::new(values.iter().copied(), values[0], true);
        assert_eq!(axis(&[0.0, 0.0]), None);
        assert_eq!(axis(&[f64::INFINITY, 1.0]), None);
        let linear = axis(&[10.0, 1.0]).unwrap();
        assert_eq!(linear.ticks, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(linear.map(&5.1, (0, 100)), 50);
        let wide = axis(&[1000.0 / 1.1, 10.5]).unwrap();
        assert_eq!(wide.ticks, [10.0, 20.0, 50.0, 100.0, 200.0, 500.0]);
        assert!(wide.logarithmic);
        assert_eq!(wide.map(&100.0, (100, 0)), 50);
        let wider = axis(&[5000.0, 0.5]).unwrap();
        assert_eq!(wider.ticks, [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(Axis::numbers(3).ticks, [1.0, 2.0, 3.0]);
        assert_eq!(Axis::numbers(53).ticks, [1.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
    }
}
