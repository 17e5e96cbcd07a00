//! The default patch, 20x20 RGB of 8 bits with a RoI of 12x12, in explicit vectors.
//!
//! Left to the compiler, the sums of one patch take 145 ns; with 16-bit multiply-adds, kept in lanes from the
//! first row to the last, they take 31 ns (AMD EPYC, Zen 5). A row of 60 samples is two overlapping halves of 32;
//! lanes that would count twice, or lie outside what is summed, are left out at the end.

use super::{Recipe, Source};
use crate::fuse::Mix;
use crate::view::View;

/// Samples of a row, of a patch, and of a RoI.
pub(crate) const ROW: usize = 60;
pub(crate) const PATCH: usize = 20 * ROW;
pub(crate) const ROI: usize = 12 * 36;

type Half = [u8; 32];

/// 16 lanes of sums of squares of pairs of samples, on one kind of processor.
pub(crate) trait Lanes: Copy {
    /// The lanes.
    type Sums: Copy;
    /// All lanes 0.
    fn zero(self) -> Self::Sums;
    /// The lanes with the squared differences of `a` and `b` added, sample `i` to lane `i / 2`.
    fn add(self, sums: Self::Sums, a: &Half, b: &Half) -> Self::Sums;
    /// The lanes, one by one.
    fn split(self, sums: Self::Sums) -> [i32; 16];
    /// Means rounded half up.
    fn half(self, a: &Half, b: &Half) -> Half;
    /// `inside` in the RoI's columns of the first half of a row, 12..32, `outside` in the others.
    fn first(self, inside: &Half, outside: &Half) -> Half;
    /// `inside` in the RoI's columns of the second half of a row, 28..48, `outside` in the others.
    fn second(self, inside: &Half, outside: &Half) -> Half;
    /// Asks for the cache line at `byte`.
    fn prefetch(self, byte: &u8);
}

/// Any processor.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Lanes for Portable {
    type Sums = [i32; 16];
    #[inline(always)]
    fn zero(self) -> [i32; 16] {
        [0; 16]
    }
    #[inline(always)]
    fn add(self, mut sums: [i32; 16], a: &Half, b: &Half) -> [i32; 16] {
        for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
            let e = i32::from(a) - i32::from(b);
            sums[i / 2] += e * e;
        }
        sums
    }
    #[inline(always)]
    fn split(self, sums: [i32; 16]) -> [i32; 16] {
        sums
    }
    #[inline(always)]
    fn half(self, a: &Half, b: &Half) -> Half {
        std::array::from_fn(|i| u8::half(a[i], b[i]))
    }
    #[inline(always)]
    fn first(self, inside: &Half, outside: &Half) -> Half {
        std::array::from_fn(|i| if i >= 12 { inside[i] } else { outside[i] })
    }
    #[inline(always)]
    fn second(self, inside: &Half, outside: &Half) -> Half {
        std::array::from_fn(|i| if i < 20 { inside[i] } else { outside[i] })
    }
    #[inline(always)]
    fn prefetch(self, _: &u8) {}
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256i, __m512i, _MM_HINT_T0};

    use pulp::cast;
    use pulp::x86::{V3, V4};

    use super::{Half, Lanes};

    impl Lanes for V4 {
        type Sums = __m512i;
        #[inline(always)]
        fn zero(self) -> __m512i {
            cast([0i32; 16])
        }
        #[inline(always)]
        fn add(self, sums: __m512i, a: &Half, b: &Half) -> __m512i {
            let wide = |half: &Half| self.avx512bw._mm512_cvtepu8_epi16(cast(*half));
            let e = self.avx512bw._mm512_sub_epi16(wide(a), wide(b));
            self.avx512f._mm512_add_epi32(sums, self.avx512bw._mm512_madd_epi16(e, e))
        }
        #[inline(always)]
        fn split(self, sums: __m512i) -> [i32; 16] {
            cast(sums)
        }
        #[inline(always)]
        fn half(self, a: &Half, b: &Half) -> Half {
            cast(self.avx2._mm256_avg_epu8(cast(*a), cast(*b)))
        }
        #[inline(always)]
        fn first(self, inside: &Half, outside: &Half) -> Half {
            cast(self.avx2._mm256_blend_epi32::<0b1111_1000>(cast(*outside), cast(*inside)))
        }
        #[inline(always)]
        fn second(self, inside: &Half, outside: &Half) -> Half {
            cast(self.avx2._mm256_blend_epi32::<0b0001_1111>(cast(*outside), cast(*inside)))
        }
        #[inline(always)]
        fn prefetch(self, byte: &u8) {
            self.sse._mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast());
        }
    }

    impl Lanes for V3 {
        type Sums = [__m256i; 2];
        #[inline(always)]
        fn zero(self) -> [__m256i; 2] {
            [cast([0i32; 8]); 2]
        }
        #[inline(always)]
        fn add(self, sums: [__m256i; 2], a: &Half, b: &Half) -> [__m256i; 2] {
            let (a, b): ([[u8; 16]; 2], [[u8; 16]; 2]) = (cast(*a), cast(*b));
            let step = |sum: __m256i, a: [u8; 16], b: [u8; 16]| {
                let wide = |bytes: [u8; 16]| self.avx2._mm256_cvtepu8_epi16(cast(bytes));
                let e = self.avx2._mm256_sub_epi16(wide(a), wide(b));
                self.avx2._mm256_add_epi32(sum, self.avx2._mm256_madd_epi16(e, e))
            };
            [step(sums[0], a[0], b[0]), step(sums[1], a[1], b[1])]
        }
        #[inline(always)]
        fn split(self, sums: [__m256i; 2]) -> [i32; 16] {
            cast(sums)
        }
        #[inline(always)]
        fn half(self, a: &Half, b: &Half) -> Half {
            cast(self.avx2._mm256_avg_epu8(cast(*a), cast(*b)))
        }
        #[inline(always)]
        fn first(self, inside: &Half, outside: &Half) -> Half {
            cast(self.avx2._mm256_blend_epi32::<0b1111_1000>(cast(*outside), cast(*inside)))
        }
        #[inline(always)]
        fn second(self, inside: &Half, outside: &Half) -> Half {
            cast(self.avx2._mm256_blend_epi32::<0b0001_1111>(cast(*outside), cast(*inside)))
        }
        #[inline(always)]
        fn prefetch(self, byte: &u8) {
            self.sse._mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast());
        }
    }
}

