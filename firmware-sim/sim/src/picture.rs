//! The picture, as the reference and as the firmware gets it.

use std::path::Path;

use anyhow::{Context, ensure};
use stria_core::network::input::normalise;
use stria_host::data::picture;
use stria_host::model::Input;

/// A picture of the network's shape.
pub struct Picture {
    /// Integers, [channels, rows, cols].
    pub tensor: Vec<i32>,
    /// The firmware's page of flash.
    pub page: Vec<u8>,
}

/// Reads a picture, or makes one of pixels without meaning.
pub fn load(path: Option<&Path>, input: &Input) -> anyhow::Result<Picture> {
    let area = input.side * input.side;
    let planes = match path {
        Some(path) => {
            let seen = picture::crop(&picture::open(path)?, input)?;
            planes(&picture::normalised(&seen, input), input, |channel, i| {
                let pixel = seen.pixels().nth(i).map_or([0; 3], |pixel| pixel.0);
                // The luma of a grey network is found below among all bytes.
                (input.channels > 1).then(|| pixel[channel])
            })?
        }
        None => (0..input.channels * area)
            .map(|i| (i * i * 31 % 251) as u8)
            .collect(),
    };
    let tensor = planes.chunks(area).zip(input.mean.iter().zip(&input.std));
    let tensor = tensor.flat_map(|(plane, (&mean, &std))| {
        plane
            .iter()
            .map(move |&pixel| normalise(pixel, mean, std, input.scale))
    });
    let mut page = b"stria1".to_vec();
    page.extend([u8::try_from(input.channels)?, u8::try_from(input.side)?]);
    page.extend(&planes);
    ensure!(
        page.len() <= 4096,
        "the picture is larger than the firmware's page for it"
    );
    Ok(Picture {
        tensor: tensor.collect(),
        page,
    })
}

/// The bytes whose normalised values are the tensor's.
fn planes(
    tensor: &[i32],
    input: &Input,
    known: impl Fn(usize, usize) -> Option<u8>,
) -> anyhow::Result<Vec<u8>> {
    let area = input.side * input.side;
    let byte = |(i, &value): (usize, &i32)| {
        let channel = i / area;
        let (mean, std) = (input.mean[channel], input.std[channel]);
        let found = known(channel, i % area)
            .or_else(|| (0..=255).find(|&b| normalise(b, mean, std, input.scale) == value));
        found.context("a pixel that is no byte")
    };
    tensor.iter().enumerate().map(byte).collect()
}
