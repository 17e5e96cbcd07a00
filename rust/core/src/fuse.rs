//! Fusions: how a reference patch and a distorted patch become one.
//!
//! Every fusion is a weight of the reference at each pixel: 0 outside and `alpha` inside the RoI for a
//! blend, 0 and 1 for a copy, 1 and 0 for a paste, 0 everywhere for none, anything for a mask.
//!
//! A weight `w` gives `floor(w * reference + (1 - w) * distorted + 0.5)` for integers and the same without
//! `+ 0.5` and `floor` for floats, evaluated in `f64` as written and rounded once. Weights 0 and 1 copy.

use crate::checks::{check_len, check_size, check_weight};
use crate::error::{Error, Result};
use crate::view::{Region, Sample, View};

mod at;
mod batch;
mod bytes;
mod kinds;
mod patch_sums;

pub use at::{Measured, fuse_at};
pub use batch::{Rows, fuse, fuse_rows};
pub use kinds::{Fusion, Image, KINDS, Kind, kind_names};
pub use patch_sums::{PatchSums, blend_sum, patch_sums};

/// `floor(alpha * reference + (1 - alpha) * distorted + 0.5)` in `f64`: rounded half up.
#[inline(always)]
pub fn blend_u8(reference: u8, distorted: u8, alpha: f64) -> u8 {
    u8::weigh(reference, distorted, alpha)
}

/// Weighted means of two samples.
pub trait Mix: Sample {
    /// The mean with `weight`, in [0, 1], on the reference.
    fn weigh(reference: Self, distorted: Self, weight: f64) -> Self;
    /// The mean with weight 0.5, which equals `weigh(reference, distorted, 0.5)`.
    fn average(reference: Self, distorted: Self) -> Self;
}

macro_rules! mix_integers {
    ($t:ty, $wide:ty) => {
        impl Mix for $t {
            #[inline(always)]
            fn weigh(reference: Self, distorted: Self, weight: f64) -> Self {
                let mean = weight * f64::from(reference) + (1.0 - weight) * f64::from(distorted) + 0.5;
                // Added to 2^52, a whole number becomes the low bits of the mantissa: unlike `as`, which
                // saturates, that compiles to vectors. The mean is below the type's maximum + 0.6.
                (mean.floor() + 4_503_599_627_370_496.0).to_bits() as $t
            }
            #[inline(always)]
            fn average(reference: Self, distorted: Self) -> Self {
                ((<$wide>::from(reference) + <$wide>::from(distorted) + 1) >> 1) as $t
            }
        }
    };
}
mix_integers!(u8, u16);
mix_integers!(u16, u32);

impl Mix for f32 {
    #[inline(always)]
    fn weigh(reference: Self, distorted: Self, weight: f64) -> Self {
        let mean = weight * f64::from(reference) + (1.0 - weight) * f64::from(distorted);
        // 0 * NaN is NaN and 0 * -1 + 0 loses a sign, so a copy has to be one.
        if weight == 0.0 {
            distorted
        } else if weight == 1.0 {
            reference
        } else {
            mean as f32
        }
    }
    #[inline(always)]
    fn average(reference: Self, distorted: Self) -> Self {
        (0.5 * f64::from(reference) + 0.5 * f64::from(distorted)) as f32
    }
}

/// The source of the samples in one region of a fused patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Source {
    Reference,
    Distorted,
    Average,
    Weight(f64),
}

/// A fusion prepared for one patch shape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Recipe {
    /// `outside` is never a mean.
    Box { outside: Source, inside: Source },
    /// A weight for each sample.
    Mask(Vec<f64>),
}

impl Source {
    fn of(image: Image) -> Self {
        match image {
            Image::Reference => Source::Reference,
            Image::Distorted => Source::Distorted,
        }
    }

    /// The mean in which the reference has `weight`.
    fn mean(weight: f64) -> Self {
        match weight {
            0.0 => Source::Distorted,
            0.5 => Source::Average,
            1.0 => Source::Reference,
            weight => Source::Weight(weight),
        }
    }
}

