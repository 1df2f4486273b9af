//! The layer that a client is at: its checked description, and the next of its outputs.
//! `docs/design.md#from-shares-to-activations`.

use super::Application;
use super::memory::Memory;
use super::session::Session;
use crate::Error;
use crate::arith::field::{T, T_MOD};
use crate::network::LayerError;
use crate::network::layer::{Activation, Layer};
use crate::packing::{Layout, Output, OutputCursor, Places};
use crate::protocol::activation::Outputs;
use crate::protocol::frame::{Frame, Kind};
use crate::protocol::greeting::{Welcome, read_control};
use crate::protocol::linear::ClientLinear;
use crate::protocol::share::{SharePrf, to_ring};
use crate::protocol::steps::LayerFacts;

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

impl<M: Memory, L: ClientLinear> Session<M, L> {
    /// Takes the description of a layer.
    #[inline(never)]
    pub(super) fn described(
        &mut self,
        index: usize,
        frame: Frame<'_>,
    ) -> Result<Current<L::Layout>, Error> {
        let payload = frame.expect(Kind::Layer)?;
        self.layers_hash.add(payload);
        let current = self.enter(index, read_control(payload, "layer")?)?;
        let last = index + 1 == usize::from(self.welcome.layers);
        if last && self.layers_hash.0 != self.welcome.layers_hash {
            return Err(Error::LayersMismatch);
        }
        Ok(current)
    }

    /// A layer that was described.
    pub(super) fn known(&self, index: usize) -> Result<Current<L::Layout>, Error> {
        let layer = self.memory.layer(index);
        self.enter(
            index,
            layer.ok_or(Error::Internal("a layer without description"))?,
        )
    }

    /// Checks a layer and lays it out.
    #[inline(never)]
    fn enter(&self, index: usize, layer: Layer) -> Result<Current<L::Layout>, Error> {
        let index = index as u16;
        let fail = |reason| Error::Layer { index, reason };
        let layout = L::Layout::new(&layer).map_err(fail)?;
        check_reads(&layer, &layout, index, &self.welcome).map_err(fail)?;
        Ok(Current::new(index, layer, layout))
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
