//! Kernels against memcpy of the same output, timed in turns.
//!
//! `cargo bench -p pixq-core --bench kernels` prints criterion's times and throughputs, then the ratios that the
//! project promises: for those, kernel and baseline alternate in one loop and the best of each counts, as another
//! process on the machine can only slow a run down.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use pixq_core::fuse::{Fusion, Measured, Plan, blend_sum, fuse_at, patch_sums};
use pixq_core::psnr::psnr;
use pixq_core::sample::{local_variance, texture};
use pixq_core::tile::{grid, tile};
use pixq_core::{Region, View, parallel};

const ROI: Region = Region { y: 4, x: 4, height: 12, width: 12 };
const SIZE: (usize, usize) = (20, 20);
const SIZES: [(usize, usize); 3] = [(384, 512), (1080, 1920), (3000, 4000)];

/// Two images that differ, and all that one pass over them writes.
struct Work {
    height: usize,
    width: usize,
    reference: Vec<u8>,
    distorted: Vec<u8>,
    corners: Vec<(usize, usize)>,
    plan: Plan,
    fused: [Vec<u8>; 2],
    psnr: [Vec<f64>; 4],
}

impl Work {
    fn new((height, width): (usize, usize)) -> Self {
        let noise = |mut state: u32| {
            let sample = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..height * width * 3).map(sample).collect::<Vec<u8>>()
        };
        let corners = grid(height, width, SIZE, SIZE);
        let n = corners.len();
        Self {
            height,
            width,
            reference: noise(1),
            distorted: noise(2),
            plan: Plan::new(SIZE, 3, ROI, &[Fusion::COPY, Fusion::blend(0.5)]).expect("a lawful plan"),
            fused: [vec![1; n * 1200], vec![1; n * 1200]],
            psnr: std::array::from_fn(|_| vec![0.0; n]),
            corners,
        }
    }
    fn bytes(&self) -> usize {
        2 * self.fused[0].len()
    }
    fn views(&self) -> [View<'_, u8>; 2] {
        [&self.reference, &self.distorted].map(|data| View::packed(data, self.height, self.width, 3).expect("it fits"))
    }
    fn one_pass(&mut self) {
        let [reference, distorted] = [&self.reference, &self.distorted]
            .map(|data| View::packed(data, self.height, self.width, 3).expect("it fits"));
        let [a, b] = &mut self.fused;
        let [p, q, r, s] = &mut self.psnr;
        let out = Measured { fused: vec![a, b], psnr: vec![p, q], psnr_roi: vec![r, s] };
        fuse_at(&reference, &distorted, &self.corners, &self.plan, None, out).expect("lawful input");
        black_box(&mut self.fused);
    }
}

/// Copies `source` to both outputs, each half by a thread of its own if there are two.
fn memcpy(source: &[u8], out: &mut [Vec<u8>; 2], threads: usize) {
    let (first, second) = source.split_at(out[0].len());
    let [a, b] = out;
    match parallel::pool().filter(|_| threads > 1) {
        Some(pool) => pool.install(|| {
            pool.join(|| a.copy_from_slice(first), || b.copy_from_slice(second));
        }),
        None => {
            a.copy_from_slice(first);
            b.copy_from_slice(second);
        }
    }
    black_box(out);
}

fn one_pass(c: &mut Criterion) {
    for threads in [1, 2] {
        parallel::set_num_threads(threads).expect("a lawful number");
        let mut group = c.benchmark_group(format!("fuse_at copy+blend, {threads} threads"));
        for size in SIZES {
            let mut work = Work::new(size);
            let source = vec![3; work.bytes()];
            group.throughput(Throughput::Bytes(work.bytes() as u64));
            let name = format!("{}x{}", size.0, size.1);
            group.bench_function(BenchmarkId::new("pixq", &name), |b| b.iter(|| work.one_pass()));
            group.bench_function(BenchmarkId::new("memcpy", &name), |b| {
                b.iter(|| memcpy(&source, &mut work.fused, threads))
            });
        }
    }
    parallel::set_num_threads(1).expect("a lawful number");
}

