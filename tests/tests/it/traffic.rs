//! The lists of steps say what the parties send, frame by frame.

use stria_core::network::layer::Layer;
use stria_core::packing::segment::SegmentLayout;
use stria_core::packing::slot::SlotLayout;
use stria_core::packing::{Layout, OutputCursor, Packing, Places};
use stria_core::protocol::frame::{Frame, HEADER, Kind};
use stria_core::protocol::greeting::{Hello, Settings, Welcome, read_control, relu_params};
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::steps::Sender;
use stria_core::protocol::traffic::{Ciphertexts, LayerTraffic, set_up};
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

/// What the lists say of a layer's ciphertexts, and the outputs in each.
fn ciphertexts(packing: Packing, layer: &Layer) -> (Ciphertexts, Vec<usize>) {
    fn of<L: Layout>(packing: Packing, layer: &Layer) -> (Ciphertexts, Vec<usize>) {
        let layout = L::new(layer).unwrap();
        let ciphertexts = Ciphertexts {
            packing,
            inputs: layout.inputs(),
            returned: layout.returned(),
        };
        (ciphertexts, outputs(&layout))
    }
    match packing {
        Packing::Slot => of::<SlotLayout>(packing, layer),
        _ => of::<SegmentLayout>(packing, layer),
    }
}

/// A session of two inferences sends what the lists say.
fn check<const CHUNKS: usize, L: ClientLinear>(
    packing: Packing,
    plain: &Plain,
    settings: Settings,
) {
    let network = plain.packed(packing, usize::MAX);
    let mut pair: Pair<CHUNKS, L> = Pair::new(network, settings, [1, 2]);
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
    set_up((&hello, &welcome), names, rotations, &mut note);
    let relu = relu_params(SHIFT as u8, settings.h, settings.k_s).unwrap();
    let mut traffic = LayerTraffic::new(relu, settings.k_s.into(), CHUNKS);
    for _ in 0..2 {
        note(Sender::Client, Kind::Begin, HEADER);
        for (layer, ..) in &plain.layers {
            let shown = match packing {
                Packing::Coefficient => layer.dense(),
                Packing::Segment | Packing::Slot => *layer,
            };
            let (ciphertexts, outputs) = ciphertexts(packing, &shown);
            traffic.layer(&shown, ciphertexts, outputs.into_iter(), &mut note);
        }
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
    check::<1, Segments>(Packing::Segment, &small, settings(4, 8));
    check::<4, Segments>(Packing::Segment, &small, settings(2, 10));
    check::<3, Segments>(Packing::Coefficient, &small, settings(8, 8));
    check::<4, Slots>(Packing::Slot, &small, settings(4, 8));
    // A layer without activation, whose values take more than one frame.
    small.layers[0].0.activation = stria_core::network::layer::Activation::Linear;
    check::<1, Segments>(Packing::Segment, &small, Settings::default());
}
