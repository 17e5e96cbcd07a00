//! TinyPatchRegressor of the Jianjin008 report, forward and backward.
//!
//! Nine channels (reference, distorted, |difference|) times factors plus offsets; 3x3 to 32, normalised in 8 groups, ReLU;
//! 1x1 to 16, normalised in 4 groups, ReLU; 3x3 to 8, ReLU; mean over pixels; linear to one score. No padding.
//!
//! # How
//!
//! A patch pair goes through the whole network before the next one, as all it becomes on the way stays in the second cache.
//! The score is one number, so the gradient of any loss is the sum over pairs of the loss's gradient by the score times the
//! score's by the parameters. [`Tape::forward`] computes the latter while all activations are in memory and keeps nothing else:
//! 18 kB a pair where the activations would be 70 kB; [`Tape::backward`] is a small product.
//!
//! # Determinism
//!
//! A pair's score and gradient are taken on one thread, and sums over pairs in `f64` in their order: results are bit-identical for
//! any number of threads. Processors without fused multiplication round differently.

mod at;
mod backward;
mod block;
mod forward;
mod lanes;
mod norm;
mod pack;
mod patch;
mod product;
mod scratch;
#[cfg(test)]
mod tests;

use std::sync::Mutex;

pub use self::at::score_at;
use self::lanes::{Line, Portable};
use self::pack::{Buffer, LINES, Weights};
use self::scratch::{Scaling, Scratch};
use crate::checks::check_len;
use crate::error::{Error, Result};
use crate::models::{Model, Options, Weights as ModelWeights};
use crate::parallel::{self, with_lanes};
use crate::view::{Batch, View};

/// The least height and width of a patch: two 3x3 without padding.
pub const MIN_SIDE: usize = 5;

/// Calls on fewer pixels than this stay on the calling thread: the scores of 4 patches of 20x20 take 40 microseconds, about
/// what it takes to wake another thread.
pub const PARALLEL_PIXELS: usize = 4 * 400;

/// The most memory, in bytes, that a thread needs per pixel of a patch.
pub const BYTES_PER_PIXEL: usize = 700;

/// Parameters of a network with group normalisation, or of one without.
pub const fn parameter_count(norm: bool) -> usize {
    pack::count(norm)
}

/// A network that scores pairs of patches.
#[derive(Clone, Copy, Debug)]
pub struct Network<'a> {
    /// Whether it has group normalisations.
    pub norm: bool,
    /// In the order of the model: weight and bias of the 3x3 to 32 (of shape (output, input, row, column)), of its
    /// normalisation if there is one, of the 1x1, of its normalisation, of the 3x3 to 8, of the linear layer.
    pub parameters: &'a [f32],
    /// Factors of the nine channels.
    pub scale: &'a [f32; 9],
    /// Offsets of the nine channels, added after the factors.
    pub shift: &'a [f32; 9],
}

/// The model without its weights.
#[derive(Clone, Copy)]
struct Tiny {
    norm: bool,
}

/// The model with its option `norm`; see [`crate::models::open`].
///
/// # Errors
/// [`Error::Value`] if the option is missing or outside its range.
pub fn open(options: &mut Options) -> Result<Box<dyn Model>> {
    Ok(Box::new(Tiny { norm: options.take("'norm'", 0..=1, "true or false")? == 1 }))
}

impl Model for Tiny {
    fn parameter_count(&self) -> usize {
        parameter_count(self.norm)
    }

    fn work_bytes(&self, extent: (usize, usize), size: (usize, usize), patches: usize) -> usize {
        let workers = parallel::num_threads().min(patches);
        at::block_pixels(extent, size).saturating_mul(workers).saturating_mul(BYTES_PER_PIXEL)
    }

