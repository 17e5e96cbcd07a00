//! Bindings of [`pixq_core::tile`].

use pixq_core::tile;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::args::{Maybe, check_count, side, size, size_or_20};
use super::{corner_array, corners};
use crate::array::{Output, Pixels, by_dtype};
use crate::error::to_py;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(grid, m)?)?;
    m.add_function(wrap_pyfunction!(tile_py, m)?)?;
    m.add_function(wrap_pyfunction!(untile, m)?)
}

/// The size of patches, and their corners.
type Grid = ((usize, usize), Vec<(usize, usize)>);

fn grid_corners(
    py: Python<'_>,
    height: usize,
    width: usize,
    patch: Maybe<'_, '_>,
    stride: Maybe<'_, '_>,
) -> PyResult<Grid> {
    let patch = size_or_20(patch)?;
    let stride = stride.map_or(Ok(patch), |stride| size("stride", stride))?;
    let (rows, columns) = tile::grid_shape(height, width, patch, stride);
    check_count(rows.checked_mul(columns))?;
    Ok((patch, py.detach(|| tile::grid(height, width, patch, stride))))
}

/// Top-left corners of the patches that fit into an image, row by row.
///
/// Parameters
/// ----------
/// height, width
///     Sides of the image in pixels.
/// size, stride
///     Pixels, one number or (rows, columns). `stride` is `size` by default. Pixels that no whole patch covers are left out.
///
/// Returns
/// -------
/// (n, 2) int64: y, x.
///
/// Raises
/// ------
/// TypeError
///     If something is not a whole number.
/// ValueError
///     If a side is not 0 to 2^31 - 1, a size or stride not 1 to 2^31 - 1, or there would be more than 2^26 patches.
///
/// Examples
/// --------
/// >>> from pixq import _core
/// >>> _core.grid(45, 40).tolist()
/// [[0, 0], [0, 20], [20, 0], [20, 20]]
#[pyfunction]
#[pyo3(
    signature = (height, width, *, size = None, stride = None),
    text_signature = "(height, width, *, size=20, stride=None)"
)]
fn grid<'py>(
    py: Python<'py>,
    height: &Bound<'py, PyAny>,
    width: &Bound<'py, PyAny>,
    size: Maybe<'_, 'py>,
    stride: Maybe<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let (height, width) = (side("height", height)?, side("width", width)?);
    corner_array(py, &grid_corners(py, height, width, size, stride)?.1)
}

/// The patches of an image, at a grid or at given corners.
///
/// Parameters
/// ----------
/// image
///     (height, width) or (height, width, 1 or 3), uint8, uint16 or float32; rows may be strided or reversed.
/// size, stride
///     As for `grid`.
/// coords
///     (n, 2) int64: y, x of each patch, instead of a grid and its `stride`. Patches may overlap.
///
/// Returns
/// -------
/// (n, rows, columns) or (n, rows, columns, channels) of the image's dtype.
///
/// Raises
/// ------
/// TypeError
///     If a dtype is another, or a size is not whole numbers.
/// ValueError
///     If a patch does not lie inside the image (it is named), pixels are not contiguous within rows, a size or stride is not
///     1 to 2^31 - 1, both `stride` and `coords` are given, or there would be more than 2^26 patches.
/// MemoryError
///     If the patches do not fit memory.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> _core.tile(np.arange(16, dtype=np.uint8).reshape(4, 4), size=2)[1].tolist()
/// [[2, 3], [6, 7]]
#[pyfunction]
#[pyo3(
    name = "tile",
    signature = (image, *, size = None, stride = None, coords = None),
    text_signature = "(image, *, size=20, stride=None, coords=None)"
)]
fn tile_py<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    size: Maybe<'_, 'py>,
    stride: Maybe<'_, 'py>,
    coords: Maybe<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let image = Pixels::new("image", image)?;
    let (channels, has_channels) = image.image_channels()?;
    let (size, corners) = match (coords, stride) {
        (None, _) => grid_corners(py, image.shape()[0], image.shape()[1], size, stride)?,
        (Some(coords), None) => (size_or_20(size)?, corners(coords)?),
        (Some(_), Some(_)) => {
            return Err(PyValueError::new_err("'coords' replaces 'stride'; pass only one of them"));
        }
    };
    tile::check_corners(image.shape()[0], image.shape()[1], size, &corners).map_err(to_py)?;
    let shape = [corners.len(), size.0, size.1, channels];
    by_dtype!(image.dtype, T => {
        let view = image.view::<T>()?;
        let mut out = Output::<T>::zeros(py, &shape[..if has_channels { 4 } else { 3 }])?;
        let samples = out.samples();
        py.detach(|| tile::tile(&view, size, &corners, samples)).map_err(to_py)?;
        Ok(out.finish().into_any())
    })
}

/// The image of `height` x `width` whose patches these are.
///
/// Later patches overwrite earlier ones; pixels that no patch covers are 0.
///
/// Parameters
/// ----------
/// patches
///     (n, rows, columns) or (n, rows, columns, 1 or 3), uint8, uint16 or float32.
/// coords
///     (n, 2) int64: y, x of each patch.
/// height, width
///     Sides of the image in pixels.
///
/// Returns
/// -------
/// (height, width) or (height, width, channels) of the patches' dtype.
///
/// Raises
/// ------
/// TypeError
///     If a dtype is another, or a side is not a whole number.
/// ValueError
///     If there are not as many corners as patches, a patch does not lie inside the image, or a side is not 0 to 2^31 - 1.
/// MemoryError
///     If the image does not fit memory.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> image = np.arange(16, dtype=np.uint8).reshape(4, 4)
/// >>> bool((_core.untile(_core.tile(image, size=2), _core.grid(4, 4, size=2), 4, 4) == image).all())
/// True
#[pyfunction]
fn untile<'py>(
    py: Python<'py>,
    patches: &Bound<'py, PyAny>,
    coords: &Bound<'py, PyAny>,
    height: &Bound<'py, PyAny>,
    width: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let patches = Pixels::new("patches", patches)?;
    let (channels, has_channels) = patches.batch_channels()?;
    let corners = corners(coords)?;
    let (height, width) = (side("height", height)?, side("width", width)?);
    let shape = [height, width, channels];
    by_dtype!(patches.dtype, T => {
        let batch = patches.batch::<T>()?;
        let mut out = Output::<T>::zeros(py, &shape[..if has_channels { 3 } else { 2 }])?;
        let samples = out.samples();
        py.detach(|| tile::untile(&batch, &corners, height, width, samples)).map_err(to_py)?;
        Ok(out.finish().into_any())
    })
}
