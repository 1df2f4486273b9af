//! Wrong peers: whatever comes instead of the right frame ends the session with the error that
//! names it; never a panic, and never a session that goes on.

use stria_core::Error;
use stria_core::PeerError;
use stria_core::arith::field::T;
use stria_core::network::LayerError;
use stria_core::network::layer::{Activation, Kernel, Layer, Pool, Skip};
use stria_core::packing::Packing;
use stria_core::protocol::client::Chunks;
use stria_core::protocol::frame::{Frame, HEADER, Kind, MAX_FRAME};
use stria_core::protocol::greeting::{Hello, MAX_NAME, VERSION, Welcome, read_control};
use stria_core::protocol::linear::ClientLinear;
use stria_tests::damage::{FROM_CLIENT, FROM_SERVER, damage_all};
use stria_tests::frames::{control, failure, frame, raw_frame};
use stria_tests::layers::layer;
use stria_tests::replay::{Recording, Side};
use stria_tests::two_party::{Image, Pair, Plain, SmallPair, settings};

/// What is not even a frame does not reach a party.
#[test]
fn a_frame_is_checked_before_it_is_read() {
    let recording = Recording::tiny();
    for original in recording.up.iter().chain(&recording.down) {
        let check = |bytes: &[u8]| Frame::new_checked(bytes).err();
        assert_eq!(check(original), None);
        for kind in [0, 26, 255] {
            let error = check(&raw_frame(kind, &original[HEADER..])).unwrap();
            assert!(matches!(error, Error::UnexpectedFrame { got, .. } if got == kind));
        }
        let mut length = original.clone();
        for byte in [1, 2] {
            length[byte] ^= 1;
            assert!(matches!(check(&length), Some(Error::FrameLength { .. })));
        }
        for cut in [0, 1, HEADER - 1] {
            let error = Some(Error::Malformed("frame header"));
            assert_eq!(check(&original[..cut]), error);
        }
        if original.len() > HEADER {
            let error = check(&original[..original.len() - 1]);
            assert!(matches!(error, Some(Error::FrameLength { .. })));
        }
    }
}

#[test]
fn the_server_names_what_is_wrong_with_a_frame() {
    damage_all(Recording::tiny(), Side::Server, &FROM_CLIENT);
}

#[test]
fn the_client_names_what_is_wrong_with_a_frame() {
    damage_all(Recording::tiny(), Side::Client, &FROM_SERVER);
}

/// What a client sends in a layer without activation instead of the messages of a ReLU.
#[test]
fn the_server_names_what_is_wrong_with_a_frame_of_a_linear_layer() {
    damage_all(Recording::linear(), Side::Server, &[Kind::Reshare]);
}

#[test]
fn the_recording_holds_every_kind() {
    let recording = Recording::tiny();
    for (side, kinds) in [
        (Side::Server, &FROM_CLIENT[..]),
        (Side::Client, &FROM_SERVER),
    ] {
        let known = |frame: &Vec<u8>| kinds.iter().any(|kind| *kind as u8 == frame[0]);
        assert!(recording.frames(side).iter().all(known));
        let mut party = recording.party(side, recording.frames(side).len());
        if side == Side::Server {
            party.assert_dead();
        }
    }
}

/// After every single frame: only at the end of the set-up and of the inference are both sides
/// ready, so that a disconnect anywhere else leaves nobody in doubt.
#[test]
fn both_are_ready_only_when_a_step_is_over() {
    let recording = Recording::tiny();
    let mut pair: SmallPair = Pair::new(Plain::tiny().network(), settings(4, 8), [11, 12]);
    let mut image = Image::random(5);
    let mut buffer = [0; MAX_FRAME];
    let (mut frames, mut ends) = ([0, 0], Vec::new());
    while !pair.client.is_closed() {
        // A side takes frames once it has no more to say.
        if let Some(len) = pair.server.poll(&mut buffer).unwrap() {
            frames[1] += 1;
            let frame = Frame::new_checked(&buffer[..len]).unwrap();
            pair.client.handle(&mut image, frame).unwrap();
        } else if let Some(len) = pair.client.poll(&mut image, &mut buffer).unwrap() {
            frames[0] += 1;
            let frame = Frame::new_checked(&buffer[..len]).unwrap();
            pair.server.handle(frame).unwrap();
        } else {
            // Nobody has a word left.
            assert!(pair.client.is_ready() && pair.server.is_ready());
            match ends.len() {
                1 => pair.client.start().unwrap(),
                _ => pair.client.finish().unwrap(),
            }
            continue;
        }
        if pair.client.is_ready() && pair.server.is_ready() {
            ends.push(frames);
        }
    }
    assert!(pair.server.is_closed());
    let begin = recording.places(Side::Server, Kind::Begin)[0];
    let layer = recording.places(Side::Client, Kind::Layer)[0];
    let all = [recording.up.len(), recording.down.len()];
    assert_eq!(ends, [[begin, layer], [all[0] - 1, all[1]]]);
}

