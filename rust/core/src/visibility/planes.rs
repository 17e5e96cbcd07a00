//! Planes of numbers, and the filters of the pyramid. Beyond the edge of an image, its last pixel is repeated.

use crate::parallel;

/// Numbers of one channel, row by row.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    pub height: usize,
    pub width: usize,
    pub data: Vec<f32>,
}

/// Rows that one job computes.
pub(super) const ROWS: usize = 16;

impl Plane {
    pub fn zeros(height: usize, width: usize) -> Self {
        Self { height, width, data: vec![0.0; height * width] }
    }

    pub fn row(&self, y: usize) -> &[f32] {
        &self.data[y * self.width..(y + 1) * self.width]
    }

    /// Row `y`, or the row of the edge that is closest to it.
    pub fn clamped(&self, y: isize) -> &[f32] {
        self.row(y.clamp(0, self.height as isize - 1) as usize)
    }

    /// A plane whose rows are written by `write(y, row)`.
    pub fn by_rows(height: usize, width: usize, write: impl Fn(usize, &mut [f32]) + Send + Sync) -> Self {
        let mut plane = Self::zeros(height, width);
        let jobs: Vec<_> = plane.data.chunks_mut((ROWS * width).max(1)).enumerate().collect();
        parallel::for_each(height * width * 8, jobs, |(job, rows)| {
            for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                write(job * ROWS + i, row);
            }
        });
        plane
    }
}

/// Weighted sum of five rows.
#[inline(always)]
fn sum5(rows: [&[f32]; 5], weights: [f32; 5], out: &mut [f32]) {
    let [a, b, c, d, e] = rows.map(|row| &row[..out.len()]);
    for (x, out) in out.iter_mut().enumerate() {
        *out = weights[0] * a[x] + weights[1] * b[x] + weights[2] * c[x] + weights[3] * d[x] + weights[4] * e[x];
    }
}

const BINOMIAL: [f32; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];

/// The binomial filter of five taps along a row.
#[inline(always)]
pub(super) fn blur_along(row: &[f32], out: &mut [f32]) {
    let last = row.len() - 1;
    let at = |x: usize, by: isize| row[(x as isize + by).clamp(0, last as isize) as usize];
    let edge = |x: usize| (0..5).map(|tap| BINOMIAL[tap] * at(x, tap as isize - 2)).sum::<f32>();
    if row.len() < 5 {
        out.iter_mut().enumerate().for_each(|(x, out)| *out = edge(x));
        return;
    }
    for x in [0, 1, last - 1, last] {
        out[x] = edge(x);
    }
    for (window, out) in row.windows(5).zip(&mut out[2..]) {
        *out = BINOMIAL[0] * (window[0] + window[4]) + BINOMIAL[1] * (window[1] + window[3]) + BINOMIAL[2] * window[2];
    }
}

/// The binomial filter of five taps across rows, `rows[2]` in the middle.
#[inline(always)]
pub(super) fn blur_across(rows: [&[f32]; 5], out: &mut [f32]) {
    sum5(rows, BINOMIAL, out);
}

/// Every second pixel of the plane, smoothed.
pub(super) fn reduce(plane: &Plane) -> Plane {
    let (height, width) = (plane.height.div_ceil(2), plane.width.div_ceil(2));
    Plane::by_rows(height, width, |y, out| {
        let (mut across, mut along) = (vec![0.0; plane.width], vec![0.0; plane.width]);
        parallel::vectorised(
            #[inline(always)]
            || {
                let rows = std::array::from_fn(|tap| plane.clamped(2 * y as isize + tap as isize - 2));
                blur_across(rows, &mut across);
                blur_along(&across, &mut along);
            },
        );
        out.iter_mut().zip(along.iter().step_by(2)).for_each(|(out, &value)| *out = value);
    })
}

/// Row `y` of the plane at twice its size.
#[inline(always)]
pub(super) fn expand_row(plane: &Plane, y: usize, across: &mut [f32], out: &mut [f32]) {
    let i = (y / 2) as isize;
    let (before, here, after) = (plane.clamped(i - 1), plane.clamped(i), plane.clamped(i + 1));
    for (x, across) in across[..plane.width].iter_mut().enumerate() {
        *across = if y.is_multiple_of(2) {
            (before[x] + 6.0 * here[x] + after[x]) * 0.125
        } else {
            (here[x] + after[x]) * 0.5
        };
    }
    let across = &across[..plane.width];
    let last = plane.width - 1;
    let pair = |before: f32, here: f32, after: f32| [(before + 6.0 * here + after) * 0.125, (here + after) * 0.5];
    for i in [0, last] {
        let values = pair(across[i.saturating_sub(1)], across[i], across[(i + 1).min(last)]);
        out[2 * i..].iter_mut().zip(values).for_each(|(out, value)| *out = value);
    }
    let inside = out.get_mut(2..).unwrap_or_default();
    for (window, out) in across.windows(3).zip(inside.chunks_exact_mut(2)) {
        out.copy_from_slice(&pair(window[0], window[1], window[2]));
    }
}

/// Row `y` of the plane, smoothed by 1 2 1 both ways.
#[inline(always)]
pub(super) fn smooth_row(plane: &Plane, y: usize, across: &mut [f32], out: &mut [f32]) {
    let y = y as isize;
    let (before, here, after) = (plane.clamped(y - 1), plane.clamped(y), plane.clamped(y + 1));
    for (x, across) in across[..plane.width].iter_mut().enumerate() {
        *across = (before[x] + 2.0 * here[x] + after[x]) * 0.25;
    }
    let last = plane.width - 1;
    let sum = |before: f32, here: f32, after: f32| (before + 2.0 * here + after) * 0.25;
    for x in [0, last] {
        out[x] = sum(across[x.saturating_sub(1)], across[x], across[(x + 1).min(last)]);
    }
    for (window, out) in across[..plane.width].windows(3).zip(&mut out[1.min(last)..]) {
        *out = sum(window[0], window[1], window[2]);
    }
}
