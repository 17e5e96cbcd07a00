//! A patch pair through the layers.

use super::lanes::{Lanes, Line};
use super::norm::{self, RowSums, Totals};
use super::pack::Weights;
use super::product::Row;
use super::scratch::{CHUNK, Scaling, Scratch, plane};
use crate::view::View;

/// Scales the nine channels.
#[inline(always)]
pub(super) fn scale<L: Lanes>(
    lanes: L,
    [factors, offsets]: &Scaling,
    [reference, distorted]: [View<'_, u8>; 2],
    scratch: &mut Scratch,
) {
    let (height, width) = (reference.height(), reference.width());
    let plane = plane((height, width));
    let out = scratch.inputs.flat();
    let (first, rest) = out.split_at_mut(plane);
    let (second, third) = rest.split_at_mut(plane);
    let row = width * 3;
    for y in 0..height {
        let (r, d) = (reference.row(y), distorted.row(y));
        for x in (0..row).step_by(CHUNK) {
            let take = |from: &[u8]| match from.get(x..x + CHUNK) {
                Some(all) => all.first_chunk().copied().unwrap_or([0; CHUNK]),
                None => {
                    let mut some = [0; CHUNK];
                    some[..row - x].copy_from_slice(&from[x..]);
                    some
                }
            };
            let (r, d) = (take(r), take(d));
            let (r, d) = (r.as_chunks::<16>().0, d.as_chunks::<16>().0);
            // What is beyond a row's end is overwritten by the next.
            let at = y * row + x;
            let to = [&mut first[at..], &mut second[at..], &mut third[at..]];
            let to = to.map(|to| to[..CHUNK].as_chunks_mut::<16>().0);
            for i in 0..3 {
                let (r, d) = (lanes.bytes(&r[i]), lanes.bytes(&d[i]));
                let difference = lanes.max(lanes.sub(r, d), lanes.sub(d, r));
                for (image, x) in [r, d, difference].into_iter().enumerate() {
                    let (factor, offset) = (lanes.load(&factors[image][i]), lanes.load(&offsets[image][i]));
                    lanes.store(lanes.fma(x, factor, offset), &mut to[image][i]);
                }
            }
        }
    }
}

/// A row of the first layer, from scaled inputs of `height` x `width`.
#[inline(always)]
pub(super) fn first_row<L: Lanes>(
    lanes: L,
    weights: &Weights,
    inputs: &[f32],
    (height, width): (usize, usize),
    y: usize,
    out: &mut [[Line; 2]],
) {
    let plane = plane((height, width));
    let mut starts = [0; 9];
    for (run, at) in starts.iter_mut().enumerate() {
        *at = run % 3 * plane + (y + run / 3) * width * 3;
    }
    Row { lanes, inputs, starts, step: 3, weights: weights.w1(), bias: weights.b1()[0], out }.run();
}

/// A row of the second layer.
#[inline(always)]
pub(super) fn second_row<L: Lanes>(lanes: L, weights: &Weights, inputs: &[[Line; 2]], out: &mut [[Line; 1]]) {
    let inputs = inputs.as_flattened().as_flattened();
    Row { lanes, inputs, starts: [0], step: 32, weights: weights.w2(), bias: weights.b2()[0], out }.run();
}

/// Two rows of the third layer, from `y` on, from inputs with `columns` pixels a row.
#[inline(always)]
pub(super) fn third_rows<L: Lanes>(
    lanes: L,
    weights: &Weights,
    inputs: &[f32],
    columns: usize,
    y: usize,
    out: &mut [[Line; 1]],
) {
    let [bias, _] = weights.b3();
    let mut both = [[0.0; 16]];
    both[0][..8].copy_from_slice(&bias);
    both[0][8..].copy_from_slice(&bias);
    let mut starts = [0; 4];
    for (row, at) in starts.iter_mut().enumerate() {
        *at = (y + row) * columns * 16;
    }
    Row { lanes, inputs, starts, step: 16, weights: weights.w3(), bias: both, out }.run();
}

/// The sums of the first layer for a whole block, and, if `totals` are given, their sums over all pixels.
#[inline(always)]
pub(super) fn first_layer<L: Lanes>(
    lanes: L,
    weights: &Weights,
    scratch: &mut Scratch,
    mut totals: Option<&mut Totals<2>>,
) {
    let (height, width) = scratch.block;
    let (rows, columns) = (height - 2, width - 2);
    let inputs = scratch.inputs.flat();
    let raw = &mut scratch.raw[0].lines_mut().as_chunks_mut::<2>().0[..rows * columns];
    for (y, raw) in raw.chunks_exact_mut(columns).enumerate() {
        first_row(lanes, weights, inputs, (height, width), y, raw);
        if let Some(totals) = &mut totals {
            sum(lanes, raw, totals);
        }
    }
}

/// 1 / deviation of the channels of both normalisations.
pub(super) type Scales = ([Line; 2], [Line; 1]);

/// The first two layers of a patch, from its sums of the first layer: those of the block from pixel `start` on, which add up
/// to `totals`. Where they are not to be kept, they are left as they are.
#[inline(always)]
pub(super) fn first_two_layers<L: Lanes>(
    lanes: L,
    weights: &Weights,
    scratch: &mut Scratch,
    (start, totals): (usize, &Totals<2>),
    keep: bool,
) -> Scales {
    let (height, width) = scratch.size;
    let (rows, columns) = (height - 2, width - 2);
    let stride = scratch.block.1 - 2;
    let pixels = rows * columns;
    let [raw1, raw2] = &mut scratch.raw;
    let [out1, out2] = &mut scratch.out;
    let raw1 = &mut raw1.lines_mut().as_chunks_mut::<2>().0[start..][..(rows - 1) * stride + columns];
    let out1 = &mut out1.lines_mut().as_chunks_mut::<2>().0[..pixels];
    let raw2 = &mut raw2.lines_mut().as_chunks_mut::<1>().0[..pixels];
    let out2 = &mut out2.lines_mut().as_chunks_mut::<1>().0[..pixels];
    let scale1 = if weights.norm { norm::moments(lanes, raw1, (columns, stride), totals) } else { [[[0.0; 16]; 2]; 2] };
    let mut totals = [[0.0; 16]; 1];
    for y in 0..rows {
        let span = y * columns..(y + 1) * columns;
        let raw = &mut raw1[y * stride..][..columns];
        // The backward pass reads all of them; else one row will do, which stays in the first cache.
        let out = if keep { &mut out1[span.clone()] } else { &mut out1[..columns] };
        activate(lanes, weights.norm.then_some(&scale1), weights.b1(), raw, out, keep);
        let raw = &mut raw2[span];
        second_row(lanes, weights, out, raw);
        if weights.norm {
            sum(lanes, raw, &mut totals);
        }
    }
    let scale2 =
        if weights.norm { norm::moments(lanes, raw2, (columns, columns), &totals) } else { [[[0.0; 16]; 1]; 2] };
    activate(lanes, weights.norm.then_some(&scale2), weights.b2(), raw2, out2, keep);
    (scale1[1], scale2[1])
}

/// Adds a row's sums.
#[inline(always)]
pub(super) fn sum<L: Lanes, const V: usize>(lanes: L, row: &[[Line; V]], totals: &mut Totals<V>) {
    let mut sums = RowSums::<L, V>::new(lanes);
    for (p, pixel) in row.iter().enumerate() {
        for (v, x) in pixel.iter().enumerate() {
            sums.add(p, v, lanes.load(x));
        }
    }
    sums.finish(totals);
}

/// Normalises, if there are moments, and cuts what is below 0. `keep` leaves the normalised values in `raw`.
#[inline(always)]
pub(super) fn activate<L: Lanes, const V: usize>(
    lanes: L,
    moments: Option<&[[Line; V]; 2]>,
    affine: &[[Line; V]],
    raw: &mut [[Line; V]],
    out: &mut [[Line; V]],
    keep: bool,
) {
    match moments {
        None => {
            for (raw, out) in raw.iter().zip(out) {
                for v in 0..V {
                    lanes.store(lanes.relu(lanes.load(&raw[v])), &mut out[v]);
                }
            }
        }
        Some([mean, scale]) => {
            let (mean, scale) = (norm::load(lanes, mean), norm::load(lanes, scale));
            let (weight, bias) = (norm::load(lanes, &affine[1]), norm::load(lanes, &affine[2]));
            for (raw, out) in raw.iter_mut().zip(out) {
                for v in 0..V {
                    let normal = lanes.mul(lanes.sub(lanes.load(&raw[v]), mean[v]), scale[v]);
                    if keep {
                        lanes.store(normal, &mut raw[v]);
                    }
                    lanes.store(lanes.relu(lanes.fma(normal, weight[v], bias[v])), &mut out[v]);
                }
            }
        }
    }
}

/// The third layer: each output's mean over all pixels, and the share of them that is above 0.
#[inline(always)]
pub(super) fn third_layer<L: Lanes>(
    lanes: L,
    weights: &Weights,
    scratch: &mut Scratch,
    keep: bool,
) -> ([f64; 8], [f64; 8]) {
    let (height, width) = scratch.size;
    let (rows, columns) = (height - 4, width - 4);
    let inputs = scratch.out[1].flat();
    let last = scratch.last.lines_mut().as_chunks_mut::<1>().0;
    let (mut sums, mut counts) = ([0.0; 8], [0.0; 8]);
    for (i, out) in last.chunks_exact_mut(columns).take(rows.div_ceil(2)).enumerate() {
        let y = 2 * i;
        third_rows(lanes, weights, inputs, width - 2, y, out);
        let (mut row, mut above) = (RowSums::<L, 1>::new(lanes), RowSums::<L, 1>::new(lanes));
        let one = lanes.splat(1.0);
        for (p, [out]) in out.iter_mut().enumerate() {
            let x = lanes.load(out);
            row.add(p, 0, lanes.relu(x));
            if keep {
                let ones = lanes.gate(x, one);
                above.add(p, 0, ones);
                lanes.store(ones, out);
                let [upper, lower] = lanes.positive(x).to_le_bytes();
                let at = (y + 2) * width + 2 + p;
                scratch.above[at] = upper;
                if y + 1 < rows {
                    scratch.above[at + width] = lower;
                }
            }
        }
        let mut totals = [[[0.0; 16]]; 2];
        row.finish(&mut totals[0]);
        above.finish(&mut totals[1]);
        for ([total], sums) in totals.iter().zip([&mut sums, &mut counts]) {
            for (o, sum) in sums.iter_mut().enumerate() {
                *sum += total[o] + if y + 1 < rows { total[o + 8] } else { 0.0 };
            }
        }
    }
    let area = (rows * columns) as f64;
    (sums.map(|sum| sum / area), counts.map(|count| count / area))
}
