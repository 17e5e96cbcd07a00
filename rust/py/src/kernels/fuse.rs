//! Bindings of [`pixq_core::fuse`].

use numpy::PyUntypedArrayMethods;
use numpy::ndarray::{Ix1, Ix2};
use pixq_core::fuse::{self, Measured, Plan, Rows};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::{RoiBox, Size, corners, plan, region};
use crate::array::{Output, Pixels, by_dtype, readonly, tuple};
use crate::error::to_py;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(fuse_py, m)?)?;
    m.add_function(wrap_pyfunction!(fuse_rows, m)?)?;
    m.add_function(wrap_pyfunction!(fuse_at, m)?)?;
    m.add_function(wrap_pyfunction!(feather_mask, m)?)
}

/// Weights of the reference for each pixel of a patch of `size`.
fn masked(mask: &Bound<'_, PyAny>, size: (usize, usize), channels: usize) -> PyResult<Plan> {
    let array =
        readonly::<f64, Ix2>("mask", mask, "a float64 array of shape (height, width): a weight for each pixel")?;
    if array.shape() != [size.0, size.1] {
        let (found, expected) = (tuple(array.shape()), tuple(&[size.0, size.1]));
        return Err(PyValueError::new_err(format!("'mask' has shape {found}; expected {expected}, that of a patch")));
    }
    let weights: Vec<f64> = array.as_array().iter().copied().collect();
    Plan::masked(size, channels, &weights).map_err(to_py)
}

/// A distorted patch with a part of its reference, or every pair of two batches.
///
/// Parameters
/// ----------
/// reference, distorted
///     (height, width), (height, width, 1 or 3) or (n, height, width, 1 or 3); uint8, uint16 or float32; one shape and dtype.
/// fusion
///     `none`: the distorted patch. `copy`: with the reference in the RoI. `blend`: with
///     `alpha * reference + (1 - alpha) * distorted` in the RoI, evaluated in float64 and for integers rounded half up.
///     `paste`: the reference with the distorted RoI.
/// alpha
///     Weight of the reference in a blend, 0 to 1. 0 and 1 are exact copies.
/// roi
///     (y, x, height, width) inside the patch; (4, 4, 12, 12) for patches of 20x20, otherwise needed by all but `none`.
/// mask
///     (height, width) float64: weights of the reference, 0 to 1, in place of fusion, alpha and RoI.
///
/// Returns
/// -------
/// An array like `distorted`.
///
/// Raises
/// ------
/// TypeError
///     If a dtype is another.
/// ValueError
///     If shapes differ, the RoI does not lie inside the patch, or a weight is outside 0 to 1.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> reference, distorted = np.full((2, 2), 11, np.uint8), np.full((2, 2), 20, np.uint8)
/// >>> _core.fuse(reference, distorted, fusion="blend", roi=(0, 0, 1, 2)).tolist()
/// [[16, 16], [20, 20]]
#[pyfunction]
#[pyo3(name = "fuse", signature = (reference, distorted, *, fusion = "copy", alpha = 0.5, roi = None, mask = None))]
fn fuse_py<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    fusion: &str,
    alpha: f64,
    roi: Option<RoiBox>,
    mask: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let reference = Pixels::new("reference", reference)?;
    let distorted = reference.and("distorted", distorted)?;
    reference.same_shape(&distorted)?;
    let shape = reference.shape();
    let ((channels, _), axes) = if shape.len() == 4 {
        (reference.batch_channels()?, &shape[1..])
    } else {
        (reference.image_channels()?, shape)
    };
    let size = (axes[0], axes[1]);
    let plan = match mask {
        Some(mask) => masked(mask, size, channels)?,
        None => plan(&[(fusion.to_owned(), alpha)], size, channels, roi, false)?,
    };
    by_dtype!(reference.dtype, T => {
        let (r, d) = (reference.patches::<T>()?, distorted.patches::<T>()?);
        let mut out = Output::<T>::zeros(py, shape)?;
        let samples = out.samples();
        py.detach(|| fuse::fuse(&r, &d, &plan, samples)).map_err(to_py)?;
        Ok(out.finish().into_any())
    })
}

/// A (n,) int64 array of rows of an array of `len`.
fn rows(name: &str, object: &Bound<'_, PyAny>, len: usize) -> PyResult<Vec<usize>> {
    let array = readonly::<i64, Ix1>(name, object, "an int64 array of shape (n,)")?;
    let row = |&row: &i64| {
        let found = usize::try_from(row).ok().filter(|&row| row < len);
        found.ok_or_else(|| PyIndexError::new_err(format!("'{name}' has row {row}, but there are {len}")))
    };
    array.as_array().iter().map(row).collect()
}

