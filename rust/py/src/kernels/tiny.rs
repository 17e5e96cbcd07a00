//! Bindings of [`pixq_core::models::tiny`].

use pixq_core::Batch;
use pixq_core::models::tiny::{self, MIN_SIDE, Network, Tape};
use pyo3::prelude::*;

use super::args::room;
use super::network_args::{bytes, channels, float_vector, inputs, output_vector};
use crate::array::Pixels;
use crate::error::to_py;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<TinyTape>()?;
    m.add_function(wrap_pyfunction!(tiny_score, m)?)
}

fn parameters_of(norm: bool) -> &'static str {
    if norm { "the parameters of a network with norm" } else { "the parameters of a network without norm" }
}

const ONE_SCORE_PER_PAIR: &str = "one score per pair";

/// Pairs of patches that the network can take.
fn pairs<'a, 'py>(
    reference: &'a Bound<'py, PyAny>,
    distorted: &'a Bound<'py, PyAny>,
) -> PyResult<[Pixels<'a, 'py>; 2]> {
    let [reference, distorted] = bytes(reference, distorted)?;
    match *reference.shape() {
        [_, height, width, 3] if height.min(width) >= MIN_SIDE => Ok([reference, distorted]),
        _ => Err(reference.unexpected("(n, height, width, 3), at least 5x5")),
    }
}

/// MemoryError where the work on patches of this size, and `bytes` for each of them, do not fit.
fn check_room(pairs: &Batch<'_, u8>, bytes: usize) -> PyResult<()> {
    let [n, height, width, _] = pairs.shape();
    room(n, bytes)?;
    let workers = pixq_core::parallel::num_threads().min(n);
    room(height.saturating_mul(width).saturating_mul(workers), tiny::BYTES_PER_PIXEL)
}

/// Scores of pairs of patches by TinyPatchRegressor.
///
/// Parameters
/// ----------
/// parameters
///     (4417,) float32, or (4321,) without norm: the parameters of the torch module one after the other, in its order. Weight (32, 9, 3, 3)
///     and bias of the first convolution, [of its normalisation,] of the second (16, 32, 1, 1), [of its normalisation,] of the
///     third (8, 16, 3, 3), of the linear layer (1, 8).
/// reference, distorted
///     (n, height, width, 3) uint8, at least 5x5; patches and rows may be strided or reversed.
/// norm
///     Whether group normalisations follow the first two convolutions.
/// scale, shift
///     Nine numbers each, used as float32. The network's inputs are `channel * scale + shift` of the channels (0..255)
///     of the reference, of the distorted and of their absolute difference.
/// out
///     (n,) float32: takes the scores. It must not share memory with an input.
///
/// Raises
/// ------
/// TypeError
///     If a dtype or a type is another.
/// ValueError
///     If shapes do not fit, a vector is not contiguous, or `out` is read-only or shares memory with an input.
/// MemoryError
///     If the work does not fit memory.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> parameters, patches, out = np.zeros(4417, np.float32), np.zeros((2, 20, 20, 3), np.uint8), np.empty(2, np.float32)
/// >>> parameters[-1] = 0.5
/// >>> _core.tiny_score(parameters, patches, patches, norm=True, scale=[1 / 255] * 9, shift=[0] * 9, out=out)
/// >>> out.tolist()
/// [0.5, 0.5]
#[pyfunction]
#[pyo3(signature = (parameters, reference, distorted, *, norm, scale, shift, out))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
fn tiny_score(
    py: Python<'_>,
    parameters: &Bound<'_, PyAny>,
    reference: &Bound<'_, PyAny>,
    distorted: &Bound<'_, PyAny>,
    norm: bool,
    scale: &Bound<'_, PyAny>,
    shift: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let inputs = inputs([parameters, reference, distorted, scale, shift]);
    let pair = pairs(reference, distorted)?;
    let (reference, distorted) = (pair[0].batch()?, pair[1].batch()?);
    let parameters = float_vector("parameters", parameters, tiny::parameter_count(norm), parameters_of(norm))?;
    let (scale, shift) = (channels("scale", scale)?, channels("shift", shift)?);
    let mut out = output_vector("out", out, reference.len(), ONE_SCORE_PER_PAIR, &inputs)?;
    check_room(&reference, 0)?;
    let network = Network { norm, parameters: parameters.as_slice()?, scale: &scale, shift: &shift };
    let out = out.as_slice_mut()?;
    py.detach(|| tiny::score(&network, &reference, &distorted, out)).map_err(to_py)
}