/// Runs `$body` with `$lanes` standing for this processor's, compiled for it.
macro_rules! with_lanes {
    ($lanes:ident => $body:expr) => {
        match $crate::parallel::arch() {
            #[cfg(target_arch = "x86_64")]
            pulp::Arch::V4($lanes) => $lanes.vectorize(
                #[inline(always)]
                || $body,
            ),
            #[cfg(target_arch = "x86_64")]
            pulp::Arch::V3($lanes) => $lanes.vectorize(
                #[inline(always)]
                || $body,
            ),
            _ => {
                let $lanes = $crate::fuse::bytes::Portable;
                $body
            }
        }
    };
}
pub(crate) use with_lanes;

/// The rows of a patch.
#[derive(Clone, Copy)]
pub(crate) struct Patch<'a>([&'a [u8; ROW]; 20]);

impl<'a> Patch<'a> {
    /// A patch not found yet.
    pub(crate) const NONE: Self = Self([&[0; ROW]; 20]);

    /// The patch at (`y`, `x`) of an RGB image. Its rows are found once, for all that reads them.
    #[inline(always)]
    pub(crate) fn at(image: &View<'a, u8>, y: usize, x: usize) -> Self {
        let mut patch = Self::NONE;
        image.gather(y, 3 * x, &mut patch.0);
        patch
    }
    /// Becomes the patch at (`y`, `x`), and asks for it from memory. The line with the last sample of each row is enough:
    /// on a grid, the first is in the line that the patch to the left ended in.
    #[inline(always)]
    pub(crate) fn find<L: Lanes>(&mut self, lanes: L, image: &View<'a, u8>, y: usize, x: usize) {
        image.gather(y, 3 * x, &mut self.0);
        for row in self.0 {
            lanes.prefetch(&row[ROW - 1]);
        }
    }
    /// Both halves of row `dy`: samples 0..32 and 28..60.
    #[inline(always)]
    fn row(&self, dy: usize) -> (&'a Half, &'a Half) {
        halves(self.0[dy])
    }
}

/// Both halves of a row of 60.
#[inline(always)]
fn halves(row: &[u8; ROW]) -> (&Half, &Half) {
    (row.first_chunk().unwrap_or(&[0; 32]), row.last_chunk().unwrap_or(&[0; 32]))
}

/// Sums of both halves of rows.
#[derive(Clone, Copy)]
struct Sums<L: Lanes>(L::Sums, L::Sums);

impl<L: Lanes> Sums<L> {
    #[inline(always)]
    fn zero(lanes: L) -> Self {
        Self(lanes.zero(), lanes.zero())
    }
    #[inline(always)]
    fn add(&mut self, lanes: L, a: (&Half, &Half), b: (&Half, &Half)) {
        self.0 = lanes.add(self.0, a.0, b.0);
        self.1 = lanes.add(self.1, a.1, b.1);
    }
    /// Of columns 0..60: samples 28..32 are in both halves and count once.
    #[inline(always)]
    fn row(self, lanes: L) -> u64 {
        let (low, high) = (lanes.split(self.0), lanes.split(self.1));
        (low.iter().sum::<i32>() + high[2..].iter().sum::<i32>()) as u64
    }
    /// Of the RoI's columns, 12..48.
    #[inline(always)]
    fn roi(self, lanes: L) -> u64 {
        let (low, high) = (lanes.split(self.0), lanes.split(self.1));
        (low[6..].iter().sum::<i32>() + high[2..10].iter().sum::<i32>()) as u64
    }
}

