//! Parameters in the order of the model and in the order of the kernels, and memory aligned to cache lines.

use super::lanes::Line;

/// Parameters of a network with normalisation, and of one without.
pub(super) const fn count(norm: bool) -> usize {
    if norm { 4417 } else { 4321 }
}

// Where each group of parameters starts in the kernels' order, in lines of 16.
/// 3x3 to 32: (row, image, column and channel, output), the images being reference, distorted, |difference|.
pub(super) const W1: usize = 0;
/// Bias, then weight and bias of the normalisation: (output) each.
pub(super) const B1: usize = W1 + 81 * 2;
/// 1x1 to 16: (output, input).
pub(super) const W2: usize = B1 + 3 * 2;
/// Bias, then weight and bias of the normalisation: (output) each.
pub(super) const B2: usize = W2 + 16 * 2;
/// 3x3 to 8: (row, output, column, input).
pub(super) const W3: usize = B2 + 3;
/// Bias of the 3x3 to 8, then weights of the linear layer.
pub(super) const B3: usize = W3 + 72;
/// Lines of all parameters but the last, the bias of the linear layer.
pub(super) const LINES: usize = B3 + 1;

/// Where parameter `i` of a network with normalisation lies in the kernels' order.
const PLACES: [u16; 4416] = places();

const fn places() -> [u16; 4416] {
    let mut places = [0; 4416];
    let mut i = 0;
    while i < 4416 {
        let place = if i < 2592 {
            let (output, input, tap) = (i / 81, i / 9 % 9, i % 9);
            let (image, channel, row, column) = (input / 3, input % 3, tap / 3, tap % 3);
            W1 * 16 + (((row * 3 + image) * 3 + column) * 3 + channel) * 32 + output
        } else if i < 2688 {
            B1 * 16 + i - 2592
        } else if i < 3200 {
            W2 * 16 + i - 2688
        } else if i < 3248 {
            B2 * 16 + i - 3200
        } else if i < 4400 {
            let i = i - 3248;
            let (output, input, row, column) = (i / 144, i / 9 % 16, i % 9 / 3, i % 3);
            W3 * 16 + ((row * 8 + output) * 3 + column) * 16 + input
        } else {
            B3 * 16 + i - 4400
        };
        places[i] = place as u16;
        i += 1;
    }
    places
}

/// The places of all parameters but the last: those of the normalisations are left out where there is none.
fn ranges(norm: bool) -> [&'static [u16]; 3] {
    match norm {
        true => [&PLACES, &[], &[]],
        false => [&PLACES[..2624], &PLACES[2688..3216], &PLACES[3248..]],
    }
}

/// Parameters as the kernels read them.
pub(super) struct Weights {
    /// In the kernels' order.
    lines: Buffer,
    /// Bias of the linear layer.
    pub bias: f32,
    /// Whether there is a normalisation.
    pub norm: bool,
}

/// Where derived weights follow in [`Weights`].
/// 1x1 to 16: (input, output).
const W2_FORWARD: usize = LINES;
/// 3x3 to 8 for two rows of outputs: (input row, column and input, [first row's outputs, second row's outputs]).
const W3_FORWARD: usize = W2_FORWARD + 32;
/// Sums of the weights of a subset of outputs, times their linear weights: (row, column, half, subset, input).
const SUBSETS: usize = W3_FORWARD + 4 * 48;
const ALL: usize = SUBSETS + 9 * 2 * 16;

/// [`SUBSETS`] of one tap.
pub(super) type Subsets = [[Line; 16]; 2];

impl Weights {
    /// No weights yet.
    pub fn new(norm: bool) -> Self {
        Self { lines: Buffer::default(), bias: 0.0, norm }
    }

    /// Takes `parameters` in the order of the model.
    #[inline(always)]
    pub fn set(&mut self, parameters: &[f32]) {
        self.lines.resize(ALL);
        let flat = self.lines.flat();
        let (&last, rest) = parameters.split_last().expect("the caller has counted them");
        for (&place, &parameter) in ranges(self.norm).into_iter().flatten().zip(rest) {
            flat[usize::from(place)] = parameter;
        }
        self.bias = last;
        let (kernel, derived) = flat.split_at_mut(LINES * 16);
        let (w2_forward, derived) = derived.split_at_mut(32 * 16);
        let (w3_forward, subsets) = derived.split_at_mut(4 * 48 * 16);
        for (output, weights) in kernel[W2 * 16..].chunks_exact(32).take(16).enumerate() {
            for (input, &weight) in weights.iter().enumerate() {
                w2_forward[input * 16 + output] = weight;
            }
        }
        let (linear, w3) = (&kernel[B3 * 16 + 8..][..8], &kernel[W3 * 16..B3 * 16]);
        for (i, weights) in w3.chunks_exact(48).enumerate() {
            let (row, output) = (i / 8, i % 8);
            for (input, &weight) in weights.iter().enumerate() {
                w3_forward[(row * 48 + input) * 16 + output] = weight;
                w3_forward[((row + 1) * 48 + input) * 16 + 8 + output] = weight;
            }
        }
        let subsets = subsets.as_chunks_mut::<16>().0.as_chunks_mut::<16>().0;
        for (i, sums) in subsets.iter_mut().enumerate() {
            let (row, column, half) = (i / 6, i / 2 % 3, i % 2);
            for subset in 1..16_usize {
                // The subset without its highest member, which has its own weights added.
                let highest = subset.ilog2() as usize;
                let output = half * 4 + highest;
                let weights = &w3[((row * 8 + output) * 3 + column) * 16..][..16];
                let without = sums[subset & !(1 << highest)];
                for ((sum, without), weight) in sums[subset].iter_mut().zip(without).zip(weights) {
                    *sum = without + weight * linear[output];
                }
            }
        }
    }

