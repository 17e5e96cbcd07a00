//! Tiles, fusions, errors between images and sampling. Each function validates, borrows, allocates, detaches for one
//! core call and maps the error.

use numpy::PyUntypedArrayMethods;
use numpy::ndarray::{ArrayView1, Ix2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::array::readonly;

mod args;
mod fuse;
mod measure;
mod models;
mod network_args;
mod plan;
mod sample;
mod tile;
mod tiny;
mod visibility;

/// Adds this file's functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    tile::register(m)?;
    fuse::register(m)?;
    measure::register(m)?;
    sample::register(m)?;
    tiny::register(m)?;
    models::register(m)?;
    visibility::register(m)
}

/// An (n, 2) int64 array of corners.
fn corners(object: &Bound<'_, PyAny>) -> PyResult<Vec<(usize, usize)>> {
    let expected = "an int64 array of shape (n, 2), the y and x of each patch";
    let array = readonly::<i64, Ix2>("coords", object, expected)?;
    if array.shape()[1] != 2 {
        let found = crate::array::tuple(array.shape());
        return Err(PyValueError::new_err(format!("'coords' has shape {found}; expected {expected}")));
    }
    args::check_count(Some(array.shape()[0]))?;
    let array = array.as_array();
    let corner = |row: ArrayView1<'_, i64>| match (usize::try_from(row[0]), usize::try_from(row[1])) {
        (Ok(y), Ok(x)) => Ok((y, x)),
        _ => Err(PyValueError::new_err(format!(
            "the patch at (y={}, x={}) does not lie inside the image",
            row[0], row[1]
        ))),
    };
    array.rows().into_iter().map(corner).collect()
}

/// Corners as an (n, 2) int64 array.
fn corner_array<'py>(py: Python<'py>, corners: &[(usize, usize)]) -> PyResult<Bound<'py, PyAny>> {
    let mut out = crate::array::Output::<i64>::zeros(py, &[corners.len(), 2])?;
    for (out, &(y, x)) in out.samples().chunks_exact_mut(2).zip(corners) {
        // Corners lie inside images whose sides were given as i64.
        out.copy_from_slice(&[y as i64, x as i64]);
    }
    Ok(out.finish().into_any())
}
