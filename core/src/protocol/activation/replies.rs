//! The client's side of a window while it is answered: no transfer is left, and nothing is encrypted.
//! `docs/design.md#relu`; the server's side is in `answers`.

use zeroize::Zeroizing;

use super::cursor::{ClientContext, Cursor};
use super::store::Store;
use super::{ChunkShape, Part, Phase};
use crate::Error;
use crate::arith::bits::{pack, packed_len, unpack};
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::network::layer::Activation;
use crate::protocol::frame::{Frame, FrameBuf, Kind, MAX_PAYLOAD, write};
use crate::protocol::seal::{self, TAG};
use crate::relu::{Record, ReluParams};

/// The client's side of windows that are answered.
pub struct ClientAnswers(Cursor);

impl ClientAnswers {
    /// Of no session.
    pub const fn empty() -> Self {
        Self(Cursor::NONE)
    }

    /// Begins to answer the inference of this number in the session that prepared it, whose ReLUs
    /// have these parameters.
    pub fn begin<S: Store>(&mut self, relu: ReluParams, k_s: u32, inference: u64) {
        self.0 = Cursor::of_session(relu, k_s, S::ROOM);
        self.0.begin(inference, 0);
    }

    /// Goes past a layer's outputs, which were prepared to the end.
    pub fn pass(&mut self, outputs: usize) {
        self.0.pass(outputs);
    }

    /// Starts to answer the next outputs of a layer.
    pub fn start(
        &mut self,
        (layer, activation): (u16, Activation),
        outputs: usize,
        store: &mut impl Store,
    ) -> Result<(), Error> {
        let window = &mut self.0;
        for shape in ChunkShape::split(layer, activation, outputs) {
            if window.shape.sealed {
                window.add(shape, store)?;
            } else if store.shape(window.done + window.count) == Some(shape) {
                window.count += 1;
            } else {
                return Err(Error::Internal("chunks that were not prepared"));
            }
        }
        window.start(Phase::Answer, store);
        Ok(())
    }

    /// Whether the window has been worked off.
    pub fn idle(&self) -> bool {
        self.0.idle()
    }

    /// Writes the next frame; none while the server's is awaited.
    // Not inlined: as in `ClientWindow`.
    #[inline(never)]
    pub fn poll<S: Store>(
        &mut self,
        context: &mut ClientContext<'_, S>,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let window = &self.0;
        if window.step.part() != Some(Part::Replies) {
            return Ok(None);
        }
        let chunk = window.chunk(context.store)?;
        let range = window.shape.piece_range(chunk.shape, window.step.frame);
        let replies = || chunk.records[range.clone()].iter().map(Record::reply);
        let len = write(out, Kind::Replies, |payload| {
            let first = pack(payload, 1, replies().map(|(e, _)| e));
            debug_assert_eq!(first, packed_len(range.len(), 1));
            first + pack(&mut payload[first..], T_BITS, replies().map(|(_, out)| out))
        });
        self.0.advance(context.store);
        Ok(Some(len))
    }

    /// Takes the server's next frame. Of an activation `outputs` gives the pseudo-random share that
    /// takes the place of the client's; of a logit it takes the value mod t.
    // As above.
    #[inline(never)]
    pub fn handle<S: Store>(
        &mut self,
        frame: Frame<'_>,
        context: &mut ClientContext<'_, S>,
        mut outputs: impl Outputs,
    ) -> Result<(), Error> {
        let window = &self.0;
        let (shape, step) = (window.shape, window.step);
        let Some(part) = step.part() else {
            return Err(frame.unexpected());
        };
        let of_chunk = window.chunk(context.store)?.shape;
        let range = shape.piece_range(of_chunk, step.frame);
        let (_, kind, expected) = shape.frame(part, of_chunk, step.frame);
        match part {
            Part::Recall => {
                let payload = frame.expect_len(kind, expected)?;
                let place = window.place(context, range.len());
                let (sealed, tag) = payload
                    .split_last_chunk::<TAG>()
                    .ok_or(Error::Internal("no tag"))?;
                let bytes = &mut Zeroizing::new([0; MAX_PAYLOAD])[..sealed.len()];
                bytes.copy_from_slice(sealed);
                seal::open(context.seal, &place, bytes, tag)?;
                let chunk = window.chunk(context.store)?;
                chunk.unpack(&shape.relu, range, kind as u8, bytes)?;
            }
            Part::Answers => {
                let payload = frame.expect_len(kind, expected)?;
                let answers = payload.chunks_exact(shape.relu.answer_bytes());
                let records = &mut window.chunk(context.store)?.records[range];
                for (record, answer) in records.iter_mut().zip(answers) {
                    record.answer(&shape.relu, answer, outputs.share()?)?;
                }
            }
            Part::Logits => {
                let payload = frame.expect(kind)?;
                let records = &window.chunk(context.store)?.records[range];
                let mut result = Ok(());
                unpack(kind as u8, payload, T_BITS, T, records.len(), |i, x| {
                    let logit = outputs.logit(T_MOD.add(records[i].kept(), x));
                    result = result.and(logit);
                })?;
                result?;
            }
            _ => return Err(frame.unexpected()),
        }
        self.0.advance(context.store);
        Ok(())
    }
}

/// The outputs of a layer, one after the other, as a window is answered.
pub trait Outputs {
    /// The pseudo-random share mod t of the next one, an activation's.
    fn share(&mut self) -> Result<u32, Error>;
    /// The value mod t of the next one, a logit.
    fn logit(&mut self, value: u32) -> Result<(), Error>;
}
