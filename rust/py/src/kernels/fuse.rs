//! Bindings of [`pixq_core::fuse`].

use numpy::PyUntypedArrayMethods;
use numpy::ndarray::Ix1;
use pixq_core::Region;
use pixq_core::fuse::{self, Fusion, Image, KINDS, Measured, Rows};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::args::{self, Maybe, check_count, patch_side, real, room, side, size_or_20};
use super::corners;
use super::plan::{plan, with_mask};
use crate::array::{Output, Pixels, by_dtype, readonly, tuple};
use crate::error::to_py;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("FUSION_NAMES", KINDS.each_ref().map(|kind| kind.name))?;
    m.add_function(wrap_pyfunction!(fusions_py, m)?)?;
    m.add_function(wrap_pyfunction!(fuse_py, m)?)?;
    m.add_function(wrap_pyfunction!(fuse_rows, m)?)?;
    m.add_function(wrap_pyfunction!(fuse_at, m)?)?;
    m.add_function(wrap_pyfunction!(feather_mask, m)?)
}

/// All fusions.
///
/// Returns
/// -------
/// list of dict
///     For each fusion its `name`; what the patch shows `outside` and `inside` its RoI ("reference", "distorted", or
///     "mean": the mean of both that `alpha` weights); and a `description`. Records count in this list.
///
/// Examples
/// --------
/// >>> from pixq import _core
/// >>> _core.fusions()[3]["name"], _core.fusions()[3]["outside"], _core.fusions()[3]["inside"]
/// ('paste', 'reference', 'distorted')
#[pyfunction]
#[pyo3(name = "fusions")]
fn fusions_py(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let shows = |image| match image {
        Some(Image::Reference) => "reference",
        Some(Image::Distorted) => "distorted",
        None => "mean",
    };
    let row = |kind: &fuse::Kind| {
        let row = PyDict::new(py);
        row.set_item("name", kind.name)?;
        row.set_item("outside", shows(Some(kind.outside)))?;
        row.set_item("inside", shows(kind.inside))?;
        row.set_item("description", kind.description)?;
        Ok(row)
    };
    KINDS.iter().map(row).collect()
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
///     Weight of the reference in a blend, 0 to 1, which the other fusions do not use. 0 and 1 are exact copies.
/// roi
///     (y, x, height, width) inside the patch; (4, 4, 12, 12) for patches of 20x20, otherwise needed by all but `none`.
/// mask
///     (height, width) float64: weights of the reference, 0 to 1; replaces `fusion`, `alpha` and `roi`.
///
/// Returns
/// -------
/// An array like `distorted`.
///
/// Raises
/// ------
/// TypeError
///     If a dtype or a type is another.
/// ValueError
///     If shapes differ, the RoI does not lie inside the patch, a weight or `alpha` is outside 0 to 1, or `mask` is given
///     together with an argument that it replaces.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> reference, distorted = np.full((2, 2), 11, np.uint8), np.full((2, 2), 20, np.uint8)
/// >>> _core.fuse(reference, distorted, fusion="blend", roi=(0, 0, 1, 2)).tolist()
/// [[16, 16], [20, 20]]
#[pyfunction]
#[pyo3(
    name = "fuse",
    signature = (reference, distorted, *, fusion = None, alpha = None, roi = None, mask = None),
    text_signature = "(reference, distorted, *, fusion='copy', alpha=0.5, roi=None, mask=None)"
)]
fn fuse_py<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    fusion: Maybe<'_, 'py>,
    alpha: Maybe<'_, 'py>,
    roi: Maybe<'_, 'py>,
    mask: Maybe<'_, 'py>,
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
        Some(mask) => {
            let others = [("fusion", fusion), ("alpha", alpha), ("roi", roi)];
            if let Some((other, _)) = others.iter().find(|(_, given)| given.is_some()) {
                return Err(PyValueError::new_err(format!("'mask' replaces '{other}'; pass only one of them")));
            }
            with_mask(plan(&[], &[], size, channels, None, false)?, "mask", mask, size, channels)?
        }
        None => {
            let alpha = real("alpha", alpha, 0.5)?;
            let name = fusion.map_or(Ok("copy".to_owned()), |name| args::text("fusion", name))?;
            let fusion = args::fusion(&name, alpha)?;
            plan(&[fusion], &[], size, channels, roi, false)?
        }
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
    check_count(Some(array.len()))?;
    let row = |&row: &i64| {
        let found = usize::try_from(row).ok().filter(|&row| row < len);
        found.ok_or_else(|| PyIndexError::new_err(format!("'{name}' has row {row}, but there are only {len} rows")))
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
///     Pairs of a name and an alpha, as for `fuse`. With `masks` the default is no fusions, only the masks.
/// masks
///     (height, width) float64 arrays, each as `mask` of `fuse`. They follow `fusions` in the numbering of `which`.
/// which
///     (k,) uint8: the index into `fusions` and `masks` for each pair; 0 by default.
/// roi
///     As for `fuse`; masks do not use it.
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
///     As for `fuse`, if lengths differ, or there are more than 2^26 rows.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> reference = np.zeros((1, 1, 2), np.uint8)
/// >>> distorted = np.array([[[1, 2]], [[3, 4]]], np.uint8)
/// >>> _core.fuse_rows(reference, distorted, np.array([0, 0]), np.array([1, 0]), roi=(0, 0, 1, 1)).tolist()
/// [[[0, 4]], [[0, 2]]]
/// >>> half = np.array([[0.5, 1.0]])
/// >>> _core.fuse_rows(reference, distorted, np.array([0]), np.array([1]), masks=[half]).tolist()
/// [[[2, 0]]]
#[pyfunction]
#[pyo3(
    signature = (reference, distorted, reference_rows, distorted_rows, *, fusions = None, masks = None, which = None, roi = None),
    text_signature = "(reference, distorted, reference_rows, distorted_rows, *, fusions=[('copy', 0.5)], masks=(), which=None, roi=None)"
)]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
fn fuse_rows<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    reference_rows: &Bound<'py, PyAny>,
    distorted_rows: &Bound<'py, PyAny>,
    fusions: Maybe<'_, 'py>,
    masks: Maybe<'_, 'py>,
    which: Maybe<'_, 'py>,
    roi: Maybe<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let reference = Pixels::new("reference", reference)?;
    let distorted = reference.and("distorted", distorted)?;
    let (channels, _) = reference.batch_channels()?;
    distorted.batch_channels()?;
    if reference.shape()[1..] != distorted.shape()[1..] {
        return Err(distorted.unexpected(&format!("patches like those of 'reference', {}", tuple(reference.shape()))));
    }
    let size = (reference.shape()[1], reference.shape()[2]);
    let masks = args::masks(masks)?;
    let fusions = args::fusions(fusions, !masks.is_empty(), &[Fusion::COPY])?;
    let plan = plan(&fusions, &masks, size, channels, roi, false)?;
    let reference_rows = rows("reference_rows", reference_rows, reference.shape()[0])?;
    let distorted_rows = rows("distorted_rows", distorted_rows, distorted.shape()[0])?;
    let which = which
        .map(|which| {
            let array = readonly::<u8, Ix1>("which", which, "a uint8 array of shape (n,)")?;
            check_count(Some(array.len()))?;
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
///     Pairs of a name and an alpha, as for `fuse`. With `masks` the default is no fusions, only the masks.
/// masks
///     (rows, columns) float64 arrays, each as `mask` of `fuse`. Their results follow those of `fusions`.
/// data_range
///     The distance from black to white: 255, 65535 or 1.0 by dtype by default.
///
/// Returns
/// -------
/// A list with the fused patches of each fusion and mask, (n, rows, columns[, channels]); (fusions and masks, n) float64, the
/// PSNR of each fused patch against its reference in dB, infinite where they are equal; and the same of each RoI.
///
/// Raises
/// ------
/// TypeError, ValueError, MemoryError
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
#[pyo3(
    signature = (reference, distorted, coords, *, size = None, roi = None, fusions = None, masks = None, data_range = None),
    text_signature = "(reference, distorted, coords, *, size=20, roi=None, fusions=[('copy', 0.5), ('blend', 0.5)], masks=(), data_range=None)"
)]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
fn fuse_at<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    coords: &Bound<'py, PyAny>,
    size: Maybe<'_, 'py>,
    roi: Maybe<'_, 'py>,
    fusions: Maybe<'_, 'py>,
    masks: Maybe<'_, 'py>,
    data_range: Maybe<'_, 'py>,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let reference = Pixels::new("reference", reference)?;
    let distorted = reference.and("distorted", distorted)?;
    reference.same_shape(&distorted)?;
    let (channels, has_channels) = reference.image_channels()?;
    let size = size_or_20(size)?;
    let masks = args::masks(masks)?;
    let fusions = args::fusions(fusions, !masks.is_empty(), &[Fusion::COPY, Fusion::blend(0.5)])?;
    let plan = plan(&fusions, &masks, size, channels, roi, true)?;
    let data_range = data_range.map(|range| real("data_range", Some(range), 0.0)).transpose()?;
    let corners = corners(coords)?;
    pixq_core::tile::check_corners(reference.shape()[0], reference.shape()[1], size, &corners).map_err(to_py)?;
    let n = corners.len();
    let shape = [n, size.0, size.1, channels];
    let shape = &shape[..if has_channels { 4 } else { 3 }];
    // Each thread packs one patch pair and their RoIs.
    room(plan.patch_samples(), 5 * size_of::<f32>() * pixq_core::parallel::num_threads())?;
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

