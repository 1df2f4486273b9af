//! What every packing needs to know of a layer: whether it can be run, its maps, strides and groups,
//! and where the pixels of a tile lie in the output.
//! `docs/design.md#segment-packing` and `#baselines`.

use crate::network::LayerError;
use crate::network::layer::{
    Kernel, Layer, MAX_CHANNELS, MAX_CIPHERTEXTS, MAX_KERNEL, MAX_SIDE, MAX_STRIDE, MAX_VALUES,
};

/// A layer's shape, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Kernel.
    pub kernel: Kernel,
    /// Side of the map that is convolved, after pooling, in pixels.
    pub map_side: usize,
    /// Side of the output map in pixels.
    pub out_side: usize,
    /// Stride in pixels.
    pub stride: usize,
    /// Rows and columns of zeros around the map.
    pub padding: i32,
    /// Offset of the first tap within a phase of the stride.
    pub first: i32,
    /// Offset of the last tap within a phase of the stride.
    pub last: i32,
    /// Groups of channels.
    pub groups: usize,
    /// Input channels of a group.
    pub group_inputs: usize,
    /// Output channels of a group.
    pub group_outputs: usize,
    in_channels: usize,
    shuffle: usize,
}

/// Fails with an error unless something holds.
pub(super) fn ensure(ok: bool, error: LayerError) -> Result<(), LayerError> {
    if ok { Ok(()) } else { Err(error) }
}

impl Geometry {
    /// The shape of a layer, if it is one that can be run.
    pub fn new(layer: &Layer) -> Result<Self, LayerError> {
        for channels in [layer.in_channels, layer.out_channels] {
            let ok = (1..=MAX_CHANNELS).contains(&channels);
            ensure(ok, LayerError::Channels(channels))?;
        }
        let ok = (1..=MAX_SIDE).contains(&layer.in_side);
        ensure(ok, LayerError::Side(layer.in_side))?;
        let side = layer.kernel.side();
        ensure((1..=MAX_KERNEL).contains(&side), LayerError::Kernel(side))?;
        let ok = (1..=MAX_STRIDE).contains(&layer.stride);
        ensure(ok, LayerError::Stride(layer.stride))?;
        ensure(layer.padding < side, LayerError::Padding(layer.padding))?;
        let multiple = |channels: u16, of: u16| of >= 1 && channels.is_multiple_of(of);
        for channels in [layer.in_channels, layer.out_channels] {
            let groups = layer.groups;
            let error = LayerError::Groups { channels, groups };
            ensure(multiple(channels, groups), error)?;
        }
        let (channels, groups) = (layer.in_channels, layer.shuffle);
        let error = LayerError::Shuffle { channels, groups };
        ensure(multiple(channels, groups), error)?;
        let (side, window) = (layer.in_side, layer.pool_side());
        ensure(multiple(side, window), LayerError::Pool { side, window })?;

        let map_side = usize::from(side / window);
        let kernel = usize::from(layer.kernel.side());
        let (stride, padding) = (usize::from(layer.stride), i32::from(layer.padding));
        let padded = map_side + 2 * usize::from(layer.padding);
        ensure(padded >= kernel, LayerError::Padded(padded))?;
        let out_side = (padded - kernel) / stride + 1;
        for (channels, side) in [
            (layer.in_channels, usize::from(side)),
            (layer.out_channels, out_side),
        ] {
            let values = u64::from(channels) * (side as u64).pow(2);
            ensure(values <= MAX_VALUES, LayerError::Values(values))?;
        }
        Ok(Self {
            kernel: layer.kernel,
            map_side,
            out_side,
            stride,
            padding,
            first: (-padding).div_euclid(stride as i32),
            last: (kernel as i32 - 1 - padding).div_euclid(stride as i32),
            groups: layer.groups.into(),
            group_inputs: usize::from(layer.in_channels / layer.groups),
            group_outputs: usize::from(layer.out_channels / layer.groups),
            in_channels: layer.in_channels.into(),
            shuffle: layer.shuffle.into(),
        })
    }

    /// Values of the output: what an activation is applied to.
    pub fn out_values(&self) -> usize {
        self.groups * self.group_outputs * self.out_side.pow(2)
    }

    /// Channel of the input tensor, before the shuffle, of a group's channel.
    pub fn source_channel(&self, group: usize, channel: usize) -> usize {
        let shuffled = group * self.group_inputs + channel;
        let per_group = self.in_channels / self.shuffle;
        shuffled % self.shuffle * per_group + shuffled / self.shuffle
    }

    /// Row and column in the output map of pixel `i` of tile number `tile`.
    pub fn output_pixel(&self, tiles: Tiles, tile: usize, i: usize) -> Option<(usize, usize)> {
        let row = tile / tiles.count * tiles.side + i / tiles.side;
        let col = tile % tiles.count * tiles.side + i % tiles.side;
        (row < self.out_side && col < self.out_side).then_some((row, col))
    }
}

/// How the output map is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tiles {
    /// Side of a tile in pixels; the output's side where there is one.
    pub side: usize,
    /// Tiles along a side.
    pub count: usize,
}

impl Tiles {
    /// Tiles of all of the map.
    pub fn all(&self) -> usize {
        self.count * self.count
    }

    /// Pixels of a tile.
    pub fn pixels(&self) -> usize {
        self.side * self.side
    }
}

/// Checks a number of ciphertexts.
pub(super) fn check_ciphertexts(inputs: u64, outputs: u64) -> Result<(), LayerError> {
    let most = inputs.max(outputs);
    ensure(most <= MAX_CIPHERTEXTS, LayerError::Ciphertexts(most))
}
