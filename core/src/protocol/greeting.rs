//! Greeting: both sides' settings and nonces, from which the session gets its name.
//! `docs/design.md#channel`; every value is checked against compile-time limits before it is used.

use heapless::String;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::frame::{FrameBuf, Kind, write};
use crate::Error;
use crate::arith::field::ACC_BITS;
use crate::network::layer::Layer;
use crate::network::name::is_clean;
use crate::random::SessionId;
use crate::relu::{Digits, ReluParams};

/// Version of the protocol described in `docs/protocol.md`.
pub const VERSION: u16 = 6;
/// Names the fixed parameters of [`crate::rlwe::ring::ring4096`]: layers in segments, of any depth.
pub const PARAMETER_SET: u16 = 1;
/// The same with layers in slots, by the parameters of [`crate::rlwe::ring::ring8192`].
pub const SLOT_PARAMETER_SET: u16 = 2;
/// The most chunks of a window that a server accepts.
pub const MAX_WINDOW: u16 = 256;
/// The most layers of a network.
pub const MAX_LAYERS: u16 = 4096;
/// The most channels of an input image.
pub const MAX_IMAGE_CHANNELS: usize = 4;
/// The most classes of a network.
pub const MAX_CLASSES: u16 = 8192;
/// The longest class or model name, in bytes.
pub const MAX_NAME: usize = 64;

/// What the client chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// k_s of the oblivious transfer extension: 1, 2, 4 or 8.
    pub k_s: u8,
    /// h: bits of a share that the comparison takes, 5 to k.
    pub h: u8,
    /// Whether the server should tell the classes' names.
    pub labels: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            k_s: 4,
            h: 8,
            labels: false,
        }
    }
}

/// What a server calls its network while its tickets are valid: random to everybody else, so that
/// nobody can test guesses of weights, and another one for other weights.
pub type ModelId = [u8; 16];

/// The longest encoding of a [`Hello`], in bytes.
const MAX_HELLO: usize = 64;

/// The client's greeting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u16,
    /// [`PARAMETER_SET`] or [`SLOT_PARAMETER_SET`].
    pub parameters: u16,
    /// Fresh.
    pub nonce: [u8; 32],
    /// See [`Settings`].
    pub k_s: u8,
    /// See [`Settings`].
    pub h: u8,
    /// Chunks of 256 outputs that the client has room for; 0 for whatever an inference has. See
    /// [`Room`](super::steps::Room).
    pub window: u16,
    /// See [`Settings`].
    pub labels: bool,
}

/// How an image becomes the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Channels.
    pub channels: u8,
    /// Side of the input in pixels.
    pub side: u16,
    /// Side that the image is resized to before it is cropped.
    pub resize: u16,
    /// Mean of each channel, pixels being in \[0, 1\].
    pub mean: [f32; MAX_IMAGE_CHANNELS],
    /// Standard deviation of each channel.
    pub std: [f32; MAX_IMAGE_CHANNELS],
    /// Integer units of one standard deviation.
    pub scale: f32,
}

/// The server's greeting: what is public of its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`VERSION`].
    pub version: u16,
    /// Fresh.
    pub nonce: [u8; 32],
    /// What the server calls its network, as long as its tickets are valid; zeros if it keeps none.
    pub model: ModelId,
    /// Name of the network.
    pub name: String<MAX_NAME>,
    /// Bits that an activation drops.
    pub shift: u8,
    /// Layers of the network.
    pub layers: u16,
    /// `LayersHash` over all of them.
    pub layers_hash: [u8; 32],
    /// Classes.
    pub classes: u16,
    /// Logit units of 1.0.
    pub logit_scale: f32,
    /// The input.
    pub input: InputSpec,
    /// Tickets that the client may have prepared together, at most; 0 if the server keeps none.
    pub batch: u16,
}

impl InputSpec {
    /// Values of an image.
    pub fn values(&self) -> usize {
        usize::from(self.channels) * usize::from(self.side).pow(2)
    }
}

impl Hello {
    /// The session that this and the server's greeting, as it came, begin.
    pub(super) fn session_id(&self, welcome: &[u8]) -> Result<SessionId, Error> {
        let mut buffer = [0; MAX_HELLO];
        let hello = postcard::to_slice(self, &mut buffer)
            .map_err(|_| Error::Internal("greeting longer than its buffer"))?;
        Ok(SessionId::new(hello, welcome))
    }

    /// The server's check.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |what, value: u16| {
            Err(Error::Negotiation {
                what,
                value: u32::from(value),
            })
        };
        if !matches!(self.parameters, PARAMETER_SET | SLOT_PARAMETER_SET) {
            return refuse("parameter set", self.parameters);
        }
        if !matches!(self.k_s, 1 | 2 | 4 | 8) {
            return refuse("k_s", self.k_s.into());
        }
        if self.window > MAX_WINDOW {
            return refuse("window", self.window);
        }
        Ok(())
    }
}

