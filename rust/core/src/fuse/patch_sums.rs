//! Sums over one patch pair of 8 bits, from which the error of every fusion follows.
//!
//! These run once for every patch of a dataset. The default geometry (20x20 RGB, RoI 12x12 in the middle)
//! has kernels of its own in [`super::bytes`].

use super::bytes::{self, Patch, PatchErrors, Portable};
use super::{Mix, blend_u8};
use crate::parallel::{arch, vectorised, with_lanes};
use crate::psnr::Squares;
use crate::view::{Region, View};

const DEFAULT_SIZE: (usize, usize) = (20, 20);
const DEFAULT_ROI: Region = Region { y: 4, x: 4, height: 12, width: 12 };

/// Sums over one patch pair, from which the error of every fusion follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchSums {
    /// Squared error outside the RoI, reference against distorted.
    pub outside: u64,
    /// Squared error inside the RoI, reference against distorted.
    pub inside: u64,
    /// The largest absolute difference anywhere.
    pub largest: u8,
}

/// The sums of the patch of `size` (height, width) at (`y`, `x`) of two images; `roi` is relative to the patch.
///
/// # Panics
/// If the images differ in shape, the patch does not lie inside them, or `roi` inside the patch.
pub fn patch_sums(
    reference: &View<'_, u8>,
    distorted: &View<'_, u8>,
    y: usize,
    x: usize,
    size: (usize, usize),
    roi: Region,
) -> PatchSums {
    check_inside(reference, distorted, (y, x), size);
    let c = reference.channels();
    if size == DEFAULT_SIZE && roi == DEFAULT_ROI && c == 3 {
        let PatchErrors { outside, inside, largest, .. } = with_lanes!(arch(), Portable, lanes => {
            bytes::patch_errors::<_, false, true>(lanes, &Patch::at(reference, y, x), &Patch::at(distorted, y, x))
        });
        return PatchSums { outside, inside, largest };
    }
    assert!(roi.inside("roi", size.0, size.1).is_ok(), "the RoI does not lie inside the patch");
    let inner = (roi.y, roi.height, roi.x * c, roi.width * c);
    vectorised(
        #[inline(always)]
        || sums(reference, distorted, y, x * c, (size.0, size.1 * c), inner),
    )
}

/// Rows are sliced from the image's buffer, of which a crop shows only a part: without this, a patch outside a crop would be
/// measured over pixels that are not the crop's.
#[inline(always)]
fn check_inside(
    reference: &View<'_, u8>,
    distorted: &View<'_, u8>,
    (y, x): (usize, usize),
    (height, width): (usize, usize),
) {
    let fits = |start: usize, len: usize, outer: usize| start.checked_add(len).is_some_and(|end| end <= outer);
    let inside = fits(y, height, reference.height()) && fits(x, width, reference.width());
    assert!(inside && reference.shape() == distorted.shape(), "the patch does not lie inside both images");
}

#[inline(always)]
fn sums(
    reference: &View<'_, u8>,
    distorted: &View<'_, u8>,
    y: usize,
    x: usize,
    (rows, row): (usize, usize),
    (top, height, left, width): (usize, usize, usize, usize),
) -> PatchSums {
    let mut sums = PatchSums::default();
    let mut total = 0u64;
    for dy in 0..rows {
        let (r, d) = (reference.samples(y + dy, x, row), distorted.samples(y + dy, x, row));
        sums.largest = r.iter().zip(d).fold(sums.largest, |most, (&r, &d)| most.max(r.abs_diff(d)));
        total += u8::squares(r, d) as u64;
        if (top..top + height).contains(&dy) {
            sums.inside += u8::squares(&r[left..left + width], &d[left..left + width]) as u64;
        }
    }
    sums.outside = total - sums.inside;
    sums
}

/// Squared error inside the RoI between the reference and its blend with the distorted patch.
///
/// # Panics
/// If the images differ in shape, or the RoI of the patch at (`y`, `x`) does not lie inside them.
pub fn blend_sum(
    reference: &View<'_, u8>,
    distorted: &View<'_, u8>,
    y: usize,
    x: usize,
    roi: Region,
    alpha: f64,
) -> u64 {
    check_inside(reference, distorted, (y.saturating_add(roi.y), x.saturating_add(roi.x)), (roi.height, roi.width));
    let c = reference.channels();
    let inside = y + 20 <= reference.height() && x + 20 <= reference.width();
    if alpha == 0.5 && roi == DEFAULT_ROI && c == 3 && inside {
        return with_lanes!(arch(), Portable, lanes => bytes::blend_sum(lanes, &Patch::at(reference, y, x), &Patch::at(distorted, y, x)));
    }
    let (y, x, row) = (y + roi.y, (x + roi.x) * c, roi.width * c);
    vectorised(
        #[inline(always)]
        || match alpha == 0.5 {
            true => blended(reference, distorted, y, x, roi.height, row, u8::average),
            false => blended(reference, distorted, y, x, roi.height, row, |r, d| blend_u8(r, d, alpha)),
        },
    )
}

#[inline(always)]
fn blended(
    reference: &View<'_, u8>,
    distorted: &View<'_, u8>,
    y: usize,
    x: usize,
    height: usize,
    row: usize,
    blend: impl Fn(u8, u8) -> u8,
) -> u64 {
    let mut sum = 0;
    for dy in 0..height {
        let (r, d) = (reference.samples(y + dy, x, row), distorted.samples(y + dy, x, row));
        // Means and squares each in a loop of their own: both then compile to vectors, together neither does.
        for (r, d) in r.chunks(64).zip(d.chunks(64)) {
            let mut fused = [0; 64];
            for ((fused, &r), &d) in fused.iter_mut().zip(r).zip(d) {
                *fused = blend(r, d);
            }
            sum += u8::squares(r, &fused[..r.len()]) as u64;
        }
    }
    sum
}
