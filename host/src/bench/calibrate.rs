//! Measures the constants on this machine: inferences of StriaNets with both parties in one thread,
//! and the server's operations on ciphertexts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stria_core::Error;
use stria_core::packing::Packing;
use stria_core::protocol::activation::Phase;
use stria_core::protocol::client::{Application, Client, Memory, Whole};
use stria_core::protocol::frame::{Frame, Kind, MAX_FRAME};
use stria_core::protocol::greeting::Settings;
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::server::{Budget, Server};

use super::operations::{self, OperationSeconds};
use crate::model::{Model, ModelLayer, networks};
use crate::planner::count;
use crate::report::{Constants, Ring};
use crate::session::{SessionError, entropy, server};

/// Inferences that are timed.
const INFERENCES: u32 = 3;

/// Measures.
pub fn calibrate() -> Result<Constants, SessionError> {
    let built = |name| {
        let builder = networks::find(name).ok();
        let model = builder.and_then(|builder| builder.model(1).ok());
        model.ok_or(Error::Internal(
            "a network of this program that does not load",
        ))
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = built("strianet-cifar10")?;
    let parts = seconds::<Segments>(&model, Packing::Segment)?;
    let activations: usize = model.layers.iter().map(ModelLayer::activations).sum();
    let products: usize = model.layers.iter().map(products).sum();
    let clear = operations::clear()?;
    let operations = operations::segments(cores)?;
    let segment = ring(&model, Packing::Segment, &parts, operations)?;

    // Few Galois keys, so that the set-up is short.
    let model = built("strianet-cifar10-simd")?;
    let slots = seconds::<Slots>(&model, Packing::Slot)?;
    let (operations, [decompose, key_switch]) = operations::slots(cores)?;
    Ok(Constants {
        cores,
        segment,
        slot: ring(&model, Packing::Slot, &slots, operations)?,
        decompose,
        key_switch,
        relu_client: parts[RELU_CLIENT] / activations as f64,
        relu_server: parts[RELU_SERVER] / activations as f64,
        answer_client: parts[ANSWER_CLIENT] / activations as f64,
        // The rest of what the server does then is its convolution.
        answer_server: (parts[ANSWER_SERVER] - clear * products as f64).max(0.0)
            / activations as f64,
        clear,
    })
}

/// The client's seconds a ciphertext, from a session, with the server's.
fn ring(
    model: &Model,
    packing: Packing,
    parts: &Parts,
    operations: OperationSeconds,
) -> Result<Ring, Error> {
    let (mut inputs, mut outputs) = (0, 0);
    for (index, layer) in (0..).zip(&model.layers) {
        let unfit = |reason| Error::Layer { index, reason };
        let linear = count(packing, &layer.layer).map_err(unfit)?;
        inputs += linear.inputs;
        outputs += linear.outputs();
    }
    Ok(Ring {
        encrypt: parts[ENCRYPT] / inputs as f64,
        receive: operations.receive,
        product: operations.product,
        fresh_product: operations.fresh_product,
        respond: operations.respond,
        decrypt: parts[DECRYPT] / outputs as f64,
    })
}

/// Seconds of the parts of an inference, or of a layer of it: see the places.
type Parts = [f64; 6];
const ENCRYPT: usize = 0;
const DECRYPT: usize = 1;
const RELU_CLIENT: usize = 2;
const RELU_SERVER: usize = 3;
const ANSWER_CLIENT: usize = 4;
const ANSWER_SERVER: usize = 5;

/// A grey image.
struct Grey;

impl Application for Grey {
    fn pixel(&mut self, _channel: usize, _row: usize, _col: usize) -> i32 {
        1
    }
    fn logit(&mut self, _class: u16, _value: i32) {}
}

/// Runs inferences frame by frame, notes each frame's time on either side, and adds up the best of
/// every part of every layer.
fn seconds<L: ClientLinear>(model: &Model, packing: Packing) -> Result<Parts, SessionError> {
    let network = Arc::new(server::network(model, packing)?);
    let mut server = Server::new(
        network,
        Budget::new(INFERENCES),
        &mut entropy::session_rng("server")?,
    );
    let mut rng = entropy::session_rng("client")?;
    let mut client = Client::<Whole, L>::new(Settings::default(), &mut rng);
    exchange(&mut client, &mut server)?;
    let mut best: Vec<Parts> = Vec::new();
    for _ in 0..INFERENCES {
        client.start()?;
        let layers = exchange(&mut client, &mut server)?;
        best.resize(layers.len(), [f64::INFINITY; 6]);
        for (best, layer) in best.iter_mut().zip(&layers) {
            *best = std::array::from_fn(|part| best[part].min(layer[part]));
        }
    }
    let sum = |part: usize| best.iter().map(|layer| layer[part]).sum();
    Ok(std::array::from_fn(sum))
}

/// Multiplications of a layer's convolution.
fn products(layer: &ModelLayer) -> usize {
    layer.layout.geometry.out_values() * layer.layer.weights_per_output()
}

/// What every layer of the next inference takes; nothing for the set-up.
fn exchange<M: Memory, L: ClientLinear>(
    client: &mut Client<M, L>,
    server: &mut Server,
) -> Result<Vec<Parts>, Error> {
    let mut layers: Vec<Parts> = Vec::new();
    let mut note = |at: Option<(Phase, u16)>, kind, client, server| {
        let Some((phase, layer)) = at else {
            return;
        };
        let layer = usize::from(layer);
        layers.resize(layers.len().max(layer + 1), Parts::default());
        add(&mut layers[layer], phase, kind, client, server);
    };
    let mut buffer = [0; MAX_FRAME];
    loop {
        let mut begin = Instant::now();
        loop {
            let at = client.position();
            let Some(len) = client.poll(&mut Grey, &mut buffer)? else {
                break;
            };
            let written = Instant::now();
            let frame = Frame::new_checked(&buffer[..len])?;
            server.handle(frame)?;
            note(at, frame.kind, written - begin, written.elapsed());
            begin = Instant::now();
        }
        while let Some(len) = server.poll(&mut buffer)? {
            let written = Instant::now();
            let (at, frame) = (client.position(), Frame::new_checked(&buffer[..len])?);
            client.handle(&mut Grey, frame)?;
            note(at, frame.kind, written.elapsed(), written - begin);
            begin = Instant::now();
        }
        if client.is_ready() {
            return Ok(layers);
        }
    }
}

/// Adds a frame's time on each side to the part that it belongs to.
fn add(parts: &mut Parts, phase: Phase, kind: Kind, client: Duration, server: Duration) {
    let (client, server) = (client.as_secs_f64(), server.as_secs_f64());
    match kind {
        _ if phase == Phase::Answer => {
            parts[ANSWER_CLIENT] += client;
            parts[ANSWER_SERVER] += server;
        }
        // The first ciphertext is packed when the preparing begins.
        Kind::Begin | Kind::Seed | Kind::Limb => parts[ENCRYPT] += client,
        Kind::ResponseC1 | Kind::ResponseC0 => parts[DECRYPT] += client,
        Kind::ForwardCorrection | Kind::ReverseCorrection | Kind::Residues | Kind::Reshare => {
            parts[RELU_CLIENT] += client;
            parts[RELU_SERVER] += server;
        }
        _ => {}
    }
}
