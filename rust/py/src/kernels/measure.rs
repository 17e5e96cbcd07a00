//! Bindings of [`pixq_core::psnr`], [`pixq_core::equal`] and [`pixq_core::sample::local_variance`].

use pixq_core::{equal, psnr, sample, tile};
use pyo3::prelude::*;

use super::args::{self, Maybe, size_or_20};
use super::corners;
use crate::array::{Output, Pixels, by_dtype};
use crate::error::to_py;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(mse, m)?)?;
    m.add_function(wrap_pyfunction!(psnr_py, m)?)?;
    m.add_function(wrap_pyfunction!(equal_at, m)?)?;
    m.add_function(wrap_pyfunction!(local_variance, m)?)
}

/// Mean squared error between two images, or of every pair of two batches.
///
/// Sums over integers are exact; over float32 they are float64 in a fixed order.
///
/// Parameters
/// ----------
/// reference, distorted
///     (height, width), (height, width, 1 or 3), or batches (n, height, width, 1 or 3); uint8, uint16 or float32; one shape
///     and dtype.
/// roi
///     (y, x, height, width): only that part of the image or of each patch.
///
/// Returns
/// -------
/// A float, or (n,) float64 for batches.
///
/// Raises
/// ------
/// TypeError
///     If a dtype is another, or `roi` is not four whole numbers.
/// ValueError
///     If shapes differ, there are no pixels, or the RoI does not lie inside.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> _core.mse(np.array([[1, 2]], np.uint8), np.array([[1, 5]], np.uint8))
/// 4.5
#[pyfunction]
#[pyo3(signature = (reference, distorted, *, roi = None))]
fn mse<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    roi: Maybe<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    measured(py, reference, distorted, roi, None)
}

/// Peak signal-to-noise ratio, `10 log10(data_range^2 / mse)` in dB; infinite where there is no error.
///
/// Parameters
/// ----------
/// reference, distorted, roi
///     As for `mse`.
/// data_range
///     The distance from black to white: 255, 65535 or 1.0 by dtype by default.
///
/// Returns
/// -------
/// A float, or (n,) float64 for batches.
///
/// Raises
/// ------
/// TypeError, ValueError
///     As for `mse`, and if `data_range` is not finite and above 0.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> round(_core.psnr(np.zeros((2, 2), np.uint8), np.full((2, 2), 51, np.uint8)), 6)  # 20 log10(5)
/// 13.9794
#[pyfunction]
#[pyo3(name = "psnr", signature = (reference, distorted, *, roi = None, data_range = None))]
fn psnr_py<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    roi: Maybe<'_, 'py>,
    data_range: Maybe<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let range = data_range.map(|range| args::real("data_range", Some(range), 0.0)).transpose()?;
    measured(py, reference, distorted, roi, Some(range))
}

/// The PSNR with a `range`, the mean squared error without.
fn measured<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    roi: Maybe<'_, 'py>,
    range: Option<Option<f64>>,
) -> PyResult<Bound<'py, PyAny>> {
    let reference = Pixels::new("reference", reference)?;
    let distorted = reference.and("distorted", distorted)?;
    reference.same_shape(&distorted)?;
    let batch = reference.shape().len() == 4;
    let axes = if batch {
        reference.batch_channels()?;
        &reference.shape()[1..]
    } else {
        reference.image_channels()?;
        reference.shape()
    };
    let roi = args::roi(roi, axes[0], axes[1])?;
    by_dtype!(reference.dtype, T => {
        if batch {
            let (r, d) = (reference.batch::<T>()?, distorted.batch::<T>()?);
            let mut out = Output::<f64>::zeros(py, &[r.len()])?;
            let values = out.samples();
            py.detach(|| match range {
                Some(range) => psnr::psnr_each(&r, &d, roi, range, values),
                None => psnr::mse_each(&r, &d, roi, values),
            })
            .map_err(to_py)?;
            return Ok(out.finish().into_any());
        }
        let (r, d) = (reference.view::<T>()?, distorted.view::<T>()?);
        let value = py
            .detach(|| match range {
                Some(range) => psnr::psnr(&r, &d, roi, range),
                None => psnr::mse(&r, &d, roi),
            })
            .map_err(to_py)?;
        Ok(value.into_pyobject(py)?.into_any())
    })
}

