//! The operations that an inference is made of, one thread each.
//!
//!     cargo bench -p stria-core --features unstable,server

#[path = "../examples/stripes/mod.rs"]
mod stripes;

use std::hint::black_box;
use std::io;

use chacha20::ChaCha20Rng;
use criterion::{Criterion, criterion_group, criterion_main};
use embedded_io::{ErrorType, Read, Write};
use rand_core::SeedableRng;
use stria_core::network::layer::{Kernel, Layer};
use stria_core::ot::{Direction, ReceiverTrees, SenderTrees, scratch_words};
use stria_core::packing::segment::{SegmentLayout, SegmentWeights};
use stria_core::packing::{Places, Weights};
use stria_core::random::{Seed, SessionId, Stream};
use stria_core::relu::{ClientChunk, ReluParams, ServerChunk};
use stria_core::rlwe::ring::ring4096::{LIMBS, N, Poly, Q_NTT};
use stria_core::rlwe::{
    Ciphertext, Expansion, Limbs, Operations, PublicKey, Randomness, Ring4096, SecretKey,
    encrypt_limb, respond,
};
use stria_core::{
    Budget, Error, Frame, FrameBuf, Kind, MAX_FRAME, Party, Server, Settings, SmallClient, drive,
    loopback,
};

fn limbs() -> Limbs<Ring4096> {
    vec![[1; N]; LIMBS].into()
}

fn ring(c: &mut Criterion) {
    let mut poly: Box<Poly> = Box::new([1; N]);
    c.bench_function("transform of one limb", |b| {
        b.iter(|| Q_NTT[0].forward(black_box(&mut poly), 12));
    });

    let mut key = SecretKey::<Ring4096>::zero();
    key.draw(&Seed([1; 32]));
    let public = (&Seed([2; 32]), Expansion::Ciphertext);
    let mut out: Box<Poly> = Box::new([0; N]);
    c.bench_function("encryption of one limb", |b| {
        b.iter(|| encrypt_limb(&key, 1, black_box(&poly), public, &mut out));
    });

    let layer = Layer {
        input: 0,
        in_channels: 8,
        in_side: 16,
        padding: 1,
        out_channels: 64,
        kernel: Kernel::Square(3),
        ..stripes::edges()
    };
    let weights = vec![1; 8 * 9 * 64];
    let layout = SegmentLayout::new(&layer).expect("a layer that can be laid out");
    let weights = SegmentWeights::new(&layer, &layout, &weights, |_| true);
    weights.prepare();
    let inputs: Vec<_> = (0..layout.inputs())
        .map(|_| Ciphertext::from_wire(limbs(), &Seed([3; 32])))
        .collect();
    c.bench_function("products of a layer", |b| {
        b.iter(|| {
            let mut counted = Operations::default();
            weights.apply(black_box(&inputs), &(), &mut counted, |_, sum| drop(sum))
        });
    });

    let key = PublicKey::from_wire(limbs(), &Seed([4; 32]));
    let random = Randomness::<Ring4096>::new(Seed([5; 32]));
    c.bench_function("response: zero, mask, flood, switch", |b| {
        b.iter(|| {
            let mask = random.mask();
            respond(Ciphertext::zero(), &key, black_box(&*mask), &random)
        });
    });
}

/// The trees of both parties, with what base transfers would have given.
fn trees(k_s: u32) -> Result<(ReceiverTrees, SenderTrees), Error> {
    let (session, seed, delta) = (SessionId([1; 32]), Seed([2; 32]), [3; 4]);
    let receiver = ReceiverTrees::new(Direction::Forward, k_s, &session, &seed)?;
    let mut keys = [[0; 4]; 128];
    for (index, key) in keys.iter_mut().enumerate() {
        let messages = receiver.base_message(index, &mut [0; 1024])?;
        *key = messages[SenderTrees::base_choice(&delta, index) as usize];
    }
    let sender = SenderTrees::new(Direction::Forward, k_s, &session, &delta, &keys)?;
    Ok((receiver, sender))
}

/// A chunk of activations up to the tables, both parties.
fn relu(c: &mut Criterion) {
    let params = ReluParams::new(8, 12).expect("parameters that every server takes");
    let (receiver, sender) = trees(4).expect("trees of a valid k_s");
    let shares = vec![7; params.chunk()];
    let bits = vec![1; params.chunk()];
    let mut tables = vec![0; params.chunk() * params.table_bytes()];
    let mut scratch = [vec![0; scratch_words(4)], vec![0; scratch_words(4)]];
    c.bench_function("ReLU chunk, both parties", |b| {
        b.iter(|| {
            let [left, right] = &mut scratch;
            let absorb = |tree, correction: &_| {
                let absorbed = sender.absorb(0, tree, correction, right);
                absorbed.expect("a tree of this sender");
            };
            let client = ClientChunk::begin(params, &receiver, 0, &[9; 4], &shares, left, absorb)?;
            let rows = sender.rows(0, right)?;
            let mut masks = Stream::new(&Seed([6; 32]), [0; 3]);
            let server =
                ServerChunk::begin(params, &rows, &shares, &bits, &mut masks, &mut tables)?;
            Ok::<_, Error>((client, server))
        });
    });
}

/// A line that swallows everything.
struct Sink;

impl ErrorType for Sink {
    type Error = io::Error;
}

impl Read for Sink {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        black_box(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says as many of the longest frames as an upload has, and rests.
struct Speaker(usize);

impl Party for Speaker {
    fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let Some(left) = self.0.checked_sub(1) else {
            return Ok(None);
        };
        self.0 = left;
        out[..3].copy_from_slice(&[Kind::Limb as u8, 0, 4]);
        Ok(Some(MAX_FRAME))
    }
    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        Err(frame.unexpected())
    }
    fn rests(&self) -> bool {
        true
    }
    fn close(&mut self) {}
}

fn sessions(c: &mut Criterion) {
    for room in [MAX_FRAME, 1 << 16] {
        let mut buffer = vec![0; room];
        c.bench_function(&format!("driver: 65 frames through {room} bytes"), |b| {
            b.iter(|| drive(&mut Speaker(65), &mut Sink, &mut buffer, &mut ()));
        });
    }

    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let network = stripes::network().expect("the network of the examples");
    let mut server = Server::new(network, Budget::new(u32::MAX), &mut rng);
    let client = SmallClient::new(Settings::default(), &mut rng);
    let mut session = (Box::new(client), stripes::Picture::new(true));
    let mut buffer = [0; MAX_FRAME];
    let mut exchange = |session: &mut (Box<SmallClient>, _)| {
        loopback(session, &mut server, &mut buffer).expect("two honest parties");
    };
    exchange(&mut session);
    c.bench_function("inference of the stripes network", |b| {
        b.iter(|| {
            session.0.start().expect("a client that is ready");
            exchange(&mut session);
            session.1.class()
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = ring, relu, sessions
}
criterion_main!(benches);
