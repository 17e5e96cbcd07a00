//! The models that the core computes, by name. To add one, write its module in this folder, declare it here and add a row to [`MODELS`].

pub mod monotone;
pub mod tiny;

use crate::error::{Error, Result};
use crate::view::View;

/// What a model computes with.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Buffers and parameters one after the other, in the model's order.
    pub parameters: &'a [f32],
    /// Factors of the nine channels: three each of reference, distorted and difference.
    pub scale: &'a [f32; 9],
    /// Offsets of the nine channels, added after the factors.
    pub shift: &'a [f32; 9],
}

/// A model that scores patches where they lie in two images.
pub trait Model: Send + Sync {
    /// How many numbers its parameters are.
    fn parameter_count(&self) -> usize;

    /// How many scores each patch gets.
    fn members(&self) -> usize {
        1
    }

    /// Bytes that a call takes besides its arguments, for `patches` of `size` in images of the extent (height, width).
    fn work_bytes(&self, _extent: (usize, usize), _size: (usize, usize), _patches: usize) -> usize {
        0
    }

    /// Writes the scores of the patches at `corners`, and how much each counts in its image's score, (n, members) each.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Value`] and [`Error::OutOfBounds`] if shapes, numbers or corners do not fit.
    fn score_at(
        &self,
        weights: &Weights<'_>,
        images: [&View<'_, u8>; 2],
        corners: &[(usize, usize)],
        size: (usize, usize),
        out: [&mut [f32]; 2],
    ) -> Result<()>;
}

/// Options of a model by name. Each is taken once, so that what is left is unknown.
#[derive(Debug)]
pub struct Options(pub Vec<(String, i64)>);

impl Options {
    /// Takes an option that must be there, and in `range`, which `expected` describes.
    ///
    /// # Errors
    /// [`Error::Value`] if it is missing or outside its range.
    pub fn take(
        &mut self,
        what: &'static str,
        range: std::ops::RangeInclusive<i64>,
        expected: &'static str,
    ) -> Result<usize> {
        let found =
            self.0.iter().position(|(name, _)| name == what.trim_matches('\'')).map(|at| self.0.swap_remove(at).1);
        match found {
            Some(value) if range.contains(&value) => Ok(value as usize),
            Some(value) => Err(Error::Value { what, value: value.to_string(), expected }),
            None => Err(Error::Value { what, value: "missing".into(), expected }),
        }
    }
}

type Open = fn(&mut Options) -> Result<Box<dyn Model>>;

/// The models by name, as recipes have them.
pub const MODELS: &[(&str, Open)] = &[("monotone", monotone::open), ("tiny", tiny::open)];

/// Opens the model called `name`.
///
/// # Errors
/// [`Error::Value`] if there is no such model, or an option is missing, unknown or outside its range.
pub fn open(name: &str, mut options: Options) -> Result<Box<dyn Model>> {
    let Some((_, open)) = MODELS.iter().find(|(model, _)| *model == name) else {
        return Err(Error::Value {
            what: "the model",
            value: format!("{name:?}"),
            expected: "one that the core computes",
        });
    };
    let model = open(&mut options)?;
    match options.0.first() {
        None => Ok(model),
        Some((option, _)) => {
            Err(Error::Value { what: "an option", value: format!("{option:?}"), expected: "one of this model" })
        }
    }
}