/// Whether patches of two images are equal in every pixel.
///
/// A patch is looked at up to the first rows that differ. Floats are compared as numbers: -0.0 equals 0.0, and NaN nothing,
/// itself included.
///
/// Parameters
/// ----------
/// reference, distorted
///     (height, width) or (height, width, 1 or 3), uint8, uint16 or float32; one shape and dtype; rows may be strided or
///     reversed.
/// coords
///     (n, 2) int64: y, x of each patch. Patches may overlap.
/// size
///     Pixels, one number or (rows, columns).
///
/// Returns
/// -------
/// (n,) bool.
///
/// Raises
/// ------
/// TypeError
///     If a dtype is another, or a size is not whole numbers.
/// ValueError
///     If shapes differ, a patch does not lie inside the images (it is named), or pixels are not contiguous within rows.
/// MemoryError
///     If the results do not fit memory.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> reference = np.zeros((40, 40, 3), np.uint8)
/// >>> distorted = reference.copy()
/// >>> distorted[5, 30] = 1
/// >>> _core.equal_at(reference, distorted, _core.grid(40, 40)).tolist()
/// [True, False, True, True]
#[pyfunction]
#[pyo3(
    signature = (reference, distorted, coords, *, size = None),
    text_signature = "(reference, distorted, coords, *, size=20)"
)]
fn equal_at<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    coords: &Bound<'py, PyAny>,
    size: Maybe<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let reference = Pixels::new("reference", reference)?;
    let distorted = reference.and("distorted", distorted)?;
    reference.same_shape(&distorted)?;
    reference.image_channels()?;
    let size = size_or_20(size)?;
    let corners = corners(coords)?;
    tile::check_corners(reference.shape()[0], reference.shape()[1], size, &corners).map_err(to_py)?;
    by_dtype!(reference.dtype, T => {
        let (r, d) = (reference.view::<T>()?, distorted.view::<T>()?);
        let mut out = Output::<bool>::zeros(py, &[corners.len()])?;
        let values = out.samples();
        py.detach(|| equal::equal_at(&r, &d, &corners, size, values)).map_err(to_py)?;
        Ok(out.finish().into_any())
    })
}

/// Population variance of every box of an image, mean over the channels.
///
/// Parameters
/// ----------
/// image
///     (height, width) or (height, width, 1 or 3), uint8, uint16 or float32.
/// size
///     Pixels, one number or (rows, columns).
///
/// Returns
/// -------
/// (height - rows + 1, width - columns + 1) float64. Exact up to one rounding for integers.
///
/// Raises
/// ------
/// TypeError
///     If a dtype is another, or a size is not whole numbers.
/// ValueError
///     If the box is larger than the image.
/// MemoryError
///     If the variances do not fit memory.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> _core.local_variance(np.array([[0, 4, 4]], np.uint8), size=(1, 2)).tolist()
/// [[4.0, 0.0]]
#[pyfunction]
#[pyo3(
    signature = (image, *, size = None),
    text_signature = "(image, *, size=20)"
)]
fn local_variance<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    size: Maybe<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let image = Pixels::new("image", image)?;
    image.image_channels()?;
    let size = size_or_20(size)?;
    // A box that does not fit is the core's to refuse; it gets an array of zero rows.
    let (rows, columns) = tile::grid_shape(image.shape()[0], image.shape()[1], size, (1, 1));
    by_dtype!(image.dtype, T => {
        let view = image.view::<T>()?;
        let mut out = Output::<f64>::zeros(py, &[rows, columns])?;
        let values = out.samples();
        py.detach(|| sample::local_variance(&view, size, values)).map_err(to_py)?;
        Ok(out.finish().into_any())
    })
}
