//! Numbers that follow from the definition by hand, and bits that depend on nothing else.

use super::nets::{CONTEXTS, DISTANCES};
use super::*;

const IDENTITY: [f32; 9] = [1.0 / 255.0; 9];
const ZEROS: [f32; 9] = [0.0; 9];

/// Numbers from 0 to 1 that are the same every time.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() * 255.99) as u8).collect()
    }
}

/// Scores and weights of one member.
fn scored(
    model: &Ensemble<'_>,
    [reference, distorted]: [&[u8]; 2],
    shape: (usize, usize),
    corners: &[(usize, usize)],
    size: (usize, usize),
) -> Result<(Vec<f32>, Vec<f32>)> {
    let view = |data| View::packed(data, shape.0, shape.1, 3).unwrap();
    let count = corners.len() * model.members;
    let (mut raw, mut weight) = (vec![f32::NAN; count], vec![f32::NAN; count]);
    score_at(model, &view(reference), &view(distorted), corners, size, &mut raw, &mut weight)?;
    Ok((raw, weight))
}

fn close(found: f32, expected: f64) {
    assert!((f64::from(found) - expected).abs() < 1e-5 * expected.abs().max(1.0), "{found} is not {expected}");
}

/// The statistics of two images of grey, a value a pixel.
fn statistics_of(reference: &[u8], distorted: &[u8], height: usize, width: usize) -> [f32; WIDTH] {
    let rgb = |grey: &[u8], of: fn(u8) -> u8| grey.iter().flat_map(|&x| [of(x); 3]).collect::<Vec<u8>>();
    let measured = |of: fn(u8) -> u8, scaling| {
        let pair = [reference, distorted].map(|grey| rgb(grey, of));
        let views = [&pair[0], &pair[1]].map(|image| View::packed(image, height, width, 3).unwrap());
        let mut numbers = [f32::NAN; WIDTH];
        statistics(views, &scaling, &mut Room::new(height, width), &mut numbers);
        numbers
    };
    let numbers = measured(|x| x, [[1.0; 6], [0.0; 6]]);
    // A factor and an offset of other pixels make the same of them.
    let scaled = measured(|x| (x - 10) * 2, [[0.5; 6], [10.0; 6]]);
    for (a, b) in numbers.iter().zip(scaled) {
        close(b, f64::from(*a));
    }
    numbers
}

#[test]
fn as_many_parameters_as_the_module_of_pytorch_has() {
    // Of 8 members it has 9512 to train with learned weights, and three buffers of 5, 5 and 27.
    assert_eq!(parameter_count(8, true), 9512 + 37);
    assert_eq!(parameter_count(1, false), 37 + 1161);
    assert_eq!(parameter_count(3, true), 37 + 3 * (1161 + 28));
}

#[test]
fn stripes_that_are_lost_are_lost_contrast_of_the_finest_band() {
    let stripes = [120, 80].repeat(8);
    let found = statistics_of(&stripes, &[100; 16], 4, 4);
    // Luma of grey is the grey; H is -0.01 of it and M -0.09. Differences across are 20 in one of three details.
    let of = |opponent: f64| (20.0 * opponent).powi(2) / 3.0;
    close(found[0], (of(1.0) + 1.0).ln());
    close(found[1], 4.0_f64.ln());
    close(found[2], 16.0_f64.ln());
    close(found[3], 100.0 / 64.0);
    close(found[4], ((1.0_f64 + 81.0).sqrt() + 4.0).ln());
    let lost = [1.0, 0.01, 0.09].map(|opponent| 1.0 - 1.0 / (of(opponent) + 1.0));
    for (i, &x) in found[CONTEXTS..].iter().enumerate() {
        close(x, lost.get(i).copied().unwrap_or(0.0));
    }
}

