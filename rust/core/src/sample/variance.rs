//! The local variance of an image.

use crate::checks::{check_len, check_size};
use crate::error::{Error, Result};
use crate::parallel;
use crate::tile::grid_shape;
use crate::view::{Sample, View};

/// How the variance of boxes is computed for a sample type.
pub trait Moments: Sample {
    /// The variances of the boxes whose top row is one of `rows`, to `out`, row by row.
    fn variances(view: &View<'_, Self>, size: (usize, usize), rows: std::ops::Range<usize>, out: &mut [f64]);
}

/// The population variance of every box of `size`, mean over the channels, to `out`, packed:
/// (height - size.0 + 1, width - size.1 + 1).
///
/// Over integers, sums are exact and the result is rounded once. Over floats every box is computed on its own, so
/// nothing drifts: variances of columns about their means, then of the means of columns.
///
/// # Errors
/// [`Error::OutOfBounds`] if the box is larger than the image, [`Error::Shape`] if `out` has another length.
pub fn local_variance<T: Moments>(view: &View<'_, T>, size: (usize, usize), out: &mut [f64]) -> Result<()> {
    check_size(size)?;
    let (rows, columns) = grid_shape(view.height(), view.width(), size, (1, 1));
    if rows == 0 || columns == 0 || view.channels() == 0 {
        return Err(Error::OutOfBounds {
            what: "the box",
            y: 0,
            x: 0,
            height: size.0,
            width: size.1,
            outer_height: view.height(),
            outer_width: view.width(),
        });
    }
    // Sums of squares of 16 bits fit 64 for up to 2^32 samples.
    if size.0.checked_mul(size.1).is_none_or(|pixels| pixels as u128 > 1 << 32) {
        let value = format!("{}x{}", size.0, size.1);
        return Err(Error::Value { what: "the patch size", value, expected: "at most 2^32 pixels" });
    }
    check_len("out", out.len(), &[rows, columns])?;
    // Each job computes its first column sums, which costs `size.0` rows: so bands are several times that.
    let samples = view.height() * view.width() * view.channels();
    let band =
        if parallel::worth_it(samples) { rows.div_ceil(4 * parallel::num_threads()).max(2 * size.0) } else { rows };
    let jobs = out.chunks_mut(band * columns).enumerate().collect();
    parallel::for_each(samples, jobs, |(index, out): (usize, &mut [f64])| {
        let top = index * band;
        T::variances(view, size, top..top + out.len() / columns, out);
    });
    Ok(())
}

/// [`local_variance`] of a box that fits.
pub(super) fn map<T: Moments>(view: &View<'_, T>, size: (usize, usize)) -> Vec<f64> {
    let (rows, columns) = grid_shape(view.height(), view.width(), size, (1, 1));
    let mut out = vec![0.0; rows * columns];
    // A view without channels has no variance; its map stays 0.
    let _ = local_variance(view, size, &mut out);
    out
}

/// Sums of columns and of squares of columns, slid down by adding a row and taking one away.
fn slide<T: Copy + Into<u64>>(view: &View<'_, T>, size: (usize, usize), rows: std::ops::Range<usize>, out: &mut [f64]) {
    let (row, c) = (view.width() * view.channels(), view.channels());
    let columns = view.width() - size.1 + 1;
    let (mut sums, mut squares) = (vec![0u64; row], vec![0u64; row]);
    let enter = |sum: &mut u64, square: &mut u64, value: u64| {
        *sum += value;
        *square += value * value;
    };
    let leave = |sum: &mut u64, square: &mut u64, value: u64| {
        *sum -= value;
        *square -= value * value;
    };
    for y in rows.start..rows.start + size.0 - 1 {
        parallel::vectorised(
            #[inline(always)]
            || each_column(view, y, &mut sums, &mut squares, enter),
        );
    }
    for (y, out) in rows.zip(out.chunks_exact_mut(columns)) {
        parallel::vectorised(
            #[inline(always)]
            || each_column(view, y + size.0 - 1, &mut sums, &mut squares, enter),
        );
        across(&sums, &squares, c, size, out);
        parallel::vectorised(
            #[inline(always)]
            || each_column(view, y, &mut sums, &mut squares, leave),
        );
    }
}

#[inline(always)]
fn each_column<T: Copy + Into<u64>>(
    view: &View<'_, T>,
    y: usize,
    sums: &mut [u64],
    squares: &mut [u64],
    step: impl Fn(&mut u64, &mut u64, u64),
) {
    for ((sum, square), &value) in sums.iter_mut().zip(squares).zip(view.row(y)) {
        step(sum, square, value.into());
    }
}

/// Box variances along one row of column sums.
fn across(sums: &[u64], squares: &[u64], c: usize, size: (usize, usize), out: &mut [f64]) {
    let n = size.0 as u128 * size.1 as u128;
    let divisor = (n * n) as f64 * c as f64;
    let (mut sum, mut square) = (vec![0u64; c], vec![0u64; c]);
    for i in 0..(size.1 - 1) * c {
        sum[i % c] += sums[i];
        square[i % c] += squares[i];
    }
    let width = size.1;
    // n * squares is below n^2 * 65535^2, so with the channels' sum it fits 64 bits up to 32768 pixels a box.
    let small = n <= 32768 && c <= 4;
    for (x, out) in out.iter_mut().enumerate() {
        let (mut wide, mut narrow) = (0u128, 0u64);
        for k in 0..c {
            let new = (x + width - 1) * c + k;
            sum[k] += sums[new];
            square[k] += squares[new];
            if small {
                narrow += n as u64 * square[k] - sum[k] * sum[k];
            } else {
                wide += n * u128::from(square[k]) - u128::from(sum[k]) * u128::from(sum[k]);
            }
            sum[k] -= sums[x * c + k];
            square[k] -= squares[x * c + k];
        }
        *out = if small { narrow as f64 } else { wide as f64 } / divisor;
    }
}

impl Moments for u8 {
    fn variances(view: &View<'_, u8>, size: (usize, usize), rows: std::ops::Range<usize>, out: &mut [f64]) {
        slide(view, size, rows, out);
    }
}

impl Moments for u16 {
    fn variances(view: &View<'_, u16>, size: (usize, usize), rows: std::ops::Range<usize>, out: &mut [f64]) {
        slide(view, size, rows, out);
    }
}

impl Moments for f32 {
    fn variances(view: &View<'_, f32>, size: (usize, usize), rows: std::ops::Range<usize>, out: &mut [f64]) {
        let (row, c) = (view.width() * view.channels(), view.channels());
        let columns = view.width() - size.1 + 1;
        let (mut means, mut spread) = (vec![0.0; row], vec![0.0; row]);
        let (mut centre, mut total) = (vec![0.0; columns * c], vec![0.0; columns * c]);
        for (y, out) in rows.zip(out.chunks_exact_mut(columns)) {
            parallel::vectorised(
                #[inline(always)]
                || {
                    columns_of(view, y, size.0, &mut means, &mut spread);
                    boxes_of(&means, &spread, c, size, &mut centre, &mut total);
                },
            );
            for (out, total) in out.iter_mut().zip(total.chunks_exact(c)) {
                *out = total.iter().sum::<f64>() / c as f64;
            }
        }
    }
}

/// Mean and sum of squared deviations of every column of `height` rows from `top`.
#[inline(always)]
fn columns_of(view: &View<'_, f32>, top: usize, height: usize, means: &mut [f64], spread: &mut [f64]) {
    means.fill(0.0);
    spread.fill(0.0);
    for y in top..top + height {
        means.iter_mut().zip(view.row(y)).for_each(|(mean, &value)| *mean += f64::from(value));
    }
    means.iter_mut().for_each(|mean| *mean /= height as f64);
    for y in top..top + height {
        for ((spread, &mean), &value) in spread.iter_mut().zip(&*means).zip(view.row(y)) {
            let deviation = f64::from(value) - mean;
            *spread += deviation * deviation;
        }
    }
}

/// Variance of every box from its columns: their spread, and that of their means about the box's
/// (Chan, Golub and LeVeque, 1983).
#[inline(always)]
fn boxes_of(means: &[f64], spread: &[f64], c: usize, size: (usize, usize), centre: &mut [f64], total: &mut [f64]) {
    let (height, width) = (size.0 as f64, size.1 as f64);
    centre.fill(0.0);
    total.fill(0.0);
    for column in 0..size.1 {
        centre.iter_mut().zip(&means[column * c..]).for_each(|(centre, &mean)| *centre += mean);
    }
    centre.iter_mut().for_each(|centre| *centre /= width);
    for column in 0..size.1 {
        let columns = means[column * c..].iter().zip(&spread[column * c..]);
        for ((total, &centre), (&mean, &spread)) in total.iter_mut().zip(&*centre).zip(columns) {
            let deviation = mean - centre;
            *total += spread + height * deviation * deviation;
        }
    }
    total.iter_mut().for_each(|total| *total /= height * width);
}
