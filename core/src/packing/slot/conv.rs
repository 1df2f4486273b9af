//! The server's convolution in slot packing: products with weights, and the rotations that bring
//! taps and channels together.
//! DESIGN section 9; the positions come from [`crate::packing::slot::layout`].
//!
//! With output rotations, diagonals are summed by Horner's rule, the last first: one rotation by the
//! same step between each two, so that the number of rotations is that of the diagonals but one
//! and the number of Galois keys is two.

use alloc::vec::Vec;

use zeroize::Zeroize;

use crate::Error;
use crate::error::Usage;
use crate::packing::slot::cipher::{Ciphertext, Limbs, Plaintext};
use crate::packing::slot::galois::Element;
use crate::packing::slot::layout::{Factor, Schedule, SlotLayout};
use crate::packing::slot::rotate::{GaloisKey, GaloisKeys, Hoisted, rotate};
use crate::params::T_MOD;
use crate::rlwe::ciphertext::zero_poly;
use crate::rlwe::operations::{Rotation, Work};

/// A layer's weights, `[out_channels, in_channels / groups, taps]`, as factors of slots.
pub struct SlotWeights {
    layout: SlotLayout,
    weights: Vec<i32>,
    shifts: Vec<i32>,
    /// All factors, set after set, output, diagonal, input, shift; none if made when needed.
    prepared: Vec<Plaintext>,
}

impl SlotWeights {
    /// Bytes of a prepared factor.
    pub const FACTOR_BYTES: usize = size_of::<Limbs>();

    /// Factors that are made when they are needed: no memory, five transforms a product.
    pub fn on_the_fly(layout: &SlotLayout, weights: &[i32]) -> Self {
        Self {
            layout: *layout,
            weights: weights.to_vec(),
            shifts: layout.shifts().collect(),
            prepared: Vec::new(),
        }
    }

    /// Makes the factors now, in place of the weights.
    pub fn prepare(&mut self) {
        let make = |i| self.make(self.factor(i));
        self.prepared = crate::parallel::map(self.factors(), make);
        self.weights = Vec::new();
    }

    /// Factors that are made now.
    pub fn prepared(layout: &SlotLayout, weights: &[i32]) -> Self {
        let mut this = Self::on_the_fly(layout, weights);
        this.prepare();
        this
    }

    /// Number of factors.
    pub fn factors(&self) -> usize {
        self.layout.sets * self.layout.outputs_per_set * self.layout.diagonals * self.row_len()
    }

    /// Factors of one diagonal of an output.
    fn row_len(&self) -> usize {
        self.layout.inputs_per_set * self.shifts.len()
    }

    fn factor(&self, i: usize) -> Factor {
        let (i, shift) = (i / self.shifts.len(), i % self.shifts.len());
        let (i, input) = (
            i / self.layout.inputs_per_set,
            i % self.layout.inputs_per_set,
        );
        let (i, diagonal) = (i / self.layout.diagonals, i % self.layout.diagonals);
        Factor {
            set: i / self.layout.outputs_per_set,
            output: i % self.layout.outputs_per_set,
            diagonal,
            input,
            shift: self.shifts[shift],
        }
    }

    fn make(&self, factor: Factor) -> Plaintext {
        let mut slots = zero_poly();
        self.layout.weight_slots(&self.weights, factor, |slot, w| {
            slots[slot] = T_MOD.from_i32(w)
        });
        let plaintext = Plaintext::of_slots(&slots);
        slots.zeroize();
        plaintext
    }

    /// sum += the products of one diagonal (its number among all) with `inputs`, by input and shift.
    fn multiply(&self, row: usize, inputs: &[Ciphertext], sum: &mut Ciphertext, work: &mut Work) {
        for (i, input) in inputs.iter().enumerate() {
            let index = row * self.row_len() + i;
            match self.prepared.get(index) {
                Some(factor) => sum.multiply_add(factor, input),
                None => sum.multiply_add(&self.make(self.factor(index)), input),
            }
            work.products += 1;
        }
    }

    /// Rotates the input ciphertexts of one part (a set of a tile; see [`SlotLayout::parts`]) for
    /// the taps, and for the channels if that is the schedule. `keys` must cover
    /// [`SlotLayout::rotations`].
    pub fn rotate_inputs(
        &self,
        inputs: &[Ciphertext],
        keys: &GaloisKeys,
        work: &mut Work,
    ) -> Result<RotatedInputs, Error> {
        if inputs.len() != self.layout.inputs_per_set {
            return Err(Error::Usage(Usage::Argument(
                "the input ciphertexts are not those of a part",
            )));
        }
        let shifts: Vec<_> = self
            .shifts
            .iter()
            .map(|&shift| match shift {
                0 => Ok(None),
                shift => key(keys, Element::rotation(shift)).map(Some),
            })
            .collect::<Result<_, Error>>()?;
        let channels = ChannelKeys::new(&self.layout, keys)?;
        let results = crate::parallel::map(inputs.len(), |i| {
            let mut work = Work::default();
            let diagonals = match self.layout.schedule {
                Schedule::OutputRotations => Vec::from([shift(&inputs[i], &shifts, &mut work)]),
                Schedule::InputRotations => {
                    let moved = channels.all_diagonals(&inputs[i], &self.layout, &mut work);
                    moved.iter().map(|x| shift(x, &shifts, &mut work)).collect()
                }
            };
            (diagonals, work)
        });
        let mut diagonals: Vec<Vec<Ciphertext>> = Vec::new();
        for (rotated, done) in results {
            work.add(&done);
            diagonals.resize_with(rotated.len(), Vec::new);
            for (all, rotated) in diagonals.iter_mut().zip(rotated) {
                all.extend(rotated);
            }
        }
        Ok(RotatedInputs(diagonals))
    }

