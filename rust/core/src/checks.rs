//! Checks of sizes and lengths that several kernels share.

use crate::error::{Error, Result};

/// An error unless a patch of `size` (height, width) has a pixel.
pub(crate) fn check_size(size: (usize, usize)) -> Result<()> {
    if size.0 == 0 || size.1 == 0 {
        let value = format!("{}x{}", size.0, size.1);
        return Err(Error::Value { what: "the patch size", value, expected: "at least 1x1" });
    }
    Ok(())
}

/// An error unless `found`, the length of `what`, is the product of `factors`.
pub(crate) fn check_len(what: &'static str, found: usize, factors: &[usize]) -> Result<()> {
    let expected = factors.iter().try_fold(1usize, |product, &factor| product.checked_mul(factor));
    if expected == Some(found) {
        Ok(())
    } else {
        Err(Error::Shape { what, found: vec![found], expected: factors.to_vec() })
    }
}

/// How many patches one job processes, so that what it writes fits the first- or second-level cache.
pub(crate) fn patches_per_job(patch_samples: usize) -> usize {
    ((1 << 16) / patch_samples.max(1)).clamp(1, 1 << 12)
}

/// An error unless `weight` lies in [0, 1].
pub(crate) fn check_weight(what: &'static str, weight: f64) -> Result<()> {
    if (0.0..=1.0).contains(&weight) {
        Ok(())
    } else {
        Err(Error::Value { what, value: weight.to_string(), expected: "a number from 0 to 1" })
    }
}
