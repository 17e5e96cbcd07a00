//! Tiles, fusions, errors between images and sampling. Each function validates, borrows, allocates, detaches for one
//! core call and maps the error.

use numpy::PyUntypedArrayMethods;
use numpy::ndarray::{ArrayView1, Ix2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use pixq_core::fuse::{Fusion, Plan};
use pixq_core::{Error, Region};

use crate::array::readonly;
use crate::error::to_py;

mod fuse;
mod measure;
mod sample;
mod tile;

/// Adds this file's functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    tile::register(m)?;
    fuse::register(m)?;
    measure::register(m)?;
    sample::register(m)
}

/// The most patches a call cuts or chooses: 2^28, whose corners take 4 GB.
const MAX_CORNERS: usize = 1 << 28;

/// A number of pixels, or one for rows and one for columns.
#[derive(Clone, Copy, FromPyObject)]
pub enum Size {
    /// The same for both.
    Square(i64),
    /// (height, width).
    Box(i64, i64),
}

impl Size {
    /// (height, width); ValueError unless both are at least 1.
    fn pair(self, name: &str) -> PyResult<(usize, usize)> {
        let (height, width) = match self {
            Size::Square(size) => (size, size),
            Size::Box(height, width) => (height, width),
        };
        match (usize::try_from(height), usize::try_from(width)) {
            (Ok(h @ 1..), Ok(w @ 1..)) => Ok((h, w)),
            _ => Err(PyValueError::new_err(format!("'{name}' is {height}x{width}; expected at least 1x1"))),
        }
    }
}

/// A box (y, x, height, width) inside a patch.
type RoiBox = (i64, i64, i64, i64);

fn region(roi: RoiBox, height: usize, width: usize) -> PyResult<Region> {
    let whole = |value: i64| usize::try_from(value).ok();
    match (whole(roi.0), whole(roi.1), whole(roi.2), whole(roi.3)) {
        (Some(y), Some(x), Some(h), Some(w)) => {
            Region { y, x, height: h, width: w }.inside("roi", height, width).map_err(to_py)
        }
        (_, _, Some(h), Some(w)) => Err(to_py(Error::OutOfBounds {
            what: "roi",
            y: roi.0,
            x: roi.1,
            height: h,
            width: w,
            outer_height: height,
            outer_width: width,
        })),
        _ => Err(PyValueError::new_err(format!("the RoI is {}x{}; expected at least 1x1", roi.2, roi.3))),
    }
}

/// The RoI that was given, or the default of the default patch: 12x12 in the middle of 20x20. Where `needed` is false
/// the RoI plays no part and the whole patch stands for it.
fn roi_or_default(roi: Option<RoiBox>, size: (usize, usize), needed: bool) -> PyResult<Region> {
    match roi {
        Some(roi) => region(roi, size.0, size.1),
        None if size == (20, 20) => Ok(Region { y: 4, x: 4, height: 12, width: 12 }),
        None if !needed => Ok(Region { y: 0, x: 0, height: size.0, width: size.1 }),
        None => Err(PyValueError::new_err(format!(
            "'roi' is needed for patches of {}x{}; give (y, x, height, width)",
            size.0, size.1
        ))),
    }
}

fn fusion(name: &str, alpha: f64) -> PyResult<Fusion> {
    let fusion = match name {
        "none" => Fusion::None,
        "copy" => Fusion::Copy,
        "paste" => Fusion::Paste,
        "blend" => Fusion::Blend { alpha },
        _ => {
            let message = format!("'fusion' is {name:?}; expected \"none\", \"copy\", \"blend\" or \"paste\"");
            return Err(PyValueError::new_err(message));
        }
    };
    fusion.check().map_err(to_py)?;
    Ok(fusion)
}

fn plan(
    fusions: &[(String, f64)],
    size: (usize, usize),
    channels: usize,
    roi: Option<RoiBox>,
    measured: bool,
) -> PyResult<Plan> {
    let fusions = fusions.iter().map(|(name, alpha)| fusion(name, *alpha)).collect::<PyResult<Vec<_>>>()?;
    let needed = measured || fusions.iter().any(|fusion| *fusion != Fusion::None);
    Plan::new(size, channels, roi_or_default(roi, size, needed)?, &fusions).map_err(to_py)
}

/// An (n, 2) int64 array of corners.
fn corners(object: &Bound<'_, PyAny>) -> PyResult<Vec<(usize, usize)>> {
    let expected = "an int64 array of shape (n, 2): y, x of each patch";
    let array = readonly::<i64, Ix2>("coords", object, expected)?;
    if array.shape()[1] != 2 {
        let found = crate::array::tuple(array.shape());
        return Err(PyValueError::new_err(format!("'coords' has shape {found}; expected {expected}")));
    }
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

/// A side of an image.
fn side(name: &str, value: i64) -> PyResult<usize> {
    usize::try_from(value).map_err(|_| PyValueError::new_err(format!("'{name}' is {value}; expected at least 0")))
}

fn check_count(count: Option<usize>) -> PyResult<()> {
    match count {
        Some(0..=MAX_CORNERS) => Ok(()),
        _ => Err(PyValueError::new_err(format!("that is more than {MAX_CORNERS} patches; cut fewer at a time"))),
    }
}
