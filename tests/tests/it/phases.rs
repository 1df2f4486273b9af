//! The two phases of an inference (`core/docs/design.md#two-phases`): what is prepared knows no image,
//! serves one, and its records come back as they were (`#records`).

use stria_core::arith::bits::unpack;
use stria_core::arith::field::{T, T_BITS, T_MOD};
use stria_core::network::LayerError;
use stria_core::network::layer::{Activation, Kernel, Layer, Pool, Skip};
use stria_core::packing::Packing;
use stria_core::protocol::client::{Application, Chunks, Client, Memory, Whole};
use stria_core::protocol::frame::{Frame, HEADER, Kind, MAX_FRAME};
use stria_core::protocol::greeting::{InputSpec, Welcome, read_control};
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::server::{Budget, Server};
use stria_core::{Error, loopback};
use stria_tests::frames::{control, frame};
use stria_tests::layers::layer;
use stria_tests::rng;
use stria_tests::stats::{CHI_SQUARE_LIMIT, chi_square};
use stria_tests::two_party::{Image, Pair, Plain, SmallPair, settings};

use super::faults::tampered_in;

/// No image.
struct Blind;

impl Application for Blind {
    fn pixel(&mut self, _: usize, _: usize, _: usize) -> i32 {
        panic!("the image was asked for")
    }
    fn logit(&mut self, _: u16, _: i32) {
        panic!("a logit came before the image")
    }
}

fn needs_no_image<M: Memory>() {
    let plain = Plain::small();
    let mut client: Client<M> = Client::new(settings(4, 12), &mut rng(1));
    let mut server = Server::new(plain.network(), Budget::new(2), &mut rng(2));
    let mut buffer = [0; MAX_FRAME];
    loopback(&mut (&mut client, Blind), &mut server, &mut buffer).unwrap();
    for seed in [3, 4] {
        assert!(!client.is_prepared());
        client.prepare().unwrap();
        assert!(client.start().is_err(), "it is being prepared");
        loopback(&mut (&mut client, Blind), &mut server, &mut buffer).unwrap();
        assert!(client.is_prepared() && server.is_ready());
        // Another one is not prepared on top.
        client.prepare().unwrap();
        loopback(&mut (&mut client, Blind), &mut server, &mut buffer).unwrap();

        let mut image = Image::random(seed);
        client.start().unwrap();
        loopback(&mut (&mut client, &mut image), &mut server, &mut buffer).unwrap();
        assert!(client.is_ready() && !client.is_prepared());
        let tensors = plain.opened(&image, &server.audit().open(&client).unwrap());
        plain.assert_exact(&tensors, &image.logits, 12);
    }
    // Each was paid for when it was begun.
    let counters = server.counters();
    assert_eq!((counters.queries, counters.answered), (2, 2));
    client.prepare().unwrap();
    let refused = loopback(&mut (&mut client, Blind), &mut server, &mut buffer);
    assert_eq!(refused, Err(Error::BudgetSpent));
}

#[test]
fn preparing_needs_no_image() {
    needs_no_image::<Chunks<1>>();
    needs_no_image::<Whole>();
}

/// A session with an inference that is prepared.
fn prepared<M: Memory>(seeds: [u64; 2]) -> Pair<M> {
    let mut pair = Pair::new(Plain::tiny().network(), settings(4, 8), seeds);
    pair.run(&mut Image::random(1)).unwrap();
    pair.client.prepare().unwrap();
    pair.run(&mut Image::random(1)).unwrap();
    pair
}

/// The residues of the image's frames.
fn hidden(up: &[Vec<u8>]) -> Vec<u32> {
    let frames = up.iter().filter(|frame| frame[0] == Kind::Image as u8);
    let mut left = 2 * 15 * 15;
    let mut residues = Vec::new();
    for frame in frames {
        let count = left.min(256);
        left -= count;
        unpack(0, &frame[HEADER..], T_BITS, T, count, |_, x| {
            residues.push(x)
        })
        .unwrap();
    }
    assert_eq!(left, 0);
    residues
}