/// Fused patches from rows of two patch arrays: pair i is reference_rows[i] of the one, distorted_rows[i] of the other.
///
/// Parameters
/// ----------
/// reference, distorted
///     (m, height, width[, 1 or 3]) and (n, height, width[, 1 or 3]), uint8, uint16 or float32, one dtype. Neither is copied:
///     memory-mapped arrays are read where they are used.
/// reference_rows, distorted_rows
///     (k,) int64.
/// fusions
///     Pairs of a name and an alpha, as for `fuse`.
/// which
///     (k,) uint8: the index into `fusions` for each pair; the first unless given.
/// roi
///     As for `fuse`.
///
/// Returns
/// -------
/// (k, height, width[, channels]).
///
/// Raises
/// ------
/// IndexError
///     If a row does not exist (it is named).
/// TypeError, ValueError
///     As for `fuse`, and if lengths differ.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> reference = np.zeros((1, 1, 2), np.uint8)
/// >>> distorted = np.array([[[1, 2]], [[3, 4]]], np.uint8)
/// >>> _core.fuse_rows(reference, distorted, np.array([0, 0]), np.array([1, 0]), roi=(0, 0, 1, 1)).tolist()
/// [[[0, 4]], [[0, 2]]]
#[pyfunction]
#[pyo3(signature = (reference, distorted, reference_rows, distorted_rows, *, fusions = vec![("copy".to_owned(), 0.5)], which = None, roi = None), text_signature = "(reference, distorted, reference_rows, distorted_rows, *, fusions=[('copy', 0.5)], which=None, roi=None)")]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
fn fuse_rows<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    reference_rows: &Bound<'py, PyAny>,
    distorted_rows: &Bound<'py, PyAny>,
    fusions: Vec<(String, f64)>,
    which: Option<&Bound<'py, PyAny>>,
    roi: Option<RoiBox>,
) -> PyResult<Bound<'py, PyAny>> {
    let reference = Pixels::new("reference", reference)?;
    let distorted = reference.and("distorted", distorted)?;
    let (channels, _) = reference.batch_channels()?;
    distorted.batch_channels()?;
    if reference.shape()[1..] != distorted.shape()[1..] {
        return Err(distorted.unexpected(&format!("patches like those of 'reference', {}", tuple(reference.shape()))));
    }
    let size = (reference.shape()[1], reference.shape()[2]);
    let plan = plan(&fusions, size, channels, roi, false)?;
    let reference_rows = rows("reference_rows", reference_rows, reference.shape()[0])?;
    let distorted_rows = rows("distorted_rows", distorted_rows, distorted.shape()[0])?;
    let which = which
        .map(|which| {
            let array = readonly::<u8, Ix1>("which", which, "a uint8 array of shape (n,)")?;
            Ok::<Vec<u8>, PyErr>(array.as_array().iter().copied().collect())
        })
        .transpose()?;
    let mut shape = reference.shape().to_vec();
    shape[0] = reference_rows.len();
    by_dtype!(reference.dtype, T => {
        let (r, d) = (reference.batch::<T>()?, distorted.batch::<T>()?);
        let mut out = Output::<T>::zeros(py, &shape)?;
        let samples = out.samples();
        let rows = Rows { reference: &reference_rows, distorted: &distorted_rows, which: which.as_deref() };
        py.detach(|| fuse::fuse_rows(&r, &d, rows, &plan, samples)).map_err(to_py)?;
        Ok(out.finish().into_any())
    })
}

