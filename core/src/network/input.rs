//! The float work at the two ends of a network: pixels to integers, logits to probabilities.
//! `docs/design.md#integer-model`; the server's greeting gives the constants.

/// round(((pixel/255 - mean)/std) * scale), halves away from zero, in f32.
pub fn normalise(pixel: u8, mean: f32, std: f32, scale: f32) -> i32 {
    libm::roundf(((f32::from(pixel) / 255.0 - mean) / std) * scale) as i32
}

/// Writes the probabilities of integer logits, in units of 1/`scale`, to `probabilities`.
///
/// Works on as many entries as the shorter of the two slices has.
pub fn softmax_in_place(logits: &[i32], scale: f32, probabilities: &mut [f32]) {
    let largest = logits.iter().copied().max().unwrap_or(0);
    let mut sum = 0.0;
    for (probability, &logit) in probabilities.iter_mut().zip(logits) {
        *probability = libm::expf((i64::from(logit) - i64::from(largest)) as f32 / scale);
        sum += *probability;
    }
    for probability in probabilities.iter_mut().take(logits.len()) {
        *probability /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisation_rounds_halves_away_from_zero() {
        assert_eq!(normalise(0, 0.5, 1.0, 1.0), -1);
        assert_eq!(normalise(255, 0.5, 1.0, 1.0), 1);
        assert_eq!(normalise(51, 0.0, 0.1, 4.0), 8);
    }

    #[test]
    fn softmax_is_a_distribution_even_for_large_logits() {
        let mut p = [0.0; 3];
        softmax_in_place(&[i32::MAX, i32::MIN, i32::MAX], 1.0, &mut p);
        assert_eq!(p, [0.5, 0.0, 0.5]);
        softmax_in_place(&[1024, 0, 0], 1024.0, &mut p);
        assert!((p[0] - 0.576).abs() < 1e-3 && (p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
