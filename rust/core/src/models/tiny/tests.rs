//! Against the network written out in `f64`, layer by layer.

use super::*;

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

/// Channels of `height` x `width`, one after the other.
#[derive(Clone)]
struct Maps {
    channels: usize,
    size: (usize, usize),
    data: Vec<f64>,
}

impl Maps {
    fn zeros(channels: usize, size: (usize, usize)) -> Self {
        Self { channels, size, data: vec![0.0; channels * size.0 * size.1] }
    }
    fn at(&self, c: usize, y: usize, x: usize) -> usize {
        (c * self.size.0 + y) * self.size.1 + x
    }
    fn area(&self) -> usize {
        self.size.0 * self.size.1
    }
}

/// Calls `f` with the places of an output, a weight and an input of a convolution, for all there are.
fn convolve(input: &Maps, out: &Maps, kernel: usize, mut f: impl FnMut(usize, usize, usize)) {
    for o in 0..out.channels {
        for i in 0..input.channels {
            for (dy, dx) in (0..kernel * kernel).map(|tap| (tap / kernel, tap % kernel)) {
                let weight = ((o * input.channels + i) * kernel + dy) * kernel + dx;
                for (y, x) in (0..out.area()).map(|p| (p / out.size.1, p % out.size.1)) {
                    f(out.at(o, y, x), weight, input.at(i, y + dy, x + dx));
                }
            }
        }
    }
}

fn forward_conv(input: &Maps, channels: usize, kernel: usize, weight: &[f64], bias: &[f64]) -> Maps {
    let mut out = Maps::zeros(channels, (input.size.0 + 1 - kernel, input.size.1 + 1 - kernel));
    let shape = out.clone();
    convolve(input, &shape, kernel, |o, w, i| out.data[o] += weight[w] * input.data[i]);
    let area = out.area();
    out.data.iter_mut().enumerate().for_each(|(i, x)| *x += bias[i / area]);
    out
}

/// The gradients by the input, weight and bias.
fn backward_conv(input: &Maps, back: &Maps, kernel: usize, weight: &[f64]) -> (Maps, Vec<f64>, Vec<f64>) {
    let (mut to, mut by_weight) = (Maps::zeros(input.channels, input.size), vec![0.0; weight.len()]);
    convolve(input, back, kernel, |o, w, i| {
        to.data[i] += weight[w] * back.data[o];
        by_weight[w] += input.data[i] * back.data[o];
    });
    (to, by_weight, back.data.chunks(back.area()).map(|channel| channel.iter().sum()).collect())
}

/// Normalised values, and 1 / deviation of each group.
fn normalise(raw: &Maps) -> (Maps, Vec<f64>) {
    let mut out = raw.clone();
    let scales = out.data.chunks_mut(4 * raw.area()).map(|group| {
        let count = group.len() as f64;
        let mean = group.iter().sum::<f64>() / count;
        let scale = 1.0 / (group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count + 1e-5).sqrt();
        group.iter_mut().for_each(|x| *x = (*x - mean) * scale);
        scale
    });
    let scales = scales.collect();
    (out, scales)
}

fn affine(normal: &Maps, weight: &[f64], bias: &[f64]) -> Maps {
    let (mut out, area) = (normal.clone(), normal.area());
    out.data.iter_mut().enumerate().for_each(|(i, x)| *x = *x * weight[i / area] + bias[i / area]);
    out
}

/// The gradients by what was normalised, by weight and bias.
fn backward_norm(normal: &Maps, scales: &[f64], back: &Maps, weight: &[f64]) -> (Maps, Vec<f64>, Vec<f64>) {
    let area = normal.area();
    let sums =
        |f: &dyn Fn(usize) -> f64| (0..normal.channels).map(|c| (c * area..(c + 1) * area).map(f).sum()).collect();
    let (by_weight, by_bias) = (sums(&|i| back.data[i] * normal.data[i]), sums(&|i| back.data[i]));
    let mut to = back.clone();
    to.data.iter_mut().enumerate().for_each(|(i, x)| *x *= weight[i / area]);
    for ((group, normal), scale) in to.data.chunks_mut(4 * area).zip(normal.data.chunks(4 * area)).zip(scales) {
        let count = group.len() as f64;
        let mean = group.iter().sum::<f64>() / count;
        let product = group.iter().zip(normal).map(|(g, x)| g * x).sum::<f64>() / count;
        group.iter_mut().zip(normal).for_each(|(g, x)| *g = scale * (*g - mean - x * product));
    }
    (to, by_weight, by_bias)
}

