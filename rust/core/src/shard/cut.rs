//! Cutting image pairs into a shard: where, what is written, and what each fused patch's error is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::files::{FileInfo, Npy, Scratch, checksum, file_names};
use super::pair::{Pair, Rows};
use super::records::{Line, LineWriter};
use super::spec::{ImageSpec, Label, Places, Sampling, Spec, Unchanged};
use crate::error::{Error, Result};
use crate::fuse::{self, Fusion, Image, PatchSums};
use crate::view::Region;
use crate::{psnr, sample, tile};

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
    /// Whether the reference file carries an ICC profile.
    pub reference_icc: bool,
    /// Whether the distorted file does.
    pub distorted_icc: bool,
    /// The profile that the reference's samples were converted from; `None` if they were taken as they are.
    pub reference_profile: Option<String>,
    /// That of the distorted image.
    pub distorted_profile: Option<String>,
    /// What is wrong with either file although its pixels are all there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
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

/// The notes of both files, each behind the file's name.
fn notes(image: &ImageSpec, pair: &Pair<'_>) -> Vec<String> {
    let named = |file: &str, notes: &[String]| notes.iter().map(|note| format!("{file}: {note}")).collect::<Vec<_>>();
    [named(&image.reference, &pair.reference.notes), named(&image.distorted, &pair.distorted.notes)].concat()
}

/// The three files of a shard while they grow. Dropped unfinished, it removes them.
pub(super) struct Cutter {
    reference: Npy,
    distorted: Npy,
    lines: LineWriter<BufWriter<File>>,
    lines_path: PathBuf,
    guard: Scratch,
}

impl Cutter {
    pub fn create(spec: &Spec, places: Places<'_>) -> Result<Self> {
        let [reference, distorted, lines_path] = file_names(&spec.name).map(|name| places.scratch.join(name));
        let guard = Scratch(vec![reference.clone(), distorted.clone(), lines_path.clone()]);
        let lines = File::create(&lines_path).map_err(|source| Error::Io { path: lines_path.clone(), source })?;
        Ok(Self {
            reference: Npy::create(reference, spec.size)?,
            distorted: Npy::create(distorted, spec.size)?,
            lines: LineWriter::new(BufWriter::with_capacity(1 << 20, lines)),
            lines_path,
            guard,
        })
    }

    /// Rows written to the reference array.
    pub fn reference_rows(&self) -> u64 {
        self.reference.rows
    }

    /// Rows written to the distorted array.
    pub fn distorted_rows(&self) -> u64 {
        self.distorted.rows
    }

