//! Bindings of [`pixq_core::visibility`].

use pixq_core::visibility::{self, Differences, Viewing};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::args::{self, Maybe};
use crate::array::{Dtype, Output, Pixels};
use crate::error::to_py;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(visible_differences, m)?)
}

/// How strongly two images differ for the eye, patch by patch.
///
/// Patches lie side by side from the top left; those at the right and at the bottom may be smaller. What is beside a patch is
/// seen too, so a patch within an image differs from the same patch alone. Reference and distorted image may change places.
///
/// Parameters
/// ----------
/// reference, distorted
///     (height, width, 3) uint8, sRGB; one shape.
/// size
///     Side of a patch in pixels.
/// pixels_per_degree
///     Pixels per degree of visual angle.
/// peak_luminance
///     Luminance of white in cd/m2, without that of black.
/// black_luminance
///     Luminance in cd/m2 that every pixel has at least: what a display leaks and reflects.
///
/// Returns
/// -------
/// energy
///     (rows, columns) float32: the fourth power of contrast in units of its threshold, summed over frequencies, channels and
///     the patch's area in square degrees; 0 for identical images.
/// colour
///     (rows, columns) float32: the fourth power of half of CIEDE2000 between a patch's mean colours, times its area in square
///     degrees.
/// structure
///     (rows, columns) float32, 0 to 1: how different gradients of luma are, at about 2.5 cycles per degree.
///
/// Raises
/// ------
/// TypeError
///     If images are not uint8, or a number is not one.
/// ValueError
///     If shapes differ, an image has no pixels or not 3 channels, pixels are not contiguous within rows, or a number is not
///     finite and above 0.
/// MemoryError
///     If the results do not fit memory.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> grey = np.full((40, 40, 3), 128, np.uint8)
/// >>> brighter = grey.copy()
/// >>> brighter[25:35, 25:35] += 10
/// >>> energy, colour, structure = _core.visible_differences(
/// ...     grey, brighter, pixels_per_degree=40, peak_luminance=200, black_luminance=0.6
/// ... )
/// >>> energy.shape, int(energy.argmax())
/// ((2, 2), 3)
#[pyfunction]
#[pyo3(
    signature = (reference, distorted, *, size = None, pixels_per_degree, peak_luminance, black_luminance),
    text_signature = "(reference, distorted, *, size=20, pixels_per_degree, peak_luminance, black_luminance)"
)]
fn visible_differences<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    size: Maybe<'_, 'py>,
    pixels_per_degree: &Bound<'py, PyAny>,
    peak_luminance: &Bound<'py, PyAny>,
    black_luminance: &Bound<'py, PyAny>,
) -> PyResult<[Bound<'py, PyAny>; 3]> {
    let reference = Pixels::new("reference", reference)?;
    let distorted = reference.and("distorted", distorted)?;
    reference.same_shape(&distorted)?;
    let (channels, _) = reference.image_channels()?;
    if reference.dtype != Dtype::U8 {
        return Err(PyTypeError::new_err("'reference' and 'distorted' are not uint8; expected 8-bit sRGB images"));
    }
    if channels != 3 {
        return Err(reference.unexpected("(height, width, 3)"));
    }
    let size = size.map_or(Ok(20), |size| args::patch_side("size", size))?;
    let viewing = Viewing {
        pixels_per_degree: args::real("pixels_per_degree", Some(pixels_per_degree), 0.0)?,
        peak_luminance: args::real("peak_luminance", Some(peak_luminance), 0.0)?,
        black_luminance: args::real("black_luminance", Some(black_luminance), 0.0)?,
    };
    let (rows, columns) = visibility::patch_grid(reference.shape()[0], reference.shape()[1], size);
    let mut outputs = [
        Output::<f32>::zeros(py, &[rows, columns])?,
        Output::<f32>::zeros(py, &[rows, columns])?,
        Output::<f32>::zeros(py, &[rows, columns])?,
    ];
    let (r, d) = (reference.view::<u8>()?, distorted.view::<u8>()?);
    let [energy, colour, structure] = outputs.each_mut().map(Output::samples);
    py.detach(|| visibility::differences(&r, &d, &viewing, size, Differences { energy, colour, structure }))
        .map_err(to_py)?;
    Ok(outputs.map(|output| output.finish().into_any()))
}
