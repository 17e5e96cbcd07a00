//! One shard of a patch set: decode, cut, measure, write. A shard is a pure function of its [`Spec`].
//!
//! A shard is three files: `NAME.reference.npy` and `NAME.distorted.npy`, `uint8` of shape (rows, size, size, 3),
//! hold every reference and every unfused distorted patch once; `NAME.jsonl` has a line for each fused patch.
//! They are written beside each other under temporary names and renamed when all three are complete, so a shard
//! that was cut short leaves nothing that could be taken for one. The same spec gives the same bytes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::decode::{self, Pixels};
use crate::error::{Error, Result};
use crate::fuse::Fusion;
use crate::psnr::{self, PatchSums};
use crate::records::LineWriter;
use crate::view::{Region, View};
use crate::{sample, tile};

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

/// A finished file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of the whole file, lower-case hex, as `b3sum` prints it.
    pub blake3: String,
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
    pub files: std::collections::BTreeMap<String, FileInfo>,
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
    /// Fused patches (records) done.
    pub records: AtomicU64,
    /// Set to make builders stop at the next image.
    pub cancel: AtomicBool,
}

/// Builds the shard of `spec`.
///
/// An image pair that can't be read or decoded is listed in [`Built::skipped`].
///
/// # Errors
/// [`Error::Io`] if an output can't be written (nothing of the shard then stands in `out`), [`Error::Interrupted`]
/// if `progress.cancel` was set.
pub fn build(spec: &Spec, places: Places<'_>, progress: &Progress) -> Result<Built> {
    // Other shards are built beside this one, so the kernels stay on this thread.
    crate::parallel::alone(|| build_here(spec, places, progress))
}

fn build_here(spec: &Spec, places: Places<'_>, progress: &Progress) -> Result<Built> {
    let roi = spec.roi.inside("the RoI", spec.size, spec.size)?;
    let mut writer = Writer::create(spec, places)?;
    let mut built = Built {
        reference_rows: 0,
        distorted_rows: 0,
        records: 0,
        files: std::collections::BTreeMap::new(),
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
                built.skipped.push(Skipped { image_id: image.image_id.clone(), file, reason });
                progress.images.fetch_add(1, Ordering::Relaxed);
                continue;
            }
        };
        let info = writer.cut(spec, roi, image, &pair, rows)?;
        progress.images.fetch_add(1, Ordering::Relaxed);
        progress.records.fetch_add(info.records, Ordering::Relaxed);
        built.records += info.records;
        built.images.push(info);
    }
    built.reference_rows = writer.reference.rows;
    built.distorted_rows = writer.distorted.rows;
    built.files = writer.finish(spec, places)?;
    Ok(built)
}

/// An 8-bit RGB image.
#[derive(Default)]
struct Image {
    data: Vec<u8>,
    height: usize,
    width: usize,
    icc: bool,
}

impl Image {
    fn load(root: &Path, file: &str, max_pixels: u64) -> Result<Self, (String, String)> {
        let decoded =
            decode::decode_path(&root.join(file), max_pixels).map_err(|error| (file.to_string(), reason(error)))?;
        let (height, width, icc) = (decoded.info.height, decoded.info.width, decoded.info.icc_profile);
        match decoded.pixels {
            Pixels::U8(data) => Ok(Self { data, height, width, icc }),
            Pixels::U16(_) => {
                Err((file.into(), "has 16 bits a channel; a patch set holds 8: convert the image first".into()))
            }
        }
    }

    fn view(&self) -> View<'_, u8> {
        View::packed(&self.data, self.height, self.width, 3).expect("a decoded image holds height * width * 3 samples")
    }
}

