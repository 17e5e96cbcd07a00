use super::*;
use crate::parallel;

const VIEWING: Viewing = Viewing { pixels_per_degree: 40.0, peak_luminance: 200.0, black_luminance: 0.6 };

fn noise(height: usize, width: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    (0..height * width * 3).map(|_| next()).collect()
}

fn measured(reference: &[u8], distorted: &[u8], height: usize, width: usize) -> [Vec<f32>; 3] {
    let (rows, columns) = patch_grid(height, width, 20);
    let [mut energy, mut colour, mut structure] = std::array::from_fn(|_| vec![f32::NAN; rows * columns]);
    let pair = [reference, distorted].map(|pixels| View::packed(pixels, height, width, 3).unwrap());
    let out = Differences { energy: &mut energy, colour: &mut colour, structure: &mut structure };
    differences(&pair[0], &pair[1], &VIEWING, 20, out).unwrap();
    [energy, colour, structure]
}

#[test]
fn identical_images_do_not_differ_and_places_may_be_changed() {
    for (height, width) in [(5, 50), (20, 20), (61, 47)] {
        let (a, b) = (noise(height, width, 1), noise(height, width, 2));
        assert!(measured(&a, &a, height, width).iter().flatten().all(|&value| value == 0.0));
        let there = measured(&a, &b, height, width);
        assert_eq!(there, measured(&b, &a, height, width));
        assert!(there[..2].iter().flatten().all(|&value| value > 0.0 && value.is_finite()));
        assert!(there[2].iter().all(|&value| (0.0..=1.0).contains(&value)));
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (height, width) = (333, 290);
    let (a, b) = (noise(height, width, 3), noise(height, width, 4));
    let together = measured(&a, &b, height, width);
    assert_eq!(together, parallel::alone(|| measured(&a, &b, height, width)));
}

#[test]
fn a_change_counts_where_it_is() {
    let (height, width) = (200, 200);
    let a = vec![128u8; height * width * 3];
    let mut b = a.clone();
    for y in 105..115 {
        for x in 45..55 {
            b[(y * width + x) * 3..][..3].fill(140);
        }
    }
    let [energy, colour, structure] = measured(&a, &b, height, width);
    let place = 5 * 10 + 2;
    let strongest = |values: &[f32]| (0..100).max_by(|&i, &j| values[i].total_cmp(&values[j])).unwrap();
    assert_eq!(strongest(&energy), place);
    assert!(structure[place] > 0.0);
    assert_eq!(strongest(&colour), place);
    assert_eq!(colour[9], 0.0);
    assert!(energy[9] < 1e-6 * energy[place], "what is far away hardly differs");
}

#[test]
fn what_does_not_fit_is_refused() {
    let pixels = noise(20, 40, 1);
    let view = View::packed(&pixels, 20, 40, 3).unwrap();
    let (mut energy, mut colour, mut structure) = ([0.0; 2], [0.0; 2], [0.0; 2]);
    let mut run = |viewing: &Viewing, size| {
        let out = Differences { energy: &mut energy, colour: &mut colour, structure: &mut structure };
        differences(&view, &view, viewing, size, out)
    };
    assert!(run(&VIEWING, 20).is_ok());
    assert!(run(&VIEWING, 0).is_err());
    assert!(run(&VIEWING, 10).is_err());
    assert!(run(&Viewing { pixels_per_degree: 0.0, ..VIEWING }, 20).is_err());
    assert!(run(&Viewing { peak_luminance: f64::NAN, ..VIEWING }, 20).is_err());
}
