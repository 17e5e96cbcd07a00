//! One shard of a patch set: decode, cut, measure, write. A shard is a pure function of its [`Spec`].
//!
//! A shard is three files: `NAME.reference.npy` and `NAME.distorted.npy`, `uint8` of shape (rows, size, size, 3),
//! hold every reference and every unfused distorted patch once; `NAME.jsonl` has a line for each fused patch.
//! They are written beside each other under temporary names and renamed when all three are complete, so an
//! interrupted build leaves nothing that could be mistaken for a shard. The same spec gives the same bytes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::decode;
use crate::error::{Error, Result};

mod cut;
mod files;
mod pair;
pub mod records;
mod spec;

use cut::Cutter;
pub use cut::ImageInfo;
pub use files::{FileInfo, checksum};
use pair::{Pair, Reference};
pub use spec::{ImageSpec, Label, Places, Sampling, Spec, Unchanged};

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

/// Shared between the threads that build and the thread that reports progress.
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
    let stops = decode::decoding_stops();
    for image in &spec.images {
        if progress.cancel.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let (pair, rows) = match Pair::load(image, &mut reference, places.root, spec) {
            Ok(loaded) => loaded,
            // What was interrupted is not a bad file.
            Err((_, reason)) if reason == decode::INTERRUPTED || decode::decoding_stops() != stops => {
                return Err(Error::Interrupted);
            }
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
