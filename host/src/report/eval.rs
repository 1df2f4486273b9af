//! `stria eval`: accuracy, and how near to ties secure and plaintext inference disagree.

use serde::Serialize;

/// `stria eval --json`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct EvalReport {
    /// Images that were classified.
    pub images: usize,
    /// Percent whose most likely class is right.
    pub top1: f64,
    /// Percent whose right class is among the five most likely.
    pub top5: f64,
    /// Sums beyond the range that the protocol computes correctly, over all images.
    pub out_of_range: usize,
    /// Percent for which secure and plaintext inference name the same class; secure mode only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// How sure the plaintext reference is, and where the two differ; secure mode only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margins: Option<Margins>,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// Margins of the plaintext reference: the most likely class's logit less the next one's, in real
/// logits (integers / `logit_scale`).
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Margins {
    /// Standard deviation of an image's logits over the classes: root mean square over the images.
    pub spread: f64,
    /// Smallest margin of all images.
    pub smallest: f64,
    /// The margin that a tenth of the images stay below.
    pub tenth: f64,
    /// The margin that half of the images stay below.
    pub median: f64,
    /// Root mean square of what a secure logit is beside the reference's.
    pub error: f64,
    /// Largest of these differences.
    pub largest_error: f64,
    /// The images for which secure and plaintext inference name different classes.
    pub disagreements: Vec<Disagreement>,
}

/// An image for which secure and plaintext inference name different classes.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Disagreement {
    /// Its place in the data set.
    pub image: usize,
    /// The reference's class.
    pub reference: String,
    /// The secure one.
    pub secure: String,
    /// The reference's margin, in real logits.
    pub margin: f64,
    /// The same in spreads; 0 where the spread is.
    pub spreads: f64,
    /// Percent of all images whose margin is smaller.
    pub percent_below: f64,
}
