//! From a patch pair's score back to the parameters.

use super::forward::Scales;
use super::lanes::{Lanes, Line};
use super::norm::{self, RowSums, Totals};
use super::pack::{B1, B2, B3, W1, W2, W3, Weights};
use super::product::{Outer, Row};
use super::scratch::{Scratch, plane};

/// Sums of products over pixels are folded after about this many, as the error of a sum grows with its length.
const FOLD: usize = 512;

/// The gradient of the score by all parameters but the last.
#[inline(always)]
pub(super) fn gradient<L: Lanes>(
    lanes: L,
    weights: &Weights,
    scratch: &mut Scratch,
    scales: &Scales,
    (means, shares): ([f64; 8], [f64; 8]),
    row: &mut [Line],
) {
    let (height, width) = scratch.size;
    let (rows, columns) = (height - 2, width - 2);
    let pixels = rows * columns;
    let area = ((height - 4) * (width - 4)) as f64;
    let [_, linear] = weights.b3();
    for o in 0..8 {
        row[B3][o] = (f64::from(linear[o]) * shares[o]) as f32;
        row[B3][8 + o] = means[o] as f32;
    }
    let [raw1, raw2] = &mut scratch.raw;
    let [out1, out2] = &mut scratch.out;
    let [back1, back2] = &mut scratch.back;
    let last = scratch.last.flat();

    // The third layer's weights: where an output is above 0, its gradient is that of the mean.
    let fold = FOLD.div_ceil(width);
    let inputs = out2.lines();
    for (k, weights) in row[W3..B3].as_chunks_mut::<24>().0.iter_mut().enumerate() {
        for from in (0..height - 4).step_by(fold) {
            let mut outer = Outer::<L, 3, 8>::new(lanes);
            for y in from..(from + fold).min(height - 4) {
                let ones = &last[y / 2 * (width - 4) * 16 + y % 2 * 8..];
                outer.add(width - 4, ones, 16, &inputs[(y + k) * columns..], 1);
            }
            outer.finish(from > 0, weights.as_chunks_mut().0);
        }
        for (weights, linear) in weights.as_chunks_mut::<3>().0.iter_mut().zip(linear) {
            let factor = (f64::from(linear) / area) as f32;
            for weight in weights.as_flattened_mut() {
                *weight *= factor;
            }
        }
    }

    // The second layer's outputs.
    let out2 = &out2.lines()[..pixels];
    let raw2 = &raw2.lines()[..pixels];
    let back2 = &mut back2.lines_mut()[..pixels];
    let subsets: &[_; 9] = weights.subsets().first_chunk().expect("there are nine taps");
    let factor = lanes.splat((1.0 / area) as f32);
    let mut sums = [[[0.0; 16]]; 2];
    for y in 0..rows {
        let span = y * columns..(y + 1) * columns;
        let mut bits = [&scratch.above[..0]; 3];
        for (k, bits) in bits.iter_mut().enumerate() {
            *bits = &scratch.above[(y + 2 - k) * width..][..width];
        }
        let (mut row_sums, mut products) = (RowSums::<L, 1>::new(lanes), RowSums::<L, 1>::new(lanes));
        let pixel = back2[span.clone()].iter_mut().zip(&out2[span.clone()]).zip(&raw2[span]);
        for (x, ((back, out), raw)) in pixel.enumerate() {
            let mut parts = [lanes.splat(0.0); 3];
            for k in 0..3 {
                for i in 0..3 {
                    let bits = usize::from(bits[k][x + 2 - i]);
                    let [low, high] = &subsets[k * 3 + i];
                    let both = lanes.add(lanes.load(&low[bits & 15]), lanes.load(&high[bits >> 4]));
                    parts[i] = lanes.add(parts[i], both);
                }
            }
            let sum = lanes.add(lanes.add(parts[0], parts[1]), parts[2]);
            let gated = lanes.gate(lanes.load(out), lanes.mul(sum, factor));
            row_sums.add(x, 0, gated);
            products.add_product(x, 0, gated, lanes.load(raw));
            lanes.store(gated, back);
        }
        row_sums.finish(&mut sums[0]);
        products.finish(&mut sums[1]);
    }
    let back2 = back2.as_chunks_mut::<1>().0;
    let raw2 = raw2.as_chunks::<1>().0;
    let factors2 = finish(weights.norm, pixels, &sums, weights.b2(), &scales.1, row[B2..B2 + 3].as_chunks_mut().0);

    // From the second layer's outputs to the first's.
    let raw1 = &raw1.lines().as_chunks::<2>().0[..pixels];
    let out1 = &out1.lines().as_chunks::<2>().0[..pixels];
    let back1 = &mut back1.lines_mut().as_chunks_mut::<2>().0[..pixels];
    let mut bias = [[0.0; 16]];
    let mut sums = [[[0.0; 16]; 2]; 2];
    for y in 0..rows {
        let span = y * columns..(y + 1) * columns;
        let back = &mut back2[span.clone()];
        if let Some(factors) = &factors2 {
            through(lanes, factors, back, &raw2[span.clone()], &mut bias);
        }
        let (inputs, out) = (back.as_flattened().as_flattened(), &mut back1[span.clone()]);
        let none = [[0.0; 16]; 2];
        Row { lanes, inputs, starts: [0], step: 16, weights: weights.w2_back(), bias: none, out }.run();
        let (mut row_sums, mut products) = (RowSums::<L, 2>::new(lanes), RowSums::<L, 2>::new(lanes));
        let pixel = out.iter_mut().zip(&out1[span.clone()]).zip(&raw1[span]);
        for (x, ((back, out), raw)) in pixel.enumerate() {
            for v in 0..2 {
                let gated = lanes.gate(lanes.load(&out[v]), lanes.load(&back[v]));
                row_sums.add(x, v, gated);
                products.add_product(x, v, gated, lanes.load(&raw[v]));
                lanes.store(gated, &mut back[v]);
            }
        }
        row_sums.finish(&mut sums[0]);
        products.finish(&mut sums[1]);
    }
    if factors2.is_some() {
        write(&bias, &mut row[B2..B2 + 1]);
    }
    let factors1 = finish(weights.norm, pixels, &sums, weights.b1(), &scales.0, row[B1..W2].as_chunks_mut().0);

    // The second layer's weights.
    let back2 = back2.as_flattened().as_flattened();
    for (half, weights) in row[W2..B2].as_chunks_mut::<16>().0.iter_mut().enumerate() {
        for from in (0..pixels).step_by(FOLD) {
            let mut outer = Outer::<L, 2, 8>::new(lanes);
            let count = FOLD.min(pixels - from);
            outer.add(count, &back2[from * 16 + half * 8..], 16, out1[from..].as_flattened(), 2);
            outer.finish(from > 0, weights.as_chunks_mut().0);
        }
    }

    // The first layer's weights.
    if let Some(factors) = &factors1 {
        let mut bias = [[0.0; 16]; 2];
        for (back, raw) in back1.chunks_exact_mut(columns).zip(raw1.chunks_exact(columns)) {
            through(lanes, factors, back, raw, &mut bias);
        }
        write(&bias, &mut row[B1..B1 + 2]);
    }
    let inputs = scratch.inputs.flat();
    let plane = plane(scratch.block);
    for (run, weights) in row[W1..B1].as_chunks_mut::<18>().0.iter_mut().enumerate() {
        for from in (0..rows).step_by(fold) {
            let mut outer = Outer::<L, 2, 9>::new(lanes);
            for y in from..(from + fold).min(rows) {
                let numbers = &inputs[run % 3 * plane + (y + run / 3) * width * 3..];
                outer.add(columns, numbers, 3, back1[y * columns..].as_flattened(), 2);
            }
            outer.finish(from > 0, weights.as_chunks_mut().0);
        }
    }
}

