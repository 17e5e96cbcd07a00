//! Statistics of a patch pair; `pixq.models.monotone.Statistics` documents what each number means.

use super::nets::{CONTEXTS, WIDTH};
use crate::view::View;

/// Luma, and the opponent channels H and M of MDSI, of red, green and blue.
const OPPONENT: [[f32; 3]; 3] = [[0.299, 0.587, 0.114], [0.30, 0.04, -0.35], [0.34, -0.60, 0.17]];

/// Grey levels of noise that hide a difference in each band, the finest first.
const NOISE: [f32; 3] = [1.0, 2.0, 4.0];

/// Room for the work on patches of one size.
pub(super) struct Room {
    size: (usize, usize),
    /// Of reference and distorted: planes of three channels, and their details.
    planes: [Vec<f32>; 2],
    details: [Vec<f32>; 2],
}

impl Room {
    pub fn new(height: usize, width: usize) -> Self {
        let planes = || vec![0.0; 3 * height * width];
        Self { size: (height, width), planes: [planes(), planes()], details: [planes(), planes()] }
    }
}

/// Three sums of products over pixels: of `a` with itself, of `b` with itself, of both; divided by their number.
#[inline(always)]
fn moments(a: &[f32], b: &[f32]) -> [f32; 3] {
    let mut sums = [[0.0_f32; 16]; 3];
    let (a_lines, a_rest) = a.as_chunks::<16>();
    let (b_lines, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_lines.iter().zip(b_lines) {
        for i in 0..16 {
            sums[0][i] += a[i] * a[i];
            sums[1][i] += b[i] * b[i];
            sums[2][i] += a[i] * b[i];
        }
    }
    for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[0][i] += a * a;
        sums[1][i] += b * b;
        sums[2][i] += a * b;
    }
    sums.map(|sums| sums.iter().sum::<f32>() / a.len() as f32)
}

/// Halves a plane of `height` x `width` in place, and writes its three bands of detail.
#[inline(always)]
fn haar(plane: &mut [f32], height: usize, width: usize, detail: &mut [f32]) {
    let (rows, columns) = (height / 2, width / 2);
    let (first, rest) = detail.split_at_mut(rows * columns);
    let (second, third) = rest.split_at_mut(rows * columns);
    for y in 0..rows {
        for x in 0..columns {
            let at = 2 * y * width + 2 * x;
            let [a, b, c, d] = [plane[at], plane[at + 1], plane[at + width], plane[at + width + 1]];
            let to = y * columns + x;
            first[to] = (a - b + c - d) * 0.25;
            second[to] = (a + b - c - d) * 0.25;
            third[to] = (a - b - c + d) * 0.25;
            // Pixels that are still needed lie behind this one.
            plane[to] = (a + b + c + d) * 0.25;
        }
    }
}

/// The three opponent planes of an image, scaled by factors and offsets of its channels.
#[inline(always)]
fn opponents(image: &View<'_, u8>, factors: &[f32], offsets: &[f32], planes: &mut [f32]) {
    let (height, width) = (image.height(), image.width());
    let (first, rest) = planes.split_at_mut(height * width);
    let (second, third) = rest.split_at_mut(height * width);
    let (factors, offsets): ([f32; 3], [f32; 3]) =
        (std::array::from_fn(|i| factors[i]), std::array::from_fn(|i| offsets[i]));
    for y in 0..height {
        let row = image.row(y).as_chunks::<3>().0;
        let span = y * width..(y + 1) * width;
        let out = first[span.clone()].iter_mut().zip(&mut second[span.clone()]).zip(&mut third[span]);
        for (pixel, ((first, second), third)) in row.iter().zip(out) {
            let rgb: [f32; 3] = std::array::from_fn(|i| f32::from(pixel[i]) * factors[i] + offsets[i]);
            let of = |weights: [f32; 3]| rgb[0] * weights[0] + rgb[1] * weights[1] + rgb[2] * weights[2];
            (*first, *second, *third) = (of(OPPONENT[0]), of(OPPONENT[1]), of(OPPONENT[2]));
        }
    }
}

/// Contexts, then distances, of a patch pair.
#[inline(always)]
pub(super) fn statistics(
    pair: [View<'_, u8>; 2],
    [factors, offsets]: &[[f32; 6]; 2],
    room: &mut Room,
    out: &mut [f32; WIDTH],
) {
    let (mut height, mut width) = room.size;
    let plane = height * width;
    for (i, (image, planes)) in pair.iter().zip(&mut room.planes).enumerate() {
        opponents(image, &factors[3 * i..], &offsets[3 * i..], planes);
    }
    let (contexts, distances) = out.split_at_mut(CONTEXTS);
    let mut means = [[0.0_f32; 3]; 2];
    for (band, noise) in NOISE.into_iter().enumerate() {
        let floor = noise * noise;
        let count = if band < 2 { 3 * (height / 2) * (width / 2) } else { height * width };
        for channel in 0..3 {
            for (image, planes) in room.planes.iter_mut().enumerate() {
                let plane = &mut planes[channel * plane..];
                let detail = &mut room.details[image][..count];
                if band < 2 {
                    haar(plane, height, width, detail);
                } else {
                    let mean = plane[..count].iter().sum::<f32>() / count as f32;
                    for (detail, x) in detail.iter_mut().zip(plane.iter()) {
                        *detail = x - mean;
                    }
                    means[image][channel] = mean;
                }
            }
            let [rr, dd, rd] = moments(&room.details[0][..count], &room.details[1][..count]);
            if channel == 0 {
                contexts[band] = (rr + floor).ln();
            }
            // A gain of contrast costs nothing: people like it.
            distances[6 * band + channel] = (1.0 - (rd + floor) / (rr + floor)).clamp(0.0, 2.0);
            let rest = (dd - rd * rd / (rr + 0.01)).max(0.0);
            distances[6 * band + 3 + channel] = (rest / (rr + floor)).ln_1p();
        }
        if band < 2 {
            (height, width) = (height / 2, width / 2);
        }
    }
    let [r, d] = means;
    let chroma = r[1] * r[1] + r[2] * r[2];
    contexts[3] = r[0] / 64.0;
    contexts[4] = ((chroma + 1e-12).sqrt() + 4.0).ln();
    let shift: [f32; 3] = std::array::from_fn(|i| d[i] - r[i]);
    for (i, shift) in shift.into_iter().enumerate() {
        distances[18 + i] = shift.max(0.0) / 32.0;
        distances[21 + i] = (-shift).max(0.0) / 32.0;
    }
    let chroma_shift = (shift[1] * shift[1] + shift[2] * shift[2] + 1e-12).sqrt();
    let kept = (r[1] * d[1] + r[2] * d[2] + 25.0) / (chroma + 25.0);
    distances[24] = (1.0 - kept).clamp(0.0, 3.0);
    distances[25] = chroma_shift / 32.0;
    distances[26] = (chroma_shift / 4.0).ln_1p();
}
