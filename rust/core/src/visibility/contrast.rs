//! Differences of contrast in octave bands, in units of their threshold.

use super::Viewing;
use super::colour::{MeanLight, ciede2000, lab, opponent_planes};
use super::planes::{self, Plane, ROWS};
use super::pool::{Factor, Patches};
use super::sensitivity::{Place, Table};
use crate::parallel;
use crate::view::View;

/// Largest number of levels of the pyramid. The finest has two bands.
const LEVELS: usize = 6;
/// An image with a shorter side is not halved.
const SMALLEST: usize = 4;
/// The middle of each band, in cycles per pixel of its level: the two finest, then all others.
const FINEST: f64 = 0.34;
const FINE: f64 = 0.18;
const OCTAVE: f64 = 0.19;

/// How much the contrast that both images have masks a difference, in squared thresholds.
const MASKING: f32 = 50.0;
/// Share of the contrast of luminance that masks a difference of colour.
const MASKS_COLOUR: f32 = 0.1;
/// Lowest luminance that the eye adapts to, in cd/m2.
const DARKEST: f32 = 0.05;
/// CIEDE2000 between the mean colours of two patches that counts as much as contrast at its threshold.
const COLOUR_THRESHOLD: f64 = 2.0;

/// The energy of each patch's differences of contrast, over its area in pixels.
pub(super) fn measure_energy(pair: [&View<'_, u8>; 2], viewing: &Viewing, patches: &Patches, energy: &mut [f32]) {
    energy.fill(0.0);
    let mut fine = pair.map(|image| opponent_planes(image, viewing));
    for level in 0..LEVELS {
        if fine[0][0].height.min(fine[0][0].width) < SMALLEST {
            break;
        }
        let coarse = fine.each_ref().map(|image| image.each_ref().map(planes::reduce));
        let per_degree = viewing.pixels_per_degree / f64::from(1u32 << level);
        let bands = if level == 0 { vec![FINEST, FINE] } else { vec![OCTAVE] };
        let tables: Vec<[Table; 3]> = bands
            .into_iter()
            .map(|frequency| std::array::from_fn(|channel| Table::new(channel, frequency * per_degree)))
            .collect();
        let plane = level_energy(&fine, &coarse, &tables);
        patches.add_means(&plane, 0.0, (1u32 << level) as f32, energy, Factor::Area);
        fine = coarse;
    }
}

/// The difference between the mean colours of patches, which no band contains.
pub(super) fn measure_colour([reference, distorted]: [&View<'_, u8>; 2], patches: &Patches, colour: &mut [f32]) {
    let light = MeanLight::new();
    let jobs: Vec<_> = colour.chunks_mut(patches.shape().1.max(1)).enumerate().collect();
    parallel::for_each(reference.height() * reference.width() * 6, jobs, |(row, colour)| {
        for (column, colour) in colour.iter_mut().enumerate() {
            let (rows, columns) = patches.pixels(row, column);
            let mean = |image| lab(light.of(image, rows.clone(), columns.clone()));
            let difference = ciede2000(mean(reference), mean(distorted)) / COLOUR_THRESHOLD;
            *colour = (difference.powi(4) * (rows.len() * columns.len()) as f64) as f32;
        }
    });
}

/// Energy at each pixel of a level: of the band between it and the next, or, with two sets of tables, of two bands.
fn level_energy(fine: &[[Plane; 3]; 2], coarse: &[[Plane; 3]; 2], tables: &[[Table; 3]]) -> Plane {
    let (height, width) = (fine[0][0].height, fine[0][0].width);
    let mut out = Plane::zeros(height, width);
    let jobs: Vec<_> = out.data.chunks_mut(ROWS * width).enumerate().collect();
    let room = || (Room::new(width), tables.iter().map(|_| Strip::new(width)).collect::<Vec<_>>());
    parallel::for_each_with(height * width * 12, jobs, room, |(room, strips), (job, out)| {
        let first = job * ROWS;
        let rows = out.len() / width;
        // Masking looks two rows further.
        let (low, high) = (first.saturating_sub(2), (first + rows + 2).min(height));
        parallel::vectorised(
            #[inline(always)]
            || {
                for y in low..high {
                    room.read(fine, coarse, y, tables.len() > 1);
                    for (band, (strip, tables)) in strips.iter_mut().zip(tables).enumerate() {
                        strip.measure(room, band, tables, y - low);
                    }
                }
                for (i, out) in out.chunks_exact_mut(width).enumerate() {
                    for strip in &*strips {
                        strip.add(first + i - low, high - low, room, out);
                    }
                }
            },
        );
    });
    out
}

/// Rows of both images: of each channel the level itself, smoothed, and the next level.
struct Room {
    fine: [[Vec<f32>; 3]; 2],
    smooth: [[Vec<f32>; 3]; 2],
    coarse: [[Vec<f32>; 3]; 2],
    split: bool,
    background: Vec<f32>,
    /// Where the background lies in the tables of sensitivity.
    places: Vec<Place>,
    gain: Vec<f32>,
    across: Vec<f32>,
    shared: Vec<f32>,
    masks: [Vec<f32>; 3],
}

impl Room {
    fn new(width: usize) -> Self {
        let row = || vec![0.0; width];
        let rows = || std::array::from_fn(|_| std::array::from_fn(|_| row()));
        Self {
            fine: rows(),
            smooth: rows(),
            coarse: rows(),
            split: false,
            background: row(),
            places: vec![Place::default(); width],
            gain: row(),
            across: row(),
            shared: row(),
            masks: std::array::from_fn(|_| row()),
        }
    }

    #[inline(always)]
    fn read(&mut self, fine: &[[Plane; 3]; 2], coarse: &[[Plane; 3]; 2], y: usize, split: bool) {
        self.split = split;
        for image in 0..2 {
            for channel in 0..3 {
                let plane = &fine[image][channel];
                self.fine[image][channel].copy_from_slice(plane.row(y));
                planes::expand_row(&coarse[image][channel], y, &mut self.across, &mut self.coarse[image][channel]);
                if split {
                    planes::smooth_row(plane, y, &mut self.across, &mut self.smooth[image][channel]);
                }
            }
        }
        let [reference, distorted] = &self.coarse;
        for ((out, &a), &b) in self.background.iter_mut().zip(&reference[0]).zip(&distorted[0]) {
            *out = (0.5 * (a + b)).max(DARKEST);
        }
        for (place, &background) in self.places.iter_mut().zip(&self.background) {
            *place = Place::of(background);
        }
    }

    /// The two signals whose difference is a band.
    #[inline(always)]
    fn band(&self, band: usize, image: usize, channel: usize) -> (&[f32], &[f32]) {
        let [fine, smooth, coarse] = [&self.fine, &self.smooth, &self.coarse].map(|of| of[image][channel].as_slice());
        match (self.split, band) {
            (false, _) => (fine, coarse),
            (true, 0) => (fine, smooth),
            (true, _) => (smooth, coarse),
        }
    }
}

/// Rows of one band, of a job and two beyond each of its ends: the fourth power of differences, and the contrast that both
/// images share.
struct Strip {
    width: usize,
    differences: [Vec<f32>; 3],
    shared: [Vec<f32>; 3],
}

impl Strip {
    fn new(width: usize) -> Self {
        let rows = || std::array::from_fn(|_| vec![0.0; (ROWS + 4) * width]);
        Self { width, differences: rows(), shared: rows() }
    }

    fn row(&self, y: usize) -> std::ops::Range<usize> {
        y * self.width..(y + 1) * self.width
    }

    /// Fills row `y` of the strip.
    #[inline(always)]
    fn measure(&mut self, room: &mut Room, band: usize, tables: &[Table; 3], y: usize) {
        let row = self.row(y);
        let mut shared = std::mem::take(&mut room.shared);
        for (channel, table) in tables.iter().enumerate() {
            for (gain, &place) in room.gain.iter_mut().zip(&room.places) {
                *gain = table.at(place);
            }
            for (gain, &background) in room.gain.iter_mut().zip(&room.background) {
                *gain /= background;
            }
            // All of one length, which is checked once.
            let gain = &room.gain[..self.width];
            let [(upper, lower), (other_upper, other_lower)] = [0, 1].map(|image| {
                let (upper, lower) = room.band(band, image, channel);
                (&upper[..self.width], &lower[..self.width])
            });
            let (out, shared) = (&mut self.differences[channel][row.clone()], &mut shared[..self.width]);
            for x in 0..self.width {
                let a = (upper[x] - lower[x]) * gain[x];
                let b = (other_upper[x] - other_lower[x]) * gain[x];
                let difference = (a - b) * (a - b);
                out[x] = difference * difference;
                shared[x] = (a * a).min(b * b);
            }
            planes::blur_along(shared, &mut self.shared[channel][row.clone()]);
        }
        room.shared = shared;
    }

    /// Adds the energy of row `y` of the `rows` that are filled.
    #[inline(always)]
    fn add(&self, y: usize, rows: usize, room: &mut Room, out: &mut [f32]) {
        for (channel, mask) in room.masks.iter_mut().enumerate() {
            let row = |y: usize| &self.shared[channel][self.row(y.min(rows - 1))];
            let (above, further) = (y.saturating_sub(1), y.saturating_sub(2));
            planes::blur_across([row(further), row(above), row(y), row(y + 1), row(y + 2)], mask);
        }
        for (channel, differences) in self.differences.iter().enumerate() {
            let differences = &differences[self.row(y)];
            let luminance = if channel > 0 { MASKS_COLOUR } else { 0.0 };
            let (own, of_luminance) = (&room.masks[channel][..self.width], &room.masks[0][..self.width]);
            let out = &mut out[..self.width];
            for x in 0..self.width {
                let masked = 1.0 + MASKING * (own[x] + luminance * of_luminance[x]);
                // The difference squared, over the mask to the power of 3/4, squared.
                out[x] += differences[x] / (masked * masked.sqrt());
            }
        }
    }
}
