//! Squared errors and PSNR.
//!
//! Sums over integers are exact. Sums over floats are taken in `f64`, in sixteen lanes a row that are folded
//! in order, then row by row, then chunk by chunk of rows; where chunks begin depends on the shape alone.

use crate::error::{Error, Result};
use crate::parallel;
use crate::view::{Batch, Region, Sample, View};

mod patch;
pub use patch::{PatchSums, blend_sum, patch_sums};

/// A sum of squared errors: exact for integers, `f64` for floats.
pub trait Total: Copy + Default + PartialEq + Send + Sync + std::fmt::Debug {
    /// This and another.
    fn plus(self, other: Self) -> Self;
    /// This less a part of it; only for exact sums.
    fn minus(self, part: Self) -> Self;
    /// The sum as `f64`, rounded once.
    fn to_f64(self) -> f64;
}

impl Total for u128 {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }
    #[inline(always)]
    fn minus(self, part: Self) -> Self {
        self - part
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        // The conversion from 64 bits is one instruction, that from 128 a call.
        u64::try_from(self).map_or(self as f64, |small| small as f64)
    }
}

impl Total for f64 {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }
    #[inline(always)]
    fn minus(self, part: Self) -> Self {
        self - part
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}

/// The sum of squared errors of a sample type.
pub trait Squares: Sized {
    /// What sums are kept in. 128 bits, as 2^32 samples of 16 bits overflow 64.
    type Total: Total;
    /// Whether sums are exact, so that they may be split and subtracted.
    const EXACT: bool;
    /// The squared differences of `a` and `b`, which have the same length, summed.
    fn squares(a: &[Self], b: &[Self]) -> Self::Total;
}

impl Squares for u8 {
    type Total = u128;
    const EXACT: bool = true;
    #[inline(always)]
    fn squares(a: &[u8], b: &[u8]) -> u128 {
        // 255^2 * 32768 < 2^31: a block sums in i32, which compiles to multiply-adds of 16-bit pairs.
        let block = |(a, b): (&[u8], &[u8])| {
            a.iter()
                .zip(b)
                .map(|(&a, &b)| {
                    let e = i32::from(i16::from(a) - i16::from(b));
                    e * e
                })
                .sum::<i32>()
        };
        a.chunks(32768).zip(b.chunks(32768)).map(|pair| block(pair) as u64).sum::<u64>().into()
    }
}

impl Squares for u16 {
    type Total = u128;
    const EXACT: bool = true;
    #[inline(always)]
    fn squares(a: &[u16], b: &[u16]) -> u128 {
        // 65535^2 fits u32, and 2^31 of them fit u64.
        let block = |(a, b): (&[u16], &[u16])| {
            a.iter()
                .zip(b)
                .map(|(&a, &b)| {
                    let e = u32::from(a.abs_diff(b));
                    u64::from(e * e)
                })
                .sum::<u64>()
        };
        a.chunks(1 << 31).zip(b.chunks(1 << 31)).map(|pair| u128::from(block(pair))).sum()
    }
}

impl Squares for f32 {
    type Total = f64;
    const EXACT: bool = false;
    #[inline(always)]
    fn squares(a: &[f32], b: &[f32]) -> f64 {
        let mut lanes = [0.0f64; 16];
        let square = |a: f32, b: f32| {
            let e = f64::from(a) - f64::from(b);
            e * e
        };
        let (blocks_a, rest_a) = a.as_chunks::<16>();
        let (blocks_b, rest_b) = b.as_chunks::<16>();
        for (a, b) in blocks_a.iter().zip(blocks_b) {
            for i in 0..16 {
                lanes[i] += square(a[i], b[i]);
            }
        }
        for (lane, (&a, &b)) in lanes.iter_mut().zip(rest_a.iter().zip(rest_b)) {
            *lane += square(a, b);
        }
        lanes.iter().sum()
    }
}

/// `10 log10(data_range^2 / mse)`; infinite where `mse` is 0.
#[inline(always)]
pub fn psnr_from_mse(mse: f64, data_range: f64) -> f64 {
    if mse == 0.0 { f64::INFINITY } else { 10.0 * (data_range * data_range / mse).log10() }
}

/// `data_range`, or the type's own: 255, 65535 or 1.0.
///
/// # Errors
/// [`Error::Value`] unless it is finite and above 0.
pub fn data_range<T: Sample>(data_range: Option<f64>) -> Result<f64> {
    let range = data_range.unwrap_or(T::DATA_RANGE);
    if range.is_finite() && range > 0.0 {
        Ok(range)
    } else {
        Err(Error::Value { what: "data_range", value: range.to_string(), expected: "a finite number above 0" })
    }
}

