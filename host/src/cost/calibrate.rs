//! Measures the constants on this machine: a StriaNet's inference with both parties in one thread,
//! and the server's operations side by side as it does them.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stria_core::Error;
use stria_core::conv::{Ciphertext, Limbs, SegmentWeights};
use stria_core::layer::Layer;
use stria_core::ntt::Q_NTT;
use stria_core::packing::Packing;
use stria_core::parallel;
use stria_core::params::{LIMBS, LOG_N, N, Q};
use stria_core::prg::Seed;
use stria_core::privacy::{PublicKey, respond, uniform_mask};
use stria_core::protocol::client::App;
use stria_core::protocol::frame::{Frame, Kind, MAX_FRAME};
use stria_core::protocol::greeting::Settings;
use stria_core::protocol::server::{Budget, Server};
use stria_core::segment;
use stria_core::work::Work;

use super::Constants;
use crate::net::client::LargeClient;
use crate::net::{SessionError, entropy, server};
use crate::{Model, networks};

/// How long a single operation is repeated.
const PATIENCE: Duration = Duration::from_millis(400);

/// Inferences that are timed.
const INFERENCES: u32 = 3;

/// Measures.
pub fn calibrate() -> Result<Constants, SessionError> {
    let builder = networks::BUILDERS[0];
    let model = builder
        .model(1)
        .map_err(|_| Error::Usage("a network of this program that does not load"))?;
    let session = Session::run(&model)?;
    let count = |of: fn(&crate::ModelLayer) -> usize| -> f64 {
        model.layers.iter().map(of).sum::<usize>() as f64
    };
    let activations = count(crate::ModelLayer::activations);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // 64 products into each of 32 responses: more plaintexts than caches hold.
    let layer = Layer {
        repeat: 64,
        in_channels: 64,
        out_channels: 2048,
        in_side: 8,
        groups: 1,
        shuffle: 1,
        ..model.layers[1].layer
    };
    let layout = layer.layout().map_err(Error::Usage)?;
    let values = vec![1; 64 * 2048];
    let weights = SegmentWeights::prepared(&layer, &layout, &values);
    let inputs: Vec<Ciphertext> = (0..layout.inputs_per_part)
        .map(|_| Ciphertext::from_wire(limbs(), &Seed([1; 32])))
        .collect();
    let outputs = layout.outputs_per_tile();
    let product = repeat(|| {
        let sum = |output| black_box(weights.apply(&inputs, output, &mut Work::default())).c0[0][0];
        parallel::map(outputs, sum);
    }) / (outputs * inputs.len()) as f64;
    let key = PublicKey::from_wire(limbs(), &Seed([2; 32]));
    let respond = repeat(|| {
        parallel::map(8 * cores, |i| {
            let seed = Seed([i as u8; 32]);
            let mut mask = uniform_mask(&seed);
            let response = respond(Ciphertext::zero(), &key, &mask, &seed);
            segment::decode(&mut mask, layout.depth);
            black_box((response.c0[0], mask[0]))
        });
    }) / (8 * cores) as f64;
    let message = Box::new([1; N]);
    let receive = repeat(|| {
        let mut limbs = limbs();
        Ciphertext::add_plaintext(&mut limbs, &message);
        black_box(Ciphertext::from_wire(limbs, &Seed([3; 32])).c0[0][0]);
    });
    let mut polynomial = Box::new([1; N]);
    let transform = repeat(|| Q_NTT[0].forward(black_box(&mut polynomial), LOG_N));
    Ok(Constants {
        cores,
        encrypt: session.encrypt / count(|layer| layer.layout.inputs()),
        receive,
        product,
        respond,
        decrypt: session.decrypt / count(|layer| layer.layout.outputs()),
        relu_client: session.relu_client / activations,
        relu_server: session.relu_server / activations,
        transform,
    })
}