impl Recipe {
    fn of(fusion: &Fusion) -> Result<Self> {
        fusion.check()?;
        let kind = fusion.kind();
        let inside = kind.inside.map_or_else(|| Source::mean(fusion.alpha().unwrap_or_default()), Source::of);
        Ok(Recipe::Box { outside: Source::of(kind.outside), inside })
    }
}

/// The shape of a patch and its RoI, in samples along a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub rows: usize,
    pub row: usize,
    pub top: usize,
    pub bottom: usize,
    pub left: usize,
    pub right: usize,
}

impl Shape {
    /// 20x20 RGB with a RoI of 12x12 in the middle. Kernels are compiled for it separately: with constant lengths a row
    /// is copied by vector moves, not by a call.
    pub(crate) const DEFAULT: Shape = Shape { rows: 20, row: 60, top: 4, bottom: 16, left: 12, right: 48 };

    #[inline(always)]
    pub(crate) fn samples(&self) -> usize {
        self.rows * self.row
    }
    #[inline(always)]
    pub(crate) fn roi_row(&self) -> usize {
        self.right - self.left
    }
    #[inline(always)]
    pub(crate) fn roi_samples(&self) -> usize {
        (self.bottom - self.top) * self.roi_row()
    }
}

/// Fusions prepared for patches of one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub(crate) size: (usize, usize),
    pub(crate) channels: usize,
    pub(crate) shape: Shape,
    pub(crate) recipes: Vec<Recipe>,
}

impl Plan {
    /// A plan for patches of `size` (height, width) with `channels`.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if `roi` does not lie inside the patch, [`Error::Value`] for a weight outside [0, 1].
    pub fn new(size: (usize, usize), channels: usize, roi: Region, fusions: &[Fusion]) -> Result<Self> {
        let recipes = fusions.iter().map(Recipe::of).collect::<Result<_>>()?;
        Ok(Self { size, channels, shape: Self::shape(size, channels, roi)?, recipes })
    }

    /// The plan with one more fusion after its others: `weights` of the reference for each pixel, packed rows of (height,
    /// width). The mask does not depend on the RoI, which is still measured.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not `size` weights, [`Error::Value`] if one lies outside [0, 1].
    pub fn with_mask(mut self, weights: &[f64]) -> Result<Self> {
        check_len("a mask", weights.len(), &[self.size.0, self.size.1])?;
        weights.iter().try_for_each(|&weight| check_weight("a weight of a mask", weight))?;
        let weights = weights.iter().flat_map(|&weight| std::iter::repeat_n(weight, self.channels)).collect();
        self.recipes.push(Recipe::Mask(weights));
        Ok(self)
    }

    fn shape(size: (usize, usize), channels: usize, roi: Region) -> Result<Shape> {
        check_size(size)?;
        let roi = roi.inside("roi", size.0, size.1)?;
        let fits = size.1.checked_mul(channels).and_then(|row| row.checked_mul(size.0)).is_some();
        if !fits || channels == 0 {
            let value = format!("{}x{}x{channels}", size.0, size.1);
            return Err(Error::Value {
                what: "the patch size",
                value,
                expected: "at least one channel, and a patch that fits in memory",
            });
        }
        Ok(Shape {
            rows: size.0,
            row: size.1 * channels,
            top: roi.y,
            bottom: roi.y + roi.height,
            left: roi.x * channels,
            right: (roi.x + roi.width) * channels,
        })
    }

    /// Fusions in this plan.
    pub fn len(&self) -> usize {
        self.recipes.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.recipes.is_empty()
    }
    /// Samples of one patch.
    pub fn patch_samples(&self) -> usize {
        self.shape.samples()
    }

