//! One patch pair through the network, and back.

use super::lanes::{Lanes, Line};
use super::pack::{Buffer, LINES, Weights};
use super::{backward, forward};
use crate::view::View;

/// What a patch pair becomes on its way through the network. The first two layers' channels are innermost; the third's are
/// those of two rows of pixels, one after the other.
#[derive(Default)]
pub(super) struct Scratch {
    pub size: (usize, usize),
    /// Scaled inputs: reference, distorted, |difference|, rows of (column, channel).
    pub inputs: Buffer,
    /// First and second layer: the sums, which become normalised values; the outputs; the gradients.
    pub raw: [Buffer; 2],
    pub out: [Buffer; 2],
    pub back: [Buffer; 2],
    /// Third layer: the outputs, which become 1 where they are above 0; the same as a bit an output, with two pixels of 0 around.
    pub last: Buffer,
    pub above: Vec<u8>,
}

/// 48 bytes: whole vectors, and whole pixels.
pub(super) const CHUNK: usize = 48;

impl Scratch {
    /// Floats of the largest part, for patches of `height` x `width`.
    fn resize(&mut self, height: usize, width: usize, back: bool) {
        if self.size != (height, width) {
            self.size = (height, width);
            let pixels = (height - 2) * (width - 2);
            self.inputs.resize(3 * plane(height, width) / 16);
            self.raw[0].resize(2 * pixels);
            self.raw[1].resize(pixels);
            self.out[0].resize(2 * pixels);
            // A pair of rows of the third layer reads four rows: one below the last, where their number is odd.
            self.out[1].resize(pixels + width - 2);
            self.last.resize((height - 4).div_ceil(2) * (width - 4));
            self.above.clear();
        }
        if back && self.above.is_empty() {
            let pixels = (height - 2) * (width - 2);
            self.back[0].resize(2 * pixels);
            self.back[1].resize(pixels);
            self.above.resize(height * width, 0);
        }
    }
}

/// Floats of one scaled image: a chunk more than it has, as the last one may be written whole.
pub(super) fn plane(height: usize, width: usize) -> usize {
    (height * width * 3 + CHUNK).next_multiple_of(16)
}

/// What scales the inputs: factors and offsets of 16 pixels' channels, for each of the three images.
pub(super) type Scaling = [[[Line; 3]; 3]; 2];

/// The scaling by factors and offsets of the nine channels.
pub(super) fn scaling(scale: &[f32; 9], shift: &[f32; 9]) -> Scaling {
    [scale, shift]
        .map(|of| [0, 3, 6].map(|image| [0, 16, 32].map(|at| std::array::from_fn(|i| of[image + (at + i) % 3]))))
}

/// The score of a patch pair, and, if `row` is given, its gradient by each parameter but the last in the kernels' order.
#[inline(always)]
pub(super) fn run<L: Lanes>(
    lanes: L,
    weights: &Weights,
    scaling: &Scaling,
    pair: [View<'_, u8>; 2],
    scratch: &mut Scratch,
    row: &mut Option<&mut [Line]>,
) -> f32 {
    let (height, width) = (pair[0].height(), pair[0].width());
    scratch.resize(height, width, row.is_some());
    forward::scale(lanes, scaling, pair, scratch);
    let scales = forward::layers(lanes, weights, scratch, row.is_some());
    let means = forward::third(lanes, weights, scratch, row.is_some());
    let [_, linear] = weights.b3();
    let score = linear.iter().zip(means.0).map(|(&w, mean)| f64::from(w) * mean).sum::<f64>() + f64::from(weights.bias);
    if let Some(row) = row {
        backward::gradient(lanes, weights, scratch, &scales, means, &mut row[..LINES]);
    }
    score as f32
}