#[test]
fn stripes_that_were_not_there_are_no_lost_contrast() {
    let found = statistics_of(&[100; 16], &[120, 80].repeat(8), 4, 4);
    let of = |opponent: f64| (20.0_f64 * opponent).powi(2) / 3.0;
    let added = [1.0, 0.01, 0.09].map(|opponent| of(opponent).ln_1p());
    for (i, &x) in found[CONTEXTS..].iter().enumerate() {
        close(x, if (3..6).contains(&i) { added[i - 3] } else { 0.0 });
    }
}

#[test]
fn coarse_stripes_are_of_the_coarser_bands() {
    // Stripes of two pixels vanish in the second halving, those of four are what is left after it.
    let of = |width: usize| -> Vec<u8> {
        (0..64).map(|i| if (i % 8 / width).is_multiple_of(2) { 120 } else { 80 }).collect()
    };
    let (middle, coarse) = (statistics_of(&of(2), &[100; 64], 8, 8), statistics_of(&of(4), &[100; 64], 8, 8));
    close(middle[0], 0.0);
    close(middle[1], (400.0_f64 / 3.0 + 4.0).ln());
    close(middle[2], 16.0_f64.ln());
    close(coarse[1], 4.0_f64.ln());
    close(coarse[2], (400.0_f64 + 16.0).ln());
    close(middle[CONTEXTS + 6], 1.0 - 4.0 / (400.0 / 3.0 + 4.0));
    close(coarse[CONTEXTS + 12], 1.0 - 16.0 / 416.0);
}

#[test]
fn a_lighter_patch_has_the_score_that_is_worked_out_by_hand() {
    let size = 4 * 8;
    let (reference, lighter) = (vec![100_u8; size * 3], vec![132_u8; size * 3]);
    for members in [1, 2] {
        let mut parameters = vec![0.0; parameter_count(members, true)];
        parameters[CONTEXTS..2 * CONTEXTS + DISTANCES].fill(1.0);
        // The mean shift of luma is 32 / 32, of which the scale makes 0.08.
        parameters[2 * CONTEXTS + 18] = 12.5;
        let (rise, cost) = parameters[2 * CONTEXTS + DISTANCES..].split_at_mut(members * 16 * DISTANCES);
        rise.fill(-100.0);
        cost[..members * 16].fill(-100.0);
        for member in 0..members {
            // Unit 3 alone costs something: 30, times the sigmoid of 25 * 0.08. From 20 on softplus is the identity.
            rise[(member * 16 + 3) * DISTANCES + 18] = 25.0;
            cost[member * 16 + 3] = 30.0;
        }
        let top = 37 + members * (16 * DISTANCES + 16 + 4 * CONTEXTS + 4 + 4 * 32 + 16);
        parameters[top..top + members].fill(27.0);
        // A member's weight is of its first unit, which sees luma / 64 alone.
        let weigh = 37 + members * 1161;
        for member in 0..members {
            parameters[weigh + member * 4 * CONTEXTS + 3] = 1.0;
            parameters[weigh + members * 4 * (CONTEXTS + 1) + member * 4] = 1.0;
        }
        let model = Ensemble { members, learned: true, parameters: &parameters, scale: &IDENTITY, shift: &ZEROS };
        let (raw, weight) = scored(&model, [&reference, &lighter], (4, 8), &[(0, 0)], (4, 8)).unwrap();
        for member in 0..members {
            // The sigmoid of 2 is 0.8807970779778823.
            close(raw[member], 27.0 - 30.0 * 0.880_797_077_977_882_3);
            close(weight[member], (1.0 + (100.0_f64 / 64.0 + 0.54).exp()).ln() + 1e-3);
        }
        // Darker by as much is another distance, which costs nothing here; the sigmoid of 0 is a half.
        let (raw, _) = scored(&model, [&lighter, &reference], (4, 8), &[(0, 0)], (4, 8)).unwrap();
        close(raw[0], 12.0);
    }
}

