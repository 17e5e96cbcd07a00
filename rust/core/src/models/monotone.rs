//! The model `monotone`: statistics of a patch pair, and an ensemble of small nets whose score can only fall as most of them grow.
//!
//! `pixq.models.monotone` is its definition, with the reasons; this is its forward pass, for patches where they lie in images.
//!
//! # Determinism
//!
//! A patch is scored on one thread, with sums in an order of their own: results do not depend on the number of threads, nor on
//! which other patches are scored.

mod nets;
mod statistics;
#[cfg(test)]
mod tests;

pub use self::nets::parameter_count;
use self::nets::{Nets, WIDTH};
use self::statistics::{Room, statistics};
use crate::checks::check_len;
use crate::error::{Error, Result};
use crate::models::{Model, Options, Weights};
use crate::parallel;
use crate::tile::check_corners;
use crate::view::{Region, View};

/// Rows and columns of a patch must be multiples of this, because the statistics halve it twice.
pub const MULTIPLE: usize = 4;

/// Patches in one job.
const JOB: usize = 64;

/// An ensemble of nets.
#[derive(Clone, Copy, Debug)]
pub struct Ensemble<'a> {
    /// How many nets there are.
    pub members: usize,
    /// Whether a patch's weight in an image's score is learned.
    pub learned: bool,
    /// Means and scales of the statistics, then what was trained; see `pixq._core.score_at` for the order.
    pub parameters: &'a [f32],
    /// Factors of the channels of reference and distorted; the rest is not used.
    pub scale: &'a [f32; 9],
    /// Offsets of those channels, added after the factors.
    pub shift: &'a [f32; 9],
}

/// The model without its weights.
#[derive(Clone, Copy)]
struct Monotone {
    members: usize,
    learned: bool,
}

/// The model with its options `members` and `learned`; see [`crate::models::open`].
///
/// # Errors
/// [`Error::Value`] if an option is missing or outside its range.
pub fn open(options: &mut Options) -> Result<Box<dyn Model>> {
    let members = options.take("'members'", 1..=1024, "1 to 1024")?;
    let learned = options.take("'learned'", 0..=1, "true or false")? == 1;
    Ok(Box::new(Monotone { members, learned }))
}

impl Model for Monotone {
    fn parameter_count(&self) -> usize {
        parameter_count(self.members, self.learned)
    }

    fn members(&self) -> usize {
        self.members
    }

    fn score_at(
        &self,
        weights: &Weights<'_>,
        [reference, distorted]: [&View<'_, u8>; 2],
        corners: &[(usize, usize)],
        size: (usize, usize),
        [scores, weight]: [&mut [f32]; 2],
    ) -> Result<()> {
        let (Self { members, learned }, Weights { parameters, scale, shift }) = (*self, *weights);
        let ensemble = Ensemble { members, learned, parameters, scale, shift };
        score_at(&ensemble, reference, distorted, corners, size, scores, weight)
    }
}

/// Scores and weights of the patches at `corners` of two images, (n, members) each.
///
/// # Errors
/// [`Error::Shape`], [`Error::Value`] and those of [`check_corners`] if shapes, numbers or corners do not fit.
pub fn score_at(
    model: &Ensemble<'_>,
    reference: &View<'_, u8>,
    distorted: &View<'_, u8>,
    corners: &[(usize, usize)],
    size: (usize, usize),
    raw: &mut [f32],
    weight: &mut [f32],
) -> Result<()> {
    reference.same_shape("distorted", distorted)?;
    let (height, width) = size;
    if !(height.is_multiple_of(MULTIPLE) && width.is_multiple_of(MULTIPLE)) || reference.channels() != 3 {
        let value = format!("{height}x{width} with {} channels", reference.channels());
        let expected = "multiples of 4 pixels a side with 3 channels";
        return Err(Error::Value { what: "a patch", value, expected });
    }
    check_corners(reference.height(), reference.width(), size, corners)?;
    if model.members == 0 {
        return Err(Error::Value { what: "the number of members", value: "0".into(), expected: "1 or more" });
    }
    let count = parameter_count(model.members, model.learned);
    check_len("the parameters", model.parameters.len(), &[count])?;
    for (what, found) in [("the scores", raw.len()), ("the weights", weight.len())] {
        check_len(what, found, &[corners.len().saturating_mul(model.members)])?;
    }
    let nets = Nets::new(model.members, model.learned, model.parameters);
    // The network sees channels of 0 to 1, and the statistics take them to 0 to 255 again.
    let scaling: [[f32; 6]; 2] =
        [model.scale, model.shift].map(|of| std::array::from_fn(|channel| of[channel] * 255.0));
    let jobs: Vec<_> = corners
        .chunks(JOB)
        .zip(raw.chunks_mut(JOB * model.members))
        .zip(weight.chunks_mut(JOB * model.members))
        .collect();
    parallel::for_each(corners.len() * height * width * 6, jobs, |((corners, raw), weight)| {
        let mut room = Room::new(height, width);
        parallel::vectorised(
            #[inline(always)]
            || {
                let each = raw.chunks_exact_mut(model.members).zip(weight.chunks_exact_mut(model.members));
                for (&(y, x), (raw, weight)) in corners.iter().zip(each) {
                    let region = Region { y, x, height, width };
                    let pair = [reference, distorted].map(|image| image.crop("a patch", region));
                    let [Ok(reference), Ok(distorted)] = pair else { continue };
                    let mut numbers = [0.0; WIDTH];
                    statistics([reference, distorted], &scaling, &mut room, &mut numbers);
                    nets.score(&numbers, raw, weight);
                }
            },
        );
    });
    Ok(())
}