    fn score_at(
        &self,
        weights: &ModelWeights<'_>,
        [reference, distorted]: [&View<'_, u8>; 2],
        corners: &[(usize, usize)],
        size: (usize, usize),
        [scores, weight]: [&mut [f32]; 2],
    ) -> Result<()> {
        let (Self { norm }, ModelWeights { parameters, scale, shift }) = (*self, *weights);
        score_at(&Network { norm, parameters, scale, shift }, reference, distorted, corners, size, scores)?;
        weight.fill(1.0);
        Ok(())
    }
}

/// Scores of pairs of patches, (n, height, width, 3) each.
///
/// # Errors
/// [`Error::Shape`] and [`Error::Value`] if shapes or numbers do not fit.
pub fn score(
    network: &Network<'_>,
    reference: &Batch<'_, u8>,
    distorted: &Batch<'_, u8>,
    out: &mut [f32],
) -> Result<()> {
    check(network, reference, distorted, out.len())?;
    let mut state = State::new(network.norm);
    state.run(parallel::arch(), network, reference, distorted, out, None);
    Ok(())
}

/// Scores, and their gradients by the parameters. Memory is kept from call to call.
pub struct Tape {
    state: State,
    /// The gradient of each pair's score.
    rows: Buffer,
    pairs: usize,
}

impl Tape {
    /// A tape for a network with or without group normalisation.
    pub fn new(norm: bool) -> Self {
        Self { state: State::new(norm), rows: Buffer::default(), pairs: 0 }
    }

    /// Whether the network has a group normalisation.
    pub fn norm(&self) -> bool {
        self.state.weights.norm
    }

    /// The pairs of the last call.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// Bytes that a call keeps per pair.
    pub const BYTES_PER_PAIR: usize = LINES * size_of::<Line>();

    /// Scores of pairs of patches, as [`score`], of which gradients can be taken then.
    ///
    /// # Errors
    /// As [`score`], and if only one of network and tape has normalisations.
    pub fn forward(
        &mut self,
        network: &Network<'_>,
        reference: &Batch<'_, u8>,
        distorted: &Batch<'_, u8>,
        out: &mut [f32],
    ) -> Result<()> {
        self.forward_on(parallel::arch(), network, reference, distorted, out)
    }

    fn forward_on(
        &mut self,
        arch: pulp::Arch,
        network: &Network<'_>,
        reference: &Batch<'_, u8>,
        distorted: &Batch<'_, u8>,
        out: &mut [f32],
    ) -> Result<()> {
        if network.norm != self.norm() {
            let expected = if self.norm() { "true" } else { "false" };
            return Err(Error::Value { what: "the network's norm", value: network.norm.to_string(), expected });
        }
        check(network, reference, distorted, out.len())?;
        self.pairs = 0;
        self.rows.resize(out.len() * LINES);
        let rows = self.rows.lines_mut();
        self.state.run(arch, network, reference, distorted, out, Some(rows));
        self.pairs = out.len();
        Ok(())
    }

