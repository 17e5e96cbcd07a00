//! The number of threads.

use pixq_core::parallel;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::to_py;

/// Adds this file's functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("PARALLEL_SAMPLES", parallel::PARALLEL_SAMPLES)?;
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(num_threads, m)?)
}

#[pyfunction]
fn set_num_threads(n: i64) -> PyResult<()> {
    let threads = usize::try_from(n).map_err(|_| {
        PyValueError::new_err(format!("the number of threads is {n}; expected 1 to {}", parallel::MAX_THREADS))
    })?;
    parallel::set_num_threads(threads).map_err(to_py)
}

#[pyfunction]
fn num_threads(py: Python<'_>) -> usize {
    py.detach(parallel::num_threads)
}
