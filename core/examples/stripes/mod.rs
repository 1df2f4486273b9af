// A network by hand that tells whether a picture's stripes are rows or columns, and its pictures.
// The crate page's test includes this file, which inner documentation does not allow.

use std::sync::Arc;

use stria_core::{
    About, Activation, Application, Error, InputSpec, Kernel, Layer, Network, NetworkLayer,
    Packing, Pool, WeightMemory,
};

/// Side of a picture in pixels.
pub const SIDE: u16 = 8;
/// The network's classes.
pub const CLASSES: [&str; 2] = ["rows", "columns"];

/// Four kernels of side 3 over the picture.
pub fn edges() -> Layer {
    Layer {
        input: 0,
        in_channels: 1,
        in_side: SIDE,
        pool: Pool::None,
        shuffle: 1,
        out_channels: 4,
        kernel: Kernel::Square(3),
        stride: 1,
        padding: 0,
        groups: 1,
        repeat: 1,
        tile: 0,
        skip: None,
        activation: Activation::Relu,
    }
}

/// Edges by Sobel kernels, of either sign for each direction, summed over the picture.
pub fn network() -> Result<Arc<Network>, Error> {
    let edges = edges();
    let classifier = Layer {
        input: 1,
        in_channels: 4,
        in_side: SIDE - 2,
        pool: Pool::Map,
        out_channels: CLASSES.len() as u16,
        kernel: Kernel::Square(1),
        activation: Activation::Logits,
        ..edges
    };
    let sobel = [-1, -2, -1, 0, 0, 0, 1, 2, 1].map(|weight| 64 * weight);
    let across: [i32; 9] = std::array::from_fn(|i| sobel[i % 3 * 3 + i / 3]);
    let edge_weights = [sobel, sobel.map(|w| -w), across, across.map(|w| -w)].concat();
    let class_weights = [1, 1, 0, 0, 0, 0, 1, 1];
    let mut memory = WeightMemory::new(1 << 20);
    let mut layer = |index, layer, weights: &[i32], bias: &[i32]| {
        NetworkLayer::new(Packing::Segment, layer, weights, bias, &mut memory)
            .map_err(|reason| Error::Layer { index, reason })
    };
    let layers = vec![
        layer(0, edges, &edge_weights, &[0; 4])?,
        layer(1, classifier, &class_weights, &[0; 2])?,
    ];
    let name = |name: &str| name.try_into().map_err(|_| Error::Internal("a long name"));
    let about = About {
        name: name("stripes")?,
        shift: 8,
        classes: vec![name(CLASSES[0])?, name(CLASSES[1])?],
        logit_scale: 1000.0,
        input: InputSpec {
            channels: 1,
            side: SIDE,
            resize: SIDE,
            mean: [0.0; 4],
            std: [1.0; 4],
            scale: 127.0,
        },
    };
    Ok(Arc::new(Network::new(about, layers)?))
}

/// A striped picture, and its logits once they have come.
pub struct Picture {
    /// Whether its stripes are columns.
    pub columns: bool,
    /// By class.
    pub logits: [i32; CLASSES.len()],
}

impl Picture {
    /// A picture that was not classified yet.
    pub fn new(columns: bool) -> Self {
        let logits = [0; CLASSES.len()];
        Self { columns, logits }
    }

    /// The class of the largest logit.
    pub fn class(&self) -> &'static str {
        CLASSES[usize::from(self.logits[1] > self.logits[0])]
    }
}

impl Application for Picture {
    fn pixel(&mut self, _channel: usize, row: usize, col: usize) -> i32 {
        let across = if self.columns { col } else { row };
        if across % 4 < 2 { 127 } else { -127 }
    }
    fn logit(&mut self, class: u16, value: i32) {
        self.logits[usize::from(class)] = value;
    }
}