#[test]
fn the_image_is_hidden_by_shares_that_serve_it_alone() {
    let asked = |seeds, image: &mut Image| {
        let mut pair = prepared::<Whole>(seeds);
        pair.infer(image).unwrap();
        hidden(&pair.up)
    };
    let black = || Image {
        pixels: vec![0; 450],
        ..Image::random(1)
    };
    let difference = |a: &[u32], b: &[u32]| -> Vec<u32> {
        a.iter().zip(b).map(|(x, y)| T_MOD.sub(*x, *y)).collect()
    };
    // Uniform, whatever the image, in several inferences of one session.
    let mut pair = prepared::<Whole>([1, 2]);
    let mut seen = Vec::new();
    for mut image in [black(), black(), Image::random(7)] {
        pair.up.clear();
        pair.infer(&mut image).unwrap();
        seen.push(hidden(&pair.up));
    }
    let [one, two, three] = &seen[..] else {
        unreachable!()
    };
    assert!(chi_square(seen.concat(), T) < CHI_SQUARE_LIMIT);
    let between = [difference(one, two), difference(two, three)].concat();
    assert!(chi_square(between.iter().copied(), T) < CHI_SQUARE_LIMIT);
    assert!(between.iter().filter(|x| **x == 0).count() <= 1);
    // Negative control: two images under the shares of one inference show their difference.
    let (mut one, mut other) = (Image::random(1), Image::random(2));
    let pair = [asked([1, 2], &mut one), asked([1, 2], &mut other)];
    let expected: Vec<i32> = one
        .pixels
        .iter()
        .zip(&other.pixels)
        .map(|(x, y)| x - y)
        .collect();
    let shown = difference(&pair[0], &pair[1]);
    let shown: Vec<i32> = shown.into_iter().map(|x| T_MOD.centered(x)).collect();
    assert_eq!(shown, expected);
}

/// The server has no second answer, and no answer to what it did not prepare.
#[test]
fn what_is_prepared_answers_once() {
    let image = |pair: &SmallPair| {
        let is_image = |frame: &&Vec<u8>| frame[0] == Kind::Image as u8;
        pair.up.iter().find(is_image).unwrap().clone()
    };
    let mut pair = prepared::<Chunks<1>>([1, 2]);
    pair.infer(&mut Image::random(1)).unwrap();
    let first = image(&pair);
    let refused = pair.server.handle(Frame::new_checked(&first).unwrap());
    let expected = Error::UnexpectedFrame {
        expected: Kind::Begin as u8,
        got: Kind::Image as u8,
    };
    assert_eq!(refused, Err(expected));
    assert!(pair.server.is_closed());

    // Nor while it is prepared, and nothing else while it is to be answered.
    let mut fresh: SmallPair = Pair::new(Plain::tiny().network(), settings(4, 8), [1, 2]);
    fresh.run(&mut Image::random(1)).unwrap();
    assert!(
        fresh
            .server
            .handle(Frame::new_checked(&first).unwrap())
            .is_err()
    );
    let mut pair = prepared::<Chunks<1>>([1, 2]);
    let begin = frame(Kind::Begin, &[]);
    assert!(
        pair.server
            .handle(Frame::new_checked(&begin).unwrap())
            .is_err()
    );
    assert_eq!(pair.server.counters().queries, 1);
}

/// What a server does to a frame of records, of which there are `all`, before it gives it back.
type Harm = fn(usize, &[Vec<u8>]) -> Vec<u8>;

/// A client notices before it sends anything that depends on them.
#[test]
fn records_come_back_as_they_were() {
    let altered: Harm = |i, all| {
        let mut frame = all[i].clone();
        frame[HEADER + 5] ^= 1;
        frame
    };
    let tag: Harm = |i, all| {
        let mut frame = all[i].clone();
        *frame.last_mut().unwrap() ^= 0x80;
        frame
    };
    // The tiny network has ten frames of the same length in two chunks, and one of logits.
    let swapped: Harm = |i, all| all[(i + 1) % 4].clone();
    let of_another_chunk: Harm = |i, all| all[if i < 4 { 4 } else { 0 }].clone();
    let older: Harm = |i, all| all[all.len() / 2 + i].clone();
    for (harm, at) in [
        (altered, 0),
        (altered, 3),
        (tag, 2),
        (swapped, 1),
        (of_another_chunk, 0),
    ] {
        check_harm(harm, at, 1);
    }
    // Those of the inference before.
    check_harm(older, 0, 2);
}

