//! The client's inference: for every layer, encrypt its shares, decrypt the result, and take the
//! outputs to the ReLU a window at a time. `docs/design.md#one-inference` and
//! `#from-shares-to-activations`.

use super::{App, Client, Maybe, Step};
use crate::Error;
use crate::arith::bits::{pack, unpack};
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::network::LayerError;
use crate::network::layer::{Activation, Layer, TensorId};
use crate::packing::{Layout, Output, OutputCursor, Places};
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::greeting::{PlanHash, Welcome, read_control};
use crate::protocol::linear::ClientLinear;
use crate::protocol::share::{SharePrf, to_ring};
use crate::protocol::transfer::{PIECE, ReceiveResponse, UploadSeeds};
use crate::random::Purpose;

/// The layer that is being run.
pub(super) struct Current<P> {
    pub(super) layer: Layer,
    pub(super) layout: P,
    /// The next output to gather, and what follows it.
    pending: Option<Output>,
    gather: OutputCursor,
    /// The next output to give a new share to.
    reshare: OutputCursor,
    /// Responses received; the packing has the last one.
    received: usize,
}

impl<P: Places> Current<P> {
    fn new(layer: Layer, layout: P) -> Self {
        let mut gather = OutputCursor::start();
        Self {
            pending: gather.next(&layout),
            layer,
            layout,
            gather,
            reshare: OutputCursor::start(),
            received: 0,
        }
    }

    fn gathered(&mut self) {
        self.pending = self.gather.next(&self.layout);
    }

    /// The next output to give a new share to.
    pub(super) fn reshare(&mut self) -> Result<Output, Error> {
        self.reshare
            .next(&self.layout)
            .ok_or(Error::Usage("window with more activations than the layer"))
    }

    /// The client's share mod t of y at an output: its `value` in the response, with its residual.
    fn sum(&self, output: Output, value: u32, shares: &mut SharePrf, app: &mut impl App) -> u32 {
        let Some(skip) = self.layer.skip else {
            return value;
        };
        let (channel, position) = (usize::from(output.channel), output.position as usize);
        let side = self.layout.out_side();
        let x = share(app, shares, skip.tensor, channel, position, side);
        T_MOD.add(value, T_MOD.mul(x, skip.factor))
    }

    /// Outputs of the response of `output` from there on.
    fn left_in_response(&self, output: Output) -> usize {
        let mut ahead = self.gather;
        let next = core::iter::from_fn(|| ahead.next(&self.layout));
        1 + next
            .take_while(|next| next.ciphertext == output.ciphertext)
            .count()
    }
}

impl<const CHUNKS: usize, const SUPPLY: usize, L: ClientLinear> Client<CHUNKS, SUPPLY, L> {
    /// Begins an inference with fresh shares.
    pub(super) fn begin(&mut self) {
        self.shares = SharePrf::new(&self.kdf.seed(Purpose::Shares, self.inferences));
        self.inferences += 1;
        self.plan = PlanHash::default();
        self.layer = 0;
        self.step = Step::Layer;
    }

    /// Takes the description of the next layer.
    #[inline(never)]
    pub(super) fn next_layer(&mut self, app: &mut impl App, frame: Frame<'_>) -> Result<(), Error> {
        let payload = frame.expect(Kind::Layer)?;
        let layer: Layer = read_control(payload, "layer")?;
        self.plan.add(payload);
        let index = self.layer;
        let fail = |reason| Error::Layer { index, reason };
        let layout = L::Layout::new(&layer).map_err(fail)?;
        let welcome = self.welcome.get()?;
        check_reads(&layer, &layout, index, welcome).map_err(fail)?;
        if index + 1 == welcome.layers && self.plan.0 != welcome.plan {
            return Err(Error::PlanMismatch);
        }
        self.current = Maybe::Full(Current::new(layer, layout));
        self.next_input(0, app)
    }

    /// Packs and sends input ciphertext `i`, or goes on to the outputs after the last one.
    pub(super) fn next_input(&mut self, i: usize, app: &mut impl App) -> Result<(), Error> {
        let Current { layer, layout, .. } = self.current.get()?;
        if i == layout.inputs() {
            return self.next_outputs(app);
        }
        let (tensor, side) = (layer.input, usize::from(layer.in_side));
        let shares = &mut self.shares;
        let value = |channel, row, col| {
            layer.pooled(row, col).fold(0, |sum, (row, col)| {
                let position = row * side + col;
                T_MOD.add(sum, share(app, shares, tensor, channel, position, side))
            })
        };
        let seeds = UploadSeeds::next(&self.kdf, &mut self.uploads, UploadSeeds::CIPHERTEXT);
        let upload = (self.linear).upload(&mut self.work, layout, i, seeds, value);
        self.step = Step::Input(i, upload);
        Ok(())
    }

