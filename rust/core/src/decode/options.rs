//! What a caller asks of decoding.

use serde::{Deserialize, Serialize};

/// How an image is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Larger images are refused.
    pub max_pixels: u64,
    /// Which colours the samples stand for.
    pub colour: Colour,
    /// What becomes of transparent pixels.
    pub alpha: Alpha,
    /// Which frame of an animation, or page, counted from 0. Without it, images that have several are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u32>,
}

/// Which colours the samples stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Those of sRGB: samples with a profile are converted.
    Srgb,
    /// Those of the file: its samples are not touched.
    Raw,
}

/// What becomes of transparent pixels. An image that is opaque everywhere is RGB in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alpha {
    /// The image is refused.
    Refuse,
    /// It is given as a fourth channel.
    Keep,
    /// The image is put on a background.
    #[serde(untagged)]
    On(Background),
}

/// What lies under transparent pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Background {
    /// Black.
    Black,
    /// White.
    White,
    /// Squares of 8x8 pixels, alternately 102 and 153 of 255, from the top left corner.
    Checker,
}

impl Background {
    /// All of them.
    pub const ALL: [Background; 3] = [Background::Black, Background::White, Background::Checker];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Background::Black => "black",
            Background::White => "white",
            Background::Checker => "checker",
        }
    }
}

/// The largest image that is decoded by default: 2^28 pixels.
///
/// That is 16384x16384, 768 MiB of 8-bit RGB, and above every photograph that the datasets of this field
/// hold. A progressive JPEG takes up to three times as much again while it is decoded.
pub const DEFAULT_MAX_PIXELS: u64 = 1 << 28;

impl Default for Options {
    fn default() -> Self {
        Options { max_pixels: DEFAULT_MAX_PIXELS, colour: Colour::Srgb, alpha: Alpha::Refuse, frame: None }
    }
}
