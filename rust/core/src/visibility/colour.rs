//! From sRGB to what a display emits, in cd/m2, as luminance and two opponent colours; and CIEDE2000.

use super::Viewing;
use super::planes::Plane;
use crate::view::View;

/// sRGB (IEC 61966-2-1) to light, 0 to 1.
fn linear() -> [f32; 256] {
    std::array::from_fn(|value| {
        let value = value as f64 / 255.0;
        let light = if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) };
        light as f32
    })
}

const RGB_TO_XYZ: [[f64; 3]; 3] =
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]];
/// CIE 1931 XYZ to the cone fundamentals of CIE 170-1:2006, scaled so that L + M is luminance.
const XYZ_TO_LMS: [[f64; 3]; 3] = [
    [0.187596268556126, 0.585168649077728, -0.026384263306304],
    [-0.133397430663221, 0.405505777260049, 0.034502127690364],
    [0.000244379021663, -0.000542995890619, 0.019406849066323],
];

fn product(a: &[[f64; 3]; 3], b: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

/// RGB light to luminance (white is 1), L - M and S - (L + M), both 0 for greys, after Derrington, Krauskopf and Lennie, Journal
/// of Physiology 357, 1984.
fn rgb_to_opponent() -> [[f64; 3]; 3] {
    let cones = product(&XYZ_TO_LMS, &RGB_TO_XYZ);
    let [l, m, s]: [f64; 3] = std::array::from_fn(|i| cones[i].iter().sum());
    let opponent = [[1.0, 1.0, 0.0], [1.0, -l / m, 0.0], [-s / (l + m), -s / (l + m), 1.0]];
    product(&opponent, &cones).map(|row| row.map(|value| value / (l + m)))
}

/// Three planes of an image: luminance and the opponent colours, in cd/m2.
pub(super) fn opponent_planes(image: &View<'_, u8>, viewing: &Viewing) -> [Plane; 3] {
    let (linear, matrix) = (linear(), rgb_to_opponent());
    let black = viewing.black_luminance as f32;
    std::array::from_fn(|channel| {
        let [r, g, b] = matrix[channel].map(|factor| (factor * viewing.peak_luminance) as f32);
        let offset = if channel == 0 { black } else { 0.0 };
        let tables: [[f32; 256]; 3] = [r, g, b].map(|factor| std::array::from_fn(|value| factor * linear[value]));
        Plane::by_rows(image.height(), image.width(), |y, out| {
            for (pixel, out) in image.row(y).chunks_exact(3).zip(out) {
                let [r, g, b] = std::array::from_fn(|i| tables[i][usize::from(pixel[i])]);
                *out = r + g + b + offset;
            }
        })
    })
}

/// Light (red, green, blue; 0 to 1) to CIELAB for D65.
pub(super) fn lab(light: [f64; 3]) -> [f64; 3] {
    let f = |row: &[f64; 3]| {
        let white: f64 = row.iter().sum();
        let value = row.iter().zip(light).map(|(factor, light)| factor * light).sum::<f64>() / white;
        if value > 216.0 / 24389.0 { value.cbrt() } else { (24389.0 / 27.0 * value + 16.0) / 116.0 }
    };
    let [x, y, z] = RGB_TO_XYZ.each_ref().map(f);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// Mean light of a part of an image, 0 to 1.
pub(super) struct MeanLight([f32; 256]);

impl MeanLight {
    pub fn new() -> Self {
        Self(linear())
    }

    /// Of rows `rows` and columns `columns`, none of them empty.
    pub fn of(&self, image: &View<'_, u8>, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> [f64; 3] {
        let count = (rows.len() * columns.len()) as f64;
        let mut sums = [0f64; 3];
        for y in rows {
            let mut row = [0f32; 3];
            for pixel in image.span(y, columns.start, columns.len()).chunks_exact(3) {
                for (sum, &value) in row.iter_mut().zip(pixel) {
                    *sum += self.0[usize::from(value)];
                }
            }
            sums.iter_mut().zip(row).for_each(|(sum, row)| *sum += f64::from(row));
        }
        sums.map(|sum| sum / count)
    }
}

/// CIEDE2000 of two CIELAB colours (CIE 142-2001; Sharma, Wu and Dalal, Color Research and Application 30(1), 2005).
pub(super) fn ciede2000(first: [f64; 3], second: [f64; 3]) -> f64 {
    let [(l1, a1, b1), (l2, a2, b2)] = [first, second].map(|[l, a, b]| (l, a, b));
    let chroma = f64::midpoint(a1.hypot(b1), a2.hypot(b2)).powi(7);
    let gain = 1.5 - 0.5 * (chroma / (chroma + 25f64.powi(7))).sqrt();
    let (c1, c2) = ((gain * a1).hypot(b1), (gain * a2).hypot(b2));
    let hue = |a: f64, b: f64| b.atan2(gain * a).to_degrees().rem_euclid(360.0);
    let (h1, h2) = (hue(a1, b1), hue(a2, b2));
    let coloured = c1 * c2 != 0.0;
    let turn = h2 - h1;
    let turn = match turn {
        _ if !coloured => 0.0,
        _ if turn > 180.0 => turn - 360.0,
        _ if turn < -180.0 => turn + 360.0,
        _ => turn,
    };
    let (dl, dc, dh) = (l2 - l1, c2 - c1, 2.0 * (c1 * c2).sqrt() * (turn / 2.0).to_radians().sin());
    let (l, c) = (f64::midpoint(l1, l2), f64::midpoint(c1, c2));
    let h = match h1 + h2 {
        sum if !coloured => sum,
        sum if (h1 - h2).abs() <= 180.0 => sum / 2.0,
        sum if sum < 360.0 => sum / 2.0 + 180.0,
        sum => sum / 2.0 - 180.0,
    };
    let cos = |degrees: f64| degrees.to_radians().cos();
    let t = 1.0 - 0.17 * cos(h - 30.0) + 0.24 * cos(2.0 * h) + 0.32 * cos(3.0 * h + 6.0) - 0.20 * cos(4.0 * h - 63.0);
    let rotation = -(60.0 * (-((h - 275.0) / 25.0).powi(2)).exp()).to_radians().sin()
        * 2.0
        * (c.powi(7) / (c.powi(7) + 25f64.powi(7))).sqrt();
    let lightness = (l - 50.0).powi(2);
    let dl = dl / (1.0 + 0.015 * lightness / (20.0 + lightness).sqrt());
    let dc = dc / (1.0 + 0.045 * c);
    let dh = dh / (1.0 + 0.015 * c * t);
    (dl * dl + dc * dc + dh * dh + rotation * dc * dh).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs 1, 7, 10, 13, 16, 20 and 25 of Sharma, Wu and Dalal's table of test data.
    #[test]
    fn ciede2000_is_that_of_the_published_pairs() {
        for (first, second, expected) in [
            ([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485], 2.0425),
            ([50.0, 0.0, 0.0], [50.0, -1.0, 2.0], 2.3669),
            ([50.0, 2.4900, -0.0010], [50.0, -2.4900, 0.0010], 7.1792),
            ([50.0, -0.0010, 2.4900], [50.0, 0.0009, -2.4900], 4.8045),
            ([50.0, 2.5, 0.0], [50.0, 0.0, -2.5], 4.3065),
            ([50.0, 2.5, 0.0], [58.0, 24.0, 15.0], 19.4535),
            ([60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644),
        ] {
            for (a, b) in [(first, second), (second, first)] {
                assert!((ciede2000(a, b) - expected).abs() < 1e-4, "{a:?} {b:?}: {}", ciede2000(a, b));
            }
        }
    }

    #[test]
    fn greys_have_no_colour_and_white_is_bright() {
        let pixels: Vec<u8> = [0u8, 128, 255].iter().flat_map(|&grey| [grey; 3]).collect();
        let image = View::packed(&pixels, 1, 3, 3).unwrap();
        let viewing = Viewing { pixels_per_degree: 40.0, peak_luminance: 200.0, black_luminance: 0.5 };
        let [luminance, red_green, violet_yellow] = opponent_planes(&image, &viewing);
        assert!((luminance.data[2] - 200.5).abs() < 1e-3);
        assert!((luminance.data[0] - 0.5).abs() < 1e-6);
        for plane in [red_green, violet_yellow] {
            assert!(plane.data.iter().all(|value| value.abs() < 1e-4), "{plane:?}");
        }
        let [l, a, b] = lab([1.0; 3]);
        assert!((l - 100.0).abs() < 1e-9 && a.abs() < 1e-9 && b.abs() < 1e-9);
    }
}