/// Writes the gradients of a bias, or of a normalisation's weight and bias, from the sums over pixels of the gradient of
/// the outputs and of that times the normalised values. With normalisation, how the gradient goes through it.
#[inline(always)]
fn finish<const V: usize>(
    norm: bool,
    pixels: usize,
    [sums, products]: &[Totals<V>; 2],
    affine: &[[Line; V]],
    scale: &[Line; V],
    row: &mut [[Line; V]],
) -> Option<[[Line; V]; 3]> {
    if !norm {
        write(sums, &mut row[0]);
        row[1..].fill([[0.0; 16]; V]);
        return None;
    }
    write(products, &mut row[1]);
    write(sums, &mut row[2]);
    Some(norm::backward(pixels, [sums, products], &affine[1], scale))
}

/// Takes gradients through a normalisation, and adds them up for the bias before it.
#[inline(always)]
fn through<L: Lanes, const V: usize>(
    lanes: L,
    factors: &[[Line; V]; 3],
    back: &mut [[Line; V]],
    normal: &[[Line; V]],
    bias: &mut Totals<V>,
) {
    let mut sums = RowSums::<L, V>::new(lanes);
    let [a, b, c] = factors;
    let (a, b, c) = (norm::load(lanes, a), norm::load(lanes, b), norm::load(lanes, c));
    for (p, (back, normal)) in back.iter_mut().zip(normal).enumerate() {
        for v in 0..V {
            let x = lanes.fma(lanes.load(&normal[v]), b[v], c[v]);
            let x = lanes.fma(lanes.load(&back[v]), a[v], x);
            sums.add(p, v, x);
            lanes.store(x, &mut back[v]);
        }
    }
    sums.finish(bias);
}

/// Rounds sums to the gradients they are.
#[inline(always)]
fn write<const V: usize>(totals: &Totals<V>, out: &mut [Line]) {
    for (out, total) in out.as_flattened_mut().iter_mut().zip(totals.as_flattened()) {
        *out = *total as f32;
    }
}
