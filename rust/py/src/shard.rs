//! Patch-set shards: building one, and reading its records.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use numpy::PyArray1;
use pixq_core::shard::{self, Places, Spec};
use pixq_core::{Error, records};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::to_py;

/// Counts what builders on other threads have done, and tells them to stop.
#[pyclass(frozen, module = "pixq._core")]
struct Progress(Arc<shard::Progress>);

#[pymethods]
impl Progress {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Image pairs done.
    #[getter]
    fn images(&self) -> u64 {
        self.0.images.load(Ordering::Relaxed)
    }

    /// Fused patches done.
    #[getter]
    fn records(&self) -> u64 {
        self.0.records.load(Ordering::Relaxed)
    }

    /// Makes every builder stop at its next image with `KeyboardInterrupt`.
    fn cancel(&self) {
        self.0.cancel.store(true, Ordering::Relaxed);
    }
}

#[pyfunction]
fn build_shard(
    py: Python<'_>,
    spec: &str,
    root: PathBuf,
    out: PathBuf,
    scratch: PathBuf,
    progress: &Progress,
) -> PyResult<String> {
    let spec: Spec = serde_json::from_str(spec).map_err(|error| PyValueError::new_err(format!("spec: {error}")))?;
    let progress = Arc::clone(&progress.0);
    let places = Places { root: &root, out: &out, scratch: &scratch };
    let built = py.detach(|| shard::build(&spec, places, &progress)).map_err(to_py)?;
    serde_json::to_string(&built).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Size in bytes and BLAKE3 (hex) of a file.
#[pyfunction]
fn checksum(py: Python<'_>, path: PathBuf) -> PyResult<(u64, String)> {
    let info = py.detach(|| shard::checksum(&path)).map_err(to_py)?;
    Ok((info.bytes, info.blake3))
}

#[pyfunction]
fn read_records<'py>(py: Python<'py>, path: PathBuf, image_ids: Vec<String>) -> PyResult<Bound<'py, PyDict>> {
    let columns = py.detach(|| records::read(&path, &image_ids)).map_err(|error| match error {
        // The name of the file stands in the message of a format error.
        error @ Error::Format { .. } => PyValueError::new_err(error.to_string()),
        error => to_py(error),
    })?;
    let out = PyDict::new(py);
    out.set_item("image", PyArray1::from_vec(py, columns.image))?;
    out.set_item("patch_id", PyArray1::from_vec(py, columns.patch_id))?;
    out.set_item("y", PyArray1::from_vec(py, columns.y))?;
    out.set_item("x", PyArray1::from_vec(py, columns.x))?;
    out.set_item("psnr", PyArray1::from_vec(py, columns.psnr))?;
    out.set_item("fusion", PyArray1::from_vec(py, columns.fusion))?;
    out.set_item("alpha", PyArray1::from_vec(py, columns.alpha))?;
    out.set_item("quality", PyArray1::from_vec(py, columns.quality))?;
    out.set_item("reference_row", PyArray1::from_vec(py, columns.reference_row))?;
    out.set_item("distorted_row", PyArray1::from_vec(py, columns.distorted_row))?;
    out.set_item("psnr_roi", PyArray1::from_vec(py, columns.psnr_roi))?;
    out.set_item("identical", PyArray1::from_vec(py, columns.identical))?;
    Ok(out)
}

/// Adds this file's functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Progress>()?;
    m.add("FUSION_NAMES", records::FUSION_NAMES)?;
    m.add_function(wrap_pyfunction!(build_shard, m)?)?;
    m.add_function(wrap_pyfunction!(checksum, m)?)?;
    m.add_function(wrap_pyfunction!(read_records, m)?)
}