fn relu(maps: &Maps) -> Maps {
    let mut out = maps.clone();
    out.data.iter_mut().for_each(|x| *x = x.max(0.0));
    out
}

/// What goes back through a ReLU.
fn gated(mut back: Maps, of: &Maps) -> Maps {
    back.data.iter_mut().zip(&of.data).filter(|(_, of)| **of <= 0.0).for_each(|(back, _)| *back = 0.0);
    back
}

/// The score of a pair and its gradient.
fn naive(norm: bool, parameters: &[f64], input: &Maps) -> (f64, Vec<f64>) {
    let mut rest = parameters;
    let mut take = |count: usize| {
        let (some, others) = rest.split_at(count);
        rest = others;
        some
    };
    let no_norm = |channels: usize| (vec![1.0; channels], vec![0.0; channels]);
    let (w1, b1) = (take(2592), take(32));
    let (g1, e1) = if norm { (take(32).to_vec(), take(32).to_vec()) } else { no_norm(32) };
    let (w2, b2) = (take(512), take(16));
    let (g2, e2) = if norm { (take(16).to_vec(), take(16).to_vec()) } else { no_norm(16) };
    let (w3, b3, linear, bias) = (take(1152), take(8), take(8), take(1));

    let normal = |raw: Maps| if norm { normalise(&raw) } else { (raw, Vec::new()) };
    let (n1, s1) = normal(forward_conv(input, 32, 3, w1, b1));
    let z1 = affine(&n1, &g1, &e1);
    let (n2, s2) = normal(forward_conv(&relu(&z1), 16, 1, w2, b2));
    let z2 = affine(&n2, &g2, &e2);
    let z3 = forward_conv(&relu(&z2), 8, 3, w3, b3);
    let area = z3.area();
    let means: Vec<f64> = relu(&z3).data.chunks(area).map(|c| c.iter().sum::<f64>() / area as f64).collect();
    let score = bias[0] + means.iter().zip(linear).map(|(m, w)| m * w).sum::<f64>();

    let mut back = z3.clone();
    back.data.iter_mut().enumerate().for_each(|(i, x)| *x = linear[i / area] / area as f64);
    let (back, dw3, db3) = backward_conv(&relu(&z2), &gated(back, &z3), 3, w3);
    let through = |back: Maps, n: &Maps, s: &[f64], g: &[f64]| match norm {
        true => backward_norm(n, s, &back, g),
        false => (back, Vec::new(), Vec::new()),
    };
    let (back, dg2, de2) = through(gated(back, &z2), &n2, &s2, &g2);
    let (back, dw2, db2) = backward_conv(&relu(&z1), &back, 1, w2);
    let (back, dg1, de1) = through(gated(back, &z1), &n1, &s1, &g1);
    let (_, dw1, db1) = backward_conv(input, &back, 3, w1);
    (score, [dw1, db1, dg1, de1, dw2, db2, dg2, de2, dw3, db3, means, vec![1.0]].concat())
}

/// Pairs, a network for them, and the loss's gradient by the scores.
pub(super) struct Case {
    pub norm: bool,
    pub shape: [usize; 4],
    pub images: [Vec<u8>; 2],
    pub parameters: Vec<f32>,
    pub scale: [f32; 9],
    pub shift: [f32; 9],
    back: Vec<f32>,
}

