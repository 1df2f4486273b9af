//! Rounding a matrix so that its products stay close, rather than its entries.
//! Babai's nearest plane, in the lattice that the inputs' covariance gives.
//!
//! The last layer's weights are small integers, since its sums over many large inputs must fit;
//! rounding each to the nearest would be felt.

use rayon::prelude::*;

/// What is added to the covariance's diagonal, as a part of its mean: keeps it regular.
const DAMPING: f64 = 0.01;

/// The rounded matrix, and what to add to the bias of every output for it.
///
/// `weights` is [outputs, inputs], `seen` has one list of inputs an image. The weights of an output
/// are rounded one by one, and the ones left take over the error as far as their inputs correlate;
/// the error on the mean input goes into the bias.
pub(super) fn with_feedback(weights: &[f64], seen: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let inputs = seen.first().map_or(0, Vec::len);
    let mean = mean(seen, inputs);
    let factor = cholesky(covariance(seen, &mean));
    let mut rounded = Vec::with_capacity(weights.len());
    let mut errors = Vec::new();
    for row in weights.chunks_exact(inputs.max(1)) {
        let mut error = vec![0.0; inputs];
        for j in (0..inputs).rev() {
            let later: f64 = (j + 1..inputs).map(|i| error[i] * factor[i][j]).sum();
            let target = row[j] + later / factor[j][j];
            error[j] = row[j] - target.round();
        }
        rounded.extend(row.iter().zip(&error).map(|(weight, error)| weight - error));
        errors.push(
            error
                .iter()
                .zip(&mean)
                .map(|(error, mean)| error * mean)
                .sum(),
        );
    }
    (rounded, errors)
}

fn mean(seen: &[Vec<f64>], inputs: usize) -> Vec<f64> {
    let sum = |i: usize| seen.iter().map(|x| x[i]).sum::<f64>();
    (0..inputs).map(|i| sum(i) / seen.len() as f64).collect()
}

/// The lower triangle of the inputs' covariance, a row a list, damped.
fn covariance(seen: &[Vec<f64>], mean: &[f64]) -> Vec<Vec<f64>> {
    let row = |i: usize| {
        let mut row = vec![0.0; i + 1];
        for x in seen {
            let centred = (x[i] - mean[i]) / seen.len() as f64;
            for (sum, (x, mean)) in row.iter_mut().zip(x.iter().zip(mean)) {
                *sum += centred * (x - mean);
            }
        }
        row
    };
    let mut rows: Vec<Vec<f64>> = (0..mean.len()).into_par_iter().map(row).collect();
    let trace: f64 = rows.iter().filter_map(|row| row.last()).sum();
    let damping = match DAMPING * trace / mean.len() as f64 {
        // Inputs that never change: any direction is as good as another.
        0.0 => 1.0,
        damping => damping,
    };
    for value in rows.iter_mut().filter_map(|row| row.last_mut()) {
        *value += damping;
    }
    rows
}

/// The lower triangular L with L L^T = the symmetric matrix whose lower triangle is given.
fn cholesky(mut rows: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for i in 0..rows.len() {
        let (above, below) = rows.split_at_mut(i);
        let row = &mut below[0];
        for j in 0..=i {
            let other = above.get(j);
            let sum: f64 = (0..j)
                .map(|k| row[k] * other.map_or(row[k], |other| other[k]))
                .sum();
            row[j] = match other {
                Some(other) => (row[j] - sum) / other[j],
                None => (row[j] - sum).sqrt(),
            };
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_multiplies_back() {
        let matrix = [[4.0, 2.0, -1.0], [2.0, 5.0, 3.0], [-1.0, 3.0, 6.0]];
        let lower = (0..3).map(|i| matrix[i][..=i].to_vec()).collect();
        let factor = cholesky(lower);
        for i in 0..3 {
            for j in 0..=i {
                let product: f64 = (0..=j).map(|k| factor[i][k] * factor[j][k]).sum();
                assert!((product - matrix[i][j]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn equal_inputs_round_together() {
        // Two inputs that are always equal, and weights whose sum is an integer: each alone would
        // round to 0.
        let seen: Vec<Vec<f64>> = (0..50).map(|i| vec![f64::from(i % 7); 2]).collect();
        let (rounded, errors) = with_feedback(&[0.45, 0.45, -0.4, -0.6], &seen);
        assert_eq!(rounded[0] + rounded[1], 1.0);
        assert_eq!(rounded[2] + rounded[3], -1.0);
        // What is left on the mean input.
        let mean = seen.iter().map(|x| x[0]).sum::<f64>() / 50.0;
        assert!((errors[0] + 0.1 * mean).abs() < 1e-9 && errors[1].abs() < 1e-9);
    }

    #[test]
    fn inputs_that_never_change_are_left_to_the_bias() {
        let seen = vec![vec![3.0, 1.0]; 4];
        let (rounded, errors) = with_feedback(&[1.4, -2.6], &seen);
        assert_eq!(rounded, [1.0, -3.0]);
        assert!((errors[0] - (0.4 * 3.0 + 0.4)).abs() < 1e-9);
    }
}