    /// Output ciphertext `output` of set `set`, from the rotated inputs of one of its tiles.
    pub fn output(
        &self,
        inputs: &RotatedInputs,
        (set, output): (usize, usize),
        keys: &GaloisKeys,
        work: &mut Work,
    ) -> Result<Ciphertext, Error> {
        let diagonals = self.layout.diagonals;
        let first = (set * self.layout.outputs_per_set + output) * diagonals;
        let channels = ChannelKeys::new(&self.layout, keys)?;
        let mut sum = Ciphertext::zero();
        match (self.layout.schedule, &inputs.0[..]) {
            (Schedule::InputRotations, diagonals) => {
                for (d, inputs) in diagonals.iter().enumerate() {
                    self.multiply(first + d, inputs, &mut sum, work);
                }
            }
            (Schedule::OutputRotations, [inputs]) => {
                let columns = diagonals.min(self.layout.columns());
                for row in (0..diagonals / columns).rev() {
                    let mut part = Ciphertext::zero();
                    for d in (row * columns..(row + 1) * columns).rev() {
                        self.multiply(first + d, inputs, &mut part, work);
                        if d > row * columns {
                            part = channels.step(&part, work);
                        }
                    }
                    if row > 0 {
                        sum = channels.swap(&part, work);
                    } else {
                        sum.add(&part);
                    }
                }
            }
            (Schedule::OutputRotations, _) => {
                return Err(Error::Usage(Usage::Argument(
                    "inputs rotated for another schedule",
                )));
            }
        }
        channels.fold(&mut sum, work);
        Ok(sum)
    }
}

/// The inputs of a part, rotated: by diagonal (one, where outputs are rotated), input and shift.
pub struct RotatedInputs(Vec<Vec<Ciphertext>>);

fn key(keys: &GaloisKeys, element: Element) -> Result<&GaloisKey, Error> {
    let missing = Error::Usage(Usage::Argument(
        "a Galois key that the layer needs is missing",
    ));
    keys.get(element).ok_or(missing)
}

/// A ciphertext moved by every shift, its digits made once.
fn shift(input: &Ciphertext, keys: &[Option<&GaloisKey>], work: &mut Work) -> Vec<Ciphertext> {
    let needed = keys.iter().any(Option::is_some);
    let hoisted = needed.then(|| Hoisted::new(input, work));
    let moved = keys.iter().map(|key| match (key, &hoisted) {
        (Some(key), Some(hoisted)) => hoisted.rotate(key, Rotation::Internal, work),
        _ => input.clone(),
    });
    moved.collect()
}

/// The keys of the moves between a lane's blocks, as far as there are such moves.
struct ChannelKeys<'a> {
    step: Option<&'a GaloisKey>,
    swap: Option<&'a GaloisKey>,
    folds: Vec<&'a GaloisKey>,
}

impl<'a> ChannelKeys<'a> {
    fn new(layout: &SlotLayout, keys: &'a GaloisKeys) -> Result<Self, Error> {
        let find = |needed: bool, element| needed.then(|| key(keys, element)).transpose();
        Ok(Self {
            step: find(layout.needs_step(), layout.move_columns(1))?,
            swap: find(layout.span >= 2, Element::SWAP)?,
            folds: (layout.folds().map(|fold| key(keys, fold))).collect::<Result<_, _>>()?,
        })
    }

    fn step(&self, x: &Ciphertext, work: &mut Work) -> Ciphertext {
        rotate_by(x, self.step, work)
    }

    fn swap(&self, x: &Ciphertext, work: &mut Work) -> Ciphertext {
        rotate_by(x, self.swap, work)
    }

    /// The ciphertext moved for each diagonal, in order.
    fn all_diagonals(
        &self,
        input: &Ciphertext,
        layout: &SlotLayout,
        work: &mut Work,
    ) -> Vec<Ciphertext> {
        let mut moved = Vec::from([input.clone()]);
        for d in 1..layout.diagonals {
            let next = match d % layout.columns() {
                0 => self.swap(&moved[0], work),
                _ => self.step(&moved[d - 1], work),
            };
            moved.push(next);
        }
        moved
    }

    /// Adds to each block those that hold other parts of its sum.
    fn fold(&self, x: &mut Ciphertext, work: &mut Work) {
        for key in &self.folds {
            x.add(&rotate(x, key, Rotation::External, work));
        }
    }
}

/// A rotation for channels; without a key there is nothing to rotate.
fn rotate_by(x: &Ciphertext, key: Option<&GaloisKey>, work: &mut Work) -> Ciphertext {
    match key {
        Some(key) => rotate(x, key, Rotation::External, work),
        None => x.clone(),
    }
}
