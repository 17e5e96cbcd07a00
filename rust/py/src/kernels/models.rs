//! Bindings of [`pixq_core::models`].

use pixq_core::models::{self, Options, Weights};
use pixq_core::tile::check_corners;
use pyo3::prelude::*;

use super::args::{Maybe, room, size_or_20};
use super::corners;
use super::network_args::{channels, float_vector, images, inputs, output_vector};
use crate::error::to_py;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(score_at, m)?)
}

/// Scores of pairs of patches by a model, where they lie in two images.
///
/// Results do not depend on the number of threads, nor on which other patches are scored. Those of `tiny` are the scores of
/// `tiny_score` for the patches that `tile` cuts, bit for bit; those of `monotone` equal those of the torch module up to rounding.
///
/// Patches that overlap may share work: `tiny` shares the first convolution, and without norm all but the last mean. Patches
/// of many rows at once share most; a call for each row of patches would share little.
///
/// Parameters
/// ----------
/// model
///     `monotone` or `tiny`.
/// parameters
///     float32: buffers and parameters of the torch module, one after the other. For `tiny` as for `tiny_score`. For `monotone`
///     (37 + 1161 * members,), and 28 * members more if the weight is learned: context_mean, context_scale, distance_scale, rise,
///     cost, look.weight, look.bias, modulate, bias, top, bend_in.weight, bend_in.bias, bend_out, and weigh_in.weight,
///     weigh_in.bias, weigh_out where the weight is learned.
/// reference, distorted
///     (height, width, 3) uint8; rows may be strided or reversed.
/// coords
///     (n, 2) int64: y, x of each patch, in any order. Patches may overlap.
/// size
///     Pixels, one number or (rows, columns): at least 5x5 for `tiny`, multiples of 4 for `monotone`.
/// options
///     A dict. For `tiny`: `norm`, whether group normalisations follow the first two convolutions. For `monotone`: `members`,
///     the number of nets in the ensemble, 1 to 1024; `learned`, whether the weight of a patch in its image's score is learned,
///     otherwise it is 1.
/// scale, shift
///     Nine numbers each, used as float32. The model's inputs are `channel * scale + shift` of the channels (0..255) of
///     the reference, of the distorted and of their absolute difference (which `monotone` ignores).
/// scores, weights
///     (n * members,) float32: take each member's score of a patch, and its weight, patch by patch; `tiny` has one member.
///     They must not share memory with an input or each other.
///
/// Raises
/// ------
/// TypeError
///     If a dtype or a type is another.
/// ValueError
///     If there is no such model or option, shapes do not fit, a patch does not lie inside the images (it is named), a vector is
///     not contiguous, or `scores` or `weights` is read-only or shares memory with another argument.
/// MemoryError
///     If the work does not fit memory.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> parameters, image = np.zeros(4417, np.float32), np.zeros((30, 40, 3), np.uint8)
/// >>> parameters[-1], corners = 0.5, np.array([[0, 0], [10, 10]])
/// >>> scores, weights = np.empty((2, 2), np.float32)
/// >>> arrays = {"scale": [1 / 255] * 9, "shift": [0] * 9, "scores": scores, "weights": weights}
/// >>> _core.score_at("tiny", parameters, image, image, corners, options={"norm": True}, **arrays)
/// >>> scores.tolist(), weights.tolist()
/// ([0.5, 0.5], [1.0, 1.0])
#[pyfunction]
#[pyo3(
    signature = (model, parameters, reference, distorted, coords, *, size = None, options, scale, shift, scores, weights),
    text_signature = "(model, parameters, reference, distorted, coords, *, size=20, options, scale, shift, scores, weights)"
)]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
fn score_at(
    py: Python<'_>,
    model: &str,
    parameters: &Bound<'_, PyAny>,
    reference: &Bound<'_, PyAny>,
    distorted: &Bound<'_, PyAny>,
    coords: &Bound<'_, PyAny>,
    size: Maybe<'_, '_>,
    options: std::collections::BTreeMap<String, i64>,
    scale: &Bound<'_, PyAny>,
    shift: &Bound<'_, PyAny>,
    scores: &Bound<'_, PyAny>,
    weights: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let model = models::open(model, Options(options.into_iter().collect())).map_err(to_py)?;
    let inputs = inputs([parameters, reference, distorted, scale, shift]);
    let inputs = [&inputs[..], &[("coords", coords)]].concat();
    let pair = images(reference, distorted)?;
    let (reference, distorted) = (pair[0].view()?, pair[1].view()?);
    let (size, corners) = (size_or_20(size)?, corners(coords)?);
    let extent = (reference.height(), reference.width());
    check_corners(extent.0, extent.1, size, &corners).map_err(to_py)?;
    let parameters = float_vector(
        "parameters",
        parameters,
        model.parameter_count(),
        "the parameters of a model with these options",
    )?;
    let (scale, shift) = (channels("scale", scale)?, channels("shift", shift)?);
    let results = corners.len() * model.members();
    // Weights first: once `scores` is borrowed, what shares memory with it looks like an array of another call.
    let others = [&inputs[..], &[("scores", scores)]].concat();
    let mut weights = output_vector("weights", weights, results, "one weight per patch and member", &others)?;
    let mut scores = output_vector("scores", scores, results, "one score per patch and member", &inputs)?;
    room(model.work_bytes(extent, size, corners.len()), 1)?;
    let numbers = Weights { parameters: parameters.as_slice()?, scale: &scale, shift: &shift };
    let out = [scores.as_slice_mut()?, weights.as_slice_mut()?];
    py.detach(|| model.score_at(&numbers, [&reference, &distorted], &corners, size, out)).map_err(to_py)
}
