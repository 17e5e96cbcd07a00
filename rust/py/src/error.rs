//! Core errors to Python exceptions: shapes and ranges are `ValueError`, files are `OSError` with the path.

use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PyValueError};
use pyo3::prelude::*;

/// Turns a core error into the Python exception of its kind.
pub fn to_py(error: pixq_core::Error) -> PyErr {
    use pixq_core::Error;
    match error {
        Error::Io { path, source } => {
            let reason = pixq_core::error::os_message(&source);
            match source.raw_os_error() {
                // Python picks the subclass (FileNotFoundError, PermissionError, ...) from the number.
                Some(code) => PyOSError::new_err((code, reason, path.into_os_string())),
                None => PyOSError::new_err(format!("{}: {reason}", path.display())),
            }
        }
        Error::Interrupted => PyKeyboardInterrupt::new_err(()),
        other => PyValueError::new_err(other.to_string()),
    }
}
