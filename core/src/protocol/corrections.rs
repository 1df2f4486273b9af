//! The corrections of an extension on their way, a frame with those of up to 16 trees.
//! `docs/design.md#oblivious-transfer`; `docs/protocol.md` has the sizes.

use core::ops::Range;

use super::frame::{Frame, FrameBuf, Kind, write};
use crate::Error;
use crate::ot::{
    Code, Direction, FORWARD, LANE, Lane, Plane, REVERSE, ReceiverTrees, SenderTrees,
    receiver_words, transpose,
};
use crate::random::BLOCK_WORDS;

/// Trees whose corrections share a frame.
const TREES_PER_FRAME: usize = 16;

/// What is public of a call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Decides the kind of its frames.
    pub direction: Direction,
    /// Columns a tree.
    pub k_s: u32,
    /// What the rows of both lanes choose from.
    pub codes: [Code; 2],
    /// Rows of each lane that are used, at most 256.
    pub rows: usize,
}

impl Call {
    fn kind(&self) -> Kind {
        match self.direction {
            Direction::Forward => Kind::ForwardCorrection,
            Direction::Reverse => Kind::ReverseCorrection,
        }
    }

    /// Trees, to the last one that a code covers.
    fn trees(&self) -> usize {
        let digits = self.codes.iter().any(|code| matches!(code, Code::Digit(_)));
        (if digits { FORWARD } else { REVERSE }) / self.k_s as usize
    }

    /// With the first frame, erases the columns of trees that have no part in the call.
    fn begin(&self, frame: usize, scratch: &mut [u32]) {
        if frame == 0 {
            let part = self.trees() * self.k_s as usize * BLOCK_WORDS;
            let all = receiver_words(self.direction);
            let rest = scratch.iter_mut().take(all).skip(part);
            rest.for_each(|word| *word = 0);
        }
    }

    /// Whether a frame is the last one: then the rows are made of the columns.
    fn end(&self, frame: usize, scratch: &mut [u32]) -> Result<bool, Error> {
        let last = frame + 1 == self.frames();
        if last {
            transpose(self.direction, self.codes, self.k_s, scratch)?;
        }
        Ok(last)
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.trees().div_ceil(TREES_PER_FRAME)
    }

    fn trees_in(&self, frame: usize) -> Range<usize> {
        frame * TREES_PER_FRAME..((frame + 1) * TREES_PER_FRAME).min(self.trees())
    }

    /// Bytes of one lane's correction in one tree.
    fn plane_bytes(&self) -> usize {
        self.rows.div_ceil(8)
    }

    /// Payload bytes of a frame.
    pub fn frame_bytes(&self, frame: usize) -> usize {
        let covered = |tree| {
            let codes = self.codes.iter();
            codes.filter(|code| code.covers(tree, self.k_s)).count()
        };
        self.trees_in(frame).map(covered).sum::<usize>() * self.plane_bytes()
    }

    /// The receiver: extends the trees of a frame, and writes their corrections. With the last frame the
    /// rows are there.
    pub fn write(
        &self,
        number: u64,
        frame: usize,
        (trees, lanes): (&ReceiverTrees, [&Lane; 2]),
        scratch: &mut [u32],
        out: &mut FrameBuf,
    ) -> Result<usize, Error> {
        self.begin(frame, scratch);
        let (mut result, size) = (Ok(()), self.plane_bytes());
        let len = write(out, self.kind(), |payload| {
            let mut at = 0;
            for tree in self.trees_in(frame) {
                let emit = |_, plane: &Plane| {
                    self.write_plane(plane, &mut payload[at..][..size]);
                    at += size;
                };
                let extended = trees.extend(number, tree, lanes, scratch, emit);
                result = result.and(extended);
            }
            at
        });
        result.and_then(|()| self.end(frame, scratch)).map(|_| len)
    }

    /// Writes the bits of the rows that are used.
    fn write_plane(&self, plane: &Plane, out: &mut [u8]) {
        let words = plane.iter().flat_map(|word| word.to_le_bytes());
        out.iter_mut().zip(words).for_each(|(to, from)| *to = from);
        if let (Some(last), used @ 1..) = (out.last_mut(), self.rows % 8) {
            *last &= (1 << used) - 1;
        }
    }

    /// The sender: takes a frame apart, and hands out each tree with its corrections; zeros stand for
    /// those that do not exist.
    pub fn read(
        &self,
        frame: Frame<'_>,
        index: usize,
        mut take: impl FnMut(usize, &[Plane; 2]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let payload = frame.expect_len(self.kind(), self.frame_bytes(index))?;
        let mut planes = payload.chunks_exact(self.plane_bytes());
        for tree in self.trees_in(index) {
            let mut corrections = [[0; LANE / 32]; 2];
            for (code, correction) in self.codes.iter().zip(&mut corrections) {
                if code.covers(tree, self.k_s) {
                    // The length was checked above.
                    let plane = planes.next().unwrap_or_default();
                    self.read_plane(plane, correction)?;
                }
            }
            take(tree, &corrections)?;
        }
        Ok(())
    }

    fn read_plane(&self, bytes: &[u8], plane: &mut Plane) -> Result<(), Error> {
        for (i, byte) in bytes.iter().enumerate() {
            plane[i / 4] |= u32::from(*byte) << (8 * (i % 4));
        }
        match (bytes.last(), self.rows % 8) {
            (Some(last), used @ 1..) if last >> used != 0 => Err(Error::DirtyPadding),
            _ => Ok(()),
        }
    }

    /// The sender: absorbs a frame; true with the last one of the call, when the rows are there.
    pub fn absorb<const COLUMNS: usize>(
        &self,
        number: u64,
        (frame, index): (Frame<'_>, usize),
        trees: &SenderTrees<COLUMNS>,
        scratch: &mut [u32],
    ) -> Result<bool, Error> {
        self.begin(index, scratch);
        self.read(frame, index, |tree, corrections| {
            trees.absorb(number, tree, self.codes, corrections, scratch)
        })?;
        self.end(index, scratch)
    }
}
