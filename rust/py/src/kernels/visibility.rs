//! Bindings of [`pixq_core::visibility`].

use numpy::Ix1;
use pixq_core::visibility::{self, Differences, Patches, Viewing};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::args::{self, Maybe};
use crate::array::{Dtype, Output, Pixels, readonly};
use crate::error::to_py;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(visible_differences, m)?)
}

/// How strongly two images differ for the eye, patch by patch.
///
/// Patches lie side by side from the top left, and those at the right and at the bottom may be smaller; or where `ys` and `xs`
/// say. What is beside a patch is seen too, so a patch within an image differs from the same patch alone. Reference and
/// distorted image may change places.
///
/// Parameters
/// ----------
/// reference, distorted
///     (height, width, 3) uint8, sRGB, or (n, height, width, 3) for patches, each of which is seen alone; one shape.
/// size
///     Side of a patch of an image in pixels.
/// ys, xs
///     (rows,) and (columns,) int64: the first row and column of pixels of each row and column of patches.
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
///     (rows, columns) float32, or (n,) for patches: the fourth power of contrast in units of its threshold, summed over frequencies, channels and
///     the patch's area in square degrees; 0 for identical images.
/// colour
///     Of the same shape, float32: the fourth power of half of CIEDE2000 between a patch's mean colours, times its area in square
///     degrees.
/// structure
///     Of the same shape, float32, 0 to 1: how different gradients of luma are, at about 2.5 cycles per degree.
///
/// Raises
/// ------
/// TypeError
///     If images are not uint8, or a number is not one.
/// ValueError
///     If shapes differ, an image has no pixels or not 3 channels, pixels are not contiguous within rows, a patch does not lie
///     inside the image, only one of `ys` and `xs` is given, or a number is not finite and above 0.
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
    signature = (reference, distorted, *, size = None, ys = None, xs = None, pixels_per_degree, peak_luminance, black_luminance),
    text_signature = "(reference, distorted, *, size=20, ys=None, xs=None, pixels_per_degree, peak_luminance, black_luminance)"
)]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
fn visible_differences<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    size: Maybe<'_, 'py>,
    ys: Maybe<'_, 'py>,
    xs: Maybe<'_, 'py>,
    pixels_per_degree: &Bound<'py, PyAny>,
    peak_luminance: &Bound<'py, PyAny>,
    black_luminance: &Bound<'py, PyAny>,
) -> PyResult<[Bound<'py, PyAny>; 3]> {
    let reference = Pixels::new("reference", reference)?;
    let distorted = reference.and("distorted", distorted)?;
    reference.same_shape(&distorted)?;
    let batch = reference.shape().len() == 4;
    let (channels, _) = if batch { reference.batch_channels()? } else { reference.image_channels()? };
    if reference.dtype != Dtype::U8 {
        return Err(PyTypeError::new_err("'reference' and 'distorted' are not uint8; expected 8-bit sRGB images"));
    }
    if channels != 3 {
        return Err(reference.unexpected("(height, width, 3) or (n, height, width, 3)"));
    }
    let size = size.map_or(Ok(20), |size| args::patch_side("size", size))?;
    let viewing = Viewing {
        pixels_per_degree: args::real("pixels_per_degree", Some(pixels_per_degree), 0.0)?,
        peak_luminance: args::real("peak_luminance", Some(peak_luminance), 0.0)?,
        black_luminance: args::real("black_luminance", Some(black_luminance), 0.0)?,
    };
    let (height, width) = (reference.shape()[0], reference.shape()[1]);
    let patches = match (ys, xs) {
        _ if batch => None,
        (None, None) => Some(Patches::side_by_side(height, width, size)),
        (Some(ys), Some(xs)) => {
            let (ys, xs) = (starts("ys", ys)?, starts("xs", xs)?);
            Some(Patches::at(&ys, &xs, size, height, width).map_err(to_py)?)
        }
        _ => return Err(PyValueError::new_err("'ys' and 'xs' go together; give both, or none")),
    };
    let shape = patches.as_ref().map_or_else(|| vec![height], |patches| vec![patches.shape().0, patches.shape().1]);
    let mut outputs =
        [Output::<f32>::zeros(py, &shape)?, Output::<f32>::zeros(py, &shape)?, Output::<f32>::zeros(py, &shape)?];
    let [energy, colour, structure] = outputs.each_mut().map(Output::samples);
    let out = Differences { energy, colour, structure };
    if let Some(patches) = patches {
        let (r, d) = (reference.view::<u8>()?, distorted.view::<u8>()?);
        py.detach(|| visibility::differences(&r, &d, &viewing, &patches, out)).map_err(to_py)?;
    } else {
        let (r, d) = (reference.batch::<u8>()?, distorted.batch::<u8>()?);
        py.detach(|| visibility::differences_of_patches(&r, &d, &viewing, out)).map_err(to_py)?;
    }
    Ok(outputs.map(|output| output.finish().into_any()))
}

/// The first pixels of rows or columns of patches.
fn starts(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    let array = readonly::<i64, Ix1>(name, object, "an int64 array of one axis")?;
    Ok(array.as_array().to_vec())
}
