//! From a picture file to the network's first tensor: resize, crop, normalise.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};

use stria_core::network::input::normalise;

use crate::model::Input;

/// A picture that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file cannot be opened.
    #[error("cannot read the image {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a PNG, JPEG or PPM picture, or a damaged one.
    #[error("cannot decode the image {}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
    /// A picture that has no pixels, or is too narrow to resize.
    #[error("the image has {width} x {height} pixels, which cannot be resized to {resize}")]
    Size {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Pixels that the shorter side must get.
        resize: usize,
    },
}

/// Longest side, in multiples of the shorter one, that is still resized.
const MAX_ASPECT: u64 = 64;

/// Decodes a PNG, JPEG or PPM file; the contents decide, not the name.
pub fn open(path: &Path) -> Result<RgbImage, ImageError> {
    let read = |source| ImageError::Read {
        path: path.into(),
        source,
    };
    let reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(read)?;
    decode(reader).map_err(|source| ImageError::Decode {
        path: path.into(),
        source,
    })
}

/// Decodes, and turns the picture upright as its EXIF data says.
fn decode(reader: ImageReader<BufReader<File>>) -> Result<RgbImage, image::ImageError> {
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

/// The side x side pixels that the network sees.
///
/// The shorter side is resized to `input.resize`, the centred square of that side is taken, and
/// of that the top-left `input.side` pixels, as in the model's evaluation.
pub fn crop(picture: &RgbImage, input: &Input) -> Result<RgbImage, ImageError> {
    let (width, height) = picture.dimensions();
    let shorter = width.min(height);
    if shorter == 0 || u64::from(width.max(height)) > MAX_ASPECT * u64::from(shorter) {
        return Err(ImageError::Size {
            width,
            height,
            resize: input.resize,
        });
    }
    let resize = input.resize as u32;
    let scaled = |side: u32| {
        let side = u64::from(side) * u64::from(resize);
        ((side + u64::from(shorter) / 2) / u64::from(shorter)) as u32
    };
    let (new_width, new_height) = (scaled(width), scaled(height));
    let resized;
    let picture = if (new_width, new_height) == (width, height) {
        picture
    } else {
        resized = imageops::resize(picture, new_width, new_height, FilterType::Triangle);
        &resized
    };
    let (left, top) = ((new_width - resize) / 2, (new_height - resize) / 2);
    let side = input.side as u32;
    Ok(imageops::crop_imm(picture, left, top, side, side).to_image())
}

/// The first tensor, [channels, side, side], of a picture of the network's size.
///
/// A network with one channel sees the luma (Rec. 601, as JPEG has it).
pub fn normalised(pixels: &RgbImage, input: &Input) -> Vec<i32> {
    let mut tensor = Vec::with_capacity(input.channels * pixels.pixels().len());
    for (channel, (&mean, &std)) in input.mean.iter().zip(&input.std).enumerate() {
        let table: Vec<i32> = (0..=255)
            .map(|pixel| normalise(pixel, mean, std, input.scale))
            .collect();
        tensor.extend(pixels.pixels().map(|pixel| {
            let value = match input.channels {
                1 => luma(pixel.0),
                _ => pixel.0[channel],
            };
            table[usize::from(value)]
        }));
    }
    tensor
}

fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn input(side: usize, resize: usize) -> Input {
        Input {
            channels: 3,
            side,
            resize,
            mean: vec![0.0; 3],
            std: vec![1.0 / 255.0; 3],
            scale: 1.0,
        }
    }

    /// Red is the column, green the row.
    fn coordinates(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 7]))
    }

    #[test]
    fn a_picture_of_the_right_size_loses_its_last_row_and_column() {
        let seen = crop(&coordinates(32, 32), &input(31, 32)).unwrap();
        assert_eq!(seen, coordinates(31, 31));
    }

    #[test]
    fn a_wide_picture_is_cropped_at_its_centre() {
        let seen = crop(&coordinates(48, 32), &input(31, 32)).unwrap();
        assert_eq!(seen.dimensions(), (31, 31));
        assert_eq!(seen.get_pixel(0, 0), &Rgb([8, 0, 7]));
        assert_eq!(seen.get_pixel(30, 30), &Rgb([38, 30, 7]));
        let seen = crop(&coordinates(32, 51), &input(30, 32)).unwrap();
        assert_eq!(seen.get_pixel(0, 0), &Rgb([0, 9, 7]));
    }

    #[test]
    fn any_size_is_resized() {
        for (width, height) in [(1, 1), (7, 31), (33, 32), (640, 100), (99, 100)] {
            let seen = crop(&coordinates(width, height), &input(31, 32)).unwrap();
            assert_eq!(seen.dimensions(), (31, 31));
        }
        // Twice the size: pixels average in pairs, the picture's centre stays.
        let seen = crop(&coordinates(64, 64), &input(32, 32)).unwrap();
        assert!(seen.get_pixel(16, 16)[0].abs_diff(33) <= 1);
    }

    #[test]
    fn a_strip_is_refused() {
        for (width, height) in [(0, 5), (65, 1)] {
            let error = crop(&coordinates(width, height), &input(31, 32)).unwrap_err();
            assert!(matches!(error, ImageError::Size { .. }), "{error}");
        }
    }

    #[test]
    fn tensors_have_one_plane_a_channel() {
        let picture = coordinates(3, 3);
        let tensor = normalised(&picture, &input(3, 3));
        assert_eq!(tensor[..9], [0, 1, 2, 0, 1, 2, 0, 1, 2]);
        assert_eq!(tensor[9..18], [0, 0, 0, 1, 1, 1, 2, 2, 2]);
        assert_eq!(tensor[18..], [7; 9]);
        let grey = Input {
            channels: 1,
            mean: vec![0.0],
            std: vec![1.0 / 255.0],
            ..input(3, 3)
        };
        assert_eq!(normalised(&picture, &grey), [1, 1, 1, 1, 2, 2, 2, 2, 3]);
    }

    #[test]
    fn formats_are_recognised_by_their_contents() {
        let folder = std::env::temp_dir().join(format!("stria-image-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let picture = coordinates(5, 4);
        for (format, name) in [
            (image::ImageFormat::Png, "a.png"),
            (image::ImageFormat::Pnm, "b.jpg"),
            (image::ImageFormat::Png, "no-extension"),
        ] {
            let path = folder.join(name);
            picture.save_with_format(&path, format).unwrap();
            assert_eq!(open(&path).unwrap(), picture);
        }
        let path = folder.join("c.jpg");
        picture
            .save_with_format(&path, image::ImageFormat::Jpeg)
            .unwrap();
        assert_eq!(open(&path).unwrap().dimensions(), (5, 4));

        std::fs::write(folder.join("bad.png"), b"not a picture").unwrap();
        let error = open(&folder.join("bad.png")).unwrap_err();
        assert!(matches!(error, ImageError::Decode { .. }), "{error}");
        let error = open(&folder.join("absent.png")).unwrap_err();
        assert!(matches!(error, ImageError::Read { .. }), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
