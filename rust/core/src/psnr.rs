//! Squared errors and PSNR.
//!
//! Sums over integers are exact. Sums over floats are taken in `f64`, in sixteen lanes a row that are folded
//! in order, then row by row, then chunk by chunk of rows; where chunks begin depends on the shape alone.

use crate::checks::{check_len, patches_per_job};
use crate::error::{Error, Result};
use crate::parallel;
use crate::view::{Batch, Region, Sample, View};

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
pub trait Squares: Sample {
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
        // 255^2 * 32768 < 2^31: a block sums in i32, which compiles to multiply-adds of 16-bit pairs. Loops and not
        // folds, which the compiler keeps as functions of their own, without the wide vectors of their caller.
        let mut total = 0u64;
        for (a, b) in a.chunks(32768).zip(b.chunks(32768)) {
            let mut block = 0i32;
            for (&a, &b) in a.iter().zip(b) {
                let e = i32::from(i16::from(a) - i16::from(b));
                block += e * e;
            }
            total += block as u64;
        }
        total.into()
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
#[inline]
pub fn psnr_from_mse(mse: f64, data_range: f64) -> f64 {
    let ratio = data_range * data_range / mse;
    if mse == 0.0 {
        f64::INFINITY
    } else if ratio.is_normal() {
        10.0 * log10(ratio)
    } else {
        10.0 * ratio.log10()
    }
}

/// Sums of `count` squared errors to PSNRs, in place: [`psnr_from_mse`] of each mean.
pub(crate) fn psnrs_from_sums(values: &mut [f64], count: usize, data_range: f64) {
    let count = count as f64;
    for chunk in values.chunks_mut(64) {
        // The RoI of every copy, for one.
        if chunk.iter().all(|&sum| sum == 0.0) {
            chunk.fill(f64::INFINITY);
            continue;
        }
        let mut fast = [0.0; 64];
        let usual = parallel::vectorised(
            #[inline(always)]
            || {
                let mut usual = true;
                for (fast, &sum) in fast.iter_mut().zip(&*chunk) {
                    let mse = sum / count;
                    let ratio = data_range * data_range / mse;
                    let none = mse == 0.0;
                    usual &= none | ratio.is_normal();
                    *fast = if none { f64::INFINITY } else { 10.0 * log10(ratio) };
                }
                usual
            },
        );
        if usual {
            chunk.copy_from_slice(&fast[..chunk.len()]);
        } else {
            chunk.iter_mut().for_each(|value| *value = psnr_from_mse(*value / count, data_range));
        }
    }
}

/// The decimal logarithm of a normal number above 0, within 2 units in the last place.
///
/// The C library's is a call for each value and takes a third of the time of cutting and fusing the patch; this one
/// compiles to vectors, and gives the same bits on every machine. The series is that of FreeBSD's `e_log.c` (Sun
/// Microsystems, 1993): `x = 2^k (1 + f)`, `s = f / (2 + f)`, `ln(1 + f) = f - (f^2/2 - s (f^2/2 + R(s^2)))`.
#[inline(always)]
fn log10(x: f64) -> f64 {
    const R: [f64; 7] = [
        0.666_666_666_666_673_5,
        0.399_999_999_994_094_2,
        0.285_714_287_436_623_9,
        0.222_221_984_321_497_84,
        0.181_835_721_616_180_5,
        0.153_138_376_992_093_73,
        0.147_981_986_051_165_86,
    ];
    // Bits of sqrt(1/2), so that 1 + f lies between it and sqrt(2).
    const LOW: u64 = 0x3FE6_A09E_667F_3BCD;
    let shifted = x.to_bits().wrapping_sub(LOW);
    // 2^52 + 2^51 + k as a float, and so k, without a conversion that needs newer vectors.
    let exponent = (shifted as i64 >> 52) as u64;
    let k = f64::from_bits(0x4338_0000_0000_0000_u64.wrapping_add(exponent)) - 6_755_399_441_055_744.0;
    let f = f64::from_bits((shifted & 0x000F_FFFF_FFFF_FFFF) + LOW) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (R[1] + w * (R[3] + w * R[5]));
    let odd = z * (R[0] + w * (R[2] + w * (R[4] + w * R[6])));
    let half = 0.5 * f * f;
    let ln = f - (half - s * (half + (even + odd)));
    // log10(2) in two parts, the first of which k multiplies exactly.
    const LOG10_2_HIGH: f64 = 0.301_029_995_663_611_77;
    const LOG10_2_LOW: f64 = 3.694_239_077_158_931e-13;
    k * LOG10_2_HIGH + (k * LOG10_2_LOW + ln * std::f64::consts::LOG10_E)
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
fn sum_rows<T: Squares>(a: &View<'_, T>, b: &View<'_, T>) -> T::Total {
    let mut total = T::Total::default();
    for y in 0..a.height() {
        total = total.plus(T::squares(a.row(y), b.row(y)));
    }
    total
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
pub fn mse<T: Squares>(reference: &View<'_, T>, distorted: &View<'_, T>, roi: Option<Region>) -> Result<f64> {
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
        parallel::vectorised(
            #[inline(always)]
            || sum_rows(&a, &b),
        )
    });
    let total = sums.into_iter().fold(T::Total::default(), Total::plus);
    Ok(total.to_f64() / (row as f64 * a.height() as f64))
}

/// The mean squared error of every patch pair, or of their regions `roi`, to `out`.
///
/// # Errors
/// As [`mse`], and [`Error::Shape`] if `out` has another length.
pub fn mse_each<T: Squares>(
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
    check_len("out", out.len(), &[len])?;
    let samples = roi.height * roi.width * channels;
    let job = patches_per_job(samples);
    let jobs = out.chunks_mut(job).enumerate().collect();
    parallel::for_each(samples.saturating_mul(len), jobs, |(chunk, out): (usize, &mut [f64])| {
        parallel::vectorised(
            #[inline(always)]
            || {
                for (i, out) in out.iter_mut().enumerate() {
                    let (a, b) = (reference.patch(chunk * job + i), distorted.patch(chunk * job + i));
                    let (a, b) = (a.at(roi.y, roi.x, roi.height, roi.width), b.at(roi.y, roi.x, roi.height, roi.width));
                    *out = sum_rows(&a, &b).to_f64() / samples as f64;
                }
            },
        );
    });
    Ok(())
}

/// The PSNR between two images in dB, or between their regions `roi`; infinite where they are equal.
///
/// # Errors
/// As [`mse`], and [`Error::Value`] for a `range` that is not finite and above 0.
pub fn psnr<T: Squares>(
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
pub fn psnr_each<T: Squares>(
    reference: &Batch<'_, T>,
    distorted: &Batch<'_, T>,
    roi: Option<Region>,
    range: Option<f64>,
    out: &mut [f64],
) -> Result<()> {
    let range = data_range::<T>(range)?;
    mse_each(reference, distorted, roi, out)?;
    psnrs_from_sums(out, 1, range);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log10_is_that_of_the_c_library() {
        let mut generator = crate::sample::Generator::new(1, "log10");
        for _ in 0..200_000 {
            let x = f64::from_bits(generator.draw() >> 1);
            if x.is_normal() {
                let (found, expected) = (log10(x), x.log10());
                assert!((found - expected).abs() <= 2.0 * f64::EPSILON * expected.abs(), "{x}: {found} {expected}");
            }
        }
        // Where the result is near 0, and the powers of ten that a PSNR is likeliest to meet.
        for i in -1000..1000 {
            let x = 1.0 + f64::from(i) * 1e-9;
            assert!((log10(x) - x.log10()).abs() <= 2.0 * f64::EPSILON * x.log10().abs(), "{x}");
        }
        assert_eq!(log10(1.0), 0.0);
        for k in -20..20 {
            assert!((log10(10f64.powi(k)) - f64::from(k)).abs() <= 4e-15 * f64::from(k.abs()), "10^{k}");
        }
    }

    #[test]
    fn many_are_as_one() {
        let mut values = vec![0.0, 1.0, 65025.0, 1e-320, 1e308, f64::INFINITY, f64::NAN, 0.1, 1e-300];
        for range in [255.0, 1e-200, 1e200] {
            for count in [1, 4, values.len()] {
                let mut found = values[..count].to_vec();
                psnrs_from_sums(&mut found, 3, range);
                let expected: Vec<u64> =
                    values[..count].iter().map(|&sum| psnr_from_mse(sum / 3.0, range).to_bits()).collect();
                assert_eq!(found.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), expected);
            }
            values.rotate_left(1);
        }
    }
}