/// Squared errors outside and inside the RoI, and the largest difference if `LARGEST`.
#[inline(always)]
pub(crate) fn patch_sums<L: Lanes, const LARGEST: bool>(
    lanes: L,
    reference: &Patch<'_>,
    distorted: &Patch<'_>,
) -> (u64, u64, u8) {
    let (mut outer, mut inner) = (Sums::zero(lanes), Sums::zero(lanes));
    let mut largest = [0u8; 32];
    // Three loops, not one that chooses between two sums: so both stay in registers.
    for dy in 0..4 {
        row_sums::<L, LARGEST>(lanes, &mut outer, &mut largest, reference.row(dy), distorted.row(dy));
    }
    for dy in 4..16 {
        row_sums::<L, LARGEST>(lanes, &mut inner, &mut largest, reference.row(dy), distorted.row(dy));
    }
    for dy in 16..20 {
        row_sums::<L, LARGEST>(lanes, &mut outer, &mut largest, reference.row(dy), distorted.row(dy));
    }
    let inside = inner.roi(lanes);
    (outer.row(lanes) + inner.row(lanes) - inside, inside, largest.into_iter().fold(0, u8::max))
}

#[inline(always)]
fn row_sums<L: Lanes, const LARGEST: bool>(
    lanes: L,
    sums: &mut Sums<L>,
    largest: &mut Half,
    r: (&Half, &Half),
    d: (&Half, &Half),
) {
    sums.add(lanes, r, d);
    if LARGEST {
        for i in 0..32 {
            largest[i] = largest[i].max(r.0[i].abs_diff(d.0[i])).max(r.1[i].abs_diff(d.1[i]));
        }
    }
}

/// Samples of `inside` in the columns of the RoI, of `outside` in the others.
#[inline(always)]
fn select<L: Lanes>(lanes: L, inside: (&Half, &Half), outside: (&Half, &Half)) -> (Half, Half) {
    (lanes.first(inside.0, outside.0), lanes.second(inside.1, outside.1))
}

/// Means of `r` and `d` in the columns of the RoI, `d` in the others.
#[inline(always)]
fn blend<L: Lanes>(lanes: L, r: (&Half, &Half), d: (&Half, &Half)) -> (Half, Half) {
    select(lanes, (&lanes.half(r.0, d.0), &lanes.half(r.1, d.1)), d)
}

/// Squared error in the RoI between the reference and its mean with the distorted patch.
#[inline(always)]
pub(crate) fn blend_sum<L: Lanes>(lanes: L, reference: &Patch<'_>, distorted: &Patch<'_>) -> u64 {
    let mut sums = Sums::zero(lanes);
    for dy in 4..16 {
        let (r, d) = (reference.row(dy), distorted.row(dy));
        let (low, high) = blend(lanes, r, d);
        sums.add(lanes, r, (&low, &high));
    }
    sums.roi(lanes)
}

#[inline(always)]
fn store(out: &mut [u8; ROW], low: &Half, high: &Half) {
    out[..32].copy_from_slice(low);
    out[28..].copy_from_slice(high);
}

/// Fuses one patch pair to `out`. The squared error in the RoI against the reference, where it is neither 0 nor that of
/// the distorted patch.
#[inline(always)]
pub(crate) fn fuse<L: Lanes>(
    lanes: L,
    (outside, inside): (Source, Source),
    reference: &Patch<'_>,
    distorted: &Patch<'_>,
    out: &mut [u8],
) -> u64 {
    let (out, _) = out[..PATCH].as_chunks_mut::<ROW>();
    let base = if outside == Source::Reference { reference } else { distorted };
    for dy in 0..4 {
        let (low, high) = base.row(dy);
        store(&mut out[dy], low, high);
    }
    let mut sums = Sums::zero(lanes);
    for dy in 4..16 {
        let (r, d) = (reference.row(dy), distorted.row(dy));
        let (low, high) = match inside {
            Source::Reference => select(lanes, r, d),
            Source::Distorted if outside == Source::Reference => select(lanes, d, r),
            Source::Distorted => (*d.0, *d.1),
            Source::Half => {
                let fused = blend(lanes, r, d);
                sums.add(lanes, r, (&fused.0, &fused.1));
                fused
            }
            Source::Weight(weight) => {
                let mean = |r: &Half, d: &Half| std::array::from_fn(|i| u8::weigh(r[i], d[i], weight));
                let fused = select(lanes, (&mean(r.0, d.0), &mean(r.1, d.1)), d);
                sums.add(lanes, r, (&fused.0, &fused.1));
                fused
            }
        };
        store(&mut out[dy], &low, &high);
    }
    for dy in 16..20 {
        let (low, high) = base.row(dy);
        store(&mut out[dy], low, high);
    }
    sums.roi(lanes)
}

/// Source outside and inside the RoI of every recipe, if none is a mask.
pub(crate) fn sources(recipes: &[Recipe]) -> Option<Vec<(Source, Source)>> {
    let source = |recipe: &Recipe| match recipe {
        Recipe::Box { outside, inside } => Some((*outside, *inside)),
        Recipe::Mask(_) => None,
    };
    recipes.iter().map(source).collect()
}