/// Also while this side has the word, or is ready.
#[test]
fn a_failure_out_of_turn_is_the_peers() {
    let recording = Recording::tiny();
    let fail = failure(PeerError::Closing);
    let messages = recording.places(Side::Client, Kind::BaseMessages)[2] + 2;
    let upload = recording.places(Side::Client, Kind::Layer)[0];
    // A client that has base messages or a ciphertext to send; a server that has to greet.
    for (side, place) in [
        (Side::Client, messages),
        (Side::Client, upload),
        (Side::Server, 0),
    ] {
        let mut party = recording.party(side, place);
        party.take(&recording.frames(side)[place]).unwrap();
        let error = party.take(&fail).unwrap_err();
        assert_eq!(error, Error::Peer(PeerError::Closing), "{side:?}");
        party.assert_dead();
    }
}

/// An application has room for the classes that were announced.
#[test]
fn logits_of_other_classes_than_announced_are_refused() {
    let changes: [(usize, Change); 3] = [
        (4, |l| l.out_channels = 4),
        (6, |l| l.out_channels = 6),
        (8192, |l| l.out_channels = 8192),
    ];
    for (logits, change) in changes {
        refuses(1, LayerError::Classes { logits, classes: 5 }, change);
    }
}

/// An application has room for names of `MAX_NAME` bytes.
#[test]
fn names_longer_than_agreed_are_refused() {
    let recording = Recording::tiny();
    for length in [0, MAX_NAME] {
        let mut client = recording.party(Side::Client, 1);
        client
            .take(&frame(Kind::Label, &vec![b'x'; length]))
            .unwrap();
    }
    let mut client = recording.party(Side::Client, 1);
    let refused = client.take(&frame(Kind::Label, &[b'x'; MAX_NAME + 1]));
    assert!(
        refused.is_err(),
        "a name of {} bytes was taken",
        MAX_NAME + 1
    );
}

/// Names end up on terminals, and must not give orders there.
#[test]
fn names_that_do_not_show_are_refused() {
    let recording = Recording::tiny();
    let welcome: Welcome = read_control(&recording.down[0][HEADER..], "welcome").unwrap();
    for bad in [
        "\x1b",
        "\u{202e}",
        "\u{200b}",
        "\u{2028}",
        "\u{ad}",
        "\u{feff}",
        "\u{e0001}",
    ] {
        let name = format!("a{bad}b");
        let mut client = recording.party(Side::Client, 1);
        let refused = client.take(&frame(Kind::Label, name.as_bytes()));
        assert_eq!(refused, Err(Error::Malformed("class name")));
        client.assert_dead();
        let welcome = Welcome {
            name: name.as_str().try_into().unwrap(),
            ..welcome.clone()
        };
        let mut client = recording.party(Side::Client, 0);
        let refused = client.take(&control(Kind::Welcome, &welcome));
        assert_eq!(refused, Err(Error::Malformed("network name")));
        client.assert_dead();
    }
}

#[test]
fn every_reason_of_a_failure_is_told() {
    let recording = Recording::tiny();
    for (payload, reason) in [
        (&[1][..], PeerError::Protocol),
        (&[2], PeerError::Version),
        (&[3], PeerError::Negotiation),
        (&[4], PeerError::Busy),
        (&[5], PeerError::Closing),
        (&[6], PeerError::Other),
        (&[7], PeerError::BudgetSpent),
        (&[8], PeerError::Packing),
        (&[0], PeerError::Other),
        (&[], PeerError::Other),
        (&[1, 1], PeerError::Other),
    ] {
        for side in [Side::Client, Side::Server] {
            let mut party = recording.party(side, 0);
            let error = party.take(&frame(Kind::Fail, payload)).unwrap_err();
            assert_eq!(error, Error::Peer(reason));
            party.assert_dead();
        }
    }
}