/// Seconds of one call, from the best of many: what disturbs only ever adds.
fn repeat(mut operation: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut best = Duration::MAX;
    while best == Duration::MAX || start.elapsed() < PATIENCE {
        let begin = Instant::now();
        operation();
        best = best.min(begin.elapsed());
    }
    best.as_secs_f64()
}

/// A residue polynomial a limb, as it comes over the wire.
fn limbs() -> Box<Limbs> {
    let mut limbs: Box<Limbs> = Box::new([[0; N]; LIMBS]);
    for (limb, q) in limbs.iter_mut().zip(Q) {
        for (i, x) in limb.iter_mut().enumerate() {
            *x = (i as u32).wrapping_mul(0x9e37_79b9) % q;
        }
    }
    limbs
}

/// Seconds of the parts of an inference.
#[derive(Clone, Copy, Default)]
struct Session {
    encrypt: f64,
    decrypt: f64,
    relu_client: f64,
    relu_server: f64,
}

/// A grey image.
struct Grey;

impl App for Grey {
    fn pixel(&mut self, _channel: usize, _row: usize, _col: usize) -> i32 {
        1
    }
    fn logit(&mut self, _class: u16, _value: i32) {}
}

impl Session {
    /// Runs inferences frame by frame, notes each frame's time on either side, and gives the best of
    /// every part.
    fn run(model: &Model) -> Result<Self, SessionError> {
        let network = Arc::new(server::network(model, Packing::Segment)?);
        let mut server = Server::new(
            network,
            Budget::new(INFERENCES),
            &mut entropy::session_rng("server")?,
        );
        let mut client = Box::new(LargeClient::closed());
        client.open(Settings::default(), &mut entropy::session_rng("client")?);
        let mut session = Self::default();
        session.exchange(&mut client, &mut server)?;
        let mut best: Option<Self> = None;
        for _ in 0..INFERENCES {
            client.start()?;
            session = Self::default();
            session.exchange(&mut client, &mut server)?;
            best = Some(best.map_or(session, |best| best.min(&session)));
        }
        Ok(best.unwrap_or_default())
    }

    fn min(&self, other: &Self) -> Self {
        Self {
            encrypt: self.encrypt.min(other.encrypt),
            decrypt: self.decrypt.min(other.decrypt),
            relu_client: self.relu_client.min(other.relu_client),
            relu_server: self.relu_server.min(other.relu_server),
        }
    }

    fn exchange(&mut self, client: &mut LargeClient, server: &mut Server) -> Result<(), Error> {
        let mut buffer = [0; MAX_FRAME];
        loop {
            let mut begin = Instant::now();
            while let Some(len) = client.poll(&mut Grey, &mut buffer)? {
                let written = Instant::now();
                let frame = Frame::new_checked(&buffer[..len])?;
                server.handle(frame)?;
                self.note(frame.kind, written - begin, written.elapsed());
                begin = Instant::now();
            }
            while let Some(len) = server.poll(&mut buffer)? {
                let written = Instant::now();
                let frame = Frame::new_checked(&buffer[..len])?;
                client.handle(&mut Grey, frame)?;
                self.note(frame.kind, written.elapsed(), written - begin);
                begin = Instant::now();
            }
            if client.is_ready() {
                return Ok(());
            }
        }
    }

    /// Adds a frame's time on each side to the part that it belongs to.
    fn note(&mut self, kind: Kind, client: Duration, server: Duration) {
        let (client, server) = (client.as_secs_f64(), server.as_secs_f64());
        match kind {
            // The first ciphertext is packed when the layer is described.
            Kind::Layer | Kind::Seed | Kind::Limb => self.encrypt += client,
            Kind::ResponseC1 | Kind::ResponseC0 => self.decrypt += client,
            Kind::ForwardCorrection
            | Kind::ReverseCorrection
            | Kind::Tables
            | Kind::Reply
            | Kind::Entries
            | Kind::Reshare => {
                self.relu_client += client;
                self.relu_server += server;
            }
            _ => {}
        }
    }
}
