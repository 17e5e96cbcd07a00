//! How strongly two images differ for the eye, patch by patch.
//!
//! Three numbers are measured for each patch. *Energy*: what a model of contrast detection sees. Both images become
//! luminance and two opponent colours, in cd/m2 on a display; octave bands of them become contrast, divided by the contrast
//! that is just visible at that frequency and luminance; and the difference is divided by a power of the contrast that both
//! images share there, which masks it. *Colour*: the difference of the patch's mean colour, which no band
//! contains. *Structure*: how different the gradients of luma are, from 0 to 1, at the scale of about 2.5 cycles per degree.
//!
//! The sensitivities were fitted to published thresholds for static targets, of which [`sensitivity`] has the numbers.
//! Everything is symmetric: reference and distorted image may change places.
//!
//! # Determinism
//!
//! Each row of a band is computed on one thread, and each patch sums in a fixed order.

mod colour;
mod contrast;
mod planes;
mod pool;
mod sensitivity;
mod structure;
#[cfg(test)]
mod tests;

pub use pool::Patches;

use crate::checks::check_len;
use crate::error::{Error, Result};
use crate::parallel;
use crate::view::{Batch, View};

/// How the images are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Viewing {
    /// Pixels per degree of visual angle.
    pub pixels_per_degree: f64,
    /// Luminance of white without reflected light, in cd/m2.
    pub peak_luminance: f64,
    /// Luminance of black, in cd/m2, which is added to every pixel.
    pub black_luminance: f64,
}

/// What is measured: one number for each patch, row by row.
#[derive(Debug)]
pub struct Differences<'a> {
    /// The fourth power of contrast in units of its threshold, summed over bands, channels, and the patch's area in square
    /// degrees.
    pub energy: &'a mut [f32],
    /// The fourth power of half of CIEDE2000 between the patch's mean colours, times its area in square degrees.
    pub colour: &'a mut [f32],
    /// A mean over the patch, 0 to 1.
    pub structure: &'a mut [f32],
}

/// Measures the patches of two images.
///
/// # Errors
/// [`Error::Shape`] and [`Error::Value`] if shapes differ, an image is empty or not RGB, or a number is out of range.
pub fn differences(
    reference: &View<'_, u8>,
    distorted: &View<'_, u8>,
    viewing: &Viewing,
    patches: &Patches,
    out: Differences<'_>,
) -> Result<()> {
    reference.same_shape("distorted", distorted)?;
    let [height, width, channels] = reference.shape();
    if channels != 3 || height == 0 || width == 0 {
        let value = format!("{height}x{width} with {channels} channels");
        return Err(Error::Value { what: "an image", value, expected: "at least 1x1 pixel with 3 channels" });
    }
    for (what, value) in [
        ("pixels per degree", viewing.pixels_per_degree),
        ("the peak luminance", viewing.peak_luminance),
        ("the black luminance", viewing.black_luminance),
    ] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(Error::Value { what, value: value.to_string(), expected: "a number above 0" });
        }
    }
    let (rows, columns) = patches.shape();
    let Differences { energy, colour, structure } = out;
    for (what, found) in
        [("the energy", energy.len()), ("the colour", colour.len()), ("the structure", structure.len())]
    {
        check_len(what, found, &[rows, columns])?;
    }
    contrast::measure_energy([reference, distorted], viewing, patches, energy);
    contrast::measure_colour([reference, distorted], patches, colour);
    let degree = viewing.pixels_per_degree as f32;
    energy.iter_mut().chain(colour).for_each(|value| *value /= degree * degree);
    structure::measure([reference, distorted], viewing.pixels_per_degree, patches, structure);
    Ok(())
}

/// Measures pairs of patches, each as if it were a whole image: one number for each.
///
/// # Errors
/// As [`differences`].
pub fn differences_of_patches(
    reference: &Batch<'_, u8>,
    distorted: &Batch<'_, u8>,
    viewing: &Viewing,
    out: Differences<'_>,
) -> Result<()> {
    reference.same_shape("distorted", distorted)?;
    let [count, height, width, _] = reference.shape();
    let Differences { energy, colour, structure } = out;
    for (what, found) in
        [("the energy", energy.len()), ("the colour", colour.len()), ("the structure", structure.len())]
    {
        check_len(what, found, &[count])?;
    }
    let whole = Patches::side_by_side(height, width, height.max(width));
    let results = parallel::map(count * height * width * 100, count, |i| {
        let mut values = [0f32; 3];
        let [energy, colour, structure] = values.each_mut().map(std::slice::from_mut);
        let out = Differences { energy, colour, structure };
        differences(&reference.patch(i), &distorted.patch(i), viewing, &whole, out).map(|()| values)
    });
    for (i, result) in results.into_iter().enumerate() {
        [energy[i], colour[i], structure[i]] = result?;
    }
    Ok(())
}
