//! Images to patches and back.

use crate::checks::{check_len, check_size, patches_per_job};
use crate::error::{Error, Result};
use crate::parallel;
use crate::view::{Batch, Region, Sample, View};

/// Top-left corners (y, x) of the patches of `size` that fit into an image, every `stride` pixels, row by row.
///
/// Pixels at the right and bottom that no whole patch covers are left out. There are none if a size or a stride is 0.
pub fn grid(height: usize, width: usize, size: (usize, usize), stride: (usize, usize)) -> Vec<(usize, usize)> {
    let (rows, columns) = grid_shape(height, width, size, stride);
    (0..rows).flat_map(|row| (0..columns).map(move |column| (row * stride.0, column * stride.1))).collect()
}

/// Rows and columns of [`grid`].
pub fn grid_shape(height: usize, width: usize, size: (usize, usize), stride: (usize, usize)) -> (usize, usize) {
    let fit = |outer: usize, inner: usize, step: usize| match outer.checked_sub(inner) {
        Some(rest) if inner > 0 && step > 0 => rest / step + 1,
        _ => 0,
    };
    (fit(height, size.0, stride.0), fit(width, size.1, stride.1))
}

/// An error unless a patch of `size` fits at every corner.
///
/// # Errors
/// [`Error::OutOfBounds`] that names the first corner at which it does not.
pub fn check_corners(height: usize, width: usize, size: (usize, usize), corners: &[(usize, usize)]) -> Result<()> {
    check_size(size)?;
    let fits = height.checked_sub(size.0).zip(width.checked_sub(size.1));
    match corners.iter().find(|&&(y, x)| !fits.is_some_and(|(last_y, last_x)| y <= last_y && x <= last_x)) {
        None => Ok(()),
        Some(&(y, x)) => Region { y, x, height: size.0, width: size.1 }.inside("the patch", height, width).map(|_| ()),
    }
}

/// Copies the patch of `size` at every corner to `out`, packed: (corners, height, width, channels).
///
/// # Errors
/// [`Error::OutOfBounds`] if a patch does not lie inside, [`Error::Shape`] if `out` has another length.
pub fn tile<T: Sample>(
    image: &View<'_, T>,
    size: (usize, usize),
    corners: &[(usize, usize)],
    out: &mut [T],
) -> Result<()> {
    check_corners(image.height(), image.width(), size, corners)?;
    check_len("out", out.len(), &[corners.len(), size.0, size.1, image.channels()])?;
    let samples = size.0 * size.1 * image.channels();
    if samples == 0 {
        return Ok(());
    }
    let job = patches_per_job(samples);
    let jobs = corners.chunks(job).zip(out.chunks_mut(job * samples)).collect();
    parallel::for_each(out_len(corners, samples), jobs, |(corners, out): (&[(usize, usize)], &mut [T])| {
        let row = size.1 * image.channels();
        // A constant length makes each row two or four vector moves in place of a call to memcpy.
        parallel::vectorised(
            #[inline(always)]
            || {
                if row == 60 { tile_rows(image, 60, corners, out) } else { tile_rows(image, row, corners, out) }
            },
        );
    });
    Ok(())
}

fn out_len(corners: &[(usize, usize)], samples: usize) -> usize {
    corners.len().saturating_mul(samples)
}

#[inline(always)]
fn tile_rows<T: Sample>(image: &View<'_, T>, row: usize, corners: &[(usize, usize)], out: &mut [T]) {
    let rows = out.len() / row / corners.len();
    for (&(y, x), patch) in corners.iter().zip(out.chunks_exact_mut(rows * row)) {
        for (dy, out) in patch.chunks_exact_mut(row).enumerate() {
            out.copy_from_slice(image.samples(y + dy, x * image.channels(), row));
        }
    }
}

/// Puts patches back at their corners in `out`, a packed image of `height` x `width`. Later patches overwrite
/// earlier ones; pixels that no patch covers are 0.
///
/// # Errors
/// [`Error::OutOfBounds`] if a patch does not lie inside, [`Error::Shape`] if lengths disagree.
pub fn untile<T: Sample>(
    patches: &Batch<'_, T>,
    corners: &[(usize, usize)],
    height: usize,
    width: usize,
    out: &mut [T],
) -> Result<()> {
    let [len, patch_height, patch_width, channels] = patches.shape();
    if len != corners.len() {
        return Err(Error::Shape { what: "coords", found: vec![corners.len(), 2], expected: vec![len, 2] });
    }
    if len > 0 {
        check_corners(height, width, (patch_height, patch_width), corners)?;
    }
    check_len("out", out.len(), &[height, width, channels])?;
    let row = width * channels;
    if row == 0 || height == 0 {
        return Ok(());
    }
    // Bands of rows have one writer each, so the order of patches is kept whatever the number of threads.
    let samples = out.len().max(len.saturating_mul(patch_height * patch_width * channels));
    let bands = if parallel::worth_it(samples) { parallel::num_threads().min(height) } else { 1 };
    let band = height.div_ceil(bands);
    let jobs = out.chunks_mut(band * row).enumerate().collect();
    parallel::for_each(samples, jobs, |(index, out): (usize, &mut [T])| {
        out.fill(T::default());
        let (top, bottom) = (index * band, index * band + out.len() / row);
        for (i, &(y, x)) in corners.iter().enumerate() {
            let patch = patches.patch(i);
            for dy in top.saturating_sub(y)..patch_height.min(bottom.saturating_sub(y)) {
                let start = (y + dy - top) * row + x * channels;
                out[start..start + patch_width * channels].copy_from_slice(patch.row(dy));
            }
        }
    });
    Ok(())
}