    /// Cuts one image pair: writes its patches and records.
    pub fn cut(
        &mut self,
        spec: &Spec,
        roi: Region,
        image: &ImageSpec,
        pair: &Pair<'_>,
        rows: &mut Rows,
    ) -> Result<ImageInfo> {
        let (reference, distorted) = (pair.reference.view(), pair.distorted.view());
        let (height, width) = (reference.height(), reference.width());
        let size = (spec.size, spec.size);
        let places = match spec.sampling {
            Sampling::Grid { stride } => tile::grid(height, width, size, (stride, stride)),
            Sampling::Random { n } => sample::random(height, width, size, n, spec.seed, &image.image_id),
            Sampling::Texture { n } => sample::texture(&reference, size, n, spec.seed, &image.image_id),
        };
        let samples = (spec.size * spec.size * 3) as f64;
        let roi_samples = (roi.height * roi.width * 3) as f64;
        let mut info = ImageInfo {
            image_id: image.image_id.clone(),
            height,
            width,
            psnr: psnr_of(psnr::mse(&reference, &distorted, None)?),
            reference_icc: pair.reference.icc,
            distorted_icc: pair.distorted.icc,
            reference_profile: pair.reference.converted_from.clone(),
            distorted_profile: pair.distorted.converted_from.clone(),
            notes: notes(image, pair),
            reference_blake3: pair.reference.blake3.clone(),
            distorted_blake3: pair.distorted.blake3.clone(),
            blend_with_blake3: pair.blend_with.clone(),
            patches: 0,
            records: 0,
            unchanged: 0,
            identical: 0,
        };
        let line = self.lines.image(image);
        for (patch_id, &(y, x)) in places.iter().enumerate() {
            let sums = fuse::patch_sums(&reference, &distorted, y, x, size, roi);
            let unchanged = sums.largest <= spec.min_difference;
            info.unchanged += u64::from(unchanged);
            if unchanged && spec.unchanged == Unchanged::Drop {
                continue;
            }
            let reference_row = match rows.get(&(y, x)) {
                Some(&row) => row,
                None => {
                    let row = self.reference.push(&reference, y, x)?;
                    rows.insert((y, x), row);
                    row
                }
            };
            let distorted_row = self.distorted.push(&distorted, y, x)?;
            info.patches += 1;
            for fusion in &spec.fusions {
                let errors =
                    fused_errors(*fusion, &sums, |alpha| fuse::blend_sum(&reference, &distorted, y, x, roi, alpha));
                let identical = errors.patch == 0;
                let record = Line {
                    patch_id: patch_id as u64,
                    y: y as u64,
                    x: x as u64,
                    psnr: psnr_of(errors.patch as f64 / samples),
                    fusion: *fusion,
                    quality: if unchanged { 1.0 } else { quality(spec.label, image.quality, &errors, &sums) },
                    reference_row,
                    distorted_row,
                    psnr_roi: psnr_of(errors.roi as f64 / roi_samples),
                    identical,
                };
                let written = self.lines.write(&line, &record);
                written.map_err(|source| Error::Io { path: self.lines_path.clone(), source })?;
                info.records += 1;
                info.identical += u64::from(identical);
            }
        }
        Ok(info)
    }

    /// Completes the three files and moves them to where they belong.
    pub fn finish(self, spec: &Spec, places: Places<'_>) -> Result<BTreeMap<String, FileInfo>> {
        let Self { reference, distorted, lines, lines_path, guard } = self;
        reference.finish()?;
        distorted.finish()?;
        lines.into_inner().into_inner().map_err(|error| Error::Io { path: lines_path, source: error.into_error() })?;
        let mut files = BTreeMap::new();
        for name in file_names(&spec.name) {
            files.insert(name.clone(), checksum(&places.scratch.join(&name))?);
        }
        for name in file_names(&spec.name) {
            let (from, to) = (places.scratch.join(&name), places.out.join(&name));
            fs::rename(&from, &to).map_err(|source| Error::Io { path: to, source })?;
        }
        drop(guard);
        Ok(files)
    }
}

/// Squared errors of a fused patch against its reference.
struct Errors {
    patch: u64,
    roi: u64,
}

/// The squared errors of `fusion`, from the sums of the unfused pair; `blend` gives the error inside the RoI of the mean
/// with an alpha.
fn fused_errors(fusion: Fusion, sums: &PatchSums, blend: impl FnOnce(f64) -> u64) -> Errors {
    let part = |image: Image, sum: u64| if image == Image::Distorted { sum } else { 0 };
    let outside = part(fusion.kind().outside, sums.outside);
    let inside = match (fusion.kind().inside, fusion.alpha()) {
        (Some(image), _) => part(image, sums.inside),
        (None, alpha) => blend(alpha.unwrap_or_default()),
    };
    Errors { patch: outside + inside, roi: inside }
}

/// The quality of a fused patch. A patch that equals its reference has quality 1 whatever the image's score.
fn quality(label: Label, image: f64, errors: &Errors, sums: &PatchSums) -> f64 {
    match label {
        _ if errors.patch == 0 => 1.0,
        Label::Image => image,
        // Both sums are over the same number of samples, so their ratio is that of the MSEs.
        Label::Energy => {
            let left = errors.patch as f64 / (sums.outside + sums.inside) as f64;
            (1.0 - (1.0 - image) * left.sqrt()).clamp(0.0, 1.0)
        }
    }
}

/// PSNR in dB of 8-bit pixels. JSON has no infinity: that of identical pixels is `None`.
fn psnr_of(mse: f64) -> Option<f64> {
    Some(psnr::psnr_from_mse(mse, 255.0)).filter(|psnr| psnr.is_finite())
}
