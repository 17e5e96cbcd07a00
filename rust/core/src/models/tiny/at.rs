//! Scores of patches where they lie in two images.

use std::sync::Mutex;

use super::lanes::Portable;
use super::{MIN_SIDE, Network, PARALLEL_PIXELS, State, block, check_lengths, patch};
use crate::error::{Error, Result};
use crate::parallel::{self, with_lanes};
use crate::tile::check_corners;
use crate::view::View;

/// The side of a block of patches, at most, where patches are small: its sums of the first layer take 0.8 MB at a stride of 10,
/// which the second cache of most processors holds. For patches of 20 that is 7 times 7 of them.
const BLOCK: usize = 90;

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
    check_lengths(network, corners.len(), out.len())?;

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
                with_lanes!(arch, Portable, lanes => block::run(lanes, weights, scaling, block, (size, corners()), scratch, out));
                continue;
            }
            // Too far apart to share anything.
            for (&(_, x, y, _), out) in places.iter().zip(out) {
                let pair = images.map(|image| image.at(y, x, size.0, size.1));
                *out =
                    with_lanes!(arch, Portable, lanes => patch::run(lanes, weights, scaling, pair, scratch, &mut None));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::tiny::tests::{Case, archs};
    use crate::models::tiny::{Tape, parameter_count};
    use crate::tile::{grid, tile};
    use crate::view::Batch;

    /// Two images upside down, in which scores are taken at corners and from the patches that are cut there.
    fn check(case: &Case, corners: &[(usize, usize)], size: (usize, usize)) {
        let [_, height, width, _] = case.shape;
        let row = width * 3;
        let images = [0, 1].map(|i| {
            View::new(&case.images[i], height, width, 3, (height - 1) * row, -(row as isize)).expect("it is the image")
        });
        let shape = [corners.len(), size.0, size.1, 3];
        let patches = images.map(|image| {
            let mut patches = vec![0; shape.iter().product()];
            tile(&image, size, corners, &mut patches).unwrap();
            patches
        });
        let [reference, distorted] = [0, 1].map(|i| Batch::packed(&patches[i], shape).unwrap());
        for arch in archs() {
            let (mut expected, mut found) = (vec![0.5; corners.len()], vec![f32::NAN; corners.len()]);
            Tape::new(case.norm).forward_on(arch, &case.network(), &reference, &distorted, &mut expected).unwrap();
            score_at_on(arch, &case.network(), [&images[0], &images[1]], corners, size, &mut found).unwrap();
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                assert!(same, "{size:?} {:?}: {found}, expected {expected}, norm {}, {arch:?}", corners[i], case.norm);
            }
        }
    }

    fn scattered(count: usize, height: usize, width: usize, size: (usize, usize)) -> Vec<(usize, usize)> {
        let mut generator = crate::sample::Generator::new(1, "corners");
        let mut below = |n: usize| (generator.draw() % n as u64) as usize;
        (0..count).map(|_| (below(height - size.0 + 1), below(width - size.1 + 1))).collect()
    }

    #[test]
    fn scores_are_those_of_patches_alone() {
        let (height, width) = (97, 130);
        for norm in [true, false] {
            let case = Case::new(7, norm, [1, height, width]);
            for size in [(20, 20), (5, 5), (7, 31), (21, 18), (90, 97), (97, 130)] {
                // Even and odd distances, edges, patches that lie far apart, and some twice.
                check(&case, &grid(height, width, size, (10, 10)), size);
                check(&case, &grid(height, width, size, (17, 9)), size);
                check(&case, &scattered(40, height, width, size), size);
                check(&case, &scattered(3, height, width, size), size);
                check(&case, &[(height - size.0, width - size.1); 5], size);
                check(&case, &[], size);
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_the_same() {
        // A bright pixel at which the first layer overflows, and no weight below 0: a patch is NaN, infinite or finite
        // by which of its rows it lies in.
        let mut case = Case::new(9, false, [1, 60, 60]);
        case.images = [vec![0; 60 * 60 * 3], vec![0; 60 * 60 * 3]];
        case.images[1][(31 * 60 + 32) * 3] = 255;
        case.parameters.iter_mut().for_each(|weight| *weight = weight.abs());
        (case.scale, case.shift) = ([1e36; 9], [0.0; 9]);
        check(&case, &grid(60, 60, (20, 20), (1, 4)), (20, 20));
        check(&case, &grid(60, 60, (21, 21), (1, 4)), (21, 21));
        let mut case = Case::new(9, true, [1, 60, 60]);
        case.parameters[0] = f32::NAN;
        check(&case, &grid(60, 60, (20, 20), (5, 5)), (20, 20));
    }

    #[test]
    fn neighbours_are_one_block_and_many_are_several() {
        let size = (20, 20);
        let places = |corners: &[(usize, usize)]| {
            let cells = (cell(size.0), cell(size.1));
            let place = |(i, &(y, x)): (usize, &(usize, usize))| ((y / cells.0, x / cells.1), x, y, i);
            let mut places: Vec<Place> = corners.iter().enumerate().map(place).collect();
            places.sort_unstable();
            places
        };
        let image = (300, 400);
        for (corners, expected) in [
            // Cells of 70x70 pixels: four and a row of pixels, five and 31 columns of pixels.
            (grid(image.0, image.1, size, (10, 10)), Some((30, 49))),
            (grid(image.0, image.1, size, (1, 1)), Some((4 * 5 * 20 + 4 * 9 + 6, 4900 / 20))),
            (vec![(3, 4); 1000], Some((4, 250))),
            (scattered(500, image.0, image.1, size), None),
        ] {
            let places = places(&corners);
            let mut scores = vec![0.0; places.len()];
            let jobs = jobs(&places, &mut scores);
            let most = jobs.iter().map(|(places, _)| places.len()).max().unwrap();
            assert_eq!((jobs.len(), most), expected.unwrap_or((jobs.len(), most)));
            for (places, scores) in &jobs {
                assert_eq!(places.len(), scores.len());
                let (_, (height, width)) = bounds(places, size);
                assert!(height * width <= block_pixels(image, size));
            }
            let order: Vec<_> = jobs.iter().flat_map(|(places, _)| places.iter()).collect();
            assert!(order.iter().copied().eq(&places), "each patch once");
        }
    }

    #[test]
    fn threads_change_no_bit() {
        for norm in [true, false] {
            let case = Case::new(3, norm, [1, 200, 210]);
            let images = [0, 1].map(|i| View::packed(&case.images[i], 200, 210, 3).unwrap());
            let corners = scattered(400, 200, 210, (20, 20));
            let run = |threads: usize| {
                parallel::set_num_threads(threads).unwrap();
                let mut scores = vec![0.0; corners.len()];
                score_at(&case.network(), &images[0], &images[1], &corners, (20, 20), &mut scores).unwrap();
                scores.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let one = run(1);
            for threads in [2, 3, 7] {
                assert!(one == run(threads), "{threads} threads");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let case = Case::new(1, true, [1, 30, 31]);
        let view = |height, width, channels| View::packed(&case.images[0], height, width, channels).unwrap();
        let (image, grey) = (view(30, 31, 3), view(30, 31, 1));
        let network = case.network();
        let run = |network: &Network<'_>, other: &View<'_, u8>, corner, size, room: usize| {
            score_at(network, &image, other, &[corner], size, &mut vec![0.0; room])
        };
        assert!(run(&network, &image, (10, 11), (20, 20), 1).is_ok());
        assert!(run(&network, &view(31, 30, 3), (0, 0), (20, 20), 1).is_err());
        assert!(run(&network, &image, (11, 11), (20, 20), 1).is_err());
        assert!(run(&network, &image, (0, 0), (4, 20), 1).is_err());
        assert!(run(&network, &image, (0, 0), (20, 4), 1).is_err());
        assert!(run(&network, &image, (0, 0), (20, 20), 2).is_err());
        assert!(score_at(&network, &grey, &grey, &[(0, 0)], (20, 20), &mut [0.0]).is_err());
        let few = Network { parameters: &case.parameters[..parameter_count(false)], ..network };
        assert!(run(&few, &image, (0, 0), (20, 20), 1).is_err());
    }
}
