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
    let patches = Patches::side_by_side(height, width, 20);
    let (rows, columns) = patches.shape();
    let [mut energy, mut colour, mut structure] = std::array::from_fn(|_| vec![f32::NAN; rows * columns]);
    let pair = [reference, distorted].map(|pixels| View::packed(pixels, height, width, 3).unwrap());
    let out = Differences { energy: &mut energy, colour: &mut colour, structure: &mut structure };
    differences(&pair[0], &pair[1], &VIEWING, &patches, out).unwrap();
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
fn patches_may_overlap() {
    let (height, width) = (80, 120);
    let (a, b) = (noise(height, width, 5), noise(height, width, 6));
    let pair = [&a, &b].map(|pixels| View::packed(pixels, height, width, 3).unwrap());
    let at = |ys: &[i64], xs: &[i64]| {
        let patches = Patches::at(ys, xs, 20, height, width).unwrap();
        let [mut energy, mut colour, mut structure] = std::array::from_fn(|_| vec![f32::NAN; ys.len() * xs.len()]);
        let out = Differences { energy: &mut energy, colour: &mut colour, structure: &mut structure };
        differences(&pair[0], &pair[1], &VIEWING, &patches, out).unwrap();
        [energy, colour, structure]
    };
    let tiles = measured(&a, &b, height, width);
    let all = at(&[0, 20, 40, 60], &[0, 20, 40, 60, 80, 100]);
    assert_eq!(tiles, all);
    let overlapping = at(&[0, 7, 20, 60], &[0, 13, 100]);
    for (tiles, overlapping) in tiles.iter().zip(&overlapping) {
        assert_eq!([tiles[0], tiles[5], tiles[6], tiles[23]], [0, 2, 6, 11].map(|i| overlapping[i]));
    }
    for (ys, xs) in [(&[61][..], &[0][..]), (&[0], &[-1]), (&[0], &[101])] {
        assert!(Patches::at(ys, xs, 20, height, width).is_err());
    }
}

#[test]
fn a_patch_of_a_batch_is_an_image() {
    let (a, b) = (noise(60, 20, 7), noise(60, 20, 8));
    let batch = [&a, &b].map(|pixels| Batch::packed(pixels, [3, 20, 20, 3]).unwrap());
    let [mut energy, mut colour, mut structure] = [[0.0; 3]; 3];
    let out = Differences { energy: &mut energy, colour: &mut colour, structure: &mut structure };
    differences_of_patches(&batch[0], &batch[1], &VIEWING, out).unwrap();
    for i in 0..3 {
        let part = i * 1200..(i + 1) * 1200;
        let alone = measured(&a[part.clone()], &b[part], 20, 20);
        assert_eq!(alone, [vec![energy[i]], vec![colour[i]], vec![structure[i]]]);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let pixels = noise(20, 40, 1);
    let view = View::packed(&pixels, 20, 40, 3).unwrap();
    let (mut energy, mut colour, mut structure) = ([0.0; 2], [0.0; 2], [0.0; 2]);
    let mut run = |viewing: &Viewing, size| {
        let patches = Patches::side_by_side(20, 40, size);
        let out = Differences { energy: &mut energy, colour: &mut colour, structure: &mut structure };
        differences(&view, &view, viewing, &patches, out)
    };
    assert!(run(&VIEWING, 20).is_ok());
    assert!(run(&VIEWING, 10).is_err());
    assert!(run(&Viewing { pixels_per_degree: 0.0, ..VIEWING }, 20).is_err());
    assert!(run(&Viewing { peak_luminance: f64::NAN, ..VIEWING }, 20).is_err());
}
