//! The server's convolution in slot packing: products with weights, and the rotations that bring
//! taps and channels together.
//! `docs/design.md#rotations`; the positions come from [`SlotLayout`].
//!
//! With output rotations, diagonals are summed by Horner's rule, the last first: one rotation by the
//! same step between each two, so that the number of rotations is that of the diagonals but one
//! and the number of Galois keys is two.

use alloc::sync::Arc;
use alloc::vec::Vec;

use zeroize::Zeroize;

use super::{FactorId, Schedule, SlotLayout};
use crate::Error;
use crate::arith::field::T_MOD;
use crate::packing::factors::Factors;
use crate::packing::{Layout, Weights};
use crate::rlwe::galois::{Element, GaloisKey, GaloisKeys, Hoisted, rotate};
use crate::rlwe::{Factor, Operations, Ring8192, Rotation, zero_poly};

type Ciphertext = crate::rlwe::Ciphertext<Ring8192>;

/// A layer's weights, `[out_channels, in_channels / groups, taps]`, as factors of slots.
pub struct SlotWeights {
    layout: SlotLayout,
    weights: Arc<[i32]>,
    shifts: Vec<i32>,
    /// Set after set, output, diagonal, input, shift.
    factors: Factors<Ring8192>,
}

impl SlotWeights {
    /// Weights whose factors are kept, or made again for every product: no memory, five transforms.
    pub fn new(
        layout: &SlotLayout,
        weights: impl Into<Arc<[i32]>>,
        keep: impl FnOnce(usize) -> bool,
    ) -> Self {
        let shifts: Vec<_> = layout.shifts().collect();
        let rows = layout.sets * layout.outputs_per_set * layout.diagonals;
        let count = rows * layout.inputs_per_set * shifts.len();
        Self {
            layout: *layout,
            weights: weights.into(),
            shifts,
            factors: Factors::new(count, keep),
        }
    }

    /// Factors of one diagonal of an output.
    fn row_len(&self) -> usize {
        self.layout.inputs_per_set * self.shifts.len()
    }

    fn factor(&self, i: usize) -> FactorId {
        let (i, shift) = (i / self.shifts.len(), i % self.shifts.len());
        let (i, input) = (
            i / self.layout.inputs_per_set,
            i % self.layout.inputs_per_set,
        );
        let (i, diagonal) = (i / self.layout.diagonals, i % self.layout.diagonals);
        FactorId {
            set: i / self.layout.outputs_per_set,
            output: i % self.layout.outputs_per_set,
            diagonal,
            input,
            shift: self.shifts[shift],
        }
    }

    fn make(&self, i: usize) -> Factor<Ring8192> {
        let mut values = zero_poly::<Ring8192>();
        let put = |place: usize, w| values[place] = T_MOD.residue(w);
        self.layout.weight_slots(&self.weights, self.factor(i), put);
        self.layout.encode(&mut values);
        let factor = Factor::<Ring8192>::lift(&values);
        values.zeroize();
        factor
    }

    /// sum += the products of one diagonal (its number among all) with `inputs`, by input and shift.
    fn multiply(
        &self,
        row: usize,
        inputs: &[Ciphertext],
        sum: &mut Ciphertext,
        operations: &mut Operations,
    ) {
        for (i, input) in inputs.iter().enumerate() {
            let index = row * self.row_len() + i;
            let add = |factor: &_| sum.multiply_add(factor, input);
            self.factors.with(index, |i| self.make(i), add, operations);
            operations.products += 1;
        }
    }

    /// Rotates the input ciphertexts of one part (a set of a tile; see [`SlotLayout::parts`]) for
    /// the taps, and for the channels if that is the schedule: by diagonal (one, where outputs are
    /// rotated), input and shift.
    fn rotate_inputs(
        &self,
        inputs: &[Ciphertext],
        moves: &Moves<'_>,
        operations: &mut Operations,
    ) -> Vec<Vec<Ciphertext>> {
        let results = crate::parallel::map(inputs.len(), |i| {
            let mut done = Operations::default();
            let aligned = match self.layout.schedule {
                Schedule::OutputRotations => Vec::from([inputs[i].clone()]),
                Schedule::InputRotations => {
                    moves.all_diagonals(&inputs[i], &self.layout, &mut done)
                }
            };
            let shifted = aligned.iter().map(|x| moves.shift(x, &mut done));
            (shifted.collect::<Vec<_>>(), done)
        });
        let mut diagonals: Vec<Vec<Ciphertext>> = Vec::new();
        for rotated in operations.collect(results) {
            diagonals.resize_with(rotated.len(), Vec::new);
            for (all, rotated) in diagonals.iter_mut().zip(rotated) {
                all.extend(rotated);
            }
        }
        diagonals
    }