/// Prepares and answers inferences, the last of them with harm to its frame of records `at`.
fn check_harm(harm: Harm, at: usize, inferences: usize) {
    let mut pair = SmallPair::new(Plain::tiny().network(), settings(4, 8), [1, 2]);
    let mut image = Image::random(1);
    pair.run(&mut image).unwrap();
    let (mut stored, mut back, mut sent_after) = (Vec::new(), 0, None);
    let mut result = Ok(());
    for inference in 1..=inferences {
        pair.client.start().unwrap();
        back = 0;
        result = pair.run_with(&mut image, |up, frame| {
            let is_records = frame[0] == Kind::Records as u8;
            match up {
                true if is_records => stored.insert(0, frame.clone()),
                true => sent_after = sent_after.map(|count: usize| count + 1),
                false if is_records => {
                    let now: Vec<_> = stored.iter().rev().cloned().collect();
                    let of_each = now.len() / inference;
                    if inference == inferences && back == at {
                        // The last inference's first, then those before.
                        let (before, last) = now.split_at(now.len() - of_each);
                        *frame = harm(at, &[last, before].concat());
                        sent_after = Some(0);
                    }
                    back += 1;
                }
                false => {}
            }
        });
    }
    assert_eq!(result, Err(Error::RecordsChanged));
    assert_eq!((back, sent_after), (at + 1, Some(0)));
    assert!(pair.client.is_closed());
}

/// A server that describes other layers when it answers than it did before would get replies to one
/// layer's records as another's, and with them a share that already left in a difference: with that
/// it could tell the image. No record opens under other descriptions.
#[test]
fn records_belong_to_the_layers_that_were_prepared() {
    let pixels = Kernel::Square(1);
    let difference = Layer {
        skip: Some(Skip {
            tensor: 0,
            factor: 1,
        }),
        activation: Activation::Linear,
        ..layer(2, 15, 2, pixels)
    };
    let logits = Layer {
        input: 2,
        pool: Pool::Map,
        activation: Activation::Logits,
        ..layer(2, 15, 5, pixels)
    };
    // Three chunks of activations, then two whose differences leave.
    let plain = Plain::new(vec![layer(2, 15, 3, pixels), difference, logits], 7);
    let mut pair: SmallPair = Pair::new(plain.network(), settings(4, 8), [1, 2]);
    let mut image = Image::random(1);
    pair.run(&mut image).unwrap();
    pair.client.prepare().unwrap();
    pair.run(&mut image).unwrap();
    let records: Vec<_> = (pair.up.iter())
        .filter(|frame| frame[0] == Kind::Records as u8)
        .collect();

    // From here on the server is another: its first layer has one chunk, and its second a ReLU.
    pair.client.start().unwrap();
    let mut buffer = [0; MAX_FRAME];
    while pair.client.poll(&mut image, &mut buffer).unwrap().is_some() {}
    let first = Layer {
        activation: Activation::Linear,
        ..layer(2, 15, 1, pixels)
    };
    for layer in [first, layer(2, 15, 2, pixels)] {
        let frame = control(Kind::Layer, &layer);
        let frame = Frame::new_checked(&frame).unwrap();
        pair.client.handle(&mut image, frame).unwrap();
    }
    // Those of the chunk that has the number which it now awaits.
    let frame = Frame::new_checked(records[4]).unwrap();
    let result = pair.client.handle(&mut image, frame);
    assert_eq!(result, Err(Error::RecordsChanged));
    assert!(pair.client.is_closed());
}

/// Nothing of a session is left in the next one of the same client.
#[test]
fn a_client_is_opened_again() {
    let mut client: Client<Whole> = Client::new(settings(4, 8), &mut rng(1));
    for seed in [20, 21] {
        let mut image = Image::random(1);
        let mut server = Server::new(Plain::tiny().network(), Budget::new(2), &mut rng(seed));
        let mut buffer = [0; MAX_FRAME];
        loopback(&mut (&mut client, &mut image), &mut server, &mut buffer).unwrap();
        assert!(client.is_ready());
        client.open(settings(4, 8), &mut rng(seed + 10));
    }
}

