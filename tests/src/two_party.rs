//! A client and a server in one thread, and a small network for them.

use std::sync::Arc;

use stria_core::Error;
use stria_core::arith::field::{T, T_MOD};
use stria_core::network::layer::{Activation, Kernel, Layer, Pool, Skip};
use stria_core::packing::Packing;
use stria_core::protocol::client::{Application, Chunks, Client, Memory, SmallClient, Whole};
use stria_core::protocol::frame::{Frame, FrameBuf, MAX_FRAME};
use stria_core::protocol::greeting::{InputSpec, Settings};
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::network::{About, Network, NetworkLayer, WeightMemory};
use stria_core::protocol::server::{Budget, Server};
use stria_core::{Party, loopback};

use crate::frames::raw_frame;
use crate::layers::{direct, layer};
use crate::{rng, values};

/// Bits that the test network's activations drop.
pub const SHIFT: u32 = 8;

/// An image and the logits that come out.
pub struct Image {
    /// [channels, rows, cols].
    pub pixels: Vec<i32>,
    /// Side in pixels.
    pub side: usize,
    /// By class.
    pub logits: Vec<i32>,
    /// Names that the server told.
    pub labels: Vec<String>,
}

impl Image {
    /// An image of the test network's shape.
    pub fn random(seed: u64) -> Self {
        Self::of_side(15, seed)
    }

    /// An image of two channels.
    pub fn of_side(side: usize, seed: u64) -> Self {
        Self {
            pixels: values(seed, 2 * side * side, 127),
            side,
            logits: Vec::new(),
            labels: Vec::new(),
        }
    }
}

impl Application for Image {
    fn pixel(&mut self, channel: usize, row: usize, col: usize) -> i32 {
        self.pixels[(channel * self.side + row) * self.side + col]
    }
    fn label(&mut self, class: u16, name: &str) {
        assert_eq!(usize::from(class), self.labels.len());
        self.labels.push(name.into());
    }
    fn logit(&mut self, class: u16, value: i32) {
        assert_eq!(usize::from(class), self.logits.len());
        self.logits.push(value);
    }
}

/// A network with its weights in the clear.
pub struct Plain {
    /// Layer, weights, biases.
    pub layers: Vec<(Layer, Vec<i32>, Vec<i32>)>,
}

impl Plain {
    /// Every kind of layer once: strided stem, StriaBlock with its residual, pooling, classifier.
    pub fn small() -> Self {
        let block = |input, in_channels, out_channels, kernel| Layer {
            input,
            padding: kernel_padding(kernel),
            groups: 4,
            shuffle: 4,
            ..layer(in_channels, 7, out_channels, kernel)
        };
        let layers = vec![
            Layer {
                stride: 2,
                repeat: 8,
                ..layer(2, 15, 16, Kernel::Square(3))
            },
            block(1, 16, 8, Kernel::Square(1)),
            block(2, 8, 8, Kernel::Cross),
            Layer {
                repeat: 4,
                skip: Some(Skip {
                    tensor: 1,
                    factor: 256,
                }),
                ..block(3, 8, 16, Kernel::Square(1))
            },
            Layer {
                input: 4,
                pool: Pool::Map,
                repeat: 16,
                activation: Activation::Logits,
                ..layer(16, 7, 5, Kernel::Square(1))
            },
        ];
        Self::new(layers, 1)
    }

    /// Two layers and 320 activations, for what needs many sessions: one full window of the small
    /// client and a short one.
    pub fn tiny() -> Self {
        let convolution = Layer {
            stride: 4,
            ..layer(2, 15, 20, Kernel::Square(3))
        };
        let classifier = Layer {
            input: 1,
            pool: Pool::Map,
            repeat: 8,
            activation: Activation::Logits,
            ..layer(20, 4, 5, Kernel::Square(1))
        };
        Self::new(vec![convolution, classifier], 3)
    }

    /// The same network with other weights.
    pub fn map_weights(mut self, f: impl Fn(i32) -> i32) -> Self {
        for (_, weights, _) in &mut self.layers {
            weights.iter_mut().for_each(|w| *w = f(*w));
        }
        self
    }

    /// Random weights, small enough that no sum leaves its range.
    pub fn new(layers: Vec<Layer>, seed: u64) -> Self {
        let weighted = |(i, layer): (usize, Layer)| {
            let per_output = layer.weights_per_output();
            let count = usize::from(layer.out_channels) * per_output;
            let weights = values(seed + i as u64, count, 100);
            let bias = values(!seed - i as u64, layer.out_channels.into(), 20_000);
            (layer, weights, bias)
        };
        Self {
            layers: layers.into_iter().enumerate().map(weighted).collect(),
        }
    }

