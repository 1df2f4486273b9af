//! In every packing: nothing is used twice, nothing on the wire depends on weights or image. And what
//! `leaks.rs` asks of segment packing, for slots: the client's share is uniform wherever it looks.

use std::collections::BTreeSet;
use std::sync::Arc;

use stria_core::arith::field::{T, T_MOD};
use stria_core::network::layer::{Kernel, Layer};
use stria_core::packing::segment::SegmentLayout;
use stria_core::packing::slot::{SlotLayout, SlotWeights};
use stria_core::packing::{Layout, Packing, Places};
use stria_core::protocol::client::Chunks;
use stria_core::protocol::frame::{Frame, HEADER, Kind, MAX_FRAME};
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::linear::{Buffers, ClientLinear, Keys, LinearLayer, SlotKeys};
use stria_core::protocol::transfer::{ReceiveResponse, SendUpload, UploadSeeds};
use stria_core::random::{Kdf, SessionId};
use stria_core::rlwe::ring::ring8192::N;
use stria_core::rlwe::{Expansion, Ring, Ring8192, add_errors};
use stria_tests::layers::layer;
use stria_tests::ring::{Parties, seed_of};
use stria_tests::stats::{CHI_SQUARE_LIMIT, chi_square};
use stria_tests::two_party::{Pair, Plain};
use stria_tests::values;

/// Payloads of 16 bytes or more: no two may be the same. Shorter ones coincide by chance. Gives the
/// uploads of the set-up and of an inference, each of which has a seed of its own.
fn assert_fresh<L: ClientLinear>(packing: Packing) -> [usize; 2] {
    // Without weights a response is a function of key and seed: one seed would show.
    let plain = Plain::tiny().map_weights(|_| 0);
    let mut uploads = [0; 2];
    let (mut seen, mut kinds) = (BTreeSet::new(), [BTreeSet::new(), BTreeSet::new()]);
    // The same client again, the same server again: with another peer, and with another image.
    for (images, seeds) in [(&[1, 1][..], [1, 2]), (&[1], [1, 3]), (&[1], [4, 2])] {
        let network = plain.packed(packing, usize::MAX);
        let pair = Pair::<Chunks<1>, L>::session(network, images, seeds);
        // Greetings, labels, layers and lists are public and may repeat.
        let public = [
            Kind::Hello,
            Kind::Welcome,
            Kind::Label,
            Kind::Layer,
            Kind::Rotations,
        ];
        // Records come back once, as they were sent.
        let of_records = |frame: &&Vec<u8>| frame[0] == Kind::Records as u8;
        let [sent, back] = [&pair.up, &pair.down]
            .map(|frames| -> Vec<&Vec<u8>> { frames.iter().filter(of_records).collect() });
        assert!(sent == back && !sent.is_empty());
        for (from_server, (frames, kinds)) in [&pair.up, &pair.down]
            .into_iter()
            .zip(&mut kinds)
            .enumerate()
        {
            let returned = |frame: &Vec<u8>| from_server == 1 && of_records(&frame);
            let is_public = |frame: &Vec<u8>| public.iter().any(|kind| *kind as u8 == frame[0]);
            let is_public = |frame: &Vec<u8>| is_public(frame) || returned(frame);
            for frame in frames.iter().filter(|frame| !is_public(frame)) {
                kinds.insert(frame[0]);
                let payload = &frame[HEADER..];
                let fresh = payload.len() < 16 || seen.insert(payload.to_vec());
                assert!(fresh, "kind {} repeats", frame[0]);
            }
        }
        let seeds = pair.up.iter().filter(|frame| frame[0] == Kind::Seed as u8);
        let counted = pair.server.counters().layers.iter();
        let counted: usize = counted.map(|layer| layer.inputs).sum();
        let now = [seeds.count() - counted, counted / images.len()];
        assert!(uploads == [0; 2] || uploads == now);
        uploads = now;
    }
    // All that is fresh per ciphertext, per transfer or per activation.
    let up = [
        Kind::Seed,
        Kind::Limb,
        Kind::BaseMessages,
        Kind::Residues,
        Kind::ForwardCorrection,
        Kind::Records,
        Kind::Image,
        Kind::Replies,
    ];
    let down = [
        Kind::ResponseC1,
        Kind::ResponseC0,
        Kind::BaseMessages,
        Kind::ReverseCorrection,
        Kind::Answers,
    ];
    for (kinds, expected) in kinds.iter().zip([&up[..], &down]) {
        let missing = expected
            .iter()
            .find(|kind| !kinds.contains(&(**kind as u8)));
        assert!(missing.is_none(), "{missing:?}");
    }
    uploads
}

#[test]
fn nothing_is_used_twice() {
    let layers = Plain::tiny().layers;
    let segments = layers.iter().map(|(layer, ..)| SegmentLayout::new(layer));
    let inputs = segments.map(|layout| layout.unwrap().inputs()).sum();
    assert_eq!(assert_fresh::<Segments>(Packing::Segment), [2, inputs]);
    let [setup, _] = assert_fresh::<Segments>(Packing::Coefficient);
    assert_eq!(setup, 2);
    let slots = layers
        .iter()
        .map(|(layer, ..)| SlotLayout::new(layer).unwrap());
    let slots: Vec<_> = slots.collect();
    let inputs = slots.iter().map(|layout| layout.inputs()).sum();
    let rotations: BTreeSet<_> = slots.iter().flat_map(SlotLayout::rotations).collect();
    assert!(!rotations.is_empty());
    assert_eq!(
        assert_fresh::<Slots>(Packing::Slot),
        [3 + rotations.len(), inputs]
    );
}

