//! Frames as they come over a line, and what is in them, without a session around it.

use serde::{Serialize, de::DeserializeOwned};

use crate::prelude::*;

/// Reads the bytes as frames until something is none, and each payload as what its kind says.
pub fn run(bytes: &[u8]) {
    let _ = Frame::new_checked(bytes);
    let mut line = bytes;
    let mut buffer = [0; MAX_FRAME];
    let mut receivers = Receivers::new();
    loop {
        let before = line;
        let Ok(frame) = read_frame(&mut line, &mut buffer) else {
            return;
        };
        let length = HEADER + frame.payload.len();
        assert_eq!(before.len() - line.len(), length);
        let again = Frame::new_checked(&before[..length]).expect("it was read");
        assert!(again.kind == frame.kind && again.payload == frame.payload);
        receivers.take(frame);
    }
}

/// What takes more than one frame.
struct Receivers {
    trees: SenderTrees<REVERSE>,
    scratch: Vec<u32>,
    upload: ReceiveUpload<Ring4096>,
    keys: Option<ReceiveKeys>,
    count: usize,
}

const SESSION: SessionId = SessionId([7; 32]);

impl Receivers {
    fn new() -> Self {
        let mut trees = SenderTrees::empty();
        trees.choose(4, &SESSION, || 5).expect("k_s is 4");
        Self {
            trees,
            scratch: vec![0; sender_words(Direction::Reverse, 4)],
            upload: ReceiveUpload::limbs(),
            keys: None,
            count: 0,
        }
    }

    fn take(&mut self, frame: Frame<'_>) {
        let payload = frame.payload;
        self.count += 1;
        match frame.kind {
            Kind::Hello => {
                if let Some(hello) = stable::<Hello>(frame, |bytes| read_greeting(bytes)) {
                    let _ = hello.check();
                }
            }
            Kind::Welcome => {
                if let Some(welcome) = stable::<Welcome>(frame, |bytes| read_greeting(bytes)) {
                    for h in [0, 8, 12, 255] {
                        let settings = Settings {
                            h,
                            ..Settings::default()
                        };
                        let accepted = welcome.check(&settings).is_ok();
                        assert!(!accepted || is_clean(&welcome.name));
                    }
                }
            }
            Kind::Layer => {
                if let Some(layer) = stable::<Layer>(frame, |bytes| read_control(bytes, "layer")) {
                    lay_out(&layer);
                }
            }
            Kind::Label => {
                let name = String::from_utf8_lossy(payload);
                let shown = Shown(&name).to_string();
                assert!(is_clean(&shown) && is_clean(&name) == (shown == name));
            }
            Kind::Rotations => {
                if let Ok(rotations) = read_rotations(frame) {
                    assert!(rotations.windows(2).all(|pair| pair[0] < pair[1]));
                    self.keys = Some(ReceiveKeys::new(rotations));
                }
            }
            Kind::Seed | Kind::Limb => {
                if self.upload.handle(frame).is_err() {
                    self.upload = ReceiveUpload::limbs();
                }
                if let Some(keys) = &mut self.keys
                    && keys.handle(frame).is_err()
                {
                    self.keys = None;
                }
            }
            Kind::BaseMessages => {
                let index = self.count % frames(Direction::Reverse);
                let _ = read_messages(frame, index, &mut self.trees, &SESSION, |_| [0; 4]);
            }
            Kind::ReverseCorrection => {
                let call = Call {
                    direction: Direction::Reverse,
                    k_s: 4,
                    codes: [Code::Bit; 2],
                    // The frame's own: a length for each number of rows.
                    rows: (payload.len() / 4).clamp(1, 256),
                };
                let index = self.count % call.frames();
                let _ = call.absorb(1, (frame, index), &self.trees, &mut self.scratch);
            }
            Kind::ForwardCorrection => {
                let call = Call {
                    direction: Direction::Forward,
                    k_s: 4,
                    codes: [Code::Digit(3), Code::Digit(4)],
                    rows: (payload.len() / 3).clamp(1, 256),
                };
                let index = self.count % call.frames();
                let _ = call.read(frame, index, |_, _| Ok(()));
            }
            Kind::Records => records(payload),
            _ => stream(frame),
        }
        let _ = frame.unexpected();
    }
}

/// A control message; what is read of it is written and read the same.
fn stable<T: Serialize + DeserializeOwned>(
    frame: Frame<'_>,
    read: impl Fn(&[u8]) -> Result<T, Error>,
) -> Option<T> {
    let written = |message: &T| {
        let mut out = [0; MAX_FRAME];
        let length = write_control(&mut out, frame.kind, message).expect("it came in a frame");
        out[..length].to_vec()
    };
    let message = read(frame.payload).ok()?;
    let bytes = written(&message);
    let again = read(&bytes[HEADER..]).expect("it was just written");
    // Bytes, since a greeting may hold what is no number.
    assert_eq!(written(&again), bytes);
    Some(message)
}

/// The layer in every packing: its outputs are where there is one, and what they say is in range.
fn lay_out(layer: &Layer) {
    let layouts: [Option<Box<dyn Places>>; 3] = [
        SegmentLayout::new(layer)
            .ok()
            .map(|layout| Box::new(layout) as _),
        SegmentLayout::new(&layer.dense())
            .ok()
            .map(|layout| Box::new(layout) as _),
        SlotLayout::new(layer)
            .ok()
            .map(|layout| Box::new(layout) as _),
    ];
    for layout in layouts.into_iter().flatten() {
        assert!(layout.inputs() > 0 && layout.outputs() > 0);
        let area = layout.out_side().pow(2);
        let mut cursor = OutputCursor::start();
        for i in 0..1000 {
            let Some(output) = cursor.next(&*layout) else {
                assert_eq!(i, usize::from(layer.out_channels) * area);
                break;
            };
            assert!(output.channel < layer.out_channels);
            assert!((output.position as usize) < area);
            assert!(output.ciphertext < layout.outputs());
        }
    }
}

/// Records as a client packs them, of which the bytes are the owner's: what is read of them is written
/// the same.
fn records(bytes: &[u8]) {
    let relu = relu_params(8, 8, 4).expect("parameters that every server takes");
    let count = bytes.len() / packed_records(&relu, 64) * 64;
    let bytes = &bytes[..packed_records(&relu, count)];
    let mut records = vec![Record::EMPTY; count];
    if relu.unpack_records(0, bytes, &mut records).is_ok() {
        let mut again = vec![0; bytes.len()];
        assert_eq!(relu.pack_records(&records, &mut again), bytes.len());
        assert_eq!(again, bytes);
    }
}

/// Residues of as many bits, and as many of them, as the first bytes say.
fn stream(frame: Frame<'_>) {
    let [bits, count, bytes @ ..] = frame.payload else {
        return;
    };
    let (bits, count) = (u32::from(bits % 33), usize::from(*count));
    let bytes = &bytes[..packed_len(count, bits).min(bytes.len())];
    let bound = u32::MAX.checked_shr(32 - bits).unwrap_or(0).max(1);
    let mut values = Vec::new();
    if unpack(0, bytes, bits, bound, count, |_, value| values.push(value)).is_ok() {
        let mut again = vec![0; bytes.len()];
        assert_eq!(pack(&mut again, bits, values.into_iter()), bytes.len());
        assert_eq!(again, bytes);
    }
}
