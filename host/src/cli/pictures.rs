//! Pictures as a network sees them, and what it sees in them.

use std::path::PathBuf;

use anyhow::Context;
use image::RgbImage;
use stria_host::data::{bundle, picture};
use stria_host::model::Input;
use stria_host::model::logits::{softmax_in_place, top_k};
use stria_host::report::Guess;

/// An image as a command needs it.
pub struct Picture {
    /// File name without its folders.
    pub name: String,
    /// True class, where the file name tells it.
    pub label: Option<String>,
    /// The pixels that the network sees.
    pub pixels: RgbImage,
    /// The first tensor, [channels, side, side].
    pub tensor: Vec<i32>,
}

/// Reads images as a network sees them.
pub fn pictures(
    paths: &[PathBuf],
    input: &Input,
    classes: &[String],
) -> anyhow::Result<Vec<Picture>> {
    let read = |path: &PathBuf| {
        let pixels = picture::crop(&picture::open(path)?, input)
            .with_context(|| format!("cannot use the image {}", path.display()))?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Picture {
            name: name.to_string_lossy().into_owned(),
            label: bundle::label(path, classes).map(String::from),
            tensor: picture::normalised(&pixels, input),
            pixels,
        })
    };
    paths.iter().map(read).collect()
}

/// The `k` most likely classes, most likely first.
pub fn guesses(logits: &[i32], classes: &[String], logit_scale: f32, k: usize) -> Vec<Guess> {
    let mut probabilities = vec![0.0; logits.len()];
    softmax_in_place(logits, logit_scale, &mut probabilities);
    top_k(logits, k)
        .into_iter()
        .filter_map(|i| {
            Some(Guess {
                class: classes.get(i)?.clone(),
                probability: probabilities[i],
            })
        })
        .collect()
}
