//! Kernels against the naive loops they stand for, over shapes, strides and values that proptest draws.

use pixq_core::fuse::{self, Fusion, Measured, PatchSums, Plan, Rows, blend_sum, blend_u8, patch_sums};
use pixq_core::psnr::{self, psnr_from_mse};
use pixq_core::{Batch, Error, Region, View, sample, tile};
use proptest::prelude::*;

/// An image with room round it: what its rows are strided through.
#[derive(Clone, Debug)]
struct Image {
    data: Vec<u8>,
    shape: [usize; 3],
    origin: usize,
    stride: isize,
}

impl Image {
    fn view(&self) -> View<'_, u8> {
        let [height, width, channels] = self.shape;
        View::new(&self.data, height, width, channels, self.origin, self.stride).expect("it was made to fit")
    }
    fn at(&self, y: usize, x: usize, c: usize) -> u8 {
        let row = self.origin as isize + self.stride * y as isize;
        self.data[row as usize + x * self.shape[2] + c]
    }
}

/// Samples with many extremes, where roundings and overflows are.
fn samples(count: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(255), Just(127), Just(128)], count)
}

fn image(shape: [usize; 3]) -> impl Strategy<Value = Image> {
    let [height, width, channels] = shape;
    (0usize..5, 0usize..4, any::<bool>()).prop_flat_map(move |(gap, before, reversed)| {
        let stride = width * channels + gap;
        samples(before + stride * height).prop_map(move |data| {
            let origin = if reversed { before + stride * (height - 1) } else { before };
            let stride = if reversed { -(stride as isize) } else { stride as isize };
            Image { data, shape, origin, stride }
        })
    })
}

fn region(height: usize, width: usize) -> impl Strategy<Value = Region> {
    (0..height, 0..width).prop_flat_map(move |(y, x)| {
        (1..=height - y, 1..=width - x).prop_map(move |(height, width)| Region { y, x, height, width })
    })
}

/// Two images, a patch size, corners and a RoI; half of the time the default geometry, which has code of its own.
#[derive(Clone, Debug)]
struct Case {
    reference: Image,
    distorted: Image,
    size: (usize, usize),
    roi: Region,
    corners: Vec<(usize, usize)>,
}

fn case() -> impl Strategy<Value = Case> {
    let shape = (20usize..45, 20usize..45, prop_oneof![Just(1usize), Just(3)]);
    (shape, any::<bool>()).prop_flat_map(|((height, width, channels), default)| {
        let size = if default { (20..=20, 20..=20) } else { (1..=height, 1..=width) };
        size.prop_flat_map(move |size| {
            let roi = if default {
                Just(Region { y: 4, x: 4, height: 12, width: 12 }).boxed()
            } else {
                region(size.0, size.1).boxed()
            };
            let corner = (0..=height - size.0, 0..=width - size.1);
            let shape = [height, width, channels];
            (image(shape), image(shape), roi, proptest::collection::vec(corner, 0..20))
                .prop_map(move |(reference, distorted, roi, corners)| Case { reference, distorted, size, roi, corners })
        })
    })
}

fn alpha() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(0.5), Just(1.0), Just(0.3), 0.0..=1.0f64]
}

fn fusion() -> impl Strategy<Value = Fusion> {
    prop_oneof![Just(Fusion::NONE), Just(Fusion::COPY), Just(Fusion::PASTE), alpha().prop_map(Fusion::blend)]
}

/// Any fusions; half of the time copy and blend, which have a sweep of their own where the geometry is the default.
fn fusions() -> impl Strategy<Value = Vec<Fusion>> {
    let usual = vec![Fusion::COPY, Fusion::blend(0.5)];
    prop_oneof![Just(usual), proptest::collection::vec(fusion(), 0..4)]
}

fn within(roi: Region, y: usize, x: usize) -> bool {
    (roi.y..roi.y + roi.height).contains(&y) && (roi.x..roi.x + roi.width).contains(&x)
}

