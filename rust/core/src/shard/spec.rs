//! What a shard is made from, and where it is built.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::decode;
use crate::fuse::Fusion;
use crate::view::Region;

/// Where patches are cut in each image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Sampling {
    /// Every patch on a grid.
    Grid {
        /// Pixels from one patch to the next.
        stride: usize,
    },
    /// Distinct random places, all equally likely.
    Random {
        /// Patches per image.
        n: usize,
    },
    /// Distinct places, likely where the reference's local variance is high.
    Texture {
        /// Patches per image.
        n: usize,
    },
}

/// What the quality of a fused patch means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// The quality of the image.
    Image,
    /// `1 - (1 - image quality) * sqrt(MSE of the fused patch / MSE of the unfused one)`.
    Energy,
}

/// What to do with patches in which nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unchanged {
    /// They are kept with quality 1.
    Keep,
    /// They are left out.
    Drop,
}

/// One image pair of a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// Unique in the patch set; with the seed it is the key of random sampling.
    pub image_id: String,
    /// The reference's file, relative to the dataset's root.
    pub reference: String,
    /// The distorted image's file, likewise.
    pub distorted: String,
    /// If set, the distorted image is the mean of `distorted` and this file, rounded half up.
    pub blend_with: Option<String>,
    /// The kind of distortion.
    pub distortion_type: String,
    /// The score as the dataset has it.
    pub mos: f64,
    /// The score as quality, 0..=1; 1 means that nobody notices.
    pub quality: f64,
}

/// Everything a shard is made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The shard's name, e.g. `shard-00000`.
    pub name: String,
    /// Rows and columns of a patch.
    pub size: usize,
    /// The region of interest inside a patch.
    pub roi: Region,
    /// The fusions; each patch gets one record per fusion.
    pub fusions: Vec<Fusion>,
    /// What the quality of a fused patch means.
    pub label: Label,
    /// Where patches are cut.
    pub sampling: Sampling,
    /// Seed of random sampling.
    pub seed: u64,
    /// Patches whose samples all agree within this many grey levels count as unchanged.
    pub min_difference: u8,
    /// What to do with those.
    pub unchanged: Unchanged,
    /// How the images are decoded.
    pub decode: decode::Options,
    /// The image pairs. Pairs of one reference stand together, so it is decoded once.
    pub images: Vec<ImageSpec>,
}

/// The directories a shard is built between.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The dataset's root; the files of a [`Spec`] are relative to it.
    pub root: &'a Path,
    /// Where the whole shard goes.
    pub out: &'a Path,
    /// Where it is written until it is whole; on the same file system as `out`.
    pub scratch: &'a Path,
}
