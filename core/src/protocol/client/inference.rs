//! The client's inference: for every layer, encrypt its shares, decrypt the result, and take the
//! outputs to the ReLU a window at a time. `docs/design.md#one-inference` and
//! `#from-shares-to-activations`.

use super::{Application, Session, Step};
use crate::Error;
use crate::arith::bits::{pack, unpack};
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::network::LayerError;
use crate::network::layer::{Activation, Layer, TensorId};
use crate::packing::{Layout, Output, OutputCursor, Places};
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::greeting::{LayersHash, Welcome, read_control};
use crate::protocol::linear::ClientLinear;
use crate::protocol::share::{SharePrf, to_ring};
use crate::protocol::steps::{LayerFacts, LayerStep, LayerSteps, frame_values};
use crate::protocol::transfer::{ReceiveResponse, SendUpload, UploadSeeds};
use crate::random::Purpose;

/// The layer that is being run.
pub(super) struct Current<P> {
    layer: Layer,
    pub(super) layout: P,
    steps: LayerSteps,
    /// The next output to take, and what follows it.
    pending: Option<Output>,
    following: OutputCursor,
    /// The next output to give a new share to, after a window.
    reshare: OutputCursor,
}

/// The message that a layer is at.
pub(super) enum At {
    Input(SendUpload),
    Response(ReceiveResponse),
    Window,
    Reshares,
    Logits,
}

impl<P: Places> Current<P> {
    fn new(layer: Layer, layout: P) -> Self {
        let mut following = OutputCursor::start();
        Self {
            steps: LayerSteps::default(),
            pending: following.next(&layout),
            layer,
            layout,
            following,
            reshare: OutputCursor::start(),
        }
    }

    /// Goes on to the output after the pending one.
    fn taken(&mut self) {
        self.pending = self.following.next(&self.layout);
    }

    /// Values of the next frame of logits or of what is sent instead of new shares.
    fn frame_values(&self) -> usize {
        let mut following = self.following;
        let following = core::iter::from_fn(|| following.next(&self.layout));
        frame_values(self.pending.into_iter().chain(following))
    }

    /// The client's share mod t of y at an output: its `value` in the response, with its residual.
    fn sum(
        &self,
        output: Output,
        value: u32,
        shares: &mut SharePrf,
        app: &mut impl Application,
    ) -> u32 {
        let Some(skip) = self.layer.skip else {
            return value;
        };
        let (channel, position) = (usize::from(output.channel), output.position as usize);
        let side = self.layout.out_side();
        let x = share(app, shares, skip.tensor, channel, position, side);
        T_MOD.add(value, T_MOD.mul(x, skip.factor))
    }

    /// Goes on to the layer's next message; none after the last one.
    pub(super) fn next<const CHUNKS: usize, L>(
        &mut self,
        session: &mut Session<CHUNKS, L>,
        app: &mut impl Application,
    ) -> Result<Option<At>, Error>
    where
        L: ClientLinear<Layout = P>,
    {
        let facts = LayerFacts {
            activation: self.layer.activation,
            inputs: self.layout.inputs(),
            capacity: session.window.capacity(),
        };
        Ok(Some(loop {
            match self.steps.next(&facts, self.pending) {
                LayerStep::Input(i) => break At::Input(self.input(i, session, app)),
                LayerStep::Response => break At::Response(ReceiveResponse::default()),
                LayerStep::Gather(output) => {
                    let value = session.linear.value(&session.work, output.coefficient);
                    let value = self.sum(output, value, &mut session.shares, app);
                    let shift = session.welcome.shift.into();
                    session.window.gather(to_ring(value, shift))?;
                    self.taken();
                }
                LayerStep::Window => {
                    session.window.start();
                    break At::Window;
                }
                LayerStep::Reshares => break At::Reshares,
                LayerStep::Logits => break At::Logits,
                LayerStep::Done => return Ok(None),
            }
        }))
    }

    /// Packs input ciphertext `i`.
    fn input<const CHUNKS: usize, L: ClientLinear<Layout = P>>(
        &self,
        i: usize,
        session: &mut Session<CHUNKS, L>,
        app: &mut impl Application,
    ) -> SendUpload {
        let layer = &self.layer;
        let (tensor, side) = (layer.input, usize::from(layer.in_side));
        let shares = &mut session.shares;
        let value = |channel, row, col| {
            layer.pooled(row, col).fold(0, |sum, (row, col)| {
                let position = row * side + col;
                T_MOD.add(sum, share(app, shares, tensor, channel, position, side))
            })
        };
        let seeds = UploadSeeds::next(&session.kdf, &mut session.uploads, UploadSeeds::CIPHERTEXT);
        (session.linear).upload(&mut session.work, &self.layout, i, seeds, value)
    }

