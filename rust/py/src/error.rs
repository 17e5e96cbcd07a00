//! Core errors to Python exceptions: shapes and ranges are `ValueError`, files are `OSError` with the path.

use std::cell::Cell;

use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PyValueError};
use pyo3::prelude::*;

/// The number of an error that is not the system's: an invalid argument.
const EINVAL: i32 = 22;

thread_local! {
    /// What interrupted this thread.
    static INTERRUPT: Cell<Option<PyErr>> = const { Cell::new(None) };
}

/// The next [`pixq_core::Error::Interrupted`] of this thread becomes `error`.
pub fn raise_when_interrupted(error: PyErr) {
    INTERRUPT.set(Some(error));
}

/// Turns a core error into the Python exception of its kind.
pub fn to_py(error: pixq_core::Error) -> PyErr {
    use pixq_core::Error;
    let interrupt = INTERRUPT.take();
    match error {
        Error::Io { path, source } => {
            let reason = pixq_core::error::os_message(&source);
            // Python picks the subclass (FileNotFoundError, PermissionError, ...) from the number.
            let code = source.raw_os_error().unwrap_or(EINVAL);
            PyOSError::new_err((code, reason, path.into_os_string()))
        }
        Error::Interrupted => interrupt.unwrap_or_else(|| PyKeyboardInterrupt::new_err(())),
        other => PyValueError::new_err(other.to_string()),
    }
}
