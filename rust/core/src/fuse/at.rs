//! Tile, fuse and measure in one pass over two images.

use super::bytes::{self, Lanes, Patch, Portable, Start};
use super::{Mix, Plan, Recipe, Shape, Source, mix, mix_masked};
use crate::checks::check_len;
use crate::error::Result;
use crate::parallel::{self, with_lanes};
use crate::psnr::{Squares, Total, data_range, psnrs_from_sums};
use crate::tile::check_corners;
use crate::view::{Sample, View};

/// The outputs of [`fuse_at`]. The first index is the fusion, in the plan's order.
#[derive(Debug)]
pub struct Measured<'o, T> {
    /// For each fusion, the fused patches, packed.
    pub fused: Vec<&'o mut [T]>,
    /// For each fusion, the PSNR of each patch in dB, fused against reference.
    pub psnr: Vec<&'o mut [f64]>,
    /// For each fusion, the PSNR of each RoI in dB, fused against reference.
    pub psnr_roi: Vec<&'o mut [f64]>,
}

/// Cuts the patches at `corners` from two images, fuses them by every fusion of `plan` and measures each against its
/// reference, in one pass.
///
/// # Errors
/// [`Error::Shape`] if the images, the plan or the outputs disagree; [`Error::OutOfBounds`] for a patch that does not
/// lie inside; [`Error::Value`] for a `range` that is not finite and above 0.
pub fn fuse_at<T: Mix + Squares>(
    reference: &View<'_, T>,
    distorted: &View<'_, T>,
    corners: &[(usize, usize)],
    plan: &Plan,
    range: Option<f64>,
    out: Measured<'_, T>,
) -> Result<()> {
    reference.same_shape("distorted", distorted)?;
    let range = data_range::<T>(range)?;
    check_corners(reference.height(), reference.width(), plan.size, corners)?;
    plan.check_patches("a patch of 'reference'", plan.size.0, plan.size.1, reference.channels())?;
    for (what, len) in [("fused", out.fused.len()), ("psnr", out.psnr.len()), ("psnr_roi", out.psnr_roi.len())] {
        check_len(what, len, &[plan.len()])?;
    }
    for fused in &out.fused {
        check_len("fused", fused.len(), &[corners.len(), plan.size.0, plan.size.1, plan.channels])?;
    }
    for values in out.psnr.iter().chain(&out.psnr_roi) {
        check_len("psnr", values.len(), &[corners.len()])?;
    }
    let samples = plan.patch_samples();
    let total = samples.saturating_mul(corners.len()).saturating_mul(plan.len());
    // One job if one thread does it all; otherwise several for each, so that one that is held up does not hold up all.
    let parts = if parallel::worth_it(total) { 8 * parallel::num_threads() } else { 1 };
    let job = corners.len().div_ceil(parts).max(1);
    let jobs = cut(corners, samples, job, out);
    let default = if plan.shape == Shape::DEFAULT { bytes::sources(&plan.recipes) } else { None };
    let default = default.zip(reference.bytes().zip(distorted.bytes()));
    parallel::for_each(total, jobs, |(corners, mut out): Job<'_, '_, T>| {
        match &default {
            Some((sources, (reference, distorted))) => {
                run_bytes(sources, [reference, distorted], corners, total > STAGED, &mut out)
            }
            None => parallel::vectorised(
                #[inline(always)]
                || run(plan.shape, &plan.recipes, reference, distorted, corners, &mut out),
            ),
        }
        // Until here they hold sums: divisions and logarithms take less time in vectors.
        out.psnr.iter_mut().for_each(|sums| psnrs_from_sums(sums, samples, range));
        out.psnr_roi.iter_mut().for_each(|sums| psnrs_from_sums(sums, plan.shape.roi_samples(), range));
    });
    Ok(())
}

