//! A client and a server in one thread, and a small network for them.

use std::sync::Arc;

use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use stria_core::Error;
use stria_core::layer::{Activation, Kernel, Layer, Skip};
use stria_core::params::T_MOD;
use stria_core::protocol::client::{App, Client, SmallClient};
use stria_core::protocol::frame::{Frame, MAX_FRAME};
use stria_core::protocol::greeting::{InputSpec, Settings};
use stria_core::protocol::network::{About, Network, NetworkLayer};
use stria_core::protocol::server::{Budget, Server};

use crate::linear::{direct, layer};
use crate::values;

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
        Self {
            pixels: values(seed, 2 * 15 * 15, 127),
            side: 15,
            logits: Vec::new(),
            labels: Vec::new(),
        }
    }
}

impl App for Image {
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
                pool: true,
                repeat: 16,
                activation: Activation::Logits,
                ..layer(16, 7, 5, Kernel::Square(1))
            },
        ];
        Self::new(layers, 1)
    }

    /// Two layers and 64 activations, for what needs many sessions: one full window and a short
    /// one.
    pub fn tiny() -> Self {
        let convolution = Layer {
            stride: 4,
            ..layer(2, 15, 4, Kernel::Square(3))
        };
        let classifier = Layer {
            input: 1,
            pool: true,
            repeat: 8,
            activation: Activation::Logits,
            ..layer(4, 4, 5, Kernel::Square(1))
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
            let per_output = usize::from(layer.in_channels / layer.groups) * layer.kernel.taps();
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
        let layers = self
            .layers
            .iter()
            .map(|(layer, weights, bias)| NetworkLayer::new(*layer, weights, bias).unwrap());
        let about = About {
            name: "test".try_into().unwrap(),
            shift: SHIFT as u8,
            classes: ["a", "b", "c", "d", "e"]
                .map(|name| name.try_into().unwrap())
                .into(),
            logit_scale: 1.0,
            input: InputSpec {
                channels: 2,
                side: 15,
                resize: 15,
                mean: [0.0; 4],
                std: [1.0; 4],
                scale: 1.0,
            },
        };
        Arc::new(Network::new(about, layers.collect()).unwrap())
    }

    /// y of a layer, from the tensors before it: [channels, rows, cols].
    pub fn y(&self, index: usize, tensors: &[Vec<i32>]) -> Vec<i64> {
        let (layer, weights, bias) = &self.layers[index];
        let input = &tensors[usize::from(layer.input)];
        let area = usize::from(layer.in_side).pow(2);
        let mut y = if layer.pool {
            let pooled: Vec<i32> = input.chunks(area).map(|map| map.iter().sum()).collect();
            direct(
                &Layer {
                    in_side: 1,
                    ..*layer
                },
                weights,
                &pooled,
            )
        } else {
            direct(layer, weights, input)
        };
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

fn kernel_padding(kernel: Kernel) -> u8 {
    kernel.side() / 2
}

/// A generator for tests that must be the same each time.
pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
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
pub struct Pair<const CHUNKS: usize, const SUPPLY: usize> {
    /// The client.
    pub client: Box<Client<CHUNKS, SUPPLY>>,
    /// The server.
    pub server: Server,
    /// Frames that the client sent.
    pub up: Vec<Vec<u8>>,
    /// Frames that the server sent.
    pub down: Vec<Vec<u8>>,
}

/// A pair whose client is the small one.
pub type SmallPair = Pair<1, 1>;
const _: fn(SmallPair) -> Box<SmallClient> = |pair| pair.client;

impl<const CHUNKS: usize, const SUPPLY: usize> Pair<CHUNKS, SUPPLY> {
    /// Both sides before the first frame.
    pub fn new(network: Arc<Network>, settings: Settings, seeds: [u64; 2]) -> Self {
        Self {
            client: Box::new(Client::new(settings, &mut rng(seeds[0]))),
            server: Server::new(network, Budget::new(3), &mut rng(seeds[1])),
            up: Vec::new(),
            down: Vec::new(),
        }
    }

    /// Exchanges frames until both sides wait or the session ends.
    pub fn run(&mut self, image: &mut Image) -> Result<(), Error> {
        self.run_with(image, |_, _| ())
    }

    /// As [`Pair::run`]; `tamper` may change a frame on its way (true for the client's).
    pub fn run_with(
        &mut self,
        image: &mut Image,
        mut tamper: impl FnMut(bool, &mut Vec<u8>),
    ) -> Result<(), Error> {
        let mut buffer = [0; MAX_FRAME];
        loop {
            let mut quiet = true;
            while let Some(len) = self.client.poll(image, &mut buffer)? {
                quiet = false;
                let mut frame = buffer[..len].to_vec();
                tamper(true, &mut frame);
                self.up.push(frame);
                self.server
                    .handle(Frame::new_checked(self.up.last().unwrap())?)?;
            }
            while let Some(len) = self.server.poll(&mut buffer)? {
                quiet = false;
                let mut frame = buffer[..len].to_vec();
                tamper(false, &mut frame);
                self.down.push(frame);
                let frame = Frame::new_checked(self.down.last().unwrap())?;
                self.client.handle(image, frame)?;
            }
            if quiet {
                return Ok(());
            }
        }
    }

    /// One inference of a session that is set up.
    pub fn infer(&mut self, image: &mut Image) -> Result<(), Error> {
        image.logits.clear();
        self.client.start()?;
        self.run(image)
    }

    /// The tensors of the last inference, opened from both parties' shares.
    pub fn open(&self, plain: &Plain, image: &Image) -> Vec<Vec<i32>> {
        let mut client = self.client.audit_shares().unwrap();
        let mut tensors = vec![image.pixels.clone()];
        let relus = plain.layers.len() - 1;
        for (i, server) in self.server.audit_shares()[..relus].iter().enumerate() {
            let area = server.len() / usize::from(plain.layers[i].0.out_channels);
            let open = |(j, &share): (usize, &u32)| {
                let own = client.value(i as u16 + 1, (j / area) as u16, (j % area) as u32);
                T_MOD.centered(T_MOD.add(own, share))
            };
            tensors.push(server.iter().enumerate().map(open).collect());
        }
        tensors
    }
}