/// Cut, fuse and measure the patches of two images in one pass.
///
/// Parameters
/// ----------
/// reference, distorted
///     (height, width) or (height, width, 1 or 3), uint8, uint16 or float32; one shape and dtype.
/// coords
///     (n, 2) int64: y, x of each patch.
/// size
///     Pixels, one number or (rows, columns).
/// roi
///     (y, x, height, width) inside the patch; (4, 4, 12, 12) for patches of 20x20, otherwise needed.
/// fusions
///     Pairs of a name and an alpha, as for `fuse`.
/// data_range
///     The distance from black to white: 255, 65535 or 1.0 by dtype unless given.
///
/// Returns
/// -------
/// A list with the fused patches of each fusion, (n, rows, columns[, channels]); (fusions, n) float64, the PSNR of each fused
/// patch against its reference in dB, infinite where they are equal; and the same of each RoI.
///
/// Raises
/// ------
/// TypeError, ValueError
///     As for `fuse` and `tile`, and if `data_range` is not finite and above 0.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> reference, distorted = np.full((20, 20), 100, np.uint8), np.full((20, 20), 110, np.uint8)
/// >>> fused, psnr, psnr_roi = _core.fuse_at(reference, distorted, np.array([[0, 0]]))
/// >>> len(fused), psnr.shape, float(psnr_roi[0, 0]), round(float(psnr_roi[1, 0]), 2)
/// (2, (2, 1), inf, 34.15)
#[pyfunction]
#[pyo3(signature = (reference, distorted, coords, *, size = Size::Square(20), roi = None, fusions = vec![("copy".to_owned(), 0.5), ("blend".to_owned(), 0.5)], data_range = None), text_signature = "(reference, distorted, coords, *, size=20, roi=None, fusions=[('copy', 0.5), ('blend', 0.5)], data_range=None)")]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
fn fuse_at<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    coords: &Bound<'py, PyAny>,
    size: Size,
    roi: Option<RoiBox>,
    fusions: Vec<(String, f64)>,
    data_range: Option<f64>,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let reference = Pixels::new("reference", reference)?;
    let distorted = reference.and("distorted", distorted)?;
    reference.same_shape(&distorted)?;
    let (channels, has_channels) = reference.image_channels()?;
    let size = size.pair("size")?;
    let plan = plan(&fusions, size, channels, roi, true)?;
    let corners = corners(coords)?;
    pixq_core::tile::check_corners(reference.shape()[0], reference.shape()[1], size, &corners).map_err(to_py)?;
    let n = corners.len();
    let shape = [n, size.0, size.1, channels];
    let shape = &shape[..if has_channels { 4 } else { 3 }];
    by_dtype!(reference.dtype, T => {
        let (r, d) = (reference.view::<T>()?, distorted.view::<T>()?);
        let mut fused = (0..plan.len()).map(|_| Output::<T>::zeros(py, shape)).collect::<PyResult<Vec<_>>>()?;
        let mut psnr = Output::<f64>::zeros(py, &[plan.len(), n])?;
        let mut psnr_roi = Output::<f64>::zeros(py, &[plan.len(), n])?;
        let out = Measured {
            fused: fused.iter_mut().map(Output::samples).collect(),
            psnr: split(psnr.samples(), n, plan.len()),
            psnr_roi: split(psnr_roi.samples(), n, plan.len()),
        };
        py.detach(|| fuse::fuse_at(&r, &d, &corners, &plan, data_range, out)).map_err(to_py)?;
        let fused = PyList::new(py, fused.into_iter().map(Output::finish))?;
        Ok((fused, psnr.finish().into_any(), psnr_roi.finish().into_any()))
    })
}

/// `count` rows of `n`, which may be 0.
fn split(mut all: &mut [f64], n: usize, count: usize) -> Vec<&mut [f64]> {
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let (row, rest) = all.split_at_mut(n);
        rows.push(row);
        all = rest;
    }
    rows
}

/// Weights of the reference that fall from a RoI to its surroundings, for `fuse(mask=...)`.
///
/// With n the larger of the numbers of rows and of columns by which a pixel lies outside the RoI (1 for those that touch it),
/// the weight is `outside + (inside - outside) * max(0, 1 - n / (feather + 1))`.
///
/// Parameters
/// ----------
/// height, width
///     Sides of the patch in pixels.
/// roi
///     (y, x, height, width) inside the patch.
/// feather
///     Pixels over which the weight falls; 0 for a hard edge.
/// inside, outside
///     Weights of the reference, 0 to 1.
///
/// Returns
/// -------
/// (height, width) float64.
///
/// Raises
/// ------
/// ValueError
///     If the RoI does not lie inside the patch, or a weight is outside 0 to 1.
///
/// Examples
/// --------
/// >>> from pixq import _core
/// >>> _core.feather_mask(1, 6, roi=(0, 0, 1, 2), feather=3).tolist()
/// [[1.0, 1.0, 0.75, 0.5, 0.25, 0.0]]
#[pyfunction]
#[pyo3(signature = (height, width, *, roi, feather, inside = 1.0, outside = 0.0))]
fn feather_mask<'py>(
    py: Python<'py>,
    height: i64,
    width: i64,
    roi: RoiBox,
    feather: i64,
    inside: f64,
    outside: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let size = Size::Box(height, width).pair("the patch size")?;
    let roi = region(roi, size.0, size.1)?;
    let feather = super::side("feather", feather)?;
    let mut out = Output::<f64>::zeros(py, &[size.0, size.1])?;
    let samples = out.samples();
    py.detach(|| fuse::feather_mask(size, roi, feather, inside, outside, samples)).map_err(to_py)?;
    Ok(out.finish().into_any())
}
