//! The memory in which a thread works on one patch pair, and the factors that scale its inputs.

use super::lanes::Line;
use super::pack::Buffer;

/// The activations of a patch pair on its way through the network. In the first two layers channels are innermost; the third
/// holds the channels of two rows of pixels, one after the other.
#[derive(Default)]
pub(super) struct Scratch {
    /// Rows and columns of a patch.
    pub size: (usize, usize),
    /// Rows and columns of the part of the images in work, whose inputs and first-layer sums are stored: the patch itself, or a
    /// block of patches.
    pub block: (usize, usize),
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
    /// Makes room for a block, for patches of `size` in it, and for gradients if they are to be taken `back`.
    pub fn resize(&mut self, block: (usize, usize), size: (usize, usize), back: bool) {
        let (height, width) = size;
        let pixels = (height - 2) * (width - 2);
        if (self.block, self.size) != (block, size) {
            (self.block, self.size) = (block, size);
            self.inputs.resize(3 * plane(block) / 16);
            self.raw[0].resize(2 * (block.0 - 2) * (block.1 - 2));
            self.raw[1].resize(pixels);
            self.out[0].resize(2 * pixels);
            // A pair of rows of the third layer reads four rows: one below the last, where their number is odd. It counts for
            // nothing, but 0 times NaN would be NaN.
            self.out[1].resize(pixels + width - 2);
            self.out[1].lines_mut()[pixels..][..width - 2].fill([0.0; 16]);
            self.last.resize((height - 4).div_ceil(2) * (width - 4));
            self.above.clear();
        }
        if back && self.above.is_empty() {
            self.back[0].resize(2 * pixels);
            self.back[1].resize(pixels);
            self.above.resize(height * width, 0);
        }
    }
}

/// Floats to allocate for one scaled image: a chunk more than it needs, because the last chunk is written whole.
pub(super) fn plane((height, width): (usize, usize)) -> usize {
    (height * width * 3 + CHUNK).next_multiple_of(16)
}

/// Factors and offsets of the channels of 16 pixels, for each of the three images.
pub(super) type Scaling = [[[Line; 3]; 3]; 2];

/// The scaling by factors and offsets of the nine channels.
pub(super) fn scaling(scale: &[f32; 9], shift: &[f32; 9]) -> Scaling {
    [scale, shift]
        .map(|of| [0, 3, 6].map(|image| [0, 16, 32].map(|at| std::array::from_fn(|i| of[image + (at + i) % 3]))))
}