    /// The gradient of a loss by the parameters, in their order, from its gradient by the scores of the last call of
    /// [`Tape::forward`].
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many numbers as scores or as parameters.
    pub fn backward(&self, scores: &[f32], parameters: &mut [f32]) -> Result<()> {
        check_len("the gradient of the scores", scores.len(), &[self.pairs])?;
        check_len("the gradient of the parameters", parameters.len(), &[pack::count(self.norm())])?;
        let rows = self.rows.lines()[..self.pairs * LINES].as_flattened();
        let mut sums = vec![0.0_f64; LINES * 16];
        // A job sums up a part of the parameters over all pairs.
        const PART: usize = 1104;
        let jobs: Vec<_> = sums.chunks_mut(PART).enumerate().collect();
        parallel::for_each(rows.len(), jobs, |(i, sums)| {
            parallel::vectorised(
                #[inline(always)]
                || {
                    for (&score, row) in scores.iter().zip(rows.chunks_exact(LINES * 16)) {
                        let score = f64::from(score);
                        for (sum, &x) in sums.iter_mut().zip(&row[i * PART..]) {
                            *sum += score * f64::from(x);
                        }
                    }
                },
            );
        });
        let last = scores.iter().map(|&score| f64::from(score)).sum();
        pack::unpack(self.norm(), &sums, last, parameters);
        Ok(())
    }
}

/// An error unless network, patches and outputs fit together.
fn check(network: &Network<'_>, reference: &Batch<'_, u8>, distorted: &Batch<'_, u8>, out: usize) -> Result<()> {
    reference.same_shape("distorted", distorted)?;
    let [n, height, width, channels] = reference.shape();
    if height < MIN_SIDE || width < MIN_SIDE || channels != 3 {
        let value = format!("{height}x{width} with {channels} channels");
        return Err(Error::Value { what: "a patch", value, expected: "at least 5x5 with 3 channels" });
    }
    check_lengths(network, n, out)
}

/// An error unless there are as many parameters as the network has, and as much room as there are pairs.
fn check_lengths(network: &Network<'_>, pairs: usize, out: usize) -> Result<()> {
    check_len("the parameters", network.parameters.len(), &[pack::count(network.norm)])?;
    check_len("the scores", out, &[pairs])
}

/// Weights as the kernels read them, and room for the work of each thread.
struct State {
    weights: Weights,
    scratch: Vec<Scratch>,
}

impl State {
    fn new(norm: bool) -> Self {
        Self { weights: Weights::new(norm), scratch: Vec::new() }
    }

    /// The network as the kernels read it, and room for `workers` threads.
    fn ready(
        &mut self,
        arch: pulp::Arch,
        network: &Network<'_>,
        workers: usize,
    ) -> (&Weights, Scaling, &mut [Scratch]) {
        let weights = &mut self.weights;
        with_lanes!(arch, Portable, lanes => { let _ = lanes; weights.set(network.parameters) });
        self.scratch.resize_with(workers.max(self.scratch.len()), Scratch::default);
        (&self.weights, scratch::scaling(network.scale, network.shift), &mut self.scratch[..workers])
    }

    /// Scores, and, if `rows` are given, their gradients.
    fn run(
        &mut self,
        arch: pulp::Arch,
        network: &Network<'_>,
        reference: &Batch<'_, u8>,
        distorted: &Batch<'_, u8>,
        out: &mut [f32],
        rows: Option<&mut [Line]>,
    ) {
        let [n, height, width, _] = reference.shape();
        if n == 0 {
            return;
        }
        let shared = n * height * width >= PARALLEL_PIXELS;
        let workers = if shared { parallel::num_threads().min(n) } else { 1 };
        let (weights, scaling, scratch) = self.ready(arch, network, workers);
        let none = std::iter::repeat_with(|| None);
        let pairs = (0..n).zip(out);
        match rows {
            Some(rows) => {
                let jobs = Mutex::new(pairs.zip(rows.chunks_exact_mut(LINES).map(Some)));
                share(arch, weights, &scaling, [reference, distorted], scratch, &jobs);
            }
            None => {
                let jobs = Mutex::new(pairs.zip(none));
                share(arch, weights, &scaling, [reference, distorted], scratch, &jobs);
            }
        }
    }
}

/// Scores pairs on all threads: each takes the next pair when it is free, as threads may not be equally fast.
fn share<'a>(
    arch: pulp::Arch,
    weights: &Weights,
    scaling: &Scaling,
    [reference, distorted]: [&Batch<'_, u8>; 2],
    scratch: &mut [Scratch],
    jobs: &Mutex<impl Iterator<Item = ((usize, &'a mut f32), Option<&'a mut [Line]>)> + Send>,
) {
    parallel::together(scratch, |scratch| {
        // A lock is poisoned by a panic of another thread, which will be passed on.
        while let Some(((i, out), mut row)) = jobs.lock().ok().and_then(|mut jobs| jobs.next()) {
            let pair = [reference.patch(i), distorted.patch(i)];
            *out = with_lanes!(arch, Portable, lanes => patch::run(lanes, weights, scaling, pair, scratch, &mut row));
        }
    });
}