/// Weights of the reference that fall from a RoI to its surroundings, for `mask` of `fuse` and `masks` of others.
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
/// TypeError
///     If a side or `feather` is not a whole number, or a weight not a number.
/// ValueError
///     If a side is not 1 to 2^31 - 1, `feather` not 0 to 2^31 - 1, the RoI does not lie inside the patch, or a weight is outside
///     0 to 1.
/// MemoryError
///     If the weights do not fit memory.
///
/// Examples
/// --------
/// >>> from pixq import _core
/// >>> _core.feather_mask(1, 6, roi=(0, 0, 1, 2), feather=3).tolist()
/// [[1.0, 1.0, 0.75, 0.5, 0.25, 0.0]]
#[pyfunction]
#[pyo3(
    signature = (height, width, *, roi, feather, inside = None, outside = None),
    text_signature = "(height, width, *, roi, feather, inside=1.0, outside=0.0)"
)]
fn feather_mask<'py>(
    py: Python<'py>,
    height: &Bound<'py, PyAny>,
    width: &Bound<'py, PyAny>,
    roi: &Bound<'py, PyAny>,
    feather: &Bound<'py, PyAny>,
    inside: Maybe<'_, 'py>,
    outside: Maybe<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let size = (patch_side("height", height)?, patch_side("width", width)?);
    let roi = args::roi(Some(roi), size.0, size.1)?.unwrap_or(Region { y: 0, x: 0, height: size.0, width: size.1 });
    let feather = side("feather", feather)?;
    let (inside, outside) = (real("inside", inside, 1.0)?, real("outside", outside, 0.0)?);
    let mut out = Output::<f64>::zeros(py, &[size.0, size.1])?;
    let samples = out.samples();
    py.detach(|| fuse::feather_mask(size, roi, feather, inside, outside, samples)).map_err(to_py)?;
    Ok(out.finish().into_any())
}
