//! Patch-set shards: building one, and reading its records.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use numpy::PyArray1;
use pixq_core::Error;
use pixq_core::shard::{self, Places, Spec, records};
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

    /// Patches cut.
    #[getter]
    fn patches(&self) -> u64 {
        self.0.patches.load(Ordering::Relaxed)
    }

    /// Makes every builder stop at its next image with `KeyboardInterrupt`.
    fn cancel(&self) {
        self.0.cancel.store(true, Ordering::Relaxed);
    }
}

/// Build one shard of a patch set.
///
/// Parameters
/// ----------
/// spec : str
///     What to build, as JSON: the fields of the core's `shard::Spec`. `pixq.build` makes it from a plan.
/// root, out, scratch : str or os.PathLike
///     The dataset's root; where the whole shard goes; where it is written until then, on the same file system.
/// progress : Progress
///     Counts on, and may tell it to stop.
///
/// Returns
/// -------
/// str
///     What was built, as JSON: rows, files with checksums, what was measured of each image, what was skipped and why.
///
/// Raises
/// ------
/// ValueError
///     If `spec` is not a specification.
/// OSError
///     If an output can't be written.
/// KeyboardInterrupt
///     If `progress.cancel` was called.
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
///
/// Raises
/// ------
/// OSError
///     If it can't be read.
///
/// Examples
/// --------
/// >>> import tempfile
/// >>> from pixq import _core
/// >>> with tempfile.NamedTemporaryFile() as empty:
/// ...     _core.checksum(empty.name)[1][:16]
/// 'af1349b9f5f9a1a6'
#[pyfunction]
fn checksum(py: Python<'_>, path: PathBuf) -> PyResult<(u64, String)> {
    let info = py.detach(|| shard::checksum(&path)).map_err(to_py)?;
    Ok((info.bytes, info.blake3))
}

/// The records of a shard as columns.
///
/// Parameters
/// ----------
/// path : str or os.PathLike
///     A shard's `.jsonl`.
/// image_ids : sequence of str
///     The shard's images; the column `image` counts in it.
///
/// Returns
/// -------
/// dict of str to ndarray
///     Columns of one length: `image`, `patch_id`, `y`, `x`, `reference_row`, `distorted_row` (uint32), `psnr`,
///     `psnr_roi` (float64, dB, infinite where equal), `alpha` (float64, NaN but for a blend), `quality` (float64),
///     `fusion` (uint8, counts in `FUSION_NAMES`), `identical` (bool).
///
/// Raises
/// ------
/// ValueError
///     If a line is not a record, naming file and line.
/// OSError
///     If the file can't be read.
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
    m.add_function(wrap_pyfunction!(build_shard, m)?)?;
    m.add_function(wrap_pyfunction!(checksum, m)?)?;
    m.add_function(wrap_pyfunction!(read_records, m)?)
}