    /// Goes on with a response that has been decrypted.
    pub(super) fn response(&mut self, app: &mut impl App) -> Result<(), Error> {
        let current = self.current.get_mut()?;
        current.received += 1;
        self.next_outputs(app)
    }

    /// Gathers outputs until a window is full or another response is needed, and goes on to what
    /// comes next; mirrors the server's `next_outputs`.
    pub(super) fn next_outputs(&mut self, app: &mut impl App) -> Result<(), Error> {
        let current = self.current.get_mut()?;
        let shift = self.welcome.get()?.shift.into();
        let activation = current.layer.activation;
        let relu = activation == Activation::Relu;
        while let Some(output) = current.pending {
            if relu && self.window.gathered() == self.window.capacity() {
                break;
            }
            if output.ciphertext >= current.received {
                self.step = Step::Response(ReceiveResponse::default());
                return Ok(());
            }
            if !relu {
                let left = current.left_in_response(output);
                self.step = if activation == Activation::Linear {
                    Step::Reshares(left)
                } else {
                    Step::Logits(left)
                };
                return Ok(());
            }
            let value = self.linear.value(&self.work, output.coefficient);
            let value = current.sum(output, value, &mut self.shares, app);
            self.window.gather(to_ring(value, shift))?;
            current.gathered();
        }
        if self.window.gathered() > 0 {
            self.window.start();
            self.step = Step::Window;
            return Ok(());
        }
        self.layer_done()
    }

    /// Takes the server's shares of up to [`PIECE`] logits; `left` are to come in this response.
    pub(super) fn logits(
        &mut self,
        left: usize,
        app: &mut impl App,
        frame: Frame<'_>,
    ) -> Result<(), Error> {
        let current = self.current.get_mut()?;
        let count = left.min(PIECE);
        let payload = frame.expect(Kind::Logits)?;
        unpack(Kind::Logits as u8, payload, T_BITS, T, count, |_, share| {
            if let Some(output) = current.pending {
                let area = current.layout.out_side().pow(2);
                // `check_reads` compared the number of logits with that of the classes.
                let class = usize::from(output.channel) * area + output.position as usize;
                let own = self.linear.value(&self.work, output.coefficient);
                let value = T_MOD.add(own, share);
                app.logit(class as u16, T_MOD.centered(value));
                current.gathered();
            }
        })?;
        self.step = Step::Logits(left - count);
        if left == count {
            return self.next_outputs(app);
        }
        Ok(())
    }

    /// Writes what is sent instead of the new shares of up to [`PIECE`] outputs of a layer without
    /// activation; `left` of this response need one.
    pub(super) fn reshares(
        &mut self,
        left: usize,
        app: &mut impl App,
        out: &mut FrameBuf,
    ) -> Result<usize, Error> {
        let (current, shares) = (self.current.get_mut()?, &mut self.shares);
        let (tensor, count) = (self.layer + 1, left.min(PIECE));
        let len = write(out, Kind::Reshare, |payload| {
            let values = (0..count).map_while(|_| {
                let output = current.pending?;
                let value = self.linear.value(&self.work, output.coefficient);
                let sum = current.sum(output, value, shares, app);
                current.gathered();
                let share = shares.value(tensor, output.channel, output.position);
                Some(T_MOD.sub(sum, share))
            });
            pack(payload, T_BITS, values)
        });
        self.step = Step::Reshares(left - count);
        if left == count {
            self.next_outputs(app)?;
        }
        Ok(len)
    }

    fn layer_done(&mut self) -> Result<(), Error> {
        self.current = Maybe::Empty;
        self.layer += 1;
        self.step = Step::Layer;
        if self.layer == self.welcome.get()?.layers {
            self.wipe();
            self.step = Step::Ready;
        }
        Ok(())
    }
}

/// The client's share mod t of a value: the image is its own share, all else is pseudo-random.
fn share(
    app: &mut impl App,
    shares: &mut SharePrf,
    tensor: TensorId,
    channel: usize,
    position: usize,
    side: usize,
) -> u32 {
    if tensor == 0 {
        T_MOD.from_i32(app.pixel(channel, position / side, position % side))
    } else {
        shares.value(tensor, channel as u16, position as u32)
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