    fn group<const N: usize>(&self, start: usize) -> &[[Line; N]] {
        self.lines.lines()[start..].as_chunks().0
    }

    /// Weights of the first layer: for each (row, image) a run of 9 inputs.
    #[inline(always)]
    pub fn w1(&self) -> &[[[Line; 2]; 9]] {
        &self.group::<2>(W1).as_chunks().0[..9]
    }
    /// Bias of the first layer, weight and bias of its normalisation.
    #[inline(always)]
    pub fn b1(&self) -> &[[Line; 2]] {
        &self.group(B1)[..3]
    }
    /// Weights of the second layer: 32 inputs.
    #[inline(always)]
    pub fn w2(&self) -> &[[[Line; 1]; 32]] {
        &self.group::<1>(W2_FORWARD).as_chunks().0[..1]
    }
    /// Weights of the second layer from its outputs to its inputs: 16 outputs.
    #[inline(always)]
    pub fn w2_back(&self) -> &[[[Line; 2]; 16]] {
        &self.group::<2>(W2).as_chunks().0[..1]
    }
    /// Bias of the second layer, weight and bias of its normalisation.
    #[inline(always)]
    pub fn b2(&self) -> &[[Line; 1]] {
        &self.group(B2)[..3]
    }
    /// Weights of the third layer for two rows of outputs: for each of four rows of inputs a run of 48.
    #[inline(always)]
    pub fn w3(&self) -> &[[[Line; 1]; 48]] {
        &self.group::<1>(W3_FORWARD).as_chunks().0[..4]
    }
    /// [`SUBSETS`]: for each tap.
    #[inline(always)]
    pub fn subsets(&self) -> &[Subsets] {
        &self.group::<16>(SUBSETS).as_chunks().0[..9]
    }
    /// Bias of the third layer, weights of the linear layer.
    #[inline(always)]
    pub fn b3(&self) -> [[f32; 8]; 2] {
        let line = self.lines.lines()[B3];
        let (mut bias, mut linear) = ([0.0; 8], [0.0; 8]);
        bias.copy_from_slice(&line[..8]);
        linear.copy_from_slice(&line[8..]);
        [bias, linear]
    }
}

/// Writes gradients in the order of the model, from those in the kernels' order and that of the last parameter.
pub(super) fn unpack(norm: bool, sums: &[f64], last: f64, gradients: &mut [f32]) {
    for (&place, gradient) in ranges(norm).into_iter().flatten().zip(gradients.iter_mut()) {
        *gradient = sums[usize::from(place)] as f32;
    }
    if let Some(gradient) = gradients.last_mut() {
        *gradient = last as f32;
    }
}

/// Floats that start at a cache line and are kept from call to call: a vector that crosses two lines is read at half the speed.
#[derive(Default)]
pub(super) struct Buffer {
    data: Vec<f32>,
    start: usize,
    lines: usize,
}

impl Buffer {
    /// Makes room for `lines`; what they hold is what was there before, or 0.
    pub fn resize(&mut self, lines: usize) {
        if self.lines < lines {
            self.data.clear();
            self.data.resize(lines * 16 + 15, 0.0);
            // In floats, and at most 15, unless the offset cannot be known; unaligned memory works as well.
            self.start = self.data.as_ptr().align_offset(64).min(15);
        }
        self.lines = self.lines.max(lines);
    }
    /// The floats, in lines.
    #[inline(always)]
    pub fn lines(&self) -> &[Line] {
        self.data[self.start..].as_chunks().0
    }
    /// The floats to write, in lines.
    #[inline(always)]
    pub fn lines_mut(&mut self) -> &mut [Line] {
        self.data[self.start..].as_chunks_mut().0
    }
    /// The floats to write.
    #[inline(always)]
    pub fn flat(&mut self) -> &mut [f32] {
        self.lines_mut().as_flattened_mut()
    }
}