fn single(c: &mut Criterion) {
    let mut group = c.benchmark_group("one patch");
    let work = Work::new((20, 20));
    let [r, d] = work.views();
    group.bench_function("patch_sums", |b| b.iter(|| patch_sums(black_box(&r), black_box(&d), 0, 0, SIZE, ROI)));
    group.bench_function("blend_sum 0.5", |b| b.iter(|| blend_sum(black_box(&r), black_box(&d), 0, 0, ROI, 0.5)));
    group.bench_function("blend_sum 0.3", |b| b.iter(|| blend_sum(black_box(&r), black_box(&d), 0, 0, ROI, 0.3)));
    let mut work = Work::new((20, 20));
    group.bench_function("fuse_at", |b| b.iter(|| work.one_pass()));
    group.finish();
    for size in SIZES {
        let mut work = Work::new(size);
        let name = format!("{}x{}", size.0, size.1);
        let mut group = c.benchmark_group("other kernels, 1 thread");
        group.throughput(Throughput::Bytes(work.reference.len() as u64));
        let mut out = std::mem::take(&mut work.fused[0]);
        let [r, d] = work.views();
        group.bench_function(BenchmarkId::new("tile", &name), |b| b.iter(|| tile(&r, SIZE, &work.corners, &mut out)));
        group.bench_function(BenchmarkId::new("psnr", &name), |b| b.iter(|| psnr(&r, &d, None, None)));
        let mut map = vec![0.0; (size.0 - 19) * (size.1 - 19)];
        group.bench_function(BenchmarkId::new("local_variance", &name), |b| {
            b.iter(|| local_variance(&r, SIZE, &mut map))
        });
        group.bench_function(BenchmarkId::new("texture 100", &name), |b| b.iter(|| texture(&r, SIZE, 100, 1, "key")));
    }
}

fn best(rounds: usize, mut runs: [&mut dyn FnMut(); 2]) -> [Duration; 2] {
    let mut best = [Duration::MAX; 2];
    for _ in 0..rounds {
        for (best, run) in best.iter_mut().zip(&mut runs) {
            let start = Instant::now();
            run();
            *best = start.elapsed().min(*best);
        }
    }
    best
}

/// The promised ratios: bytes written in a second, by pixq over by memcpy.
fn ratios() {
    println!("\nfuse_at (copy + blend + 4 PSNR) against memcpy of the same output bytes, best of alternating runs");
    for (size, threads, target) in [((384, 512), 1, 0.6), ((3000, 4000), 1, 0.6), ((3000, 4000), 2, 0.8)] {
        parallel::set_num_threads(threads).expect("a lawful number");
        let mut work = Work::new(size);
        let source = vec![3; work.bytes()];
        let bytes = work.bytes() as f64;
        let mut copied = work.fused.clone();
        let rounds = if size.0 < 1000 { 3000 } else { 60 };
        let [pixq, copy] = best(rounds, [&mut || work.one_pass(), &mut || memcpy(&source, &mut copied, threads)]);
        println!(
            "{}x{}, {threads} threads: {:.3} ms, {:.1} GB/s; memcpy {:.3} ms, {:.1} GB/s; ratio {:.2} (target {target})",
            size.0,
            size.1,
            pixq.as_secs_f64() * 1e3,
            bytes / pixq.as_secs_f64() / 1e9,
            copy.as_secs_f64() * 1e3,
            bytes / copy.as_secs_f64() / 1e9,
            copy.as_secs_f64() / pixq.as_secs_f64(),
        );
    }
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group! { name = kernels; config = quick(); targets = one_pass, single }

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build, whose times mean nothing; run `cargo bench`");
        std::process::exit(2);
    }
    // `cargo bench -- --test` only checks that everything runs, `-- ratios` prints the ratios alone.
    if !std::env::args().any(|argument| argument == "ratios") {
        kernels();
        Criterion::default().configure_from_args().final_summary();
    }
    ratios();
}