/// One fused patch and its squared errors against the reference, over all of it and in the RoI.
fn naive(case: &Case, corner: (usize, usize), fusion: Fusion) -> (Vec<u8>, u64, u64) {
    naive_weighted(case, corner, |y, x| {
        let inside = within(case.roi, y, x);
        match (fusion.kind().name, fusion.alpha()) {
            ("none", None) => 0.0,
            ("copy", None) => f64::from(inside),
            ("paste", None) => f64::from(!inside),
            ("blend", Some(alpha)) => f64::from(inside) * alpha,
            _ => unreachable!("another fusion: {fusion:?}"),
        }
    })
}

/// [`naive`] by the weight of the reference at each pixel of the patch.
fn naive_weighted(case: &Case, corner: (usize, usize), weight: impl Fn(usize, usize) -> f64) -> (Vec<u8>, u64, u64) {
    let (mut fused, mut whole, mut inner) = (Vec::new(), 0, 0);
    for y in 0..case.size.0 {
        for x in 0..case.size.1 {
            for c in 0..case.reference.shape[2] {
                let r = case.reference.at(corner.0 + y, corner.1 + x, c);
                let d = case.distorted.at(corner.0 + y, corner.1 + x, c);
                let inside = within(case.roi, y, x);
                let weight = weight(y, x);
                let mean = (weight * f64::from(r) + (1.0 - weight) * f64::from(d) + 0.5).floor() as u8;
                let error = u64::from(r.abs_diff(mean)).pow(2);
                whole += error;
                inner += if inside { error } else { 0 };
                fused.push(mean);
            }
        }
    }
    (fused, whole, inner)
}

