//! Bindings of [`pixq_core::sample`].

use pixq_core::sample;
use pyo3::prelude::*;

use super::{MAX_CORNERS, Size, check_count, corner_array, side};
use crate::array::{Pixels, by_dtype};

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(sample_random, m)?)?;
    m.add_function(wrap_pyfunction!(sample_texture, m)?)
}

/// The number of patches to choose, of so many positions.
fn number(n: i64, positions: Option<usize>) -> PyResult<usize> {
    let n = side("n", n)?;
    check_count(Some(positions.unwrap_or(usize::MAX).min(n)))?;
    Ok(n.min(MAX_CORNERS))
}

fn positions(height: usize, width: usize, size: (usize, usize)) -> Option<usize> {
    let (rows, columns) = pixq_core::tile::grid_shape(height, width, size, (1, 1));
    rows.checked_mul(columns)
}

#[pyfunction]
#[pyo3(signature = (height, width, n, *, seed, key, size = Size::Square(20)))]
fn sample_random<'py>(
    py: Python<'py>,
    height: i64,
    width: i64,
    n: i64,
    seed: u64,
    key: &str,
    size: Size,
) -> PyResult<Bound<'py, PyAny>> {
    let (height, width, size) = (side("height", height)?, side("width", width)?, size.pair("size")?);
    let n = number(n, positions(height, width, size))?;
    corner_array(py, &py.detach(|| sample::random(height, width, size, n, seed, key)))
}

#[pyfunction]
#[pyo3(signature = (image, n, *, seed, key, size = Size::Square(20)))]
fn sample_texture<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    n: i64,
    seed: u64,
    key: &str,
    size: Size,
) -> PyResult<Bound<'py, PyAny>> {
    let image = Pixels::new("image", image)?;
    image.image_channels()?;
    let size = size.pair("size")?;
    let n = number(n, positions(image.shape()[0], image.shape()[1], size))?;
    by_dtype!(image.dtype, T => {
        let view = image.view::<T>()?;
        corner_array(py, &py.detach(|| sample::texture(&view, size, n, seed, key)))
    })
}
