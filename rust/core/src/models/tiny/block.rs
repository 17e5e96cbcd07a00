//! Neighbouring patch pairs through the network: what depends on pixels alone is done once for all of them.
//!
//! A normalisation is over one patch, so with it that is the first convolution; without, it is all but the last mean. Each
//! number comes from the same operations in the same order as for a patch alone ([`super::patch`]), so it is the same.

use super::forward;
use super::lanes::{Lanes, Line};
use super::norm::RowSums;
use super::pack::Weights;
use super::patch;
use super::scratch::{Scaling, Scratch};
use crate::view::View;

/// The scores of the patches of `size` at `corners` of a block of two images, to `out`.
#[inline(always)]
pub(super) fn run<L: Lanes>(
    lanes: L,
    weights: &Weights,
    scaling: &Scaling,
    block: [View<'_, u8>; 2],
    (size, corners): ((usize, usize), impl Iterator<Item = (usize, usize)>),
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let [reference, distorted] = block;
    let extent = (reference.height(), reference.width());
    let (rows, columns) = (size.0 - 2, size.1 - 2);
    if weights.norm {
        scratch.resize(extent, size, false);
        forward::scale(lanes, scaling, block, scratch);
        forward::first_layer(lanes, weights, scratch, None);
        let stride = extent.1 - 2;
        for ((y, x), out) in corners.zip(out) {
            let start = y * stride + x;
            let mut totals = [[0.0; 16]; 2];
            let raw = scratch.raw[0].lines().as_chunks::<2>().0;
            for row in 0..rows {
                forward::sum(lanes, &raw[start + row * stride..][..columns], &mut totals);
            }
            forward::first_two_layers(lanes, weights, scratch, (start, &totals), false);
            let (means, _) = forward::third_layer(lanes, weights, scratch, false);
            *out = patch::score(weights, &means);
        }
        return;
    }
    scratch.resize(extent, extent, false);
    forward::scale(lanes, scaling, block, scratch);
    let finite = layers(lanes, weights, scratch);
    for ((y, x), out) in corners.zip(out) {
        if finite {
            *out = patch::score(weights, &means(lanes, scratch, (y, x), size));
        } else {
            // Two rows of the third layer at a time, each takes the other's weights as 0, and 0 times infinity shows: which
            // rows go together has to be as in a patch alone.
            let pair = [reference, distorted].map(|image| image.at(y, x, size.0, size.1));
            *out = patch::run(lanes, weights, scaling, pair, scratch, &mut None);
        }
    }
}

/// All layers of a block without normalisation, to [`Scratch::last`]. Whether the second layer's outputs are finite.
#[inline(always)]
fn layers<L: Lanes>(lanes: L, weights: &Weights, scratch: &mut Scratch) -> bool {
    let (height, width) = scratch.block;
    let (rows, columns) = (height - 2, width - 2);
    let inputs = scratch.inputs.flat();
    let [raw1, raw2] = &mut scratch.raw;
    let [out1, out2] = &mut scratch.out;
    // One row of each will do: they stay in the first cache.
    let raw1 = &mut raw1.lines_mut().as_chunks_mut::<2>().0[..columns];
    let out1 = &mut out1.lines_mut().as_chunks_mut::<2>().0[..columns];
    let raw2 = &mut raw2.lines_mut().as_chunks_mut::<1>().0[..columns];
    let mut totals = [[0.0; 16]; 1];
    for (y, out2) in out2.lines_mut().as_chunks_mut::<1>().0.chunks_exact_mut(columns).take(rows).enumerate() {
        forward::first_row(lanes, weights, inputs, (height, width), y, raw1);
        forward::activate(lanes, None, weights.b1(), raw1, out1, false);
        forward::second_row(lanes, weights, out1, raw2);
        forward::activate(lanes, None, weights.b2(), raw2, out2, false);
        forward::sum(lanes, out2, &mut totals);
    }
    let inputs = out2.flat();
    let last = scratch.last.lines_mut().as_chunks_mut::<1>().0;
    for (i, out) in last.chunks_exact_mut(columns - 2).take((rows - 2).div_ceil(2)).enumerate() {
        forward::third_rows(lanes, weights, inputs, columns, 2 * i, out);
    }
    totals.as_flattened().iter().all(|total| total.is_finite())
}

/// The means of the third layer's outputs over the patch of `size` at (`top`, `left`).
#[inline(always)]
fn means<L: Lanes>(
    lanes: L,
    scratch: &Scratch,
    (top, left): (usize, usize),
    (height, width): (usize, usize),
) -> [f64; 8] {
    let (rows, columns) = (height - 4, width - 4);
    let stride = scratch.block.1 - 4;
    let last = scratch.last.lines();
    let (mut sums, mut upper, mut both) = ([0.0; 8], [0.0; 8], [[0.0; 16]; 1]);
    for row in 0..rows {
        let y = top + row;
        if row == 0 || y.is_multiple_of(2) {
            both = pair_sums(lanes, &last[y / 2 * stride + left..][..columns]);
        }
        let mut sum = [0.0; 8];
        sum.copy_from_slice(&both[0][y % 2 * 8..][..8]);
        // Rows are added in pairs, as in a patch alone.
        if row % 2 == 0 && row + 1 < rows {
            upper = sum;
            continue;
        }
        let above = if row % 2 == 1 { upper } else { sum };
        let below = if row % 2 == 1 { sum } else { [0.0; 8] };
        for (o, sum) in sums.iter_mut().enumerate() {
            *sum += above[o] + below[o];
        }
    }
    sums.map(|sum| sum / (rows * columns) as f64)
}

/// The sums of a pair of rows.
#[inline(always)]
fn pair_sums<L: Lanes>(lanes: L, pixels: &[Line]) -> [[f64; 16]; 1] {
    let mut row = RowSums::<L, 1>::new(lanes);
    for (p, out) in pixels.iter().enumerate() {
        row.add(p, 0, lanes.relu(lanes.load(out)));
    }
    let mut totals = [[0.0; 16]; 1];
    row.finish(&mut totals);
    totals
}
