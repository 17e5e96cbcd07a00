//! Bindings of [`pixq_core::sample`].

use pixq_core::sample;
use pyo3::prelude::*;

use super::args::{self, MAX_CORNERS, Maybe, check_count, count, room, side, size_or_20, text};
use super::corner_array;
use crate::array::{Pixels, by_dtype};

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(sample_random, m)?)?;
    m.add_function(wrap_pyfunction!(sample_texture, m)?)
}

/// The number of patches to choose, of so many positions.
fn number(n: &Bound<'_, PyAny>, positions: Option<usize>) -> PyResult<usize> {
    let n = count("n", n)?;
    check_count(Some(positions.unwrap_or(usize::MAX).min(n)))?;
    Ok(n.min(MAX_CORNERS))
}

fn positions(height: usize, width: usize, size: (usize, usize)) -> Option<usize> {
    let (rows, columns) = pixq_core::tile::grid_shape(height, width, size, (1, 1));
    rows.checked_mul(columns)
}

/// `n` distinct top-left corners of patches, each as likely as any other.
///
/// The corners depend on `seed` and `key` (the image's name) alone, through SplitMix64 started from SHA-256 of both, so they
/// are the same on every machine, in any order of calls. All positions where there are at most `n`.
///
/// Parameters
/// ----------
/// height, width
///     Sides of the image in pixels.
/// n
///     Patches to choose, 0 to 2^63 - 1.
/// seed
///     0 to 2^64 - 1.
/// key
///     A name that is unique to the image.
/// size
///     Pixels, one number or (rows, columns).
///
/// Returns
/// -------
/// (n, 2) int64: y, x, in the order of rows.
///
/// Raises
/// ------
/// TypeError
///     If something is not a whole number, or `key` is not a str.
/// ValueError
///     If a side is not 0 to 2^31 - 1, a size not 1 to 2^31 - 1, `n` or `seed` outside its range, or there would be more than
///     2^26 patches.
///
/// Examples
/// --------
/// >>> from pixq import _core
/// >>> _core.sample_random(20, 22, 9, seed=0, key="I01").tolist()
/// [[0, 0], [0, 1], [0, 2]]
#[pyfunction]
#[pyo3(
    signature = (height, width, n, *, seed, key, size = None),
    text_signature = "(height, width, n, *, seed, key, size=20)"
)]
fn sample_random<'py>(
    py: Python<'py>,
    height: &Bound<'py, PyAny>,
    width: &Bound<'py, PyAny>,
    n: &Bound<'py, PyAny>,
    seed: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    size: Maybe<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let (height, width, size) = (side("height", height)?, side("width", width)?, size_or_20(size)?);
    let n = number(n, positions(height, width, size))?;
    let (seed, key) = (args::seed(seed)?, text("key", key)?);
    corner_array(py, &py.detach(|| sample::random(height, width, size, n, seed, &key)))
}

/// `n` distinct top-left corners of patches, drawn with a probability proportional to their local variance.
///
/// Drawn one after another without replacement (Efraimidis and Spirakis, 2006), as `sample_random` is from `seed` and `key`.
/// Patches without any variance come last, each as likely as any other. All positions where there are at most `n`.
///
/// Parameters
/// ----------
/// image
///     (height, width) or (height, width, 1 or 3), uint8, uint16 or float32.
/// n, seed, key, size
///     As for `sample_random`.
///
/// Returns
/// -------
/// (n, 2) int64: y, x, in the order of rows.
///
/// Raises
/// ------
/// TypeError, ValueError
///     As for `tile` and `sample_random`.
/// MemoryError
///     If the variances of all positions, 8 bytes each, do not fit memory.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> image = np.zeros((20, 60), np.uint8)
/// >>> image[:, 39] = 255
/// >>> bool(_core.sample_texture(image, 20, seed=0, key="I01")[:, 1].min() >= 20)
/// True
#[pyfunction]
#[pyo3(
    signature = (image, n, *, seed, key, size = None),
    text_signature = "(image, n, *, seed, key, size=20)"
)]
fn sample_texture<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    n: &Bound<'py, PyAny>,
    seed: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    size: Maybe<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let image = Pixels::new("image", image)?;
    image.image_channels()?;
    let size = size_or_20(size)?;
    let positions = positions(image.shape()[0], image.shape()[1], size);
    let n = number(n, positions)?;
    let (seed, key) = (args::seed(seed)?, text("key", key)?);
    room(positions.unwrap_or(usize::MAX), size_of::<f64>())?;
    by_dtype!(image.dtype, T => {
        let view = image.view::<T>()?;
        corner_array(py, &py.detach(|| sample::texture(&view, size, n, seed, &key)))
    })
}
