//! The layer that a client is at: its checked description, and the next of its outputs.
//! `docs/design.md#from-shares-to-activations`.

use super::Application;
use crate::Error;
use crate::arith::field::{T, T_MOD};
use crate::network::LayerError;
use crate::network::layer::{Activation, Layer};
use crate::packing::{Layout, Output, OutputCursor, Places};
use crate::protocol::activation::Outputs;
use crate::protocol::frame::{Frame, Kind};
use crate::protocol::greeting::{LayersHash, Welcome, read_control};
use crate::protocol::share::{SharePrf, to_ring};
use crate::protocol::steps::LayerFacts;

/// The layer that is run, or the last one; all of it is public. Not a part of a step: a step that is
/// much larger than most of its values would keep what the stack held before, through
/// [`super::Client::close`] too.
#[repr(u8)]
pub(super) enum Running<P> {
    /// All zeros, so that a static client takes no flash.
    Nothing = 0,
    Layer(Current<P>),
}

impl<P> Running<P> {
    pub(super) fn set(&mut self, current: Current<P>) {
        *self = Self::Layer(current);
    }

    pub(super) fn layer(&mut self) -> Result<&mut Current<P>, Error> {
        match self {
            Self::Nothing => Err(Error::Internal("no layer is run")),
            Self::Layer(current) => Ok(current),
        }
    }

    /// Its index; that of the first, before there is one.
    pub(super) fn index(&self) -> u16 {
        match self {
            Self::Nothing => 0,
            Self::Layer(current) => current.index,
        }
    }
}

/// The layer that is being prepared or answered; all of it is public.
pub(super) struct Current<P> {
    pub(super) index: u16,
    pub(super) layer: Layer,
    pub(super) layout: P,
    /// The next output to take, and what follows it.
    pub(super) pending: Option<Output>,
    following: OutputCursor,
}

impl<P: Places> Current<P> {
    fn new(index: u16, layer: Layer, layout: P) -> Self {
        let mut following = OutputCursor::start();
        Self {
            index,
            pending: following.next(&layout),
            layer,
            layout,
            following,
        }
    }

    /// Its outputs from the first one on, again.
    pub(super) fn again(&mut self) {
        self.following = OutputCursor::start();
        self.pending = self.following.next(&self.layout);
    }

    /// Takes the pending output.
    pub(super) fn take(&mut self) -> Result<Output, Error> {
        let output = self.pending;
        self.pending = self.following.next(&self.layout);
        output.ok_or(Error::Internal("more outputs than a layer has"))
    }

    /// Its outputs, for a window that is answered.
    pub(super) fn answered<'a, A>(
        &'a mut self,
        shares: &'a mut SharePrf,
        app: &'a mut A,
    ) -> Answered<'a, P, A> {
        Answered {
            current: self,
            shares,
            app,
        }
    }

    pub(super) fn facts(&self) -> LayerFacts {
        LayerFacts {
            activation: self.layer.activation,
            inputs: self.layout.inputs(),
            outputs: usize::from(self.layer.out_channels) * self.layout.out_side().pow(2),
        }
    }

    /// What a window takes of an output, whose `value` is in the response: the client's share of y
    /// with its residual, mod 2^k before a ReLU; less the new share, where nothing follows.
    pub(super) fn gathered(
        &self,
        output: Output,
        value: u32,
        shares: &mut SharePrf,
        shift: u32,
    ) -> u32 {
        let mut sum = value;
        let mut share = |tensor| shares.value(tensor, output.channel, output.position);
        if let Some(skip) = self.layer.skip {
            sum = T_MOD.add(sum, T_MOD.mul(share(skip.tensor), skip.factor));
        }
        match self.layer.activation {
            Activation::Relu => to_ring(sum, shift).into(),
            Activation::Linear => T_MOD.sub(sum, share(self.index + 1)),
            Activation::Logits => sum,
        }
    }
}

/// The outputs of the layer that is answered.
pub(super) struct Answered<'a, P, A> {
    current: &'a mut Current<P>,
    shares: &'a mut SharePrf,
    app: &'a mut A,
}

impl<P: Places, A: Application> Outputs for Answered<'_, P, A> {
    fn share(&mut self) -> Result<u32, Error> {
        let output = self.current.take()?;
        let tensor = self.current.index + 1;
        Ok((self.shares).value(tensor, output.channel, output.position))
    }

    fn logit(&mut self, value: u32) -> Result<(), Error> {
        let area = self.current.layout.out_side().pow(2);
        // `check_reads` compared the number of logits with that of the classes.
        let class = self.current.take()?.index(area);
        self.app.logit(class as u16, T_MOD.centered(value));
        Ok(())
    }
}

impl<P: Layout> Current<P> {
    /// Takes the description of a layer, which goes into the hash of all.
    pub(super) fn described(
        welcome: &Welcome,
        hash: &mut LayersHash,
        index: usize,
        frame: Frame<'_>,
    ) -> Result<Self, Error> {
        let payload = frame.expect(Kind::Layer)?;
        hash.add(payload);
        let current = Self::enter(welcome, index, read_control(payload, "layer")?)?;
        let last = index + 1 == usize::from(welcome.layers);
        if last && hash.0 != welcome.layers_hash {
            return Err(Error::LayersMismatch);
        }
        Ok(current)
    }

    /// Checks a layer and lays it out.
    #[inline(never)]
    pub(super) fn enter(welcome: &Welcome, index: usize, layer: Layer) -> Result<Self, Error> {
        let index = index as u16;
        let fail = |reason| Error::Layer { index, reason };
        let layout = P::new(&layer).map_err(fail)?;
        check_reads(&layer, &layout, index, welcome).map_err(fail)?;
        Ok(Self::new(index, layer, layout))
    }
}

/// Whether a layer reads only what exists: earlier tensors, and the image in its shape. The shapes
/// of other tensors are the server's own business: a wrong one gives it a wrong result.
fn check_reads(
    layer: &Layer,
    layout: &impl Places,
    index: u16,
    welcome: &Welcome,
) -> Result<(), LayerError> {
    let image = (
        u16::from(welcome.input.channels),
        usize::from(welcome.input.side),
    );
    let (side, out_side) = (usize::from(layer.in_side), layout.out_side());
    let check = |ok: bool, error| if ok { Ok(()) } else { Err(error) };
    let reads = |tensor, shape| {
        let exists = tensor <= index && (tensor > 0 || shape == image);
        check(exists, LayerError::Tensor(tensor))
    };
    reads(layer.input, (layer.in_channels, side))?;
    let last = index + 1 == welcome.layers;
    if let Some(skip) = layer.skip {
        reads(skip.tensor, (layer.out_channels, out_side))?;
        check(skip.factor < T, LayerError::SkipFactor(skip.factor))?;
        check(!last, LayerError::SkipLogits)?;
    }
    let gives_logits = layer.activation == Activation::Logits;
    check(last == gives_logits, LayerError::LogitsPlace)?;
    let (logits, classes) = (
        usize::from(layer.out_channels) * out_side.pow(2),
        usize::from(welcome.classes),
    );
    let error = LayerError::Classes { logits, classes };
    check(!last || logits == classes, error)
}
