//! From arguments to a plan of fusions.

use numpy::PyUntypedArrayMethods;
use numpy::ndarray::Ix2;
use pixq_core::fuse::{Fusion, Plan};
use pixq_core::{Error, Region};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::args::{self, Maybe, room};
use crate::array::{readonly, tuple};
use crate::error::to_py;

/// The plan with one more fusion, by weights of the reference for each pixel.
pub(super) fn with_mask(
    plan: Plan,
    name: &str,
    mask: &Bound<'_, PyAny>,
    size: (usize, usize),
    channels: usize,
) -> PyResult<Plan> {
    let array = readonly::<f64, Ix2>(name, mask, "a float64 array of shape (height, width), one weight per pixel")?;
    if array.shape() != [size.0, size.1] {
        let (found, expected) = (tuple(array.shape()), tuple(&[size.0, size.1]));
        return Err(PyValueError::new_err(format!(
            "'{name}' has shape {found}; expected {expected}, the size of a patch"
        )));
    }
    room(array.len(), (1 + channels) * size_of::<f64>())?;
    let weights: Vec<f64> = array.as_array().iter().copied().collect();
    plan.with_mask(&weights).map_err(|error| match error {
        Error::Value { value, expected, .. } => {
            PyValueError::new_err(format!("a weight of '{name}' is {value}; expected {expected}"))
        }
        other => to_py(other),
    })
}

/// The plan of fusions, followed by masks, for patches of `size`. The default RoI of patches of 20x20 is 12x12 in the middle;
/// where no fusion uses the RoI, it is the whole patch.
pub(super) fn plan(
    fusions: &[Fusion],
    masks: &[Bound<'_, PyAny>],
    size: (usize, usize),
    channels: usize,
    roi: Maybe<'_, '_>,
    measured: bool,
) -> PyResult<Plan> {
    let needed = measured || fusions.iter().any(Fusion::uses_roi);
    let roi = match args::roi(roi, size.0, size.1)? {
        Some(roi) => roi,
        None if size == (20, 20) => Region { y: 4, x: 4, height: 12, width: 12 },
        None if !needed => Region { y: 0, x: 0, height: size.0, width: size.1 },
        None => {
            let (height, width) = size;
            return Err(PyValueError::new_err(format!(
                "'roi' is required for patches of {height}x{width}; pass (y, x, height, width)"
            )));
        }
    };
    let mut plan = Plan::new(size, channels, roi, fusions).map_err(to_py)?;
    for (i, mask) in masks.iter().enumerate() {
        plan = with_mask(plan, &format!("masks[{i}]"), mask, size, channels)?;
    }
    Ok(plan)
}