#[test]
fn a_greeting_out_of_range_is_refused() {
    let recording = Recording::tiny();
    let hello: Hello = read_control(&recording.up[0][HEADER..], "hello").unwrap();
    let refused = |change: &dyn Fn(&mut Hello)| {
        let mut hello = hello.clone();
        change(&mut hello);
        let mut server = recording.party(Side::Server, 0);
        let error = server.take(&control(Kind::Hello, &hello)).err();
        if error.is_some() {
            server.assert_dead();
        }
        error
    };
    let negotiation = |what, value| Some(Error::Negotiation { what, value });
    assert_eq!(refused(&|_| ()), None);
    for theirs in [0, VERSION - 1, VERSION + 1, u16::MAX] {
        let ours = VERSION;
        let error = Some(Error::Version { ours, theirs });
        assert_eq!(refused(&|h| h.version = theirs), error);
    }
    for parameters in [0, 3, u16::MAX] {
        assert_eq!(
            refused(&|h| h.parameters = parameters),
            negotiation("parameter set", parameters.into())
        );
    }
    let other = Some(Error::ParameterSet { ours: 1, theirs: 2 });
    assert_eq!(refused(&|h| h.parameters = 2), other);
    for k_s in [0, 3, 5, 16, 255] {
        assert_eq!(refused(&|h| h.k_s = k_s), negotiation("k_s", k_s.into()));
    }
    for h in [0, 4, 13, 255] {
        assert_eq!(refused(&|hello| hello.h = h), negotiation("h", h.into()));
    }
    for window in [257, u16::MAX] {
        assert_eq!(
            refused(&|h| h.window = window),
            negotiation("window", window.into())
        );
    }
    for (k_s, h, window) in [(1, 5, 0), (1, 5, 1), (8, 12, 256)] {
        assert_eq!(
            refused(&|hello| (hello.k_s, hello.h, hello.window) = (k_s, h, window)),
            None
        );
    }
}

#[test]
fn a_welcome_out_of_range_is_refused() {
    let recording = Recording::tiny();
    let welcome: Welcome = read_control(&recording.down[0][HEADER..], "welcome").unwrap();
    let refused = |change: &dyn Fn(&mut Welcome)| {
        let mut welcome = welcome.clone();
        change(&mut welcome);
        let mut client = recording.party(Side::Client, 0);
        let error = client.take(&control(Kind::Welcome, &welcome)).err();
        if error.is_some() {
            client.assert_dead();
        }
        error
    };
    let negotiation = |what, value| Some(Error::Negotiation { what, value });
    assert_eq!(refused(&|_| ()), None);
    for theirs in [0, VERSION - 1, VERSION + 1, u16::MAX] {
        let ours = VERSION;
        let error = Some(Error::Version { ours, theirs });
        assert_eq!(refused(&|w| w.version = theirs), error);
    }
    // k = 20 - shift must be 8 to 12.
    for (shift, what, value) in [
        (0, "k", 20),
        (7, "k", 13),
        (13, "k", 7),
        (20, "k", 0),
        (21, "shift", 21),
        (255, "shift", 255),
    ] {
        assert_eq!(refused(&|w| w.shift = shift), negotiation(what, value));
    }
    for layers in [0, 4097, u16::MAX] {
        assert_eq!(
            refused(&|w| w.layers = layers),
            negotiation("layers", layers.into())
        );
    }
    for classes in [0, 8193, u16::MAX] {
        assert_eq!(
            refused(&|w| w.classes = classes),
            negotiation("classes", classes.into())
        );
    }
    let scales: [fn(&mut Welcome, f32); 3] = [
        |w, x| w.logit_scale = x,
        |w, x| w.input.scale = x,
        |w, x| w.input.std[1] = x,
    ];
    let malformed = Some(Error::Malformed("normalisation"));
    for set in scales {
        for x in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert_eq!(refused(&|w| set(w, x)), malformed);
        }
    }
    assert_eq!(refused(&|w| w.input.mean[0] = f32::NAN), malformed);
    // The image has two channels: what is said of a third is not used.
    assert_eq!(refused(&|w| w.input.std[2] = f32::NAN), None);
    for channels in [0, 5, 255] {
        let error = negotiation("input channels", channels.into());
        assert_eq!(refused(&|w| w.input.channels = channels), error);
    }
    for side in [0, 1025, u16::MAX] {
        assert_eq!(
            refused(&|w| w.input.side = side),
            negotiation("input side", side.into())
        );
    }
}

