//! How sure the plaintext reference is of its classes, and where secure inference differs.

use crate::model::Model;
use crate::model::logits::top_k;
use crate::report::{Disagreement, Margins};

/// The integer logits of one image, both ways.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogitPair {
    /// Of the plaintext reference.
    pub reference: Vec<i32>,
    /// Of secure inference.
    pub secure: Vec<i32>,
}

impl LogitPair {
    /// Whether both name the same class.
    pub fn agrees(&self) -> bool {
        top_k(&self.reference, 1) == top_k(&self.secure, 1)
    }

    /// The reference's most likely logit less its next one; 0 where there is only one.
    fn margin(&self) -> i64 {
        match top_k(&self.reference, 2)[..] {
            [first, second] => i64::from(self.reference[first]) - i64::from(self.reference[second]),
            _ => 0,
        }
    }

    /// Variance of the reference's logits over the classes.
    fn variance(&self) -> f64 {
        let classes = self.reference.len() as f64;
        let mean = self.reference.iter().map(|&l| f64::from(l)).sum::<f64>() / classes;
        let squares = self
            .reference
            .iter()
            .map(|&l| (f64::from(l) - mean).powi(2));
        squares.sum::<f64>() / classes
    }

    fn errors(&self) -> impl Iterator<Item = f64> {
        let pairs = self.reference.iter().zip(&self.secure);
        pairs.map(|(&reference, &secure)| (f64::from(secure) - f64::from(reference)).abs())
    }
}

impl LogitPair {
    /// The margins of some images of a data set, in its order; `None` if there are none.
    pub fn margins(model: &Model, pairs: &[LogitPair]) -> Option<Margins> {
        let unit = f64::from(model.logit_scale);
        let mut sorted: Vec<i64> = pairs.iter().map(LogitPair::margin).collect();
        sorted.sort_unstable();
        let smallest = *sorted.first()?;
        // The upper one of the two in the middle.
        let quantile = |part: usize| sorted[sorted.len() / part] as f64 / unit;
        let variance = pairs.iter().map(LogitPair::variance).sum::<f64>() / pairs.len() as f64;
        let spread = variance.sqrt() / unit;
        let errors: Vec<f64> = pairs.iter().flat_map(LogitPair::errors).collect();
        let squares: f64 = errors.iter().map(|error| error * error).sum();
        let class = |logits: &[i32]| {
            let best = top_k(logits, 1).first().and_then(|&i| model.classes.get(i));
            best.cloned().unwrap_or_default()
        };
        let disagreement = |(image, pair): (usize, &LogitPair)| {
            let margin = pair.margin() as f64 / unit;
            let below = sorted.partition_point(|&other| other < pair.margin());
            Disagreement {
                image,
                reference: class(&pair.reference),
                secure: class(&pair.secure),
                margin,
                spreads: if spread > 0.0 { margin / spread } else { 0.0 },
                percent_below: 100.0 * below as f64 / pairs.len() as f64,
            }
        };
        let disagreeing = pairs.iter().enumerate().filter(|(_, pair)| !pair.agrees());
        Some(Margins {
            spread,
            smallest: smallest as f64 / unit,
            tenth: quantile(10),
            median: quantile(2),
            error: (squares / errors.len().max(1) as f64).sqrt() / unit,
            largest_error: errors.iter().fold(0.0f64, |most, &error| most.max(error)) / unit,
            disagreements: disagreeing.map(disagreement).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::networks;

    fn pair(reference: [i32; 10], secure: [i32; 10]) -> LogitPair {
        LogitPair {
            reference: reference.into(),
            secure: secure.into(),
        }
    }

    #[test]
    fn margins_are_in_real_logits() {
        let mut model = networks::find("strianet-cifar10")
            .unwrap()
            .model(1)
            .unwrap();
        model.logit_scale = 4.0;
        assert_eq!(LogitPair::margins(&model, &[]), None);

        let near = [0, 8, 6, 0, 0, 0, 0, 0, 0, 0];
        let swapped = [0, 6, 8, 0, 0, 0, 0, 0, 0, 0];
        let sure = [100, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let margins = LogitPair::margins(&model, &[pair(sure, sure), pair(near, swapped)]).unwrap();
        assert_eq!(
            (margins.smallest, margins.tenth, margins.median),
            (0.5, 0.5, 25.0)
        );
        assert_eq!(margins.largest_error, 0.5);
        assert_eq!(margins.error, (2.0f64 * 4.0 / 20.0).sqrt() / 4.0);
        // 100 / 10 * (1 - 1/10) of 100^2, and of 8 and 6 with mean 1.4.
        let variance = f64::midpoint(900.0, 10.0 - 1.96);
        assert!((margins.spread - variance.sqrt() / 4.0).abs() < 1e-12);
        let [found] = &margins.disagreements[..] else {
            panic!("{margins:?}");
        };
        assert_eq!(
            (found.image, found.margin, found.percent_below),
            (1, 0.5, 0.0)
        );
        assert_eq!((&*found.reference, &*found.secure), ("class 1", "class 2"));
        assert!((found.spreads - 0.5 / margins.spread).abs() < 1e-12);
    }
}