/// The message of an error without the file name, which stands beside it.
fn reason(error: Error) -> String {
    match error {
        Error::Io { source, .. } => crate::error::told(&source),
        Error::Decode { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// Where a patch's top left corner lies (y, x) -> the row it went to.
type Rows = HashMap<(usize, usize), u64>;

/// The reference that was decoded last, why it could not be, and the rows its patches went to.
#[derive(Default)]
struct Reference {
    file: String,
    image: Option<Result<Image, (String, String)>>,
    rows: Rows,
}

struct Pair<'a> {
    reference: &'a Image,
    distorted: Image,
}

impl<'a> Pair<'a> {
    /// The decoded pair, and the rows that the reference's patches went to; or the file at fault and the reason.
    fn load(
        spec: &ImageSpec,
        cache: &'a mut Reference,
        root: &Path,
        shard: &Spec,
    ) -> Result<(Self, &'a mut Rows), (String, String)> {
        if cache.image.is_none() || cache.file != spec.reference {
            cache.rows.clear();
            cache.file.clone_from(&spec.reference);
            cache.image = Some(Image::load(root, &spec.reference, shard.max_pixels));
        }
        let Reference { image, rows, .. } = cache;
        let reference = match image.as_ref() {
            Some(Ok(image)) => image,
            Some(Err(error)) => return Err(error.clone()),
            None => unreachable!("set above"),
        };
        let same_size = |file: &str, image: &Image| {
            if (image.height, image.width) == (reference.height, reference.width) {
                return Ok(());
            }
            let what = format!(
                "is {}x{} pixels but its reference {} is {}x{}",
                image.width, image.height, spec.reference, reference.width, reference.height
            );
            Err((file.to_string(), what))
        };
        let mut distorted = Image::load(root, &spec.distorted, shard.max_pixels)?;
        same_size(&spec.distorted, &distorted)?;
        if let Some(file) = &spec.blend_with {
            let other = Image::load(root, file, shard.max_pixels)?;
            same_size(file, &other)?;
            for (a, &b) in distorted.data.iter_mut().zip(&other.data) {
                *a = (u16::from(*a) + u16::from(b)).div_ceil(2) as u8;
            }
        }
        if reference.height < shard.size || reference.width < shard.size {
            let what = format!(
                "is {}x{} pixels, smaller than a patch of {}x{}",
                distorted.width, distorted.height, shard.size, shard.size
            );
            return Err((spec.distorted.clone(), what));
        }
        Ok((Pair { reference, distorted }, rows))
    }
}

/// A `.npy` file of `uint8` patches whose row count becomes known at the end.
struct Npy {
    file: BufWriter<File>,
    path: PathBuf,
    size: usize,
    rows: u64,
}

/// Bytes of a NumPy header; NumPy pads its own to a multiple of 64.
const NPY_HEADER: usize = 128;

fn npy_header(rows: u64, size: usize) -> [u8; NPY_HEADER] {
    let mut header = [b' '; NPY_HEADER];
    header[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    header[8..10].copy_from_slice(&((NPY_HEADER - 10) as u16).to_le_bytes());
    let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, {size}, {size}, 3), }}");
    header[10..10 + text.len()].copy_from_slice(text.as_bytes());
    header[NPY_HEADER - 1] = b'\n';
    header
}