    /// An output ciphertext from the rotated inputs of one of its tiles; `output` counts over all
    /// sets.
    fn sum(
        &self,
        inputs: &[Vec<Ciphertext>],
        output: usize,
        moves: &Moves<'_>,
        operations: &mut Operations,
    ) -> Ciphertext {
        let diagonals = self.layout.diagonals;
        let first = output * diagonals;
        let mut sum = Ciphertext::zero();
        match self.layout.schedule {
            Schedule::InputRotations => {
                for (d, inputs) in inputs.iter().enumerate() {
                    self.multiply(first + d, inputs, &mut sum, operations);
                }
            }
            Schedule::OutputRotations => {
                let columns = diagonals.min(self.layout.columns());
                for row in (0..diagonals / columns).rev() {
                    let mut part = Ciphertext::zero();
                    for d in (row * columns..(row + 1) * columns).rev() {
                        self.multiply(first + d, &inputs[0], &mut part, operations);
                        if d > row * columns {
                            part = align(&part, moves.step, operations);
                        }
                    }
                    if row > 0 {
                        sum = align(&part, moves.swap, operations);
                    } else {
                        sum.add(&part);
                    }
                }
            }
        }
        // Adds to each block those that hold other parts of its sum.
        for key in &moves.folds {
            sum.add(&rotate(&sum, key, Rotation::External, operations));
        }
        sum
    }
}

impl Weights for SlotWeights {
    type Layout = SlotLayout;
    type Keys = GaloisKeys;

    fn layout(&self) -> &SlotLayout {
        &self.layout
    }

    fn prepare(&self) {
        self.factors.prepare(|i| self.make(i));
    }

    /// `keys` must cover [`SlotLayout::rotations`].
    fn apply<T: Send>(
        &self,
        inputs: &[Ciphertext],
        keys: &GaloisKeys,
        operations: &mut Operations,
        finish: impl Fn(usize, Ciphertext) -> T + Sync,
    ) -> Result<Vec<T>, Error> {
        let moves = Moves::new(&self.layout, keys)?;
        let SlotLayout {
            inputs_per_set,
            outputs_per_set,
            sets,
            ..
        } = self.layout;
        // One part after the other, whosever it is: an inference's rotated ciphertexts are many times
        // its own ones.
        let mut all = Vec::new();
        for (part, inputs) in inputs.chunks_exact(inputs_per_set).enumerate() {
            let rotated = self.rotate_inputs(inputs, &moves, operations);
            let results = crate::parallel::map(outputs_per_set, |output| {
                let mut done = Operations::default();
                let number = part % sets * outputs_per_set + output;
                let sum = self.sum(&rotated, number, &moves, &mut done);
                (finish(part * outputs_per_set + output, sum), done)
            });
            all.extend(operations.collect(results));
        }
        Ok(all)
    }
}

/// The keys of a layer's moves, as far as there are such moves.
struct Moves<'a> {
    /// For the taps, by shift.
    shifts: Vec<Option<&'a GaloisKey>>,
    /// Between a lane's blocks.
    step: Option<&'a GaloisKey>,
    swap: Option<&'a GaloisKey>,
    folds: Vec<&'a GaloisKey>,
}

impl<'a> Moves<'a> {
    fn new(layout: &SlotLayout, keys: &'a GaloisKeys) -> Result<Self, Error> {
        let missing = Error::Internal("a Galois key that the layer needs is missing");
        let key = |element| keys.get(element).ok_or(missing);
        let find = |needed: bool, element| needed.then(|| key(element)).transpose();
        let shift = |shift| find(shift != 0, Element::rotation(shift));
        Ok(Self {
            shifts: layout.shifts().map(shift).collect::<Result<_, _>>()?,
            step: find(layout.needs_step(), layout.move_columns(1))?,
            swap: find(layout.span >= 2, Element::SWAP)?,
            folds: layout.folds().map(key).collect::<Result<_, _>>()?,
        })
    }

    /// A ciphertext moved by every shift, its digits made once.
    fn shift(&self, input: &Ciphertext, operations: &mut Operations) -> Vec<Ciphertext> {
        let needed = self.shifts.iter().any(Option::is_some);
        let hoisted = needed.then(|| Hoisted::new(input, operations));
        let moved = self.shifts.iter().map(|key| match (key, &hoisted) {
            (Some(key), Some(hoisted)) => hoisted.rotate(key, Rotation::Internal, operations),
            _ => input.clone(),
        });
        moved.collect()
    }

    /// The ciphertext moved for each diagonal, in order.
    fn all_diagonals(
        &self,
        input: &Ciphertext,
        layout: &SlotLayout,
        operations: &mut Operations,
    ) -> Vec<Ciphertext> {
        let mut moved = Vec::from([input.clone()]);
        for d in 1..layout.diagonals {
            let next = match d % layout.columns() {
                0 => align(&moved[0], self.swap, operations),
                _ => align(&moved[d - 1], self.step, operations),
            };
            moved.push(next);
        }
        moved
    }
}

/// A rotation for channels; without a key there is nothing to rotate.
fn align(x: &Ciphertext, key: Option<&GaloisKey>, operations: &mut Operations) -> Ciphertext {
    match key {
        Some(key) => rotate(x, key, Rotation::External, operations),
        None => x.clone(),
    }
}