impl Welcome {
    /// Of no network: all its bytes are zero.
    pub(super) const fn empty() -> Self {
        Self {
            version: 0,
            nonce: [0; 32],
            model: [0; 16],
            name: String::new(),
            shift: 0,
            layers: 0,
            layers_hash: [0; 32],
            classes: 0,
            logit_scale: 0.0,
            input: InputSpec {
                channels: 0,
                side: 0,
                resize: 0,
                mean: [0.0; MAX_IMAGE_CHANNELS],
                std: [0.0; MAX_IMAGE_CHANNELS],
                scale: 0.0,
            },
            batch: 0,
        }
    }

    /// The client's check, which gives the parameters of the ReLU.
    pub fn check(&self, settings: &Settings) -> Result<ReluParams, Error> {
        let refuse = |what, value: u16| {
            Err(Error::Negotiation {
                what,
                value: u32::from(value),
            })
        };
        if !is_clean(&self.name) {
            return Err(Error::Malformed("network name"));
        }
        if !(1..=MAX_LAYERS).contains(&self.layers) {
            return refuse("layers", self.layers);
        }
        if !(1..=MAX_CLASSES).contains(&self.classes) {
            return refuse("classes", self.classes);
        }
        let input = &self.input;
        let channels = usize::from(input.channels);
        if !(1..=MAX_IMAGE_CHANNELS).contains(&channels) {
            return refuse("input channels", input.channels.into());
        }
        if !(1..=crate::network::layer::MAX_SIDE).contains(&input.resize) {
            return refuse("input size before the crop", input.resize);
        }
        if !(1..=input.resize).contains(&input.side) {
            return refuse("input side", input.side);
        }
        let positive = |x: &f32| x.is_finite() && *x > 0.0;
        let scales = input.std.iter().take(channels);
        let scales = scales.chain([&input.scale, &self.logit_scale]);
        let mut means = input.mean.iter().take(channels);
        if !scales.copied().all(|x| positive(&x)) || !means.all(|x| x.is_finite()) {
            return Err(Error::Malformed("normalisation"));
        }
        relu_params(self.shift, settings.h, settings.k_s)
    }
}

/// The ReLU on shares without their `shift` low bits, comparing `h` bits with the codes of `k_s`.
pub fn relu_params(shift: u8, h: u8, k_s: u8) -> Result<ReluParams, Error> {
    let k = ACC_BITS
        .checked_sub(u32::from(shift))
        .ok_or(Error::Negotiation {
            what: "shift",
            value: shift.into(),
        })?;
    let digits = Digits::of(h.into()).ok_or(Error::Negotiation {
        what: "h",
        value: h.into(),
    })?;
    let relu = ReluParams::new(digits, k)?;
    relu.check_codes(k_s.into())?;
    Ok(relu)
}

fn check_version(theirs: u16) -> Result<(), Error> {
    if theirs == VERSION {
        Ok(())
    } else {
        Err(Error::Version {
            ours: VERSION,
            theirs,
        })
    }
}

/// Writes a control message as a frame of its own.
pub fn write_control<T: Serialize>(
    out: &mut FrameBuf,
    kind: Kind,
    message: &T,
) -> Result<usize, Error> {
    let mut result = Ok(());
    let len = write(out, kind, |payload| {
        match postcard::to_slice(message, payload) {
            Ok(bytes) => bytes.len(),
            Err(_) => {
                result = Err(Error::Internal("control message longer than a frame"));
                0
            }
        }
    });
    result.map(|()| len)
}

/// Reads a control message that must fill its frame.
pub fn read_control<'a, T: Deserialize<'a>>(
    payload: &'a [u8],
    what: &'static str,
) -> Result<T, Error> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        _ => Err(Error::Malformed(what)),
    }
}

/// Reads a greeting. Its version comes first, since another version may have other fields.
pub fn read_greeting<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Error> {
    let (version, _) =
        postcard::take_from_bytes(payload).map_err(|_| Error::Malformed("greeting"))?;
    check_version(version)?;
    read_control(payload, "greeting")
}

/// Hash of a network's public layers, so that both sides know that they ran the same ones:
/// SHA-256 over what was before and the layer as it goes over the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LayersHash(pub [u8; 32]);

impl LayersHash {
    /// Adds a layer as it goes over the wire.
    pub fn add(&mut self, layer: &[u8]) {
        let hash = Sha256::new().chain_update(self.0).chain_update(layer);
        self.0 = hash.finalize().into();
    }

    /// Adds a layer.
    pub fn add_layer(&mut self, layer: &Layer) -> Result<(), Error> {
        let mut buffer = [0; 128];
        let bytes = postcard::to_slice(layer, &mut buffer)
            .map_err(|_| Error::Internal("layer longer than its buffer"))?;
        self.add(bytes);
        Ok(())
    }
}