    /// Takes a frame of a window.
    pub(super) fn handle_window<const CHUNKS: usize, L: ClientLinear>(
        &mut self,
        session: &mut Session<CHUNKS, L>,
        frame: Frame<'_>,
    ) -> Result<(), Error> {
        let tensor = session.layer + 1;
        let (window, mut context, shares) = session.window();
        window.handle(frame, &mut context, || {
            let output = self.reshare.next(&self.layout);
            let output = output.ok_or(Error::Internal("more new shares than outputs"))?;
            Ok(shares.value(tensor, output.channel, output.position))
        })
    }

    /// Takes a frame of the server's shares of logits.
    pub(super) fn logits<const CHUNKS: usize, L: ClientLinear>(
        &mut self,
        session: &Session<CHUNKS, L>,
        app: &mut impl Application,
        frame: Frame<'_>,
    ) -> Result<(), Error> {
        let count = self.frame_values();
        let payload = frame.expect(Kind::Logits)?;
        unpack(Kind::Logits as u8, payload, T_BITS, T, count, |_, share| {
            if let Some(output) = self.pending {
                let area = self.layout.out_side().pow(2);
                // `check_reads` compared the number of logits with that of the classes.
                let class = output.index(area);
                let own = session.linear.value(&session.work, output.coefficient);
                let value = T_MOD.add(own, share);
                app.logit(class as u16, T_MOD.centered(value));
                self.taken();
            }
        })
    }

    /// Writes a frame of what is sent instead of the new shares, in a layer without activation.
    pub(super) fn reshares<const CHUNKS: usize, L: ClientLinear>(
        &mut self,
        session: &mut Session<CHUNKS, L>,
        app: &mut impl Application,
        out: &mut FrameBuf,
    ) -> usize {
        let (tensor, count) = (session.layer + 1, self.frame_values());
        let shares = &mut session.shares;
        write(out, Kind::Reshare, |payload| {
            let values = (0..count).map_while(|_| {
                let output = self.pending?;
                let value = session.linear.value(&session.work, output.coefficient);
                let sum = self.sum(output, value, shares, app);
                self.taken();
                let share = shares.value(tensor, output.channel, output.position);
                Some(T_MOD.sub(sum, share))
            });
            pack(payload, T_BITS, values)
        })
    }
}

impl<const CHUNKS: usize, L: ClientLinear> Session<CHUNKS, L> {
    /// Begins an inference with fresh shares.
    pub(super) fn begin(&mut self) {
        self.shares = SharePrf::new(&self.kdf.seed(Purpose::Shares, self.inferences));
        self.inferences += 1;
        self.layers_hash = LayersHash::default();
        self.layer = 0;
    }

    /// Takes the description of the next layer.
    #[inline(never)]
    pub(super) fn next_layer(&mut self, frame: Frame<'_>) -> Result<Current<L::Layout>, Error> {
        let payload = frame.expect(Kind::Layer)?;
        let layer: Layer = read_control(payload, "layer")?;
        self.layers_hash.add(payload);
        let index = self.layer;
        let fail = |reason| Error::Layer { index, reason };
        let layout = L::Layout::new(&layer).map_err(fail)?;
        check_reads(&layer, &layout, index, &self.welcome).map_err(fail)?;
        if index + 1 == self.welcome.layers && self.layers_hash.0 != self.welcome.layers_hash {
            return Err(Error::LayersMismatch);
        }
        Ok(Current::new(layer, layout))
    }

    /// What comes after a layer.
    pub(super) fn layer_done(&mut self) -> Step {
        self.layer += 1;
        if self.layer < self.welcome.layers {
            return Step::Describe;
        }
        self.wipe();
        Step::Ready
    }
}

/// The client's share mod t of a value: the image is its own share, all else is pseudo-random.
fn share(
    app: &mut impl Application,
    shares: &mut SharePrf,
    tensor: TensorId,
    channel: usize,
    position: usize,
    side: usize,
) -> u32 {
    if tensor == 0 {
        T_MOD.residue(app.pixel(channel, position / side, position % side))
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
