//! Products of matrices that stay in registers: the inner loops of all layers.
#![expect(
    clippy::needless_range_loop,
    reason = "loops over constant ranges are unrolled, and what they index stays in registers"
)]

use super::lanes::{Lanes, Line};

/// Something done for `P` neighbouring pixels of a row, from pixel `x` on.
trait Tile {
    fn at<const P: usize>(&mut self, x: usize);
}

/// Does `tile` for all of `width` pixels. Where tiles do not fit, the last two overlap and pixels are done twice.
#[inline(always)]
fn cover<L: Lanes, const V: usize>(width: usize, tile: &mut impl Tile) {
    #[inline(always)]
    fn by<const P: usize>(width: usize, tile: &mut impl Tile) {
        from::<P>(0, width, tile);
    }
    #[inline(always)]
    fn from<const P: usize>(start: usize, width: usize, tile: &mut impl Tile) {
        for x in (start..width).step_by(P) {
            tile.at::<P>(x.min(width - P));
        }
    }
    // 18 vectors leave enough of 32 registers, and hide the 4 cycles of an addition.
    match width {
        _ if !L::MANY => match width {
            3.. => by::<3>(width, tile),
            _ => by::<1>(width, tile),
        },
        18.. if V == 1 && width.is_multiple_of(18) => by::<18>(width, tile),
        16.. if V == 1 && width.is_multiple_of(16) => by::<16>(width, tile),
        // Blocks of patches: as many wide tiles as fit.
        32.. if V == 1 => {
            let wide = width / 16 * 16;
            by::<16>(wide, tile);
            from::<8>(wide, width, tile);
        }
        9.. if width.next_multiple_of(9) <= width.next_multiple_of(8) => by::<9>(width, tile),
        8.. => by::<8>(width, tile),
        4.. => by::<4>(width, tile),
        _ => by::<1>(width, tile),
    }
}

/// Outputs of a row of pixels, `V` vectors each: a bias, and runs of inputs times their weights.
pub(super) struct Row<'a, L, const V: usize, const K: usize, const R: usize> {
    pub lanes: L,
    /// Inputs, of which pixel 0 reads `K` from each of `starts`, and the pixel after it `step` further on.
    pub inputs: &'a [f32],
    pub starts: [usize; R],
    pub step: usize,
    pub weights: &'a [[[Line; V]; K]],
    pub bias: [Line; V],
    pub out: &'a mut [[Line; V]],
}

impl<L: Lanes, const V: usize, const K: usize, const R: usize> Row<'_, L, V, K, R> {
    #[inline(always)]
    pub fn run(mut self) {
        cover::<L, V>(self.out.len(), &mut self);
    }
}

impl<L: Lanes, const V: usize, const K: usize, const R: usize> Tile for Row<'_, L, V, K, R> {
    #[inline(always)]
    fn at<const P: usize>(&mut self, x: usize) {
        let (lanes, step) = (self.lanes, self.step);
        let mut sums = [[lanes.splat(0.0); V]; P];
        for sums in &mut sums {
            for (sum, bias) in sums.iter_mut().zip(&self.bias) {
                *sum = lanes.load(bias);
            }
        }
        // Were it known to be a small constant, the loop would be unrolled, and the inputs that pixels share kept for later ones:
        // in memory, for want of registers.
        let count = std::hint::black_box(K);
        for (&start, weights) in self.starts.iter().zip(self.weights) {
            let inputs = &self.inputs[start + step * x..][..step * (P - 1) + K];
            for (k, weights) in weights[..count].iter().enumerate() {
                let mut vectors = [lanes.splat(0.0); V];
                for v in 0..V {
                    vectors[v] = lanes.load(&weights[v]);
                }
                for p in 0..P {
                    let input = lanes.splat(inputs[step * p + k]);
                    for v in 0..V {
                        sums[p][v] = lanes.fma(input, vectors[v], sums[p][v]);
                    }
                }
            }
        }
        let out = &mut self.out[x..x + P];
        for p in 0..P {
            for v in 0..V {
                lanes.store(sums[p][v], &mut out[p][v]);
            }
        }
    }
}

/// Sums over pixels of `K` numbers times `V` vectors.
pub(super) struct Outer<L: Lanes, const V: usize, const K: usize> {
    lanes: L,
    sums: [[L::V; V]; K],
}

impl<L: Lanes, const V: usize, const K: usize> Outer<L, V, K> {
    #[inline(always)]
    pub fn new(lanes: L) -> Self {
        Self { lanes, sums: [[lanes.splat(0.0); V]; K] }
    }

    /// Adds `count` pixels: numbers from `numbers` on, `step` apart, and vectors from `vectors` on, `stride` apart.
    #[inline(always)]
    pub fn add(&mut self, count: usize, numbers: &[f32], step: usize, vectors: &[Line], stride: usize) {
        let lanes = self.lanes;
        for p in 0..count {
            let numbers = &numbers[step * p..][..K];
            let from = &vectors[stride * p..][..V];
            let mut vectors = [lanes.splat(0.0); V];
            for v in 0..V {
                vectors[v] = lanes.load(&from[v]);
            }
            for k in 0..K {
                let number = lanes.splat(numbers[k]);
                for v in 0..V {
                    self.sums[k][v] = lanes.fma(number, vectors[v], self.sums[k][v]);
                }
            }
        }
    }

    /// Writes the sums times `factors`, or adds them to what is there.
    #[inline(always)]
    pub fn finish(self, add: bool, out: &mut [[Line; V]]) {
        let (lanes, out) = (self.lanes, &mut out[..K]);
        for k in 0..K {
            for v in 0..V {
                let before = if add { lanes.load(&out[k][v]) } else { lanes.splat(0.0) };
                lanes.store(lanes.add(before, self.sums[k][v]), &mut out[k][v]);
            }
        }
    }
}
