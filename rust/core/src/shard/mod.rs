//! One shard of a patch set: decode, cut, measure, write. A shard is a pure function of its [`Spec`].
//!
//! A shard is three files: `NAME.reference.npy` and `NAME.distorted.npy`, `uint8` of shape (rows, size, size, 3),
//! hold every reference and every unfused distorted patch once; `NAME.jsonl` has a line for each fused patch.
//! They are written beside each other under temporary names and renamed when all three are complete, so a shard
//! that was cut short leaves nothing that could be taken for one. The same spec gives the same bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fuse::Fusion;
use crate::view::Region;

mod cut;
mod files;
mod pair;

use cut::Cutter;
pub use files::{FileInfo, checksum};
use pair::{Pair, Reference};

/// Where patches are cut in each image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Sampling {
    /// Every patch on a grid.
    Grid {
        /// Pixels from one patch to the next.
        stride: usize,
    },
    /// Distinct places, each as likely as the next.
    Random {
        /// Patches an image.
        n: usize,
    },
    /// Distinct places, likely where the reference's local variance is high.
    Texture {
        /// Patches an image.
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

/// What becomes of patches in which nothing changed.
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
    /// The score as quality, 0..=1, 1 = nobody notices.
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
    /// A record is written for each of these.
    pub fusions: Vec<Fusion>,
    /// What the quality of a fused patch means.
    pub label: Label,
    /// Where patches are cut.
    pub sampling: Sampling,
    /// Seed of random sampling.
    pub seed: u64,
    /// Patches whose samples all agree within this many grey levels count as unchanged.
    pub min_difference: u8,
    /// What becomes of those.
    pub unchanged: Unchanged,
    /// Larger images are refused.
    pub max_pixels: u64,
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

/// An image pair that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The image pair.
    pub image_id: String,
    /// The file at fault, relative to the dataset's root.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
    /// BLAKE3 of the file, if it can be read.
    pub blake3: Option<String>,
}

/// What was measured of one image pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// The image pair.
    pub image_id: String,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// PSNR of the whole distorted image in dB; `None` where it equals its reference.
    pub psnr: Option<f64>,
    /// Whether the reference file carries an ICC profile (never applied).
    pub reference_icc: bool,
    /// Whether the distorted file does.
    pub distorted_icc: bool,
    /// BLAKE3 of the reference file, lower-case hex.
    pub reference_blake3: String,
    /// BLAKE3 of the distorted file.
    pub distorted_blake3: String,
    /// BLAKE3 of the file that was blended into the distorted image.
    pub blend_with_blake3: Option<String>,
    /// Distorted patches written.
    pub patches: u64,
    /// Records written.
    pub records: u64,
    /// Patches in which nothing changed, written or not.
    pub unchanged: u64,
    /// Fused patches equal to their reference.
    pub identical: u64,
}

/// A finished shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Built {
    /// Rows of the reference array.
    pub reference_rows: u64,
    /// Rows of the distorted array.
    pub distorted_rows: u64,
    /// Lines of the records file.
    pub records: u64,
    /// The three files, by name.
    pub files: BTreeMap<String, FileInfo>,
    /// The image pairs that were cut, in the spec's order.
    pub images: Vec<ImageInfo>,
    /// The image pairs that could not be, in the spec's order.
    pub skipped: Vec<Skipped>,
}

/// Shared between the threads that build and the one that watches.
#[derive(Debug, Default)]
pub struct Progress {
    /// Image pairs done.
    pub images: AtomicU64,
    /// Patches cut.
    pub patches: AtomicU64,
    /// Set to make builders stop at the next image.
    pub cancel: AtomicBool,
}

/// Builds the shard of `spec`.
///
/// An image pair that can't be read or decoded is listed in [`Built::skipped`].
///
/// # Errors
/// [`Error::Io`] if an output can't be written (no file in `out` is then half written), [`Error::Interrupted`]
/// if `progress.cancel` was set.
pub fn build(spec: &Spec, places: Places<'_>, progress: &Progress) -> Result<Built> {
    // Other shards are built beside this one, so the kernels stay on this thread.
    crate::parallel::alone(|| build_here(spec, places, progress))
}

fn build_here(spec: &Spec, places: Places<'_>, progress: &Progress) -> Result<Built> {
    let roi = spec.roi.inside("the RoI", spec.size, spec.size)?;
    let mut cutter = Cutter::create(spec, places)?;
    let mut built = Built {
        reference_rows: 0,
        distorted_rows: 0,
        records: 0,
        files: BTreeMap::new(),
        images: Vec::with_capacity(spec.images.len()),
        skipped: Vec::new(),
    };
    let mut reference = Reference::default();
    for image in &spec.images {
        if progress.cancel.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let (pair, rows) = match Pair::load(image, &mut reference, places.root, spec) {
            Ok(loaded) => loaded,
            Err((file, reason)) => {
                let blake3 = checksum(&places.root.join(&file)).ok().map(|info| info.blake3);
                built.skipped.push(Skipped { image_id: image.image_id.clone(), file, reason, blake3 });
                progress.images.fetch_add(1, Ordering::Relaxed);
                continue;
            }
        };
        let info = cutter.cut(spec, roi, image, &pair, rows)?;
        progress.images.fetch_add(1, Ordering::Relaxed);
        progress.patches.fetch_add(info.patches, Ordering::Relaxed);
        built.records += info.records;
        built.images.push(info);
    }
    built.reference_rows = cutter.reference_rows();
    built.distorted_rows = cutter.distorted_rows();
    built.files = cutter.finish(spec, places)?;
    Ok(built)
}