impl Npy {
    fn create(path: PathBuf, size: usize) -> Result<Self> {
        let file = File::create(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let mut npy = Self { file: BufWriter::with_capacity(1 << 20, file), path, size, rows: 0 };
        npy.write(&npy_header(0, size))?;
        Ok(npy)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    /// Appends the patch at (`y`, `x`) of `image` and gives its row.
    fn push(&mut self, image: &View<'_, u8>, y: usize, x: usize) -> Result<u64> {
        for dy in 0..self.size {
            self.write(image.span(y + dy, x, self.size))?;
        }
        self.rows += 1;
        Ok(self.rows - 1)
    }

    fn finish(mut self) -> Result<()> {
        let header = npy_header(self.rows, self.size);
        let end = |npy: &mut Self| {
            npy.file.flush()?;
            npy.file.seek(SeekFrom::Start(0))?;
            npy.file.write_all(&header)?;
            npy.file.flush()
        };
        end(&mut self).map_err(|source| Error::Io { path: self.path.clone(), source })
    }
}

/// The three files of a shard while they grow. Dropped unfinished, it removes them.
struct Writer {
    reference: Npy,
    distorted: Npy,
    lines: LineWriter<BufWriter<File>>,
    lines_path: PathBuf,
    guard: Scratch,
}

/// Removes what is left of an unfinished shard.
struct Scratch(Vec<PathBuf>);

impl Drop for Scratch {
    fn drop(&mut self) {
        for path in &self.0 {
            // The file may be gone already; what stays is overwritten by the next build.
            let _ = fs::remove_file(path);
        }
    }
}

/// The names of a shard's files, in the order they are written.
pub fn file_names(name: &str) -> [String; 3] {
    [format!("{name}.reference.npy"), format!("{name}.distorted.npy"), format!("{name}.jsonl")]
}

impl Writer {
    fn create(spec: &Spec, places: Places<'_>) -> Result<Self> {
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

    /// Cuts one image pair: writes its patches and records.
    fn cut(
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
        let image_mse = psnr::mse(&reference, &distorted, None)?;
        let mut info = ImageInfo {
            image_id: image.image_id.clone(),
            height,
            width,
            psnr: finite(psnr::psnr_from_mse(image_mse, 255.0)),
            reference_icc: pair.reference.icc,
            distorted_icc: pair.distorted.icc,
            patches: 0,
            records: 0,
            unchanged: 0,
            identical: 0,
        };
        let line = self.lines.image(image);
        for (patch_id, &(y, x)) in places.iter().enumerate() {
            let sums = psnr::patch_sums(&reference, &distorted, y, x, size, roi);
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
                let errors = fused_errors(*fusion, &sums, || match *fusion {
                    Fusion::Blend { alpha } => psnr::blend_sum(&reference, &distorted, y, x, roi, alpha),
                    _ => 0,
                });
                let identical = errors.patch == 0;
                let quality = if identical || unchanged {
                    1.0
                } else {
                    match spec.label {
                        Label::Image => image.quality,
                        Label::Energy => energy(image.quality, errors.patch, sums.outside + sums.inside),
                    }
                };
                let samples = (spec.size * spec.size * 3) as f64;
                let roi_samples = (roi.height * roi.width * 3) as f64;
                self.lines
                    .write(
                        &line,
                        &crate::records::Line {
                            patch_id: patch_id as u64,
                            y: y as u64,
                            x: x as u64,
                            psnr: finite(psnr::psnr_from_mse(errors.patch as f64 / samples, 255.0)),
                            fusion: *fusion,
                            quality,
                            reference_row,
                            distorted_row,
                            psnr_roi: finite(psnr::psnr_from_mse(errors.roi as f64 / roi_samples, 255.0)),
                            identical,
                        },
                    )
                    .map_err(|source| Error::Io { path: self.lines_path.clone(), source })?;
                info.records += 1;
                info.identical += u64::from(identical);
            }
        }
        Ok(info)
    }

    /// Completes the three files and moves them to where they belong.
    fn finish(self, spec: &Spec, places: Places<'_>) -> Result<std::collections::BTreeMap<String, FileInfo>> {
        let Self { reference, distorted, lines, lines_path, guard } = self;
        reference.finish()?;
        distorted.finish()?;
        lines.into_inner().into_inner().map_err(|error| Error::Io { path: lines_path, source: error.into_error() })?;
        let mut files = std::collections::BTreeMap::new();
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

/// Size and BLAKE3 of a file.
///
/// BLAKE3 because a build hashes every byte it writes: SHA-256 took 12 % of it with SHA instructions, and on processors
/// without them is slower than decoding.
///
/// # Errors
/// [`Error::Io`].
pub fn checksum(path: &Path) -> Result<FileInfo> {
    let fail = |source| Error::Io { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(fail)?;
    let (mut hash, mut bytes, mut block) = (blake3::Hasher::new(), 0, vec![0; 1 << 18]);
    loop {
        match file.read(&mut block).map_err(fail)? {
            0 => break,
            n => {
                hash.update(&block[..n]);
                bytes += n as u64;
            }
        }
    }
    Ok(FileInfo { bytes, blake3: hash.finalize().to_hex().to_string() })
}

/// Squared errors of a fused patch against its reference.
struct Errors {
    patch: u64,
    roi: u64,
}

/// The squared errors of `fusion`, from the sums of the unfused pair; `blend` gives the blend's error inside the RoI.
fn fused_errors(fusion: Fusion, sums: &PatchSums, blend: impl FnOnce() -> u64) -> Errors {
    let (outside, inside) = match fusion {
        Fusion::None => (sums.outside, sums.inside),
        Fusion::Copy => (sums.outside, 0),
        Fusion::Blend { .. } => (sums.outside, blend()),
        Fusion::Paste => (0, sums.inside),
    };
    Errors { patch: outside + inside, roi: inside }
}

/// Equation of [`Label::Energy`]. Both sums are over the same number of samples, so their ratio is that of the MSEs.
fn energy(image_quality: f64, fused: u64, unfused: u64) -> f64 {
    (1.0 - (1.0 - image_quality) * (fused as f64 / unfused as f64).sqrt()).clamp(0.0, 1.0)
}

/// JSON has no infinity: the PSNR of identical pixels is `None`.
fn finite(psnr: f64) -> Option<f64> {
    psnr.is_finite().then_some(psnr)
}