/// A session in which one frame is changed on its way; what became of it.
pub fn tampered_in<L: ClientLinear>(
    packing: Packing,
    mut change: impl FnMut(bool, usize, &mut Vec<u8>),
) -> (Pair<Chunks<1>, L>, Image, Result<(), Error>) {
    let network = Plain::tiny().packed(packing, usize::MAX);
    let mut pair = Pair::new(network, settings(4, 8), [11, 12]);
    let mut image = Image::random(5);
    let mut counts = [0; 2];
    let mut tamper = |up: bool, frame: &mut Vec<u8>| {
        let count = &mut counts[usize::from(up)];
        change(up, *count, frame);
        *count += 1;
    };
    let mut result = pair.run_with(&mut image, &mut tamper);
    if result.is_ok() {
        pair.client.start().unwrap();
        result = pair.run_with(&mut image, &mut tamper);
    }
    (pair, image, result)
}

fn tampered(
    change: impl FnMut(bool, usize, &mut Vec<u8>),
) -> (SmallPair, Image, Result<(), Error>) {
    tampered_in(Packing::Segment, change)
}

/// Zeros are valid residues, seeds and hashes: what is wrong shows in the base transfers' keys.
#[test]
fn a_set_up_with_other_valid_values_ends_in_a_mismatch() {
    let recording = Recording::tiny();
    let begin = recording.places(Side::Server, Kind::Begin)[0];
    for (side, kind) in [
        (Side::Server, Kind::Seed),
        (Side::Server, Kind::Limb),
        (Side::Client, Kind::ResponseC1),
        (Side::Client, Kind::ResponseC0),
        (Side::Client, Kind::BaseMessages),
    ] {
        let setup = match side {
            Side::Server => &recording.up[..begin],
            Side::Client => &recording.down[..recording.places(side, Kind::Layer)[0]],
        };
        let of_kind: Vec<usize> = (0..setup.len())
            .filter(|&i| setup[i][0] == kind as u8)
            .collect();
        for place in [of_kind[0], of_kind[of_kind.len() - 1]] {
            let (mut pair, mut image, result) = tampered(|up, i, frame| {
                if up == (side == Side::Server) && i == place {
                    frame[HEADER..].fill(0);
                }
            });
            assert_eq!(
                result,
                Err(Error::BaseTransferMismatch),
                "{kind:?} at {place}"
            );
            assert!(pair.client.is_closed() != pair.server.is_closed());
            // The other side is told, and ends too.
            let fail = failure(PeerError::Protocol);
            let fail = Frame::new_checked(&fail).unwrap();
            let _ = pair.server.handle(fail);
            let _ = pair.client.handle(&mut image, fail);
            assert!(pair.client.is_closed() && pair.server.is_closed());
        }
    }
}

