//! Normalisation of groups of four channels: of a patch, over the group's channels and all pixels (Wu and He, Group
//! Normalization, 2018, equations 1 and 2), with the biased variance.
//!
//! Sums of a row are `f32`, of rows `f64`. The variance is that of differences from the mean, as a mean of squares less
//! the squared mean loses all digits where a channel hardly changes.

use super::lanes::{Lanes, Line};

/// What is added to a variance.
const EPSILON: f64 = 1e-5;

/// Sums of a row of pixels, a number a channel; two of each, so that additions need not wait for one another.
#[derive(Clone, Copy)]
pub(super) struct RowSums<L: Lanes, const V: usize> {
    lanes: L,
    sums: [[L::V; V]; 2],
}

impl<L: Lanes, const V: usize> RowSums<L, V> {
    #[inline(always)]
    pub fn new(lanes: L) -> Self {
        Self { lanes, sums: [[lanes.splat(0.0); V]; 2] }
    }
    /// Adds vector `v` of pixel `p`.
    #[inline(always)]
    pub fn add(&mut self, p: usize, v: usize, x: L::V) {
        self.sums[p % 2][v] = self.lanes.add(self.sums[p % 2][v], x);
    }
    /// Adds vector `v` of pixel `p`, multiplied.
    #[inline(always)]
    pub fn add_product(&mut self, p: usize, v: usize, a: L::V, b: L::V) {
        self.sums[p % 2][v] = self.lanes.fma(a, b, self.sums[p % 2][v]);
    }
    /// Adds the row to those before.
    #[inline(always)]
    pub fn finish(self, totals: &mut Totals<V>) {
        for (v, totals) in totals.iter_mut().enumerate() {
            let mut line = [0.0; 16];
            self.lanes.store(self.lanes.add(self.sums[0][v], self.sums[1][v]), &mut line);
            for (total, x) in totals.iter_mut().zip(line) {
                *total += f64::from(x);
            }
        }
    }
}

/// Sums over pixels, a number a channel.
pub(super) type Totals<const V: usize> = [[f64; 16]; V];

/// `f` of each group's sum, for each channel of the group.
#[inline(always)]
pub(super) fn grouped<const V: usize>(totals: &Totals<V>, f: impl Fn(f64) -> f64) -> [Line; V] {
    let mut out = [[0.0; 16]; V];
    for (out, totals) in out.iter_mut().zip(totals) {
        for (out, totals) in out.chunks_exact_mut(4).zip(totals.chunks_exact(4)) {
            out.fill(f(totals[0] + totals[1] + (totals[2] + totals[3])) as f32);
        }
    }
    out
}

/// Normalises `raw`, rows of `width` pixels that begin `stride` apart, whose sums are `totals`: mean and 1 / deviation of each
/// channel's group.
#[inline(always)]
pub(super) fn moments<L: Lanes, const V: usize>(
    lanes: L,
    raw: &[[Line; V]],
    (width, stride): (usize, usize),
    totals: &Totals<V>,
) -> [[Line; V]; 2] {
    let count = (raw.len().div_ceil(stride) * width * 4) as f64;
    let mean = grouped(totals, |sum| sum / count);
    let mut squares = [[0.0; 16]; V];
    let means = load(lanes, &mean);
    for row in raw.chunks(stride) {
        let mut sums = RowSums::<L, V>::new(lanes);
        for (p, pixel) in row[..width].iter().enumerate() {
            for v in 0..V {
                let difference = lanes.sub(lanes.load(&pixel[v]), means[v]);
                sums.add_product(p, v, difference, difference);
            }
        }
        sums.finish(&mut squares);
    }
    [mean, grouped(&squares, |sum| 1.0 / (sum / count + EPSILON).sqrt())]
}

/// Vectors of numbers a channel.
#[inline(always)]
pub(super) fn load<L: Lanes, const V: usize>(lanes: L, lines: &[Line; V]) -> [L::V; V] {
    let mut vectors = [lanes.splat(0.0); V];
    for v in 0..V {
        vectors[v] = lanes.load(&lines[v]);
    }
    vectors
}

/// The factors by which the gradient of what was normalised follows from that of the result: those of that gradient, of
/// the normalised value and of 1. `sums` are those over pixels of the gradient and of the gradient times the normalised value.
///
/// With `n` numbers in a group, weight `w`, normalised value `x`, 1 / deviation `s` and gradient of the result `g`, it is
/// `s (w g - mean(w g) - x mean(w g x))`.
#[inline(always)]
pub(super) fn backward<const V: usize>(
    count: usize,
    [sums, products]: [&Totals<V>; 2],
    weight: &[Line; V],
    scale: &[Line; V],
) -> [[Line; V]; 3] {
    let count = (count * 4) as f64;
    let weighted = |totals: &Totals<V>| {
        let mut out = *totals;
        for (out, weight) in out.as_flattened_mut().iter_mut().zip(weight.as_flattened()) {
            *out *= f64::from(*weight);
        }
        grouped(&out, |sum| -sum / count)
    };
    let mut factors = [*weight, weighted(products), weighted(sums)];
    for factors in &mut factors {
        for (factor, scale) in factors.as_flattened_mut().iter_mut().zip(scale.as_flattened()) {
            *factor *= scale;
        }
    }
    factors
}