proptest! {
    #[test]
    fn one_pass_is_tile_fuse_and_measure(case in case(), fusions in fusions()) {
        let channels = case.reference.shape[2];
        let plan = Plan::new(case.size, channels, case.roi, &fusions).unwrap();
        let (count, samples) = (case.corners.len(), plan.patch_samples());
        let mut fused = vec![vec![9; count * samples]; fusions.len()];
        let mut measured = vec![vec![-1.0; count]; 2 * fusions.len()];
        let (whole, inner) = measured.split_at_mut(fusions.len());
        let out = Measured {
            fused: fused.iter_mut().map(Vec::as_mut_slice).collect(),
            psnr: whole.iter_mut().map(Vec::as_mut_slice).collect(),
            psnr_roi: inner.iter_mut().map(Vec::as_mut_slice).collect(),
        };
        fuse::fuse_at(&case.reference.view(), &case.distorted.view(), &case.corners, &plan, None, out).unwrap();
        let roi_samples = case.roi.height * case.roi.width * channels;
        for (k, &fusion) in fusions.iter().enumerate() {
            for (i, &corner) in case.corners.iter().enumerate() {
                let (expected, sum, roi_sum) = naive(&case, corner, fusion);
                prop_assert_eq!(&fused[k][i * samples..(i + 1) * samples], &expected);
                prop_assert_eq!(measured[k][i], psnr_from_mse(sum as f64 / samples as f64, 255.0));
                let roi = psnr_from_mse(roi_sum as f64 / roi_samples as f64, 255.0);
                prop_assert_eq!(measured[fusions.len() + k][i], roi);
            }
        }
    }

    #[test]
    fn rows_are_fused_as_chosen(case in case(), fusions in proptest::collection::vec(fusion(), 1..4), seed in any::<usize>()) {
        let (channels, count) = (case.reference.shape[2], case.corners.len());
        let plan = Plan::new(case.size, channels, case.roi, &fusions).unwrap();
        let samples = plan.patch_samples();
        let cut = |image: &Image| {
            let mut out = vec![0; count * samples];
            tile::tile(&image.view(), case.size, &case.corners, &mut out).unwrap();
            out
        };
        let (reference, distorted) = (cut(&case.reference), cut(&case.distorted));
        let shape = [count, case.size.0, case.size.1, channels];
        let which: Vec<u8> = (0..count).map(|i| (i.wrapping_mul(seed) % fusions.len()) as u8).collect();
        let rows: Vec<usize> = (0..count).rev().collect();
        let mut out = vec![0; count * samples];
        let batches = (Batch::packed(&reference, shape).unwrap(), Batch::packed(&distorted, shape).unwrap());
        let chosen = Rows { reference: &rows, distorted: &rows, which: Some(&which) };
        fuse::fuse_rows(&batches.0, &batches.1, chosen, &plan, &mut out).unwrap();
        for i in 0..count {
            let (expected, _, _) = naive(&case, case.corners[rows[i]], fusions[usize::from(which[i])]);
            prop_assert_eq!(&out[i * samples..(i + 1) * samples], &expected);
        }
        let mut first = vec![0; count * samples];
        fuse::fuse(&batches.0, &batches.1, &plan, &mut first).unwrap();
        for i in 0..count {
            prop_assert_eq!(&first[i * samples..(i + 1) * samples], &naive(&case, case.corners[i], fusions[0]).0);
        }
    }

    #[test]
    fn masks_follow_the_fusions(case in case(), fusion in fusion(), seed in any::<u64>()) {
        let (channels, count) = (case.reference.shape[2], case.corners.len());
        let mut generator = sample::Generator::new(seed, "mask");
        let weights: Vec<f64> = (0..case.size.0 * case.size.1).map(|_| generator.unit()).collect();
        let plan = Plan::new(case.size, channels, case.roi, &[fusion]).unwrap().with_mask(&weights).unwrap();
        let samples = plan.patch_samples();
        let mut fused = [(); 2].map(|()| vec![9; count * samples]);
        let mut measured = [(); 4].map(|()| vec![-1.0; count]);
        let [a, b, c, d] = &mut measured;
        let out = Measured {
            fused: fused.iter_mut().map(Vec::as_mut_slice).collect(),
            psnr: vec![a, b],
            psnr_roi: vec![c, d],
        };
        fuse::fuse_at(&case.reference.view(), &case.distorted.view(), &case.corners, &plan, None, out).unwrap();
        let roi_samples = (case.roi.height * case.roi.width * channels) as f64;
        for (i, &corner) in case.corners.iter().enumerate() {
            let by_mask = naive_weighted(&case, corner, |y, x| weights[y * case.size.1 + x]);
            for (k, (expected, sum, roi_sum)) in [naive(&case, corner, fusion), by_mask].into_iter().enumerate() {
                prop_assert_eq!(&fused[k][i * samples..(i + 1) * samples], &expected);
                prop_assert_eq!(measured[k][i], psnr_from_mse(sum as f64 / samples as f64, 255.0));
                prop_assert_eq!(measured[2 + k][i], psnr_from_mse(roi_sum as f64 / roi_samples, 255.0));
            }
        }
    }

    #[test]
    fn patch_sums_are_those_of_the_loop(case in case(), alpha in alpha()) {
        for &corner in &case.corners {
            let (_, whole, inside) = naive(&case, corner, Fusion::NONE);
            let largest = (0..case.size.0)
                .flat_map(|y| (0..case.size.1).map(move |x| (y, x)))
                .flat_map(|(y, x)| (0..case.reference.shape[2]).map(move |c| (corner.0 + y, corner.1 + x, c)))
                .map(|(y, x, c)| case.reference.at(y, x, c).abs_diff(case.distorted.at(y, x, c)))
                .max()
                .unwrap();
            let (r, d) = (case.reference.view(), case.distorted.view());
            let found = patch_sums(&r, &d, corner.0, corner.1, case.size, case.roi);
            prop_assert_eq!(found, PatchSums { outside: whole - inside, inside, largest });
            let (_, _, blended) = naive(&case, corner, Fusion::blend(alpha));
            prop_assert_eq!(blend_sum(&r, &d, corner.0, corner.1, case.roi, alpha), blended);
        }
    }

    #[test]
    fn tiles_go_back_where_they_were(case in case()) {
        let [height, width, channels] = case.reference.shape;
        let samples = case.size.0 * case.size.1 * channels;
        let mut patches = vec![0; case.corners.len() * samples];
        tile::tile(&case.reference.view(), case.size, &case.corners, &mut patches).unwrap();
        let shape = [case.corners.len(), case.size.0, case.size.1, channels];
        let mut out = vec![7; height * width * channels];
        tile::untile(&Batch::packed(&patches, shape).unwrap(), &case.corners, height, width, &mut out).unwrap();
        for y in 0..height {
            for x in 0..width {
                let covered = case.corners.iter().any(|&(top, left)| {
                    (top..top + case.size.0).contains(&y) && (left..left + case.size.1).contains(&x)
                });
                for c in 0..channels {
                    let expected = if covered { case.reference.at(y, x, c) } else { 0 };
                    prop_assert_eq!(out[(y * width + x) * channels + c], expected);
                }
            }
        }
    }

    #[test]
    fn variance_is_that_of_the_box(case in case()) {
        let ([height, width, channels], size) = (case.reference.shape, case.size);
        let (rows, columns) = (height - size.0 + 1, width - size.1 + 1);
        let mut map = vec![-1.0; rows * columns];
        sample::local_variance(&case.reference.view(), size, &mut map).unwrap();
        let n = (size.0 * size.1) as u64;
        for y in 0..rows {
            for x in 0..columns {
                let mut sum = 0;
                for c in 0..channels {
                    let values = (0..size.0).flat_map(|dy| (0..size.1).map(move |dx| (dy, dx)));
                    let values: Vec<u64> =
                        values.map(|(dy, dx)| u64::from(case.reference.at(y + dy, x + dx, c))).collect();
                    let total: u64 = values.iter().sum();
                    sum += n * values.iter().map(|value| value * value).sum::<u64>() - total * total;
                }
                prop_assert_eq!(map[y * columns + x], sum as f64 / ((n * n) as f64 * channels as f64));
            }
        }
    }

    #[test]
    fn blends_round_half_up(r in any::<u8>(), d in any::<u8>(), alpha in alpha()) {
        let expected = (alpha * f64::from(r) + (1.0 - alpha) * f64::from(d) + 0.5).floor();
        prop_assert_eq!(f64::from(blend_u8(r, d, alpha)), expected);
        prop_assert_eq!(blend_u8(r, d, 0.5), ((u16::from(r) + u16::from(d) + 1) >> 1) as u8);
    }

    #[test]
    fn no_geometry_reaches_outside(
        len in 0usize..40,
        shape in (0usize..6, 0usize..6, 0usize..4),
        origin in 0usize..45,
        stride in -20isize..20,
    ) {
        let data: Vec<u8> = (0..len as u8).collect();
        let (height, width, channels) = shape;
        let starts = (0..height as isize).map(|y| origin as isize + y * stride);
        let row = (width * channels) as isize;
        let fits = starts.clone().all(|start| start >= 0 && start + row <= len as isize);
        match View::new(&data, height, width, channels, origin, stride) {
            Ok(view) if row > 0 && height > 0 => {
                prop_assert!(fits);
                for (y, start) in starts.enumerate() {
                    prop_assert_eq!(view.row(y), &data[start as usize..(start + row) as usize]);
                }
            }
            Ok(view) => {
                prop_assert!(origin <= len);
                (0..height).for_each(|y| assert!(view.row(y).is_empty()));
            }
            Err(Error::OutOfBuffer { .. }) => prop_assert!(!fits || origin > len),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

#[test]
fn geometry_at_the_ends_of_the_integers_is_refused() {
    let data = [0u8; 16];
    let refused = |view: Result<View<'_, u8>, Error>| assert!(matches!(view, Err(Error::OutOfBuffer { .. })));
    refused(View::new(&data, usize::MAX, 1, 1, 0, isize::MAX));
    refused(View::new(&data, usize::MAX, 1, 1, 8, isize::MIN));
    refused(View::new(&data, 1, usize::MAX, 3, 0, 0));
    refused(View::new(&data, 1, usize::MAX, 1, 1, 0));
    refused(View::new(&data, 0, 1, 1, 17, 1));
    refused(View::packed(&data, 2, usize::MAX, 1));
    let batch = Batch::new(&data, [usize::MAX, usize::MAX, 1, 1], 0, isize::MAX, isize::MAX);
    assert!(matches!(batch, Err(Error::OutOfBuffer { .. })));
    let batch = Batch::new(&data, [usize::MAX, usize::MAX, 1, 1], 0, isize::MIN, isize::MIN);
    assert!(matches!(batch, Err(Error::OutOfBuffer { .. })));
    // A stride of 0 repeats one row as often as one likes.
    assert_eq!(View::new(&data, usize::MAX, 4, 4, 0, 0).unwrap().row(usize::MAX - 1), &data);
}

/// A crop in the middle of an image: a patch that leaves the crop is still inside the image's buffer.
fn outside_a_crop(measure: impl Fn(&View<'_, u8>, usize, usize) -> u64 + std::panic::RefUnwindSafe) {
    let data = vec![0; 80 * 80 * 3];
    let image = View::packed(&data, 80, 80, 3).unwrap();
    let crop = image.crop("the crop", Region { y: 20, x: 20, height: 40, width: 40 }).unwrap();
    let refused = |y: usize, x: usize| std::panic::catch_unwind(|| measure(&crop, y, x)).is_err();
    assert!(!refused(0, 0) && !refused(20, 20));
    assert!(refused(21, 0) && refused(0, 21) && refused(usize::MAX, 0) && refused(0, usize::MAX - 3));
}

#[test]
fn patches_outside_a_crop_are_not_measured() {
    const ROI: Region = Region { y: 4, x: 4, height: 12, width: 12 };
    outside_a_crop(|crop, y, x| patch_sums(crop, crop, y, x, (20, 20), ROI).inside);
    outside_a_crop(|crop, y, x| patch_sums(crop, crop, y, x, (20, 20), Region { y: 0, ..ROI }).inside);
    // A blend needs its RoI alone, whatever is round it.
    let whole = Region { y: 0, x: 0, height: 20, width: 20 };
    outside_a_crop(|crop, y, x| blend_sum(crop, crop, y, x, whole, 0.5));
    outside_a_crop(|crop, y, x| blend_sum(crop, crop, y, x, whole, 0.3));
    let roi_outside = Region { height: 17, ..ROI };
    let data = [0; 60 * 60 * 3];
    let (image, narrow) = (View::packed(&data, 60, 60, 3).unwrap(), View::packed(&data, 60, 59, 3).unwrap());
    assert!(std::panic::catch_unwind(|| patch_sums(&image, &image, 0, 0, (20, 20), roi_outside)).is_err());
    assert!(std::panic::catch_unwind(|| patch_sums(&image, &narrow, 0, 0, (20, 20), ROI)).is_err());
}

#[test]
fn large_sums_are_exact() {
    // 2^28 samples of 65535^2 sum to nearly 2^60; a stride of 0 makes so many of one row.
    let (black, white) = (vec![0u16; 1 << 16], vec![u16::MAX; 1 << 16]);
    let view = |row| View::new(row, 1 << 12, 1 << 16, 1, 0, 0).unwrap();
    assert_eq!(psnr::mse(&view(&black), &view(&white), None).unwrap(), 65535.0 * 65535.0);
}
