//! Statistics by which tests compare distributions.

/// Chi-square of `values` against the uniform distribution on [0, bound), in 16 bins: 15 degrees
/// of freedom, above [`CHI_SQUARE_LIMIT`] once in 10^5 for uniform values.
pub fn chi_square(values: impl IntoIterator<Item = u32>, bound: u32) -> f64 {
    let (mut bins, mut count) = ([0u32; 16], 0.0);
    for x in values {
        bins[(u64::from(x) * 16 / u64::from(bound)) as usize] += 1;
        count += 1.0;
    }
    assert!(count >= 500.0, "too few values");
    // Bins differ in size by at most one value of `bound` / 16.
    let expected = count / 16.0;
    let term = |n: &u32| (f64::from(*n) - expected).powi(2) / expected;
    bins.iter().map(term).sum()
}

/// See [`chi_square`].
pub const CHI_SQUARE_LIMIT: f64 = 48.0;

/// Two samples' Kolmogorov-Smirnov distance, scaled: above [`KS_LIMIT`] once in 10^4 where both
/// come from one distribution.
pub fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    let sorted = |x: &[f64]| {
        let mut x = x.to_vec();
        x.sort_by(f64::total_cmp);
        x
    };
    let (a, b) = (sorted(a), sorted(b));
    let below = |x: &[f64], v: f64| x.partition_point(|y| *y <= v) as f64 / x.len() as f64;
    let distances = a
        .iter()
        .chain(&b)
        .map(|&v| (below(&a, v) - below(&b, v)).abs());
    let (n, m) = (a.len() as f64, b.len() as f64);
    distances.fold(0.0, f64::max) * (n * m / (n + m)).sqrt()
}

/// See [`kolmogorov_smirnov`].
pub const KS_LIMIT: f64 = 2.23;

/// Standard deviation about zero.
pub fn deviation(values: &[f64]) -> f64 {
    (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
}
