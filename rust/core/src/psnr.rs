//! Squared errors and PSNR.

use crate::view::{Region, View};

/// Squared error, summed exactly, between two `u8` regions of equal shape.
pub fn sse_u8(a: &View<'_, u8>, b: &View<'_, u8>) -> u64 {
    (0..a.height())
        .flat_map(|y| a.row(y).iter().zip(b.row(y)))
        .map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2))
        .sum()
}

/// `10 log10(data_range^2 / mse)`; infinite where `mse` is 0.
pub fn psnr_from_mse(mse: f64, data_range: f64) -> f64 {
    if mse == 0.0 { f64::INFINITY } else { 10.0 * (data_range * data_range / mse).log10() }
}

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
pub fn patch_sums(
    reference: &View<'_, u8>,
    distorted: &View<'_, u8>,
    y: usize,
    x: usize,
    size: (usize, usize),
    roi: Region,
) -> PatchSums {
    let mut sums = PatchSums::default();
    let c = reference.channels();
    for dy in 0..size.0 {
        let r = reference.span(y + dy, x, size.1);
        let d = distorted.span(y + dy, x, size.1);
        let in_rows = (roi.y..roi.y + roi.height).contains(&dy);
        for (i, (&a, &b)) in r.iter().zip(d).enumerate() {
            let e = a.abs_diff(b);
            sums.largest = sums.largest.max(e);
            let e = u64::from(e).pow(2);
            if in_rows && (roi.x..roi.x + roi.width).contains(&(i / c)) {
                sums.inside += e;
            } else {
                sums.outside += e;
            }
        }
    }
    sums
}

/// Squared error inside the RoI between the reference and its blend with the distorted patch.
pub fn blend_sum(
    reference: &View<'_, u8>,
    distorted: &View<'_, u8>,
    y: usize,
    x: usize,
    roi: Region,
    alpha: f64,
) -> u64 {
    (0..roi.height)
        .flat_map(|dy| {
            let r = reference.span(y + roi.y + dy, x + roi.x, roi.width);
            r.iter().zip(distorted.span(y + roi.y + dy, x + roi.x, roi.width))
        })
        .map(|(&r, &d)| u64::from(r.abs_diff(crate::fuse::blend_u8(r, d, alpha))).pow(2))
        .sum()
}