    pub(crate) fn check_patches(&self, what: &'static str, height: usize, width: usize, channels: usize) -> Result<()> {
        if (height, width, channels) == (self.size.0, self.size.1, self.channels) {
            return Ok(());
        }
        let expected = vec![self.size.0, self.size.1, self.channels];
        Err(Error::Shape { what, found: vec![height, width, channels], expected })
    }
}

/// Means of two rows, or a copy of one.
#[inline(always)]
pub(crate) fn mix<T: Mix>(source: Source, r: &[T], d: &[T], out: &mut [T]) {
    let pairs = r.iter().zip(d).zip(out.iter_mut());
    match source {
        Source::Reference => out.copy_from_slice(r),
        Source::Distorted => out.copy_from_slice(d),
        Source::Average => pairs.for_each(|((&r, &d), out)| *out = T::average(r, d)),
        Source::Weight(weight) => pairs.for_each(|((&r, &d), out)| *out = T::weigh(r, d, weight)),
    }
}

/// Means of two rows with a weight for each sample.
#[inline(always)]
pub(crate) fn mix_masked<T: Mix>(weights: &[f64], r: &[T], d: &[T], out: &mut [T]) {
    for (((&r, &d), &weight), out) in r.iter().zip(d).zip(weights).zip(out) {
        *out = T::weigh(r, d, weight);
    }
}

/// Fuses one patch pair to `out`, packed.
#[inline(always)]
pub(crate) fn fuse_patch<T: Mix>(s: Shape, recipe: &Recipe, r: &View<'_, T>, d: &View<'_, T>, out: &mut [T]) {
    match recipe {
        Recipe::Box { outside, inside } => {
            for y in 0..s.rows {
                let (r, d) = (r.samples(y, 0, s.row), d.samples(y, 0, s.row));
                let out = &mut out[y * s.row..(y + 1) * s.row];
                out.copy_from_slice(if *outside == Source::Reference { r } else { d });
                if inside != outside && y >= s.top && y < s.bottom {
                    let roi = s.left..s.right;
                    mix(*inside, &r[roi.clone()], &d[roi.clone()], &mut out[roi]);
                }
            }
        }
        Recipe::Mask(weights) => {
            for y in 0..s.rows {
                let row = y * s.row..(y + 1) * s.row;
                mix_masked(&weights[row.clone()], r.samples(y, 0, s.row), d.samples(y, 0, s.row), &mut out[row]);
            }
        }
    }
}

/// Weights of the reference: `inside` in `roi`, falling linearly to `outside` over `feather` pixels around it, to `out`,
/// packed rows of `size` (height, width).
///
/// With `n` the larger of the numbers of rows and of columns by which a pixel lies outside the RoI (1 for those that
/// touch it), the weight is `outside + (inside - outside) * max(0, 1 - n / (feather + 1))`.
///
/// # Errors
/// [`Error::OutOfBounds`] if `roi` does not lie inside, [`Error::Value`] for a weight outside [0, 1], [`Error::Shape`]
/// if `out` has another length.
pub fn feather_mask(
    size: (usize, usize),
    roi: Region,
    feather: usize,
    inside: f64,
    outside: f64,
    out: &mut [f64],
) -> Result<()> {
    check_size(size)?;
    let roi = roi.inside("roi", size.0, size.1)?;
    check_weight("inside", inside)?;
    check_weight("outside", outside)?;
    check_len("out", out.len(), &[size.0, size.1])?;
    let beyond =
        |at: usize, start: usize, len: usize| start.saturating_sub(at).max((at + 1).saturating_sub(start + len));
    for (y, row) in out.chunks_exact_mut(size.1).enumerate() {
        for (x, weight) in row.iter_mut().enumerate() {
            let n = beyond(y, roi.y, roi.height).max(beyond(x, roi.x, roi.width));
            *weight = if n == 0 {
                inside
            } else if n > feather {
                outside
            } else {
                let share = 1.0 - n as f64 / (feather as f64 + 1.0);
                (outside + (inside - outside) * share).clamp(inside.min(outside), inside.max(outside))
            };
        }
    }
    Ok(())
}
