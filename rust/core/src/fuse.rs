//! Fusions: how a reference patch and a distorted patch become one.
//!
//! Every fusion is a weight of the reference at each pixel: 0 outside and `alpha` inside the RoI for a
//! blend, 0 and 1 for a copy, 1 and 0 for a paste, 0 everywhere for none, anything for a mask.

use serde::{Deserialize, Serialize};

/// How reference and distorted patch are combined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Fusion {
    /// The distorted patch as it is.
    None,
    /// The distorted patch with the reference in the RoI.
    Copy,
    /// The distorted patch with `alpha * reference + (1 - alpha) * distorted` in the RoI.
    Blend {
        /// The weight of the reference, in [0, 1].
        alpha: f64,
    },
    /// The reference patch with the distorted RoI.
    Paste,
}

/// `floor(alpha * reference + (1 - alpha) * distorted + 0.5)` in `f64`: rounded half up.
#[inline]
pub fn blend_u8(reference: u8, distorted: u8, alpha: f64) -> u8 {
    (alpha * f64::from(reference) + (1.0 - alpha) * f64::from(distorted) + 0.5).floor() as u8
}