/// The default patch in bytes.
fn run_bytes<T: Sample>(
    sources: &[(Source, Source)],
    images: [&View<'_, u8>; 2],
    corners: &[(usize, usize)],
    far: bool,
    out: &mut Measured<'_, T>,
) {
    let Measured { fused, psnr, psnr_roi } = out;
    let mut fused: Vec<_> = fused.iter_mut().filter_map(|fused| T::bytes_mut(fused)).collect();
    let block = if far { STAGE } else { corners.len().max(1) };
    let mut staged = vec![vec![0; if far { block * bytes::PATCH } else { 0 }]; sources.len()];
    for (b, corners_of) in corners.chunks(block).enumerate() {
        let first = b * block;
        let part = first * bytes::PATCH..(first + corners_of.len()) * bytes::PATCH;
        let mut to: Vec<&mut [u8]> = if far {
            staged.iter_mut().map(Vec::as_mut_slice).collect()
        } else {
            fused.iter_mut().map(|fused| &mut fused[part.clone()]).collect()
        };
        let mut measure = |k: usize, i: usize, outside: u64, inside: u64| {
            psnr[k][first + i] = (outside + inside) as f64;
            psnr_roi[k][first + i] = inside as f64;
        };
        let ahead = if far { &corners[first..] } else { &[] };
        with_lanes!(parallel::arch(), Portable, lanes => run_block(lanes, sources, images, corners_of, ahead, &mut to, &mut measure));
        if far {
            for (fused, staged) in fused.iter_mut().zip(&staged) {
                fused[part.clone()].copy_from_slice(&staged[..part.len()]);
            }
        }
    }
}

/// Fuses the patches at `corners` to `out`, and calls `measure` with the fusion, the patch, and the squared errors outside and
/// inside the RoI. Patches some way `ahead` are prefetched.
#[inline(always)]
fn run_block<L: Lanes>(
    lanes: L,
    sources: &[(Source, Source)],
    images: [&View<'_, u8>; 2],
    corners: &[(usize, usize)],
    ahead: &[(usize, usize)],
    out: &mut [&mut [u8]],
    measure: &mut impl FnMut(usize, usize, u64, u64),
) {
    let [reference, distorted] = images;
    let sweep = matches!(sources, [COPY, BLEND]);
    for (i, &(y, x)) in corners.iter().enumerate() {
        if let Some(&(y, x)) = ahead.get(i + AHEAD) {
            for image in images {
                Start::of(image, y, x).cache_lines().for_each(|byte| lanes.prefetch(byte));
            }
        }
        let part = i * bytes::PATCH..(i + 1) * bytes::PATCH;
        if let (true, [copied, blended]) = (sweep, &mut *out) {
            let pair = [Start::of(reference, y, x), Start::of(distorted, y, x)];
            let outputs = (&mut copied[part.clone()], &mut blended[part.clone()]);
            if let Some((outside, inside)) = lanes.copy_and_blend(pair, outputs.0, outputs.1) {
                measure(0, i, outside, 0);
                measure(1, i, outside, inside);
                continue;
            }
        }
        let (r, d) = (&Patch::at(reference, y, x), &Patch::at(distorted, y, x));
        let errors = bytes::patch_errors::<_, true, false>(lanes, r, d);
        for (k, &(outside, inside)) in sources.iter().enumerate() {
            let mixed = bytes::fuse(lanes, (outside, inside), r, d, &mut out[k][part.clone()]);
            let roi = match inside {
                Source::Reference => 0,
                Source::Distorted => errors.inside,
                Source::Average => errors.halved,
                Source::Weight(_) => mixed,
            };
            measure(k, i, if outside == Source::Reference { 0 } else { errors.outside }, roi);
        }
    }
}

const COPY: (Source, Source) = (Source::Distorted, Source::Reference);
const BLEND: (Source, Source) = (Source::Distorted, Source::Average);

/// Patches that are fused in the cache before they are copied out (see [`STAGED`]): 77 kB per fusion.
const STAGE: usize = 64;

/// Outputs larger than this, in bytes, are fused in the cache, some patches at a time, and copied out: the C library copies long
/// pieces without first reading the memory that they overwrite, which is impossible for single rows.
const STAGED: usize = 8 << 20;

/// How many patches ahead of the current one are prefetched.
const AHEAD: usize = 8;

/// Corners, and the part of each output that is theirs.
type Job<'c, 'o, T> = (&'c [(usize, usize)], Measured<'o, T>);

/// One job for every `job` corners, with the part of each output that it writes.
fn cut<'c, 'o, T>(
    corners: &'c [(usize, usize)],
    samples: usize,
    job: usize,
    out: Measured<'o, T>,
) -> Vec<Job<'c, 'o, T>> {
    let mut fused: Vec<_> = out.fused.into_iter().map(|all| all.chunks_mut(job * samples)).collect();
    let mut psnr: Vec<_> = out.psnr.into_iter().map(|all| all.chunks_mut(job)).collect();
    let mut psnr_roi: Vec<_> = out.psnr_roi.into_iter().map(|all| all.chunks_mut(job)).collect();
    corners
        .chunks(job)
        .map(|corners| {
            let part = Measured {
                fused: fused.iter_mut().filter_map(Iterator::next).collect(),
                psnr: psnr.iter_mut().filter_map(Iterator::next).collect(),
                psnr_roi: psnr_roi.iter_mut().filter_map(Iterator::next).collect(),
            };
            (corners, part)
        })
        .collect()
}

/// One patch pair and its RoIs, packed: packed samples are summed and mixed in whole vectors, whatever the shape.
struct Packed<T> {
    reference: Vec<T>,
    distorted: Vec<T>,
    reference_roi: Vec<T>,
    distorted_roi: Vec<T>,
    fused_roi: Vec<T>,
}

/// Squared errors of packed rows. Floats are summed row by row, as [`crate::psnr::mse_each`] does.
#[inline(always)]
fn squares<T: Squares>(row: usize, a: &[T], b: &[T]) -> T::Total {
    if T::EXACT {
        T::squares(a, b)
    } else {
        a.chunks_exact(row)
            .zip(b.chunks_exact(row))
            .map(|(a, b)| T::squares(a, b))
            .fold(T::Total::default(), Total::plus)
    }
}

#[inline(always)]
fn run<T: Mix + Squares>(
    s: Shape,
    recipes: &[Recipe],
    reference: &View<'_, T>,
    distorted: &View<'_, T>,
    corners: &[(usize, usize)],
    out: &mut Measured<'_, T>,
) {
    let zeros = |len: usize| vec![T::default(); len];
    let mut packed = Packed {
        reference: zeros(s.samples()),
        distorted: zeros(s.samples()),
        reference_roi: zeros(s.roi_samples()),
        distorted_roi: zeros(s.roi_samples()),
        fused_roi: zeros(s.roi_samples()),
    };
    for (i, &(y, x)) in corners.iter().enumerate() {
        let x = x * reference.channels();
        gather(s, reference, y, x, &mut packed.reference, &mut packed.reference_roi);
        gather(s, distorted, y, x, &mut packed.distorted, &mut packed.distorted_roi);
        let sums = Sums::of(s, &packed);
        for (k, recipe) in recipes.iter().enumerate() {
            let fused = &mut out.fused[k][i * s.samples()..(i + 1) * s.samples()];
            let (patch, roi) = fuse_packed(s, recipe, &mut packed, &sums, fused);
            out.psnr[k][i] = patch.to_f64();
            out.psnr_roi[k][i] = roi.to_f64();
        }
    }
}

#[inline(always)]
fn gather<T: Sample>(s: Shape, image: &View<'_, T>, y: usize, x: usize, patch: &mut [T], roi: &mut [T]) {
    let patch = &mut patch[..s.samples()];
    let roi = &mut roi[..s.roi_samples()];
    for dy in 0..s.rows {
        let row = image.samples(y + dy, x, s.row);
        patch[dy * s.row..(dy + 1) * s.row].copy_from_slice(row);
        if dy >= s.top && dy < s.bottom {
            let at = (dy - s.top) * s.roi_row();
            roi[at..at + s.roi_row()].copy_from_slice(&row[s.left..s.right]);
        }
    }
}

/// Squared errors of the distorted patch against its reference; those of most fusions are parts of them.
struct Sums<S> {
    inside: S,
    outside: S,
}

impl<S: Total> Sums<S> {
    #[inline(always)]
    fn of<T: Squares<Total = S>>(s: Shape, packed: &Packed<T>) -> Self {
        let inside =
            squares(s.roi_row(), &packed.reference_roi[..s.roi_samples()], &packed.distorted_roi[..s.roi_samples()]);
        let whole = squares(s.row, &packed.reference[..s.samples()], &packed.distorted[..s.samples()]);
        Self { inside, outside: whole.minus(inside) }
    }
}

/// Fuses one packed patch pair to `fused`; the squared errors of patch and RoI against the reference.
#[inline(always)]
fn fuse_packed<T: Mix + Squares>(
    s: Shape,
    recipe: &Recipe,
    packed: &mut Packed<T>,
    sums: &Sums<T::Total>,
    fused: &mut [T],
) -> (T::Total, T::Total) {
    let (r, d) = (&packed.reference[..s.samples()], &packed.distorted[..s.samples()]);
    let r_roi = &packed.reference_roi[..s.roi_samples()];
    let d_roi = &packed.distorted_roi[..s.roi_samples()];
    let fused_roi = &mut packed.fused_roi[..s.roi_samples()];
    match recipe {
        Recipe::Box { outside, inside } => {
            fused.copy_from_slice(if *outside == Source::Reference { r } else { d });
            let from = match inside {
                Source::Reference => r_roi,
                Source::Distorted => d_roi,
                _ => {
                    mix(*inside, r_roi, d_roi, fused_roi);
                    &*fused_roi
                }
            };
            if inside != outside {
                for y in s.top..s.bottom {
                    let at = (y - s.top) * s.roi_row();
                    fused[y * s.row + s.left..y * s.row + s.right].copy_from_slice(&from[at..at + s.roi_row()]);
                }
            }
            if !T::EXACT {
                return (squares(s.row, r, fused), squares(s.roi_row(), r_roi, from));
            }
            let none = T::Total::default();
            let inside = match inside {
                Source::Reference => none,
                Source::Distorted => sums.inside,
                _ => squares(s.roi_row(), r_roi, from),
            };
            (inside.plus(if *outside == Source::Reference { none } else { sums.outside }), inside)
        }
        Recipe::Mask(weights) => {
            mix_masked(weights, r, d, fused);
            for (y, roi) in (s.top..s.bottom).zip(fused_roi.chunks_exact_mut(s.roi_row())) {
                roi.copy_from_slice(&fused[y * s.row + s.left..y * s.row + s.right]);
            }
            (squares(s.row, r, fused), squares(s.roi_row(), r_roi, fused_roi))
        }
    }
}
