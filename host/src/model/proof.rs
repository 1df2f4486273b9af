//! How large a layer's sums can get, and how large they may be.
//! `core/docs/design.md#ranges` and `#integer-model`.

use stria_core::arith::field::ACC_BITS;
use stria_core::network::layer::{Activation, Layer};
use stria_core::packing::segment::SegmentLayout;

use super::bound::{Bound, Evidence, Range};
use super::error::ModelError;

/// h: the fewest top bits of a share that the comparison may look at.
pub const COMPARE_BITS: u32 = 8;

/// The sums y for which the activation is right at every h of at least [`COMPARE_BITS`].
pub fn allowed(activation: Activation, shift: u32) -> Range {
    let half = 1i64 << (ACC_BITS - 1);
    match activation {
        Activation::Relu => {
            let low = -half + (1 << (ACC_BITS - COMPARE_BITS)) + (1 << shift);
            Range::new(low, half - (1 << shift) - 1)
        }
        Activation::Logits | Activation::Linear => Range::new(-half + 1, half - 1),
    }
}

/// The values that an activation can take: [0, 2^(k-1)) with k = 20 - shift.
pub fn activations(shift: u32) -> Range {
    Range::new(0, (1 << (ACC_BITS - shift - 1)) - 1)
}

/// The worst case of a layer's sums. `inputs` has one range per channel before the shuffle, `skip`
/// one per output channel, both of single pixels.
pub fn worst_case(
    layer: &Layer,
    layout: &SegmentLayout,
    weights: &[i32],
    bias: &[i32],
    inputs: &[Range],
    skip: Option<&[Range]>,
) -> Range {
    let group_inputs = usize::from(layer.in_channels / layer.groups);
    let group_outputs = usize::from(layer.out_channels / layer.groups);
    let phases = layout.phases();
    let taps = layer.kernel.taps();
    let pixels = i64::from(layer.pool_side()).pow(2);
    let factor = layer.skip.map_or(0, |skip| i64::from(skip.factor));
    let mut worst: Option<Range> = None;
    for (out, kernels) in weights.chunks_exact(group_inputs * taps).enumerate() {
        let bias = i64::from(bias[out]);
        let mut y = Range::new(bias, bias);
        for (channel, kernel) in kernels.chunks_exact(taps).enumerate() {
            let source = layout.source_channel(out / group_outputs, channel * phases);
            // A tap that reads padding sees 0.
            let x = inputs[source].union(Range::new(0, 0));
            for &weight in kernel {
                let [a, b] = [x.low, x.high].map(|x| i64::from(weight) * x * pixels);
                y.low += a.min(b);
                y.high += a.max(b);
            }
        }
        if let Some(skip) = skip {
            y.low += factor * skip[out].low;
            y.high += factor * skip[out].high;
        }
        worst = Some(worst.map_or(y, |worst| worst.union(y)));
    }
    worst.unwrap_or(Range::new(0, 0))
}

/// Decides whether a layer stays in its range, or why it is refused.
pub fn prove_or_calibrate(
    name: &str,
    worst: Range,
    allowed: Range,
    max_abs: Option<u64>,
) -> Result<Bound, ModelError> {
    let layer = || name.into();
    if !Range::new(i32::MIN.into(), i32::MAX.into()).contains(worst) {
        return Err(ModelError::Accumulator {
            layer: layer(),
            worst,
        });
    }
    let evidence = match max_abs {
        _ if allowed.contains(worst) => Evidence::Proved,
        Some(max) if allowed.contains(Range::around_zero(max)) => Evidence::Calibrated,
        Some(max_abs) => {
            return Err(ModelError::Calibration {
                layer: layer(),
                max_abs,
                allowed,
            });
        }
        None => {
            return Err(ModelError::NotCalibrated {
                layer: layer(),
                worst,
                allowed,
            });
        }
    };
    Ok(Bound {
        worst,
        allowed,
        max_abs,
        evidence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_design() {
        let relu = allowed(Activation::Relu, 8);
        assert_eq!(
            (relu.low, relu.high),
            (-524_288 + 4096 + 256, 524_288 - 257)
        );
        let logits = allowed(Activation::Logits, 8);
        assert_eq!((logits.low, logits.high), (-524_287, 524_287));
        assert_eq!(activations(8), Range { low: 0, high: 2047 });
        assert_eq!(activations(12), Range { low: 0, high: 127 });
    }

    #[test]
    fn the_edges_of_the_range_are_inside() {
        let allowed = allowed(Activation::Relu, 8);
        let decide = |worst, max_abs| prove_or_calibrate("l", worst, allowed, max_abs);
        let proved = decide(allowed, None).unwrap();
        assert_eq!(proved.evidence, Evidence::Proved);

        let beyond = Range {
            high: allowed.high + 1,
            ..allowed
        };
        let error = decide(beyond, None).unwrap_err();
        assert!(matches!(error, ModelError::NotCalibrated { .. }), "{error}");
        let most = allowed.low.unsigned_abs();
        let calibrated = decide(beyond, Some(most)).unwrap();
        assert_eq!(calibrated.evidence, Evidence::Calibrated);
        let error = decide(beyond, Some(most + 1)).unwrap_err();
        assert!(matches!(error, ModelError::Calibration { .. }), "{error}");

        let wide = Range {
            high: i64::from(i32::MAX) + 1,
            ..allowed
        };
        let error = decide(wide, Some(1)).unwrap_err();
        assert!(matches!(error, ModelError::Accumulator { .. }), "{error}");
    }
}
