//! Contrast sensitivity: the inverse of the contrast that is just visible.
//!
//! A parabola of log frequency for luminance, flat below its peak for the two opponent colours, with peaks that rise with
//! luminance. The numbers were fitted to the 940 thresholds for static, foveal gratings and Gabor patches from 0.3 to 1,000
//! cd/m2 that castleCSF (Ashraf et al., Journal of Vision 24(4), 2024) collects: 86 % are met within a factor of 2.

/// Parameters of a channel's sensitivity.
struct Channel {
    /// Sensitivity at the peak, in bright light.
    peak: f64,
    /// Luminance in cd/m2 below which sensitivity falls, and how steeply.
    dark: (f64, f64),
    /// Frequency of the peak in cycles per degree, in bright light.
    frequency: f64,
    /// Luminance below which the peak moves to lower frequencies, and how steeply.
    frequency_dark: (f64, f64),
    /// Width of the parabola below and above the peak, in squared decades; flat where it is infinite.
    width: (f64, f64),
}

/// Luminance, red against green, and violet against yellow.
const CHANNELS: [Channel; 3] = [
    Channel {
        peak: 200.5,
        dark: (35.0, 0.287),
        frequency: 3.342,
        frequency_dark: (4.40, 0.667),
        width: (2.379, 0.829),
    },
    Channel {
        peak: 324.6,
        dark: (18.9, 0.649),
        frequency: 0.2557,
        frequency_dark: (0.0, 0.0),
        width: (f64::INFINITY, 3.156),
    },
    Channel {
        peak: 2670.7,
        dark: (33.76, 0.542),
        frequency: 0.1153,
        frequency_dark: (0.0, 0.0),
        width: (f64::INFINITY, 3.903),
    },
];

/// Sensitivity of `channel` at a frequency in cycles per degree and a luminance in cd/m2.
fn sensitivity(channel: usize, frequency: f64, luminance: f64) -> f64 {
    let of = &CHANNELS[channel];
    let falls = |(luminance_at, power): (f64, f64)| (1.0 + luminance_at / luminance).powf(-power);
    let decades = (frequency / (of.frequency * falls(of.frequency_dark))).log10();
    let width = if decades < 0.0 { of.width.0 } else { of.width.1 };
    of.peak * falls(of.dark) * 10f64.powf(-decades * decades / width)
}

/// Luminances of a table: eight to the octave, from 2^-6 to 2^14 cd/m2, straight lines in between.
const OCTAVES: std::ops::Range<i32> = -6..14;
const STEP_BITS: u32 = 3;

/// Entries of a table: one past the last octave, so that each has a next one.
const ENTRIES: usize = ((OCTAVES.end - OCTAVES.start) << STEP_BITS) as usize + 2;

/// The sensitivity of a channel at one frequency, by luminance.
pub(super) struct Table([f32; ENTRIES]);

impl Table {
    pub fn new(channel: usize, frequency: f64) -> Self {
        let steps = 1 << STEP_BITS;
        Self(std::array::from_fn(|entry| {
            let (octave, step) = (OCTAVES.start + entry as i32 / steps, entry as i32 % steps);
            let luminance = 2f64.powi(octave) * (1.0 + f64::from(step) / f64::from(steps));
            sensitivity(channel, frequency, luminance) as f32
        }))
    }

    /// The sensitivity at a place.
    #[inline(always)]
    pub fn at(&self, place: Place) -> f32 {
        // What `Place::of` has done already; here it spares a check of bounds.
        let index = (place.index as usize).min(ENTRIES - 2);
        self.0[index] + place.share * (self.0[index + 1] - self.0[index])
    }
}

/// Where a luminance lies in every table: between two entries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    index: u32,
    share: f32,
}

impl Place {
    /// Of a luminance in cd/m2.
    #[inline(always)]
    pub fn of(luminance: f32) -> Self {
        const SHIFT: u32 = 23 - STEP_BITS;
        const FIRST: u32 = ((127 + OCTAVES.start) as u32) << STEP_BITS;
        let low = f32::from_bits(FIRST << SHIFT);
        let bits = luminance.max(low).to_bits();
        let index = ((bits >> SHIFT) - FIRST).min(ENTRIES as u32 - 2);
        Self { index, share: (bits & ((1 << SHIFT) - 1)) as f32 * (1.0 / (1u32 << SHIFT) as f32) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_the_function_within_a_hundredth() {
        for channel in 0..3 {
            for frequency in [0.5, 4.0, 16.0] {
                let table = Table::new(channel, frequency);
                for luminance in [0.02, 0.3, 5.3, 100.0, 777.0, 9000.0] {
                    let (exact, found) =
                        (sensitivity(channel, frequency, luminance), f64::from(table.at(Place::of(luminance as f32))));
                    assert!((found / exact - 1.0).abs() < 0.01, "{channel} {frequency} {luminance}: {found} {exact}");
                }
                assert!(table.at(Place::of(0.0)) > 0.0);
                assert!(table.at(Place::of(f32::MAX)).is_finite());
            }
        }
    }

    #[test]
    fn sensitivity_to_luminance_peaks_at_a_few_cycles_per_degree() {
        let at = |frequency| sensitivity(0, frequency, 100.0);
        assert!(at(0.3) < at(3.0));
        assert!(at(3.0) > at(12.0));
        assert!(at(12.0) > at(40.0));
    }
}
