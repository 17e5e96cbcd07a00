//! Scores of patches where they lie in two images.

use std::sync::Mutex;

use super::lanes::with_lanes;
use super::{MIN_SIDE, Network, PARALLEL_PIXELS, State, block, check_len, patch};
use crate::error::{Error, Result};
use crate::parallel;
use crate::tile::check_corners;
use crate::view::View;

/// Rows of a block of patches of 20, less one, at most: its sums of the first layer take 0.6 MB at a stride of 10, which the
/// second cache holds. It is 6 patches of that stride.
const BLOCK: usize = 80;

/// The most patches of a block, so that there is work for all threads where patches lie close together.
const BLOCK_PATCHES: usize = 256;

/// The side of the cells that images are cut into, by the side of a patch: patches whose corners are in one cell are a block.
fn cell(size: usize) -> usize {
    BLOCK.saturating_sub(size).max(size)
}

/// Pixels of the largest block that [`score_at`] makes of patches of `size` in images of `height` x `width`.
pub fn block_pixels((height, width): (usize, usize), size: (usize, usize)) -> usize {
    let side = |image: usize, size: usize| image.min((cell(size) - 1).saturating_add(size));
    side(height, size.0).saturating_mul(side(width, size.1))
}

/// Scores of pairs of patches, as [`super::score`]: those of `size` at `corners` of two images, bit for bit.
///
/// Patches that overlap share the first convolution; without norm, all but the last mean.
///
/// # Errors
/// [`Error::Shape`] and [`Error::Value`] if shapes or numbers do not fit, [`Error::OutOfBounds`] if a patch does not lie inside.
pub fn score_at(
    network: &Network<'_>,
    reference: &View<'_, u8>,
    distorted: &View<'_, u8>,
    corners: &[(usize, usize)],
    size: (usize, usize),
    out: &mut [f32],
) -> Result<()> {
    score_at_on(parallel::arch(), network, [reference, distorted], corners, size, out)
}

/// Where a patch is: cell, then column and row, then its place among the corners.
type Place = ((usize, usize), usize, usize, usize);

pub(super) fn score_at_on(
    arch: pulp::Arch,
    network: &Network<'_>,
    images: [&View<'_, u8>; 2],
    corners: &[(usize, usize)],
    size: (usize, usize),
    out: &mut [f32],
) -> Result<()> {
    let [reference, distorted] = images;
    reference.same_shape("distorted", distorted)?;
    if reference.channels() != 3 {
        let value = reference.channels().to_string();
        return Err(Error::Value { what: "the number of channels", value, expected: "3" });
    }
    if size.0 < MIN_SIDE || size.1 < MIN_SIDE {
        let value = format!("{}x{}", size.0, size.1);
        return Err(Error::Value { what: "the patch size", value, expected: "at least 5x5" });
    }
    check_corners(reference.height(), reference.width(), size, corners)?;
    check_len(network, corners.len(), out.len())?;

    let cells = (cell(size.0), cell(size.1));
    let place = |(i, &(y, x)): (usize, &(usize, usize))| ((y / cells.0, x / cells.1), x, y, i);
    let mut places: Vec<Place> = corners.iter().enumerate().map(place).collect();
    places.sort_unstable();
    let mut scores = vec![0.0; places.len()];
    let jobs = jobs(&places, &mut scores);

    let shared = places.len().saturating_mul(size.0 * size.1) >= PARALLEL_PIXELS;
    let workers = if shared { parallel::num_threads().min(jobs.len()) } else { 1 };
    let mut state = State::new(network.norm);
    let (weights, scaling, scratch) = state.ready(arch, network, workers);
    let scaling = &scaling;
    let jobs = Mutex::new(jobs.into_iter());
    parallel::together(scratch, |scratch| {
        // A lock is poisoned by a panic of another thread, which will be passed on.
        while let Some((places, out)) = jobs.lock().ok().and_then(|mut jobs| jobs.next()) {
            let ((y, x), extent) = bounds(places, size);
            let outputs = |(height, width): (usize, usize)| (height - 2).saturating_mul(width - 2);
            if outputs(extent) < outputs(size).saturating_mul(places.len()) {
                let block = images.map(|image| image.at(y, x, extent.0, extent.1));
                let corners = || places.iter().map(|&(_, px, py, _)| (py - y, px - x));
                with_lanes!(arch, lanes => block::run(lanes, weights, scaling, block, corners(), size, scratch, out));
                continue;
            }
            // Too far apart to share anything.
            for (&(_, x, y, _), out) in places.iter().zip(out) {
                let pair = images.map(|image| image.at(y, x, size.0, size.1));
                *out = with_lanes!(arch, lanes => patch::run(lanes, weights, scaling, pair, scratch, &mut None));
            }
        }
    });
    for (&(.., i), score) in places.iter().zip(scores) {
        out[i] = score;
    }
    Ok(())
}

/// The patches of one cell after those of another, or some of them where they are many, with room for their scores.
fn jobs<'a>(places: &'a [Place], mut scores: &'a mut [f32]) -> Vec<(&'a [Place], &'a mut [f32])> {
    let mut jobs = Vec::new();
    for cell in places.chunk_by(|a, b| a.0 == b.0) {
        let (of_cell, rest) = scores.split_at_mut(cell.len());
        scores = rest;
        let count = cell.len().div_ceil(cell.len().div_ceil(BLOCK_PATCHES));
        jobs.extend(cell.chunks(count).zip(of_cell.chunks_mut(count)));
    }
    jobs
}

/// The corner and the rows and columns of the smallest box around some patches.
fn bounds(places: &[Place], size: (usize, usize)) -> ((usize, usize), (usize, usize)) {
    let (mut low, mut high) = ((usize::MAX, usize::MAX), (0, 0));
    for &(_, x, y, _) in places {
        low = (low.0.min(y), low.1.min(x));
        high = (high.0.max(y), high.1.max(x));
    }
    (low, (high.0 - low.0 + size.0, high.1 - low.1 + size.1))
}
