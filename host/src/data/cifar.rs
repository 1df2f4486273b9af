//! The classic binary files of CIFAR-10: records of a label and three colour planes.

use image::RgbImage;

/// Side of an image in pixels.
const SIDE: usize = 32;
/// Bytes of one colour plane.
pub(super) const PLANE: usize = SIDE * SIDE;
/// Bytes of a record: the label, and three planes.
pub(super) const RECORD: usize = 1 + 3 * PLANE;

/// The label of a record.
pub(super) fn label(record: &[u8]) -> usize {
    record[0].into()
}

/// The picture in a record.
pub(super) fn picture(record: &[u8]) -> RgbImage {
    let planes = &record[1..];
    RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
        let pixel = y as usize * SIDE + x as usize;
        [0, 1, 2].map(|c| planes[c * PLANE + pixel]).into()
    })
}