#[test]
fn a_bend_is_a_fifth_at_most() {
    let image = vec![100_u8; 48];
    let mut parameters = vec![0.0; parameter_count(1, false)];
    parameters[CONTEXTS..37].fill(1.0);
    // Biases of 1 before the last 16 numbers, which are what comes out of the units.
    let out = parameters.len() - 16;
    parameters[out - 16..out].fill(1.0);
    for (each, expected) in [(1.0, 0.2), (-1.0, -0.2), (0.01, 0.2 * (16.0 * 0.01 * 1.0_f64.tanh()).tanh())] {
        parameters[out..].fill(each);
        let model = Ensemble { members: 1, learned: false, parameters: &parameters, scale: &IDENTITY, shift: &ZEROS };
        let (raw, weight) = scored(&model, [&image, &image], (4, 4), &[(0, 0)], (4, 4)).unwrap();
        // 16 units cost half of softplus(0) each.
        close(raw[0], expected - 8.0 * 2.0_f64.ln());
        assert_eq!(weight, [1.0]);
    }
}

#[test]
fn bits_depend_on_nothing_but_the_patch() {
    let (height, width) = (90, 100);
    let mut draw = Draw(7);
    let [reference, distorted] = [draw.bytes(height * width * 3), draw.bytes(height * width * 3)];
    let parameters: Vec<f32> = (0..parameter_count(3, true)).map(|_| draw.next() - 0.3).collect();
    let model = Ensemble { members: 3, learned: true, parameters: &parameters, scale: &IDENTITY, shift: &ZEROS };
    let corners: Vec<_> = (0..=70).step_by(2).flat_map(|y| (0..=80).step_by(5).map(move |x| (y, x))).collect();
    assert!(corners.len() * 400 * 6 > parallel::PARALLEL_SAMPLES);
    let bits = |threads: usize, corners: &[(usize, usize)]| {
        parallel::set_num_threads(threads).unwrap();
        let (raw, weight) = scored(&model, [&reference, &distorted], (height, width), corners, (20, 20)).unwrap();
        raw.into_iter().chain(weight).map(f32::to_bits).collect::<Vec<_>>()
    };
    let one = bits(1, &corners);
    assert!(one.iter().all(|&bits| f32::from_bits(bits).is_finite()));
    assert_eq!(one, bits(2, &corners));
    assert_eq!(one, bits(5, &corners));
    for at in [0, 63, 64, corners.len() - 1] {
        let alone = bits(1, &corners[at..=at]);
        assert_eq!(alone[..3], one[3 * at..][..3]);
        assert_eq!(alone[3..], one[3 * (corners.len() + at)..][..3]);
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let (image, parameters) = (vec![0; 20 * 30 * 3], vec![1.0; parameter_count(1, false)]);
    let model = Ensemble { members: 1, learned: false, parameters: &parameters, scale: &IDENTITY, shift: &ZEROS };
    let of = |model: &Ensemble<'_>, corner, size| {
        scored(model, [&image, &image], (20, 30), &[corner], size).unwrap_err().to_string()
    };
    assert!(of(&model, (0, 11), (20, 20)).contains("does not lie inside"));
    assert!(of(&model, (0, 0), (20, 18)).starts_with("a patch is 20x18 with 3 channels"));
    assert!(of(&Ensemble { members: 0, ..model }, (0, 0), (20, 20)).starts_with("the number of members is 0"));
    assert!(of(&Ensemble { learned: true, ..model }, (0, 0), (20, 20)).contains("the parameters"));
    assert!(of(&Ensemble { parameters: &parameters[1..], ..model }, (0, 0), (20, 20)).contains("the parameters"));
    let view = View::packed(&image, 20, 30, 3).unwrap();
    let (mut one, mut two) = ([0.0], [0.0; 2]);
    let corner = [(0, 0)];
    assert!(score_at(&model, &view, &view, &corner, (20, 20), &mut two, &mut one).is_err());
    assert!(score_at(&model, &view, &view, &corner, (20, 20), &mut one, &mut two).is_err());
    let narrow = View::packed(&image, 20, 15, 3).unwrap();
    assert!(score_at(&model, &view, &narrow, &corner, (20, 20), &mut one.clone(), &mut one).is_err());
}