    /// As the server runs it.
    pub fn network(&self) -> Arc<Network> {
        self.packed(Packing::Segment, usize::MAX)
    }

    /// The same in any packing, with so many bytes for transformed weights.
    pub fn packed(&self, packing: Packing, memory: usize) -> Arc<Network> {
        let mut memory = WeightMemory::new(memory);
        let layers = self.layers.iter().map(|(layer, weights, bias)| {
            NetworkLayer::new(packing, *layer, weights, bias, &mut memory).unwrap()
        });
        let side = self.layers[0].0.in_side;
        let about = About {
            name: "test".try_into().unwrap(),
            shift: SHIFT as u8,
            classes: ["a", "b", "c", "d", "e"]
                .map(|name| name.try_into().unwrap())
                .into(),
            logit_scale: 1.0,
            input: InputSpec {
                channels: 2,
                side,
                resize: side,
                mean: [0.0; 4],
                std: [1.0; 4],
                scale: 1.0,
            },
        };
        Arc::new(Network::new(about, layers.collect()).unwrap())
    }

    /// A layer behind one that makes its input out of two channels, and before a classifier.
    pub fn around(middle: Layer, seed: u64) -> Self {
        let first = Layer {
            tile: middle.in_side.min(64),
            ..layer(2, middle.in_side, middle.in_channels, Kernel::Square(1))
        };
        let middle = Layer { input: 1, ..middle };
        let out_side = crate::layers::out_side(&middle);
        let classifier = Layer {
            input: 2,
            pool: Pool::Map,
            activation: Activation::Logits,
            ..layer(middle.out_channels, out_side, 5, Kernel::Square(1))
        };
        let mut plain = Self::new(vec![first, middle, classifier], seed);
        // Activations of the first layer are below 2^8, so that no sum of the second leaves its range.
        let terms = plain.layers[1].1.len() as i32 / i32::from(middle.out_channels);
        let pixels = i32::from(middle.pool_side()).pow(2);
        let bound = (1500 / terms.max(15) / pixels).max(1);
        plain.layers[1].1.iter_mut().for_each(|w| *w %= bound + 1);
        plain
    }

    /// The image and what both parties share of its tensors, as [`Plain::assert_exact`] takes them.
    pub fn opened(&self, image: &Image, shared: &[Vec<u32>]) -> Vec<Vec<i32>> {
        let relus = shared[..self.layers.len() - 1].iter();
        let centered = |tensor: &Vec<u32>| tensor.iter().map(|&x| T_MOD.centered(x)).collect();
        [image.pixels.clone()]
            .into_iter()
            .chain(relus.map(centered))
            .collect()
    }

    /// Whether every opened tensor is the layer's function of the opened inputs, within a unit, but
    /// for small positives that h bits do not see; and the logits exactly, modulo t. Gives each
    /// layer's number of positives.
    pub fn assert_exact(&self, tensors: &[Vec<i32>], logits: &[i32], h: u8) -> Vec<usize> {
        let small = if h < 12 { 1i32 << (12 - h) } else { 0 };
        let last = self.layers.len() - 1;
        let mut positives = Vec::new();
        for i in 0..last {
            let y = self.y(i, tensors);
            assert_eq!(y.len(), tensors[i + 1].len());
            for (y, &got) in y.iter().zip(&tensors[i + 1]) {
                let range = -(1 << 19) + 4096 + 256..(1 << 19) - 256;
                assert!(range.contains(y), "test network: layer {i} has {y}");
                let expected = (y >> SHIFT).max(0) as i32;
                let zeroed = h < 12 && got == 0 && expected <= small;
                let near = (got - expected).abs() <= 1;
                assert!(near || zeroed, "layer {i}: {got} is not {expected}");
            }
            positives.push(y.iter().filter(|&&y| y >> SHIFT > small.into()).count());
        }
        let modulo = |y: i64| T_MOD.centered(y.rem_euclid(T.into()) as u32);
        let expected: Vec<i32> = self.y(last, tensors).into_iter().map(modulo).collect();
        assert_eq!(logits, expected);
        positives
    }

    /// y of a layer, from the tensors before it: [channels, rows, cols].
    pub fn y(&self, index: usize, tensors: &[Vec<i32>]) -> Vec<i64> {
        let (layer, weights, bias) = &self.layers[index];
        let input = &tensors[usize::from(layer.input)];
        let pooled = Layer {
            in_side: layer.in_side / layer.pool_side(),
            pool: Pool::None,
            ..*layer
        };
        let mut y = direct(&pooled, weights, &pool(layer, input));
        let per_channel = y.len() / bias.len();
        for (i, y) in y.iter_mut().enumerate() {
            *y += i64::from(bias[i / per_channel]);
            if let Some(skip) = layer.skip {
                let x = tensors[usize::from(skip.tensor)][i];
                *y += i64::from(skip.factor) * i64::from(x);
            }
        }
        y
    }
}

