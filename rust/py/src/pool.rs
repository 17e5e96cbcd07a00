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

/// Set the number of threads that kernels of this process use; 1 means the calling thread.
///
/// Results do not depend on it. Without this call it is the environment variable `PIXQ_NUM_THREADS`, or the number of
/// processors this process may use. Calls that touch fewer than `PARALLEL_SAMPLES` samples use the calling thread alone.
///
/// Raises
/// ------
/// ValueError
///     Unless `n` is 1 to 1024.
///
/// Examples
/// --------
/// >>> from pixq import _core
/// >>> before = _core.num_threads()
/// >>> _core.set_num_threads(2)
/// >>> _core.num_threads()
/// 2
/// >>> _core.set_num_threads(before)
#[pyfunction]
fn set_num_threads(n: i64) -> PyResult<()> {
    let threads = usize::try_from(n).map_err(|_| {
        PyValueError::new_err(format!("the number of threads is {n}; expected 1 to {}", parallel::MAX_THREADS))
    })?;
    parallel::set_num_threads(threads).map_err(to_py)
}

/// The number of threads that kernels use.
///
/// Examples
/// --------
/// >>> from pixq import _core
/// >>> _core.num_threads() >= 1
/// True
#[pyfunction]
fn num_threads(py: Python<'_>) -> usize {
    py.detach(parallel::num_threads)
}