/// The squared errors of two views of one shape, summed row by row.
#[inline(always)]
fn sum_rows<T: Sample>(a: &View<'_, T>, b: &View<'_, T>) -> T::Total {
    (0..a.height()).map(|y| T::squares(a.row(y), b.row(y))).fold(T::Total::default(), Total::plus)
}

/// An error if a mean over a region of `height` x `width` x `channels` has no samples.
fn check_not_empty(shape: &[usize]) -> Result<()> {
    if shape.contains(&0) {
        let value = format!("{shape:?}");
        return Err(Error::Value { what: "the shape of 'reference'", value, expected: "at least one sample" });
    }
    Ok(())
}

/// The mean squared error between two images, or between their regions `roi`.
///
/// # Errors
/// [`Error::Shape`] if the images differ in shape, [`Error::OutOfBounds`] if `roi` does not lie inside,
/// [`Error::Value`] if there are no samples.
pub fn mse<T: Sample>(reference: &View<'_, T>, distorted: &View<'_, T>, roi: Option<Region>) -> Result<f64> {
    reference.same_shape("distorted", distorted)?;
    check_not_empty(&reference.shape())?;
    let roi = roi.unwrap_or(reference.region());
    let (a, b) = (reference.crop("roi", roi)?, distorted.crop("roi", roi)?);
    let row = a.width() * a.channels();
    let rows = ((1 << 16) / row).max(1);
    let sums = parallel::map(row.saturating_mul(a.height()), a.height().div_ceil(rows), |chunk| {
        let top = chunk * rows;
        let height = rows.min(a.height() - top);
        let (a, b) = (a.at(top, 0, height, a.width()), b.at(top, 0, height, b.width()));
        parallel::vectorised(|| sum_rows(&a, &b))
    });
    let total = sums.into_iter().fold(T::Total::default(), Total::plus);
    Ok(total.to_f64() / (row as f64 * a.height() as f64))
}

/// The mean squared error of every patch pair, or of their regions `roi`, to `out`.
///
/// # Errors
/// As [`mse`], and [`Error::Shape`] if `out` has another length.
pub fn mse_each<T: Sample>(
    reference: &Batch<'_, T>,
    distorted: &Batch<'_, T>,
    roi: Option<Region>,
    out: &mut [f64],
) -> Result<()> {
    reference.same_shape("distorted", distorted)?;
    let [len, height, width, channels] = reference.shape();
    check_not_empty(&[height, width, channels])?;
    let roi = match roi {
        Some(roi) => roi.inside("roi", height, width)?,
        None => Region { y: 0, x: 0, height, width },
    };
    if out.len() != len {
        return Err(Error::Shape { what: "out", found: vec![out.len()], expected: vec![len] });
    }
    let samples = roi.height * roi.width * channels;
    let job = crate::tile::patches_per_job(samples);
    let jobs = out.chunks_mut(job).enumerate().collect();
    parallel::for_each(samples.saturating_mul(len), jobs, |(chunk, out): (usize, &mut [f64])| {
        parallel::vectorised(|| {
            for (i, out) in out.iter_mut().enumerate() {
                let (a, b) = (reference.patch(chunk * job + i), distorted.patch(chunk * job + i));
                let (a, b) = (a.at(roi.y, roi.x, roi.height, roi.width), b.at(roi.y, roi.x, roi.height, roi.width));
                *out = sum_rows(&a, &b).to_f64() / samples as f64;
            }
        });
    });
    Ok(())
}

/// The PSNR between two images in dB, or between their regions `roi`; infinite where they are equal.
///
/// # Errors
/// As [`mse`], and [`Error::Value`] for a `range` that is not finite and above 0.
pub fn psnr<T: Sample>(
    reference: &View<'_, T>,
    distorted: &View<'_, T>,
    roi: Option<Region>,
    range: Option<f64>,
) -> Result<f64> {
    let range = data_range::<T>(range)?;
    Ok(psnr_from_mse(mse(reference, distorted, roi)?, range))
}

/// The PSNR of every patch pair in dB, or of their regions `roi`, to `out`.
///
/// # Errors
/// As [`psnr`], and [`Error::Shape`] if `out` has another length.
pub fn psnr_each<T: Sample>(
    reference: &Batch<'_, T>,
    distorted: &Batch<'_, T>,
    roi: Option<Region>,
    range: Option<f64>,
    out: &mut [f64],
) -> Result<()> {
    let range = data_range::<T>(range)?;
    mse_each(reference, distorted, roi, out)?;
    out.iter_mut().for_each(|value| *value = psnr_from_mse(*value, range));
    Ok(())
}