impl Case {
    pub fn new(seed: u64, norm: bool, [n, height, width]: [usize; 3]) -> Self {
        let mut draw = Draw(seed);
        let shape = [n, height, width, 3];
        let images = [(); 2].map(|()| draw.bytes(shape.iter().product()));
        let mut parameters: Vec<f32> = (0..parameter_count(norm)).map(|_| (draw.next() - 0.5) * 0.4).collect();
        if norm {
            parameters[2624..2656].iter_mut().for_each(|weight| *weight += 1.0);
            parameters[3216..3232].iter_mut().for_each(|weight| *weight += 1.0);
        }
        let scale = std::array::from_fn(|_| (0.5 + draw.next()) / 64.0);
        let shift = std::array::from_fn(|_| draw.next() * -2.0);
        let back = (0..n).map(|_| draw.next() - 0.3).collect();
        Self { norm, shape, images, parameters, scale, shift, back }
    }
    fn batches(&self) -> [Batch<'_, u8>; 2] {
        [0, 1].map(|i| Batch::packed(&self.images[i], self.shape).unwrap())
    }
    pub fn network(&self) -> Network<'_> {
        Network { norm: self.norm, parameters: &self.parameters, scale: &self.scale, shift: &self.shift }
    }
    /// Scores, and the gradient by the parameters, on one kind of processor.
    fn run(&self, arch: pulp::Arch) -> [Vec<f32>; 2] {
        let [reference, distorted] = self.batches();
        let mut tape = Tape::new(self.norm);
        let (mut scores, mut gradient) = (vec![f32::NAN; self.shape[0]], vec![f32::NAN; self.parameters.len()]);
        tape.forward_on(arch, &self.network(), &reference, &distorted, &mut scores).unwrap();
        tape.backward(&self.back, &mut gradient).unwrap();
        [scores, gradient]
    }
    fn naive(&self) -> [Vec<f64>; 2] {
        let [n, height, width, _] = self.shape;
        let parameters: Vec<f64> = self.parameters.iter().map(|&p| p.into()).collect();
        let mut gradient = vec![0.0; parameters.len()];
        let scores = (0..n).map(|i| {
            let mut input = Maps::zeros(9, (height, width));
            for p in 0..height * width {
                for c in 0..3 {
                    let [r, d] = [0, 1].map(|image| f64::from(self.images[image][(i * height * width + p) * 3 + c]));
                    for (c, x) in [(c, r), (3 + c, d), (6 + c, (r - d).abs())] {
                        input.data[c * height * width + p] = x * f64::from(self.scale[c]) + f64::from(self.shift[c]);
                    }
                }
            }
            let (score, by_parameter) = naive(self.norm, &parameters, &input);
            for (sum, x) in gradient.iter_mut().zip(by_parameter) {
                *sum += x * f64::from(self.back[i]);
            }
            score
        });
        let scores = scores.collect();
        [scores, gradient]
    }
}

/// An error unless all are as `expected`, up to a part of the largest.
fn close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-9, |most: f64, x| most.max(x.abs()));
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(error <= tolerance * largest, "{what}: {i} is {found}, expected {expected}");
    }
}

/// Every kind of processor that this one can stand for.
pub(super) fn archs() -> Vec<pulp::Arch> {
    let mut archs = vec![pulp::Arch::Scalar, pulp::Arch::new()];
    #[cfg(target_arch = "x86_64")]
    archs.extend(pulp::x86::V3::try_new().map(pulp::Arch::V3));
    archs
}

#[test]
fn scores_and_gradients_are_those_of_the_network_written_out() {
    let shapes = [[2, 5, 5], [3, 20, 20], [1, 7, 31], [1, 6, 9], [1, 12, 14], [1, 8, 11], [1, 40, 43], [1, 9, 5]];
    for (seed, shape) in shapes.into_iter().enumerate() {
        for norm in [true, false] {
            let case = Case::new(seed as u64, norm, shape);
            let [scores, gradient] = case.naive();
            for arch in archs() {
                let found = case.run(arch);
                let what = format!("{shape:?}, norm {norm}, {arch:?}");
                close(&format!("scores, {what}"), &found[0], &scores, 1e-5);
                let mut end = 0;
                let lens: &[usize] = match norm {
                    true => &[2592, 32, 32, 32, 512, 16, 16, 16, 1152, 8, 8, 1],
                    false => &[2592, 32, 512, 16, 1152, 8, 8, 1],
                };
                for (i, len) in lens.iter().enumerate() {
                    let part = end..end + len;
                    close(&format!("gradient {i}, {what}"), &found[1][part.clone()], &gradient[part], 2e-5);
                    end += len;
                }
            }
        }
    }
}

