//! The lists of steps say what the parties send, frame by frame.

use stria_core::network::layer::Layer;
use stria_core::packing::segment::SegmentLayout;
use stria_core::packing::slot::SlotLayout;
use stria_core::packing::{Layout, OutputCursor, Packing, Places};
use stria_core::protocol::client::{Chunks, Memory, Whole};
use stria_core::protocol::frame::{Frame, HEADER, Kind};
use stria_core::protocol::greeting::{Hello, Settings, Welcome, read_control, relu_params};
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::steps::Sender;
use stria_core::protocol::traffic::{Ciphertexts, InferenceTraffic, LayerTraffic, set_up};
use stria_tests::two_party::{Image, Pair, Plain, SHIFT, settings};

/// Kinds and bytes of the frames of each direction.
type Frames = [Vec<(Kind, usize)>; 2];

/// Outputs in each response.
fn outputs(layout: &dyn Places) -> Vec<usize> {
    let mut counts = vec![0; layout.outputs()];
    let mut cursor = OutputCursor::start();
    while let Some(output) = cursor.next(layout) {
        counts[output.ciphertext] += 1;
    }
    counts
}

/// What the lists need of a layer.
fn layer(packing: Packing, layer: &Layer) -> LayerTraffic {
    fn of<L: Layout>(packing: Packing, layer: &Layer) -> LayerTraffic {
        let layout = L::new(layer).unwrap();
        LayerTraffic {
            layer: *layer,
            ciphertexts: Ciphertexts {
                packing,
                inputs: layout.inputs(),
                returned: layout.returned(),
            },
            outputs: outputs(&layout),
        }
    }
    match packing {
        Packing::Slot => of::<SlotLayout>(packing, layer),
        _ => of::<SegmentLayout>(packing, layer),
    }
}

/// What a client is told of a network's layers.
fn shown(packing: Packing, plain: &Plain) -> Vec<Layer> {
    let shown = plain.layers.iter().map(|(layer, ..)| match packing {
        Packing::Coefficient => layer.dense(),
        Packing::Segment | Packing::Slot => *layer,
    });
    shown.collect()
}

/// The lists of a network's inferences.
pub fn traffic_of<M: Memory>(
    packing: Packing,
    plain: &Plain,
    settings: Settings,
) -> InferenceTraffic {
    let relu = relu_params(SHIFT as u8, settings.h, settings.k_s).unwrap();
    let shown = shown(packing, plain);
    let image = usize::from(shown[0].in_channels) * usize::from(shown[0].in_side).pow(2);
    let layers = shown.iter().map(|shown| layer(packing, shown)).collect();
    InferenceTraffic::new((relu, settings.k_s.into(), M::ROOM), image, layers)
}

/// A session of two inferences sends what the lists say.
fn check<M: Memory, L: ClientLinear>(packing: Packing, plain: &Plain, settings: Settings) {
    let network = plain.packed(packing, usize::MAX);
    let mut pair: Pair<M, L> = Pair::new(network, settings, [1, 2]);
    let mut image = Image::random(1);
    pair.run(&mut image).unwrap();
    pair.infer(&mut image).unwrap();
    pair.infer(&mut image).unwrap();

    let payload = |frames: &[Vec<u8>], kind: Kind| {
        let mut frames = frames.iter().filter(|frame| frame[0] == kind as u8);
        frames.next().unwrap()[HEADER..].to_vec()
    };
    let (hello, welcome) = (
        payload(&pair.up, Kind::Hello),
        payload(&pair.down, Kind::Welcome),
    );
    let hello: Hello = read_control(&hello, "hello").unwrap();
    let welcome: Welcome = read_control(&welcome, "welcome").unwrap();
    let rotations =
        (packing == Packing::Slot).then(|| payload(&pair.down, Kind::Rotations).len() / 2);

    let mut expected = Frames::default();
    let mut note =
        |sender, kind, bytes| expected[usize::from(sender == Sender::Server)].push((kind, bytes));
    let names = image.labels.iter().map(String::as_str);
    let shown = shown(packing, plain);
    set_up((&hello, &welcome), names, &shown, rotations, &mut note);
    let traffic = traffic_of::<M>(packing, plain, settings);
    for _ in 0..2 {
        traffic.prepare(None, |_, sender, kind, bytes| note(sender, kind, bytes));
        traffic.answer(|_, sender, kind, bytes| note(sender, kind, bytes));
    }
    let sent = [&pair.up, &pair.down].map(|frames| -> Vec<_> {
        let kind = |frame: &Vec<u8>| (Frame::new_checked(frame).unwrap().kind, frame.len());
        frames.iter().map(kind).collect()
    });
    assert!(sent == expected, "{packing:?}");
}

#[test]
fn sessions_send_what_the_lists_say() {
    let mut small = Plain::small();
    check::<Chunks<1>, Segments>(Packing::Segment, &small, settings(4, 8));
    check::<Chunks<3>, Segments>(Packing::Segment, &small, settings(2, 10));
    check::<Whole, Segments>(Packing::Segment, &small, settings(4, 8));
    check::<Whole, Segments>(Packing::Coefficient, &small, settings(8, 8));
    check::<Chunks<2>, Slots>(Packing::Slot, &small, settings(4, 8));
    check::<Whole, Slots>(Packing::Slot, &small, settings(4, 8));
    // A layer without activation, whose values take more than one frame.
    small.layers[0].0.activation = stria_core::network::layer::Activation::Linear;
    check::<Chunks<1>, Segments>(Packing::Segment, &small, Settings::default());
    check::<Whole, Segments>(Packing::Segment, &small, Settings::default());
}
