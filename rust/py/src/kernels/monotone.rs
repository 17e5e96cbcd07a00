//! Bindings of [`pixq_core::monotone`].

use pixq_core::monotone::{self, Ensemble};
use pixq_core::tile::check_corners;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::args::{Maybe, size_or_20};
use super::corners;
use super::network_args::{channels, float_vector, images, output_vector};
use crate::error::to_py;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(monotone_score_at, m)?)
}

/// Scores of pairs of patches by the model `monotone`, where they lie in two images.
///
/// Results do not depend on the number of threads, nor on which other patches are scored. They equal those of the torch module up
/// to rounding.
///
/// Parameters
/// ----------
/// parameters
///     (37 + 1161 * members,) float32, and 28 * members more if the weight is learned; buffers and parameters of the torch module
///     one after the other: context_mean, context_scale, distance_scale, rise, cost, look.weight, look.bias, modulate, bias, top,
///     bend_in.weight, bend_in.bias, bend_out, and weigh_in.weight, weigh_in.bias, weigh_out where the weight is learned.
/// reference, distorted
///     (height, width, 3) uint8; rows may be strided or reversed.
/// coords
///     (n, 2) int64: y, x of each patch, in any order. Patches may overlap.
/// size
///     Pixels, one number or (rows, columns), multiples of 4.
/// members
///     Number of nets in the ensemble, 1 to 1024.
/// learned
///     Whether the weight of a patch in its image's score is learned; otherwise it is 1.
/// scale, shift
///     As for `tiny_score`; those of the difference are ignored.
/// raw, weight
///     (n * members,) float32: take each member's score of a patch, and its weight, patch by patch. They must not share
///     memory with an input or each other.
///
/// Raises
/// ------
/// TypeError
///     If a dtype or a type is another.
/// ValueError
///     If shapes do not fit, a patch does not lie inside the images (it is named), or a vector is not contiguous or not writable.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> parameters, image = np.zeros(37 + 1161, np.float32), np.zeros((20, 20, 3), np.uint8)
/// >>> parameters[:37], corner = 1, np.array([[0, 0]])
/// >>> raw, weight, scaling = np.empty(1, np.float32), np.empty(1, np.float32), {"scale": [1 / 255] * 9, "shift": [0] * 9}
/// >>> options = {"members": 1, "learned": False, **scaling, "raw": raw, "weight": weight}
/// >>> _core.monotone_score_at(parameters, image, image, corner, **options)
/// >>> round(raw.item(), 3), weight.item()  # 16 units of softplus(0), half of which is lost
/// (-5.545, 1.0)
#[pyfunction]
#[pyo3(
    signature = (parameters, reference, distorted, coords, *, size = None, members, learned, scale, shift, raw, weight),
    text_signature = "(parameters, reference, distorted, coords, *, size=20, members, learned, scale, shift, raw, weight)"
)]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
fn monotone_score_at(
    py: Python<'_>,
    parameters: &Bound<'_, PyAny>,
    reference: &Bound<'_, PyAny>,
    distorted: &Bound<'_, PyAny>,
    coords: &Bound<'_, PyAny>,
    size: Maybe<'_, '_>,
    members: usize,
    learned: bool,
    scale: &Bound<'_, PyAny>,
    shift: &Bound<'_, PyAny>,
    raw: &Bound<'_, PyAny>,
    weight: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let [reference, distorted] = images(reference, distorted)?;
    let (size, corners) = (size_or_20(size)?, corners(coords)?);
    check_corners(reference.height(), reference.width(), size, &corners).map_err(to_py)?;
    if !(1..=1024).contains(&members) {
        return Err(PyValueError::new_err(format!("'members' is {members}; expected 1 to 1024")));
    }
    let count = monotone::parameter_count(members, learned);
    let parameters = float_vector("parameters", parameters, count, "the parameters of an ensemble of this size")?;
    let (scale, shift) = (channels("scale", scale)?, channels("shift", shift)?);
    let results = corners.len() * members;
    let mut raw = output_vector("raw", raw, results, "one score per patch and member")?;
    let mut weight = output_vector("weight", weight, results, "one weight per patch and member")?;
    let model = Ensemble { members, learned, parameters: parameters.as_slice()?, scale: &scale, shift: &shift };
    let (raw, weight) = (raw.as_slice_mut()?, weight.as_slice_mut()?);
    py.detach(|| monotone::score_at(&model, &reference, &distorted, &corners, size, raw, weight)).map_err(to_py)
}