#[test]
fn neither_threads_nor_what_was_done_before_change_a_bit() {
    for norm in [true, false] {
        let cases = [[37, 20, 20], [1, 40, 8], [5, 8, 40], [37, 20, 20]].map(|shape| Case::new(3, norm, shape));
        let run = |threads: usize| {
            parallel::set_num_threads(threads).unwrap();
            let mut tape = Tape::new(norm);
            let results = cases.iter().map(|case| {
                let [reference, distorted] = case.batches();
                let (mut scores, mut again) = (vec![0.0; case.shape[0]], vec![0.0; case.shape[0]]);
                let mut gradient = vec![0.0; case.parameters.len()];
                tape.forward(&case.network(), &reference, &distorted, &mut scores).unwrap();
                tape.backward(&case.back, &mut gradient).unwrap();
                score(&case.network(), &reference, &distorted, &mut again).unwrap();
                assert_eq!(scores, again, "{:?}", case.shape);
                [scores, gradient].map(|of| of.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            });
            results.collect::<Vec<_>>()
        };
        let one = run(1);
        assert_eq!(one[0], one[3]);
        for threads in [2, 3] {
            assert!(one == run(threads), "{threads} threads");
        }
    }
}

#[test]
fn a_flat_pair_is_finite_and_no_pair_has_no_gradient() {
    for norm in [true, false] {
        let mut case = Case::new(5, norm, [2, 20, 20]);
        case.images = [vec![128; 2400], vec![128; 2400]];
        let ([scores, gradient], expected) = (case.run(parallel::arch()), case.naive());
        close("scores", &scores, &expected[0], 1e-5);
        close("gradient", &gradient, &expected[1], 1e-4);
        let case = Case::new(5, norm, [0, 20, 20]);
        assert_eq!(case.run(parallel::arch()), [vec![], vec![0.0; parameter_count(norm)]]);
    }
}

#[test]
fn a_nan_shows() {
    for (norm, at) in [(true, 0), (false, 0), (true, 3300), (false, 3300), (true, 4416)] {
        let mut case = Case::new(1, norm, [1, 20, 20]);
        let at = at.min(case.parameters.len() - 1);
        case.parameters[at] = f32::NAN;
        for arch in archs() {
            assert!(case.run(arch)[0][0].is_nan(), "parameter {at}");
        }
    }
}

#[test]
fn a_nan_of_the_call_before_does_not() {
    // The third layer takes rows in pairs, and of an odd number it reads one that is none of the patch's.
    for norm in [true, false] {
        let (mut large, small) = (Case::new(1, norm, [1, 20, 21]), Case::new(1, norm, [1, 19, 20]));
        large.parameters[3300] = f32::NAN;
        let (mut tape, mut out) = (Tape::new(norm), [0.0]);
        for case in [&large, &small] {
            let [reference, distorted] = case.batches();
            tape.forward(&case.network(), &reference, &distorted, &mut out).unwrap();
            assert_eq!(out[0].is_nan(), case.parameters[3300].is_nan());
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let case = Case::new(1, true, [2, 5, 6]);
    let [reference, distorted] = case.batches();
    let short = Case::new(1, true, [2, 4, 6]);
    let [low, _] = short.batches();
    let mut tape = Tape::new(true);
    let mut out = [0.0; 2];
    assert!(tape.forward(&case.network(), &reference, &low, &mut out).is_err());
    assert!(tape.forward(&short.network(), &low, &low, &mut out).is_err());
    assert!(tape.forward(&Network { norm: false, ..case.network() }, &reference, &distorted, &mut out).is_err());
    let few = Network { parameters: &case.parameters[1..], ..case.network() };
    assert!(tape.forward(&few, &reference, &distorted, &mut out).is_err());
    assert!(tape.forward(&case.network(), &reference, &distorted, &mut out[..1]).is_err());
    assert!(score(&few, &reference, &distorted, &mut out).is_err());
    assert!(tape.backward(&[], &mut vec![0.0; 4417]).is_ok(), "nothing was scored");
    tape.forward(&case.network(), &reference, &distorted, &mut out).unwrap();
    assert!(tape.backward(&[1.0], &mut vec![0.0; 4417]).is_err());
    assert!(tape.backward(&[1.0; 2], &mut vec![0.0; 4416]).is_err());
}
