//! A layer as tables and files show it.

use serde::{Deserialize, Serialize};

/// What a layer computes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LayerShape {
    /// Name of the layer.
    pub name: String,
    /// Channels in and out.
    pub channels: [u16; 2],
    /// Side of the input maps in pixels.
    pub side: u16,
    /// Like "3x3", "1x1" or "cross".
    pub kernel: String,
    /// Stride.
    pub stride: u8,
    /// Groups of channels.
    pub groups: u16,
}
