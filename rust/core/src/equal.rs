//! Whether patches are equal.

use crate::checks::{check_len, patches_per_job};
use crate::error::Result;
use crate::parallel;
use crate::tile::check_corners;
use crate::view::{Sample, View};

/// Samples compared between two tests for a difference.
const CHUNK: usize = 1024;

/// Whether the patches of `size` at `corners` of two images are equal in every sample, to `out`. Floats are compared as
/// numbers: -0 equals 0, and NaN equals nothing.
///
/// # Errors
/// [`Error::Shape`] if the images differ in shape or `out` has another length, [`Error::OutOfBounds`] for a patch that does not
/// lie inside.
pub fn equal_at<T: Sample>(
    reference: &View<'_, T>,
    distorted: &View<'_, T>,
    corners: &[(usize, usize)],
    size: (usize, usize),
    out: &mut [bool],
) -> Result<()> {
    reference.same_shape("distorted", distorted)?;
    check_corners(reference.height(), reference.width(), size, corners)?;
    check_len("out", out.len(), &[corners.len()])?;
    let samples = (size.0 * size.1).saturating_mul(reference.channels());
    let job = patches_per_job(samples);
    let jobs = corners.chunks(job).zip(out.chunks_mut(job)).collect();
    parallel::for_each(
        samples.saturating_mul(corners.len()),
        jobs,
        |(corners, out): (&[(usize, usize)], &mut [bool])| {
            parallel::vectorised(
                #[inline(always)]
                || {
                    for (&(y, x), out) in corners.iter().zip(&mut *out) {
                        *out = equal(reference, distorted, (y, x), size);
                    }
                },
            );
        },
    );
    Ok(())
}

/// Whether one patch is equal.
#[inline(always)]
fn equal<T: Sample>(a: &View<'_, T>, b: &View<'_, T>, (y, x): (usize, usize), size: (usize, usize)) -> bool {
    let (start, row) = (x * a.channels(), size.1 * a.channels());
    for y in y..y + size.0 {
        let (a, b) = (a.samples(y, start, row), b.samples(y, start, row));
        for (a, b) in a.chunks(CHUNK).zip(b.chunks(CHUNK)) {
            if !equal_chunks(a, b) {
                return false;
            }
        }
    }
    true
}

/// Without a branch for each sample, so that whole vectors are compared.
#[inline(always)]
fn equal_chunks<T: Sample>(a: &[T], b: &[T]) -> bool {
    let (Some(last_a), Some(last_b)) = (a.last_chunk::<16>(), b.last_chunk::<16>()) else {
        return a == b;
    };
    // The last 16 may have been looked at already.
    let mut same = equal_16(last_a, last_b);
    for (a, b) in a.as_chunks().0.iter().zip(b.as_chunks().0) {
        same &= equal_16(a, b);
    }
    same
}

#[inline(always)]
fn equal_16<T: Sample>(a: &[T; 16], b: &[T; 16]) -> bool {
    let mut same = true;
    for i in 0..16 {
        same &= a[i] == b[i];
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_sample_of_a_patch_counts_and_no_other() {
        // Rows shorter than a vector, longer than one, and longer than what is looked at between two tests.
        for width in [1, 5, 16, 41, 700] {
            let (height, size) = (4, (2, width));
            let image = vec![7_u16; height * (width + 2) * 3];
            for at in 0..image.len() {
                let mut other = image.clone();
                other[at] = 8;
                let (y, x) = (at / (width + 2) / 3, at / 3 % (width + 2));
                let mut out = [false; 2];
                let [a, b] = [&image, &other].map(|data| View::packed(data, height, width + 2, 3).unwrap());
                equal_at(&a, &b, &[(1, 1), (0, 0)], size, &mut out).unwrap();
                let inside = |top, left| (top..top + 2).contains(&y) && (left..left + width).contains(&x);
                assert_eq!(out, [!inside(1, 1), !inside(0, 0)], "{width} {y} {x}");
            }
        }
    }

    #[test]
    fn floats_are_numbers() {
        for (a, b, expected) in
            [(0.0, -0.0, true), (f32::NAN, f32::NAN, false), (1.0, 1.0, true), (1.0, 1.0000001, false)]
        {
            for width in [3, 20] {
                let (first, second) = (vec![a; width], vec![b; width]);
                let (first, second) =
                    (View::packed(&first, 1, width, 1).unwrap(), View::packed(&second, 1, width, 1).unwrap());
                let mut out = [!expected];
                equal_at(&first, &second, &[(0, 0)], (1, width), &mut out).unwrap();
                assert_eq!(out, [expected], "{a} {b}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let image = [0_u8; 24];
        let (wide, tall) = (View::packed(&image, 2, 12, 1).unwrap(), View::packed(&image, 12, 2, 1).unwrap());
        assert!(equal_at(&wide, &tall, &[], (1, 1), &mut []).is_err());
        assert!(equal_at(&wide, &wide, &[(0, 0)], (1, 1), &mut []).is_err());
        assert!(equal_at(&wide, &wide, &[(1, 0)], (2, 1), &mut [false]).is_err());
        assert!(equal_at(&wide, &wide, &[(0, 0)], (0, 1), &mut [false]).is_err());
    }
}