/// Greetings that differ on the way give the sides different sessions, which the keys show.
#[test]
fn a_changed_greeting_ends_in_a_mismatch() {
    let h = |hello: &mut Hello| hello.h = 12;
    let k_s = |hello: &mut Hello| hello.k_s = 8;
    let window = |hello: &mut Hello| hello.window = 2;
    let nonce = |hello: &mut Hello| hello.nonce[0] ^= 1;
    let changes: [fn(&mut Hello); 4] = [h, k_s, window, nonce];
    for change in changes {
        let (.., result) = tampered(|up, i, frame| {
            if up && i == 0 {
                let mut hello: Hello = read_control(&frame[HEADER..], "hello").unwrap();
                change(&mut hello);
                *frame = control(Kind::Hello, &hello);
            }
        });
        assert_eq!(result, Err(Error::BaseTransferMismatch));
    }
    let layers = |welcome: &mut Welcome| welcome.layers_hash[0] ^= 1;
    let shift = |welcome: &mut Welcome| welcome.shift = 9;
    let changes: [fn(&mut Welcome); 2] = [layers, shift];
    for change in changes {
        let (.., result) = tampered(|up, i, frame| {
            if !up && i == 0 {
                let mut welcome: Welcome = read_control(&frame[HEADER..], "welcome").unwrap();
                change(&mut welcome);
                *frame = control(Kind::Welcome, &welcome);
            }
        });
        assert_eq!(result, Err(Error::BaseTransferMismatch));
    }
}

/// In an inference another valid value is another share: only the channel can tell. The session
/// keeps its step.
#[test]
fn other_valid_shares_change_the_result_only() {
    let recording = Recording::tiny();
    let (_, honest, result) = tampered(|_, _, _| ());
    assert_eq!(result, Ok(()));
    for (side, kind) in [
        (Side::Server, Kind::Limb),
        (Side::Server, Kind::BaseMessages),
        (Side::Server, Kind::ForwardCorrection),
        (Side::Server, Kind::Residues),
        (Side::Server, Kind::Replies),
        (Side::Client, Kind::ResponseC1),
        (Side::Client, Kind::ResponseC0),
        (Side::Client, Kind::ReverseCorrection),
        (Side::Client, Kind::Answers),
        (Side::Client, Kind::Logits),
    ] {
        let mut place = *recording.places(side, kind).last().unwrap();
        if kind == Kind::Limb {
            // The first of the same upload: the last coefficients are unused.
            place -= 63;
        }
        let (pair, image, result) = tampered(|up, i, frame| {
            if up == (side == Side::Server) && i == place {
                frame[HEADER..].fill(0);
            }
        });
        assert_eq!(result, Ok(()), "{kind:?}");
        assert!(pair.client.is_ready() && pair.server.is_ready());
        assert_ne!(image.logits, honest.logits, "{kind:?}");
    }
}

#[test]
fn other_layers_than_announced_are_noticed() {
    let mut layers = 0;
    let (pair, _, result) = tampered(|up, _, frame| {
        if !up && frame[0] == Kind::Layer as u8 {
            layers += 1;
            let mut layer: Layer = read_control(&frame[HEADER..], "layer").unwrap();
            layer.shuffle = layer.in_channels;
            *frame = control(Kind::Layer, &layer);
        }
    });
    assert_eq!((layers, result), (2, Err(Error::LayersMismatch)));
    assert!(pair.client.is_closed());
}

/// What a hostile server does to a layer's description.
type Change = fn(&mut Layer);

/// Feeds a client that waits for layer `index` that layer with a change, which it must refuse for
/// `reason`.
fn refuses(index: usize, reason: LayerError, change: Change) {
    let recording = Recording::tiny();
    let mut layer = Plain::tiny().layers[index].0;
    change(&mut layer);
    let place = recording.places(Side::Client, Kind::Layer)[index];
    let mut client = recording.party(Side::Client, place);
    match client.take(&control(Kind::Layer, &layer)) {
        Err(Error::Layer {
            index: at,
            reason: told,
        }) if usize::from(at) == index && told == reason => {}
        other => panic!("layer {index}, expected {reason:?}, {layer:?}: {other:?}"),
    }
    client.assert_dead();
}

const fn skip(tensor: u16, factor: u32) -> Option<Skip> {
    Some(Skip { tensor, factor })
}