/// Scores by TinyPatchRegressor of which gradients by the parameters can be taken.
///
/// A tape keeps the gradient of each score of its last `forward`, 18 kB a pair, and no reference to the arrays it was given;
/// they may change afterwards. `backward` may be called any number of times. Results do not depend on the number of threads.
///
/// Parameters
/// ----------
/// norm
///     Whether group normalisations follow the first two convolutions.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> from pixq import _core
/// >>> parameters, patches, out = np.zeros(4417, np.float32), np.zeros((2, 20, 20, 3), np.uint8), np.empty(2, np.float32)
/// >>> tape, gradients = _core.TinyTape(norm=True), np.empty_like(parameters)
/// >>> tape.forward(parameters, patches, patches, scale=[1 / 255] * 9, shift=[0] * 9, out=out)
/// >>> tape.backward(np.array([0.5, 0.25], np.float32), gradients)
/// >>> gradients[-2:].tolist()  # of a weight of outputs that are 0, and of the last bias
/// [0.0, 0.75]
#[pyclass(module = "pixq._core")]
pub struct TinyTape(Tape);

#[pymethods]
impl TinyTape {
    #[new]
    #[pyo3(signature = (*, norm))]
    fn new(norm: bool) -> Self {
        Self(Tape::new(norm))
    }

    /// Scores of pairs of patches; the arguments are those of `tiny_score`.
    ///
    /// Raises
    /// ------
    /// TypeError, ValueError, MemoryError
    ///     As `tiny_score`.
    /// RuntimeError
    ///     If another thread is using the tape.
    #[pyo3(signature = (parameters, reference, distorted, *, scale, shift, out))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn forward(
        &mut self,
        py: Python<'_>,
        parameters: &Bound<'_, PyAny>,
        reference: &Bound<'_, PyAny>,
        distorted: &Bound<'_, PyAny>,
        scale: &Bound<'_, PyAny>,
        shift: &Bound<'_, PyAny>,
        out: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let norm = self.0.norm();
        let inputs = inputs([parameters, reference, distorted, scale, shift]);
        let pair = pairs(reference, distorted)?;
        let (reference, distorted) = (pair[0].batch()?, pair[1].batch()?);
        let parameters = float_vector("parameters", parameters, tiny::parameter_count(norm), parameters_of(norm))?;
        let (scale, shift) = (channels("scale", scale)?, channels("shift", shift)?);
        let mut out = output_vector("out", out, reference.len(), ONE_SCORE_PER_PAIR, &inputs)?;
        check_room(&reference, Tape::BYTES_PER_PAIR)?;
        let network = Network { norm, parameters: parameters.as_slice()?, scale: &scale, shift: &shift };
        let out = out.as_slice_mut()?;
        py.detach(|| self.0.forward(&network, &reference, &distorted, out)).map_err(to_py)
    }

    /// The gradient of a loss by the parameters, in their order, from its gradient by the scores of the last `forward`.
    ///
    /// Parameters
    /// ----------
    /// grad_output
    ///     (n,) float32.
    /// gradients
    ///     (4417,) float32, or (4321,) without norm: is overwritten. It must not share memory with `grad_output`.
    ///
    /// Raises
    /// ------
    /// TypeError, ValueError
    ///     As `forward`, and if `forward` scored another number of pairs.
    /// RuntimeError
    ///     If another thread is using the tape.
    fn backward(&self, py: Python<'_>, grad_output: &Bound<'_, PyAny>, gradients: &Bound<'_, PyAny>) -> PyResult<()> {
        let norm = self.0.norm();
        let inputs = [("grad_output", grad_output)];
        let grad_output = float_vector("grad_output", grad_output, self.0.pairs(), "one number per pair of 'forward'")?;
        let count = tiny::parameter_count(norm);
        let mut gradients = output_vector("gradients", gradients, count, parameters_of(norm), &inputs)?;
        let (scores, gradients) = (grad_output.as_slice()?, gradients.as_slice_mut()?);
        py.detach(|| self.0.backward(scores, gradients)).map_err(to_py)
    }
}