/// Squares of the pooling's side summed, [channels, rows, cols].
fn pool(layer: &Layer, input: &[i32]) -> Vec<i32> {
    let side = usize::from(layer.in_side);
    let window = usize::from(layer.pool_side());
    let out = side / window;
    let mut sums = vec![0; usize::from(layer.in_channels) * out * out];
    for (i, x) in input.iter().enumerate() {
        let (channel, row, col) = (i / (side * side), i / side % side, i % side);
        sums[(channel * out + row / window) * out + col / window] += x;
    }
    sums
}

fn kernel_padding(kernel: Kernel) -> u8 {
    kernel.side() / 2
}

/// Settings with names asked for.
pub fn settings(k_s: u8, h: u8) -> Settings {
    Settings {
        k_s,
        h,
        labels: true,
    }
}

/// The two state machines, and what they said.
pub struct Pair<M: Memory, L: ClientLinear = Segments> {
    /// The client.
    pub client: Box<Client<M, L>>,
    /// The server.
    pub server: Server,
    /// Frames that the client sent.
    pub up: Vec<Vec<u8>>,
    /// Frames that the server sent.
    pub down: Vec<Vec<u8>>,
}

/// A pair whose client is the small one.
pub type SmallPair = Pair<Chunks<1>>;
const _: fn(SmallPair) -> Box<SmallClient> = |pair| pair.client;
/// A pair in slot packing.
pub type SlotPair = Pair<Whole, Slots>;

/// A client on whose line somebody sits.
struct Tapped<'a, P, F> {
    party: P,
    up: &'a mut Vec<Vec<u8>>,
    down: &'a mut Vec<Vec<u8>>,
    tamper: F,
}

impl<P: Party, F: FnMut(bool, &mut Vec<u8>)> Party for Tapped<'_, P, F> {
    fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let Some(len) = self.party.poll(out)? else {
            return Ok(None);
        };
        let mut frame = out[..len].to_vec();
        (self.tamper)(true, &mut frame);
        out[..frame.len()].copy_from_slice(&frame);
        self.up.push(frame);
        Ok(self.up.last().map(Vec::len))
    }
    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let mut frame = raw_frame(frame.kind as u8, frame.payload);
        (self.tamper)(false, &mut frame);
        self.down.push(frame);
        let frame = self.down.last().map_or(&[][..], Vec::as_slice);
        self.party.handle(Frame::new_checked(frame)?)
    }
    fn rests(&self) -> bool {
        self.party.rests()
    }
    fn close(&mut self) {
        self.party.close();
    }
}

impl<M: Memory, L: ClientLinear> Pair<M, L> {
    /// Both sides before the first frame.
    pub fn new(network: Arc<Network>, settings: Settings, seeds: [u64; 2]) -> Self {
        Self {
            client: Box::new(Client::new(settings, &mut rng(seeds[0]))),
            server: Server::new(network, Budget::new(3), &mut rng(seeds[1])),
            up: Vec::new(),
            down: Vec::new(),
        }
    }

    /// A session of k_s = 4 and h = 8 that is set up, with one inference for each image.
    pub fn session(network: Arc<Network>, images: &[u64], seeds: [u64; 2]) -> Self {
        let mut pair = Self::new(network, settings(4, 8), seeds);
        let mut image = Image::random(0);
        pair.run(&mut image).unwrap();
        for &seed in images {
            image.pixels = Image::random(seed).pixels;
            pair.infer(&mut image).unwrap();
        }
        pair
    }

    /// Exchanges frames until both sides wait or the session ends.
    pub fn run(&mut self, image: &mut Image) -> Result<(), Error> {
        self.run_with(image, |_, _| ())
    }

    /// As [`Pair::run`]; `tamper` may change a frame on its way (true for the client's).
    pub fn run_with(
        &mut self,
        image: &mut Image,
        tamper: impl FnMut(bool, &mut Vec<u8>),
    ) -> Result<(), Error> {
        let mut client = Tapped {
            party: (&mut *self.client, image),
            up: &mut self.up,
            down: &mut self.down,
            tamper,
        };
        loopback(&mut client, &mut self.server, &mut [0; MAX_FRAME])
    }

    /// One inference of a session that is set up.
    pub fn infer(&mut self, image: &mut Image) -> Result<(), Error> {
        image.logits.clear();
        self.client.start()?;
        self.run(image)
    }

    /// The tensors of the last inference, opened from both parties' shares.
    pub fn open(&self, plain: &Plain, image: &Image) -> Vec<Vec<i32>> {
        plain.opened(image, &self.server.audit().open(&*self.client).unwrap())
    }
}