#[test]
fn hostile_layers_are_refused() {
    use LayerError::{
        Block, Channels, Ciphertexts, Groups, LogitsPlace, Padded, Padding, Repeat, Shuffle, Side,
        SkipFactor, SkipLogits, Stride, Tensor, Tile, Values,
    };
    const fn groups(channels: u16, groups: u16) -> LayerError {
        Groups { channels, groups }
    }
    const fn shuffle(channels: u16, groups: u16) -> LayerError {
        Shuffle { channels, groups }
    }
    const fn pool(side: u16, window: u16) -> LayerError {
        LayerError::Pool { side, window }
    }
    let first: &[(LayerError, Change)] = &[
        (Channels(0), |l| l.in_channels = 0),
        (Channels(8193), |l| l.in_channels = 8193),
        (Channels(u16::MAX), |l| l.in_channels = u16::MAX),
        (Channels(0), |l| l.out_channels = 0),
        (Channels(u16::MAX), |l| l.out_channels = u16::MAX),
        (Side(0), |l| l.in_side = 0),
        (Side(u16::MAX), |l| l.in_side = u16::MAX),
        (LayerError::Kernel(0), |l| l.kernel = Kernel::Square(0)),
        (LayerError::Kernel(8), |l| l.kernel = Kernel::Square(8)),
        (LayerError::Kernel(255), |l| l.kernel = Kernel::Square(255)),
        (Stride(0), |l| l.stride = 0),
        (Stride(5), |l| l.stride = 5),
        (Padding(3), |l| l.padding = 3),
        (Padding(255), |l| l.padding = 255),
        (groups(2, 0), |l| l.groups = 0),
        (Repeat(0), |l| l.repeat = 0),
        (groups(2, 3), |l| l.groups = 3),
        (groups(3, 2), |l| (l.groups, l.out_channels) = (2, 3)),
        (shuffle(2, 0), |l| l.shuffle = 0),
        (shuffle(2, 3), |l| l.shuffle = 3),
        (Repeat(3), |l| l.repeat = 3),
        (Repeat(8192), |l| l.repeat = 8192),
        (Repeat(u16::MAX), |l| (l.groups, l.repeat) = (2, u16::MAX)),
        (pool(15, 4), |l| l.pool = Pool::Window(4)),
        (pool(15, 0), |l| l.pool = Pool::Window(0)),
        (Padded(1), |l| l.pool = Pool::Map),
        (Tile(5), |l| l.tile = 5),
        (Tile(u16::MAX), |l| l.tile = u16::MAX),
        (Block(16), |l| l.repeat = 4096),
        (Values(8192 << 20), |l| {
            (l.in_channels, l.in_side, l.tile) = (8192, 1024, 8);
        }),
        (Ciphertexts(1310720), |l| (l.in_side, l.tile) = (1023, 1)),
        (Tensor(0), |l| l.in_channels = 4),
        (Tensor(0), |l| l.in_channels = 8192),
        (Tensor(0), |l| l.in_side = 16),
        (Tensor(1), |l| l.input = 1),
        (Tensor(u16::MAX), |l| l.input = u16::MAX),
        (Tensor(1), |l| l.skip = skip(1, 1)),
        (Tensor(u16::MAX), |l| l.skip = skip(u16::MAX, 1)),
        (Tensor(0), |l| l.skip = skip(0, 1)),
        (SkipFactor(T), |l| {
            // In the image's shape, so that it may add the image.
            *l = layer(2, 15, 2, Kernel::Square(1));
            l.skip = skip(0, T);
        }),
        (LogitsPlace, |l| l.activation = Activation::Logits),
    ];
    for (reason, change) in first {
        refuses(0, *reason, *change);
    }
    let last: &[(LayerError, Change)] = &[
        (LogitsPlace, |l| l.activation = Activation::Relu),
        (Tensor(2), |l| l.input = 2),
        (SkipLogits, |l| l.skip = skip(1, 1)),
        (Tensor(0), |l| l.input = 0),
    ];
    for (reason, change) in last {
        refuses(1, *reason, *change);
    }
}

/// A query counts when it starts, and one beyond the limit ends the session.
#[test]
fn queries_are_limited() {
    let plain = Plain::tiny();
    let mut pair: SmallPair = Pair::new(plain.network(), settings(4, 8), [1, 2]);
    let mut image = Image::random(1);
    pair.run(&mut image).unwrap();
    for query in 1..=3 {
        pair.infer(&mut image).unwrap();
        assert_eq!(pair.server.counters().queries, query);
    }
    let refused = pair.infer(&mut image);
    assert_eq!(refused, Err(Error::BudgetSpent));
    assert_eq!(pair.server.counters().queries, 3);
    assert!(pair.server.is_closed());
    assert!(image.logits.is_empty());
}
