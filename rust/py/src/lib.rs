//! `pixq._core`: the bindings. Each function validates, borrows, allocates, detaches for one core call
//! and maps the error; nothing else happens here.

use pyo3::prelude::*;

mod array;
mod decode;
mod error;
mod kernels;
mod pool;
mod shard;

#[pymodule]
mod _core {
    use super::*;

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        m.add("__version__", env!("CARGO_PKG_VERSION"))?;
        m.add("DEBUG_BUILD", cfg!(debug_assertions))?;
        decode::register(m)?;
        kernels::register(m)?;
        pool::register(m)?;
        shard::register(m)
    }
}