/// A server cannot fill a client's memory.
#[test]
fn a_network_of_too_many_outputs_is_refused() {
    let mut client: Client<Whole> = Client::new(settings(4, 8), &mut rng(1));
    let mut server = Server::new(Plain::tiny().network(), Budget::new(2), &mut rng(2));
    let (mut image, mut buffer) = (Image::random(1), [0; MAX_FRAME]);
    let len = client.poll(&mut image, &mut buffer).unwrap().unwrap();
    server
        .handle(Frame::new_checked(&buffer[..len]).unwrap())
        .unwrap();
    let len = server.poll(&mut buffer).unwrap().unwrap();
    let welcome: Welcome = read_control(&buffer[HEADER..len], "welcome").unwrap();
    let many = Welcome {
        layers: 4096,
        input: InputSpec {
            side: 1023,
            resize: 1023,
            ..welcome.input
        },
        ..welcome
    };
    let mut take = |bytes: &[u8]| client.handle(&mut image, Frame::new_checked(bytes).unwrap());
    take(&control(Kind::Welcome, &many)).unwrap();
    for label in ["a", "b", "c", "d", "e"] {
        take(&frame(Kind::Label, label.as_bytes())).unwrap();
    }
    // 15.7 million outputs each.
    let wide = Layer {
        tile: 63,
        ..layer(2, 1023, 15, Kernel::Square(1))
    };
    let wide = control(Kind::Layer, &wide);
    take(&wide).unwrap();
    take(&wide).unwrap();
    let reason = LayerError::Values(3 * 15 * 1023 * 1023);
    assert_eq!(take(&wide), Err(Error::Layer { index: 2, reason }));
    assert!(client.is_closed());
}

/// Records of another length are no records.
#[test]
fn records_are_of_one_length() {
    for (length, up) in [(0, true), (1, true), (0, false), (1, false)] {
        let (.., result) = tampered_in::<Segments>(Packing::Segment, |of_client, _, bytes| {
            if of_client == up && bytes[0] == Kind::Records as u8 {
                let kept = if length == 0 { HEADER } else { bytes.len() - 1 };
                *bytes = frame(Kind::Records, &bytes[HEADER..kept]);
            }
        });
        assert!(
            matches!(result, Err(Error::FrameLength { .. })),
            "{result:?}"
        );
    }
}

/// After every frame: only between phases are both sides ready, so that a disconnect anywhere else
/// leaves nobody in doubt. And the turns until all is prepared are as many as the design says.
#[test]
fn both_are_ready_between_phases_only() {
    let mut pair = Pair::<Whole>::new(Plain::small().network(), settings(4, 8), [11, 12]);
    let mut image = Image::random(5);
    let mut buffer = [0; MAX_FRAME];
    let (mut turns, mut last, mut ends) = (0, None, Vec::new());
    loop {
        let sent = match pair.server.poll(&mut buffer).unwrap() {
            Some(len) => {
                let frame = Frame::new_checked(&buffer[..len]).unwrap();
                pair.client.handle(&mut image, frame).unwrap();
                false
            }
            None => match pair.client.poll(&mut image, &mut buffer).unwrap() {
                Some(len) => {
                    pair.server
                        .handle(Frame::new_checked(&buffer[..len]).unwrap())
                        .unwrap();
                    true
                }
                None => {
                    assert!(pair.client.is_ready() && pair.server.is_ready());
                    ends.push(turns);
                    match ends.len() {
                        1 => pair.client.prepare().unwrap(),
                        2 => pair.client.start().unwrap(),
                        _ => break,
                    }
                    continue;
                }
            },
        };
        turns += usize::from(last.replace(sent) != Some(sent));
        if pair.client.is_ready() {
            assert!(pair.server.is_ready());
        }
    }
    // Greetings, uploads and response, the last base transfers; ciphertexts in the same turn,
    // responses, transfers, and the word that all is there. Four layers with a ReLU, the image, logits.
    assert_eq!(ends, [5, 8, 8 + 2 * 4 + 2]);
    assert_eq!(image.logits.len(), 5);
}
