//! How different the gradients of two images are, as in GMSD (Xue, Zhang, Mou and Bovik, IEEE TIP 23(2), 2014), at a scale
//! that follows from the viewing conditions.

use super::planes::Plane;
use super::pool::{Factor, Patches};
use crate::view::View;

/// Halvings of an image at 37 pixels per degree after which gradients say most about what people see.
const HALVINGS: f64 = 2.5;
const REFERENCE_PPD: f64 = 37.0;
const MOST_HALVINGS: f64 = 6.0;
/// Keeps weak gradients from counting, in squared grey levels.
const WEAK: f32 = 140.0;

const LUMA: [f32; 3] = [0.2989, 0.5870, 0.1140];

fn luma(image: &View<'_, u8>) -> Plane {
    Plane::by_rows(image.height(), image.width(), |y, out| {
        for (pixel, out) in image.row(y).chunks_exact(3).zip(out) {
            *out = pixel.iter().zip(LUMA).map(|(&value, factor)| factor * f32::from(value)).sum();
        }
    })
}

/// Means of 2x2 pixels; an odd last row or column is left out.
fn halve(plane: &Plane) -> Plane {
    Plane::by_rows(plane.height / 2, plane.width / 2, |y, out| {
        let (above, below) = (plane.row(2 * y), plane.row(2 * y + 1));
        for ((above, below), out) in above.chunks_exact(2).zip(below.chunks_exact(2)).zip(out) {
            *out = (above[0] + above[1] + below[0] + below[1]) * 0.25;
        }
    })
}

/// Magnitudes of the gradient by Prewitt's filter.
fn gradient(plane: &Plane, y: usize, out: &mut [f32]) {
    let last = plane.width - 1;
    let rows = [-1, 0, 1].map(|by| plane.clamped(y as isize + by));
    for (x, out) in out.iter_mut().enumerate() {
        let (left, right) = (x.saturating_sub(1), (x + 1).min(last));
        let across = rows.iter().map(|row| row[left] - row[right]).sum::<f32>();
        let down = [left, x, right].iter().map(|&x| rows[0][x] - rows[2][x]).sum::<f32>();
        *out = (across * across + down * down).sqrt() / 3.0;
    }
}

/// 0 where gradients are equal, towards 1 where only one image has any.
fn dissimilarity(pair: [&Plane; 2]) -> Plane {
    let [reference, distorted] = pair;
    Plane::by_rows(reference.height, reference.width, |y, out| {
        let mut other = vec![0.0; out.len()];
        gradient(reference, y, out);
        gradient(distorted, y, &mut other);
        for (out, &b) in out.iter_mut().zip(&other) {
            let a = *out;
            *out = (a - b) * (a - b) / (a * a + b * b + WEAK);
        }
    })
}

/// Mean dissimilarity of each patch, 0 to 1.
pub(super) fn measure(pair: [&View<'_, u8>; 2], pixels_per_degree: f64, patches: &Patches, out: &mut [f32]) {
    let halvings = (HALVINGS + (pixels_per_degree / REFERENCE_PPD).log2()).clamp(0.0, MOST_HALVINGS);
    let mut planes = pair.map(luma);
    out.fill(0.0);
    // Between two scales, both count in proportion; where an image is too small for a scale, the one before stands for it.
    for scale in 0..=halvings.ceil() as u32 {
        if scale > 0 {
            if planes[0].height.min(planes[0].width) < 4 {
                break;
            }
            planes = [halve(&planes[0]), halve(&planes[1])];
        }
        let last = planes[0].height.min(planes[0].width) < 4;
        let share = (1.0 - (halvings - f64::from(scale)).abs()).max(0.0);
        let share = if last && halvings > f64::from(scale) { 1.0 } else { share } as f32;
        if share > 0.0 {
            let step = (1u32 << scale) as f32;
            let start = (step - 1.0) * 0.5;
            let plane = dissimilarity([&planes[0], &planes[1]]);
            patches.add_means(&plane, start, step, out, Factor::Share(share));
        }
    }
}
