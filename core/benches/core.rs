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
use stria_core::ot::{Direction, FORWARD, REVERSE, ReceiverTrees, SenderTrees};
use stria_core::packing::segment::{SegmentLayout, SegmentWeights};
use stria_core::packing::{Places, Weights};
use stria_core::protocol::activation::{
    ClientAnswers, ClientContext, ClientTransfers, ClientWindow, Outputs, Residues, SCRATCH_WORDS,
    ServerAnswers, ServerWindow, Store,
};
use stria_core::protocol::greeting::{LayersHash, relu_params};
use stria_core::protocol::steps::{CHUNK, Room};
use stria_core::random::{Seed, SessionId};
use stria_core::rlwe::ring::ring4096::{LIMBS, N, Poly, Q_NTT};
use stria_core::rlwe::{
    Ciphertext, Expansion, Limbs, Operations, PublicKey, Randomness, Ring4096, SecretKey,
    encrypt_limb, respond,
};
use stria_core::{
    Activation, Budget, Error, Frame, FrameBuf, Kind, MAX_FRAME, Memory, Party, Server, Settings,
    SmallClient, Whole, drive, loopback,
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
    let weights = SegmentWeights::new(&layer, &layout, weights, |_| true);
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

/// The trees of both parties in a direction, with what base transfers would have given.
fn trees<const COLUMNS: usize>(
    direction: Direction,
) -> Result<(ReceiverTrees, Box<SenderTrees<COLUMNS>>), Error> {
    let session = SessionId([1; 32]);
    let receiver = ReceiverTrees::new(direction, K_S, &session, &Seed([2; 32]))?;
    let mut sender = Box::new(SenderTrees::empty());
    sender.choose(K_S, &session, || 3)?;
    for index in 0..COLUMNS {
        let messages = receiver.base_message(index);
        sender.plant(index, &messages[sender.base_choice(index) as usize]);
    }
    Ok((receiver, sender))
}

const K_S: u32 = 4;

/// The shares of outputs that nobody looks at.
struct Ignored;

impl Outputs for Ignored {
    fn share(&mut self) -> Result<u32, Error> {
        Ok(5)
    }
    fn logit(&mut self, _: u32) -> Result<(), Error> {
        Ok(())
    }
}

/// A window of one chunk of activations, both parties, both phases.
fn relu(c: &mut Criterion) {
    let params = relu_params(8, 8, 4).expect("parameters that every server takes");
    let forward = trees::<FORWARD>(Direction::Forward).expect("trees of a valid k_s");
    let reverse = trees::<REVERSE>(Direction::Reverse).expect("trees of a valid k_s");
    let (mut client, mut replies) = (ClientWindow::empty(), ClientAnswers::empty());
    let (mut store, mut residues) = (Whole::EMPTY, <Whole as Store>::Residues::EMPTY);
    client.begin_session::<Whole>(params, K_S);
    let mut server = ServerWindow::new(params, K_S, Room::Whole, Seed([6; 32]));
    let mut answers = ServerAnswers::new(params, K_S, Room::Whole);
    let mut scratch = Box::new([0; SCRATCH_WORDS]);
    let mut window = || {
        let mut out = [0; MAX_FRAME];
        client.begin(0, 0, &mut store);
        for _ in 0..CHUNK {
            client.gather((0, Activation::Relu), 7, &mut store)?;
            server.gather(0, Activation::Relu);
        }
        client.start(&store);
        server.start();
        let mut context = ClientContext {
            session: &SessionId([1; 32]),
            layers: &LayersHash([0; 32]),
            store: &mut store,
            seal: &Seed([10; 32]),
        };
        let mut transfers = ClientTransfers {
            receiver: &forward.0,
            sender: &reverse.1,
            choices: &Seed([9; 32]),
            residues: &mut residues,
            scratch: &mut scratch,
        };
        while !client.idle() {
            if let Some(len) = server.poll(&reverse.0, &mut out)? {
                let frame = Frame::new_checked(&out[..len])?;
                client.handle(frame, context.store, &mut transfers)?;
            } else if let Some(len) = client.poll(&mut context, &mut transfers, &mut out)? {
                server.handle(Frame::new_checked(&out[..len])?, &forward.1)?;
            }
        }
        let mut chunks: Vec<_> = server.finish(&forward.1)?.map(|(_, chunk)| chunk).collect();
        replies.begin::<Whole>(params, K_S, 0);
        replies.start((0, Activation::Relu), CHUNK, context.store)?;
        answers.start(&mut chunks, 0, &[7; CHUNK], 8)?;
        while !replies.idle() {
            if let Some(len) = answers.poll(&mut chunks, &mut out) {
                let frame = Frame::new_checked(&out[..len])?;
                replies.handle(frame, &mut context, Ignored)?;
            } else if let Some(len) = replies.poll(&mut context, &mut out)? {
                answers.handle(Frame::new_checked(&out[..len])?, &chunks)?;
            }
        }
        Ok::<_, Error>(())
    };
    c.bench_function("256 ReLUs, both parties", |b| {
        b.iter(|| window().expect("two honest parties"));
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