fn assert_oblivious<L: ClientLinear>(packing: Packing) {
    let shape = |plain: &Plain, image| {
        let network = plain.packed(packing, usize::MAX);
        let pair = Pair::<Chunks<1>, L>::session(network, &[image], [1, 2]);
        let of = |frames: &[Vec<u8>]| -> Vec<(u8, usize)> {
            frames.iter().map(|frame| (frame[0], frame.len())).collect()
        };
        let work = pair.server.counters().layers.clone();
        (of(&pair.up), of(&pair.down), work)
    };
    let expected = shape(&Plain::tiny(), 1);
    for plain in [
        Plain::tiny().map_weights(|_| 0),
        Plain::tiny().map_weights(|w| 1 << 20 | w),
        Plain::tiny().map_weights(|w| if w % 2 == 0 { 0 } else { w }),
    ] {
        assert!(shape(&plain, 1) == expected);
    }
    for image in [2, 3] {
        assert!(shape(&Plain::tiny(), image) == expected);
    }
}

#[test]
fn kinds_lengths_and_work_depend_on_neither_weights_nor_image() {
    assert_oblivious::<Segments>(Packing::Segment);
    assert_oblivious::<Segments>(Packing::Coefficient);
    assert_oblivious::<Slots>(Packing::Slot);
}

/// The server's half of a layer of slots, fed and read frame by frame: what the client decrypts is
/// uniform in slots with outputs and in all others, whatever the weights, and its sum with the
/// server's shares is the convolution.
#[test]
fn the_clients_share_is_uniform_in_every_slot() {
    let layer = Layer {
        padding: 1,
        ..layer(4, 14, 3, Kernel::Cross)
    };
    let layout = SlotLayout::new(&layer).unwrap();
    assert_eq!((layout.inputs(), layout.outputs()), (1, 1));
    let parties = Parties::<Ring8192>::new(3);
    let galois = parties.galois_keys(layout.rotations());
    let Parties { secret, public, .. } = parties;
    let keys = Keys {
        slot: Some(SlotKeys { public, galois }),
        ..Keys::default()
    };
    let kdf = Kdf::new(&seed_of(1, 1), &SessionId([1; 32]));
    let (mut uploads, mut buffer) = (0, [0; MAX_FRAME]);
    let mut views = Vec::new();
    for (run, weights) in [vec![0; 60], vec![0; 60], values(1, 60, 1000)]
        .iter()
        .enumerate()
    {
        let mut server = Arc::new(SlotWeights::new(&layout, &weights[..], |_| false)).begin();
        // Every value of the input is one.
        let seeds = UploadSeeds::next(&kdf, &mut uploads, UploadSeeds::CIPHERTEXT);
        let (mut poly, mut scratch) = (Box::new([0; N]), Box::new(Ring8192::SCRATCH));
        layout.pack(0, &mut poly, |_, _, _| 1);
        layout.encode(&mut poly);
        add_errors(&mut *poly, &seeds.error);
        let mut upload = SendUpload::new(seeds.a);
        let mut buffers = Buffers::<Ring8192> {
            key: &secret,
            poly: &mut poly,
            scratch: &mut scratch,
        };
        loop {
            let expansion = Expansion::Ciphertext;
            let (len, last) = buffers.poll(&mut upload, expansion, &mut buffer);
            let frame = Frame::new_checked(&buffer[..len]).unwrap();
            let received = server.receive(frame).unwrap();
            assert_eq!(received.is_some(), last);
            if last {
                break;
            }
        }
        let negated = |_: usize, mask: &[u32]| {
            let outputs = (0..layout.places()).filter_map(|place| layout.output(0, place));
            outputs
                .map(|output| T_MOD.neg(mask[output.coefficient]))
                .collect()
        };
        let (shares, _) = server
            .run(&keys, vec![seed_of(2, run as u64)], &negated)
            .unwrap();
        let [shares] = &shares[..] else {
            panic!("one inference");
        };
        let mut response = ReceiveResponse::default();
        while let Some(len) = server.poll(&mut buffer) {
            let frame = Frame::new_checked(&buffer[..len]).unwrap();
            let Buffers { key, poly, scratch } = &mut buffers;
            (response.handle::<Ring8192>(frame, &layout, key, poly, scratch)).unwrap();
        }
        layout.decode(&mut poly);
        let slots = poly;
        let outputs: Vec<_> = (0..layout.places())
            .filter_map(|i| layout.output(0, i))
            .collect();
        assert_eq!((outputs.len(), shares.len()), (3 * 14 * 14, 3 * 14 * 14));
        let sums: BTreeSet<u32> = (outputs.iter().zip(shares))
            .map(|(output, &share)| T_MOD.add(slots[output.coefficient], share))
            .collect();
        assert_eq!(sums == BTreeSet::from([0]), run < 2, "run {run}");
        let used: BTreeSet<usize> = outputs.iter().map(|output| output.coefficient).collect();
        let (valid, other): (Vec<_>, Vec<_>) = (0..N).partition(|i| used.contains(i));
        for places in [valid, other] {
            let statistic = chi_square(places.iter().map(|&i| slots[i]), T);
            assert!(statistic < CHI_SQUARE_LIMIT, "run {run}: {statistic}");
        }
        views.push(slots);
    }
    let same = views[0]
        .iter()
        .zip(views[1].iter())
        .filter(|(x, y)| x == y)
        .count();
    assert!(same <= 3, "{same} slots repeat");
}
