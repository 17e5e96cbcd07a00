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
    /// 32 differences of 16 bits.
    type Errors: Copy;
    /// The differences `a - b`.
    fn errors(self, a: &Half, b: &Half) -> Self::Errors;
    /// The differences halved and rounded down.
    fn halved(self, errors: Self::Errors) -> Self::Errors;
    /// The lanes with the squares of differences added, that of sample `i` to lane `i / 2`.
    fn add(self, sums: Self::Sums, errors: Self::Errors) -> Self::Sums;
    /// The lanes of both added.
    fn plus(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
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
    type Errors = [i16; 32];
    #[inline(always)]
    fn errors(self, a: &Half, b: &Half) -> [i16; 32] {
        std::array::from_fn(|i| i16::from(a[i]) - i16::from(b[i]))
    }
    #[inline(always)]
    fn halved(self, errors: [i16; 32]) -> [i16; 32] {
        errors.map(|e| e >> 1)
    }
    #[inline(always)]
    fn add(self, mut sums: [i32; 16], errors: [i16; 32]) -> [i32; 16] {
        for (i, e) in errors.into_iter().enumerate() {
            sums[i / 2] += i32::from(e) * i32::from(e);
        }
        sums
    }
    #[inline(always)]
    fn plus(self, a: [i32; 16], b: [i32; 16]) -> [i32; 16] {
        std::array::from_fn(|i| a[i] + b[i])
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
        type Errors = __m512i;
        #[inline(always)]
        fn errors(self, a: &Half, b: &Half) -> __m512i {
            let wide = |half: &Half| self.avx512bw._mm512_cvtepu8_epi16(cast(*half));
            self.avx512bw._mm512_sub_epi16(wide(a), wide(b))
        }
        #[inline(always)]
        fn halved(self, errors: __m512i) -> __m512i {
            self.avx512bw._mm512_srai_epi16::<1>(errors)
        }
        #[inline(always)]
        fn add(self, sums: __m512i, errors: __m512i) -> __m512i {
            self.avx512f._mm512_add_epi32(sums, self.avx512bw._mm512_madd_epi16(errors, errors))
        }
        #[inline(always)]
        fn plus(self, a: __m512i, b: __m512i) -> __m512i {
            self.avx512f._mm512_add_epi32(a, b)
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
        type Errors = [__m256i; 2];
        #[inline(always)]
        fn errors(self, a: &Half, b: &Half) -> [__m256i; 2] {
            let (a, b): ([[u8; 16]; 2], [[u8; 16]; 2]) = (cast(*a), cast(*b));
            let wide = |bytes: [u8; 16]| self.avx2._mm256_cvtepu8_epi16(cast(bytes));
            let difference = |a, b| self.avx2._mm256_sub_epi16(wide(a), wide(b));
            [difference(a[0], b[0]), difference(a[1], b[1])]
        }
        #[inline(always)]
        fn halved(self, errors: [__m256i; 2]) -> [__m256i; 2] {
            [self.avx2._mm256_srai_epi16::<1>(errors[0]), self.avx2._mm256_srai_epi16::<1>(errors[1])]
        }
        #[inline(always)]
        fn add(self, sums: [__m256i; 2], errors: [__m256i; 2]) -> [__m256i; 2] {
            let add = |sum, e| self.avx2._mm256_add_epi32(sum, self.avx2._mm256_madd_epi16(e, e));
            [add(sums[0], errors[0]), add(sums[1], errors[1])]
        }
        #[inline(always)]
        fn plus(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
            [self.avx2._mm256_add_epi32(a[0], b[0]), self.avx2._mm256_add_epi32(a[1], b[1])]
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
            pulp::Arch::V4($lanes) => $lanes.vectorize($crate::parallel::Inline(
                #[inline(always)]
                || $body,
            )),
            #[cfg(target_arch = "x86_64")]
            pulp::Arch::V3($lanes) => $lanes.vectorize($crate::parallel::Inline(
                #[inline(always)]
                || $body,
            )),
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
    /// Becomes the patch at (`y`, `x`), and asks for it if it is likely to be `far`, in memory. The line with the last sample of each row is enough:
    /// on a grid, the first is in the line that the patch to the left ended in.
    #[inline(always)]
    pub(crate) fn find<L: Lanes>(&mut self, lanes: L, image: &View<'a, u8>, y: usize, x: usize, far: bool) {
        image.gather(y, 3 * x, &mut self.0);
        if far {
            for row in &self.0 {
                lanes.prefetch(&row[ROW - 1]);
            }
        }
    }
    /// Both halves of row `dy`: samples 0..32 and 28..60.
    #[inline(always)]
    fn row(&self, dy: usize) -> (&'a Half, &'a Half) {
        halves(self.0[dy])
    }
    /// The rows of this patch and another that cross the RoI. The compiler is kept from knowing how many there are: it would
    /// unroll loops over them whole, and run out of registers.
    #[inline(always)]
    fn across(&self, other: &Self) -> impl Iterator<Item = [(&'a Half, &'a Half); 2]> {
        let end = std::hint::black_box(16);
        self.0[4..end].iter().zip(&other.0[4..end]).map(|(a, b)| [halves(a), halves(b)])
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
        self.0 = lanes.add(self.0, lanes.errors(a.0, b.0));
        self.1 = lanes.add(self.1, lanes.errors(a.1, b.1));
    }
    /// Adds the errors of `a` against its mean with `b`: with `e = a - b`, `a - ((a + b + 1) >> 1)` is `e >> 1`. Those of
    /// `a` against `b` go to `whole`.
    #[inline(always)]
    fn add_halved(&mut self, whole: &mut Self, lanes: L, a: (&Half, &Half), b: (&Half, &Half)) {
        let (low, high) = (lanes.errors(a.0, b.0), lanes.errors(a.1, b.1));
        whole.0 = lanes.add(whole.0, low);
        whole.1 = lanes.add(whole.1, high);
        self.0 = lanes.add(self.0, lanes.halved(low));
        self.1 = lanes.add(self.1, lanes.halved(high));
    }
    /// The sum over the RoI's columns, 12..48, or over all others. Samples 28..32 are in both halves and count once.
    #[inline(always)]
    fn total(self, lanes: L, inside: bool) -> u64 {
        const FIRST: [i32; 16] = [0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1];
        const SECOND: [i32; 16] = [0, 0, -1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0];
        let (low, high) = (lanes.split(self.0), lanes.split(self.1));
        let mut both = [0; 16];
        for i in 0..16 {
            let (first, second) = if inside { (FIRST[i], SECOND[i]) } else { (!FIRST[i], !SECOND[i] & TWICE[i]) };
            both[i] = (low[i] & first) + (high[i] & second);
        }
        both.iter().sum::<i32>() as u64
    }
    /// Lane by lane.
    #[inline(always)]
    fn plus(self, lanes: L, other: Self) -> Self {
        Self(lanes.plus(self.0, other.0), lanes.plus(self.1, other.1))
    }
}

/// Lanes of the second half that are not in the first.
const TWICE: [i32; 16] = [0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1];

/// What is summed over one patch pair.
#[derive(Clone, Copy)]
pub(crate) struct PatchErrors {
    /// Squared errors outside the RoI.
    pub outside: u64,
    /// Squared errors inside the RoI.
    pub inside: u64,
    /// Squared errors inside the RoI of the mean of both, against the reference.
    pub halved: u64,
    /// The largest absolute difference.
    pub largest: u8,
}

/// Sums over one patch pair; `halved` and `largest` only if asked for.
#[inline(always)]
pub(crate) fn patch_errors<L: Lanes, const HALVED: bool, const LARGEST: bool>(
    lanes: L,
    reference: &Patch<'_>,
    distorted: &Patch<'_>,
) -> PatchErrors {
    let (mut outer, mut inner, mut halved) = (Sums::zero(lanes), Sums::zero(lanes), Sums::zero(lanes));
    let mut largest = [0u8; 32];
    // Three loops, not one that chooses between two sums: so all stay in registers.
    for dy in 0..4 {
        outer.add(lanes, reference.row(dy), distorted.row(dy));
    }
    for [r, d] in reference.across(distorted) {
        if HALVED {
            halved.add_halved(&mut inner, lanes, r, d);
        } else {
            inner.add(lanes, r, d);
        }
    }
    for dy in 16..20 {
        outer.add(lanes, reference.row(dy), distorted.row(dy));
    }
    if LARGEST {
        for (r, d) in reference.0.iter().zip(&distorted.0) {
            let (r, d) = (halves(r), halves(d));
            for i in 0..32 {
                largest[i] = largest[i].max(r.0[i].abs_diff(d.0[i])).max(r.1[i].abs_diff(d.1[i]));
            }
        }
    }
    PatchErrors {
        // Rows that do not cross the RoI are outside in all their columns.
        outside: outer.plus(lanes, inner).total(lanes, false) + outer.total(lanes, true),
        inside: inner.total(lanes, true),
        halved: if HALVED { halved.total(lanes, true) } else { 0 },
        largest: largest.into_iter().fold(0, u8::max),
    }
}

/// Samples of `inside` in the columns of the RoI, of `outside` in the others.
#[inline(always)]
fn select<L: Lanes>(lanes: L, inside: (&Half, &Half), outside: (&Half, &Half)) -> (Half, Half) {
    (lanes.first(inside.0, outside.0), lanes.second(inside.1, outside.1))
}

/// Squared error in the RoI between the reference and its mean with the distorted patch.
#[inline(always)]
pub(crate) fn blend_sum<L: Lanes>(lanes: L, reference: &Patch<'_>, distorted: &Patch<'_>) -> u64 {
    let (mut sums, mut whole) = (Sums::zero(lanes), Sums::zero(lanes));
    for [r, d] in reference.across(distorted) {
        sums.add_halved(&mut whole, lanes, r, d);
    }
    sums.total(lanes, true)
}

#[inline(always)]
fn store(out: &mut [u8; ROW], low: &Half, high: &Half) {
    out[..32].copy_from_slice(low);
    out[28..].copy_from_slice(high);
}

/// Fuses one patch pair to `out`. The squared error in the RoI against the reference, if `inside` is a weight.
#[inline(always)]
pub(crate) fn fuse<L: Lanes>(
    lanes: L,
    (outside, inside): (Source, Source),
    reference: &Patch<'_>,
    distorted: &Patch<'_>,
    out: &mut [u8],
) -> u64 {
    let base = if outside == Source::Reference { reference } else { distorted };
    // One loop for each source, not one that chooses at every row.
    match inside {
        Source::Reference => rows(base, reference, distorted, out, |r, d| select(lanes, r, d)),
        Source::Distorted if outside == Source::Reference => {
            rows(base, reference, distorted, out, |r, d| select(lanes, d, r));
        }
        Source::Distorted => rows(base, reference, distorted, out, |_, d| (*d.0, *d.1)),
        Source::Half => rows(base, reference, distorted, out, |r, d| {
            select(lanes, (&lanes.half(r.0, d.0), &lanes.half(r.1, d.1)), d)
        }),
        Source::Weight(weight) => {
            let mean = |r: &Half, d: &Half| std::array::from_fn(|i| u8::weigh(r[i], d[i], weight));
            let mut sums = Sums::zero(lanes);
            rows(base, reference, distorted, out, |r, d| {
                let fused = select(lanes, (&mean(r.0, d.0), &mean(r.1, d.1)), d);
                sums.add(lanes, r, (&fused.0, &fused.1));
                fused
            });
            return sums.total(lanes, true);
        }
    }
    0
}

/// Writes the rows of `base`, and in place of those that cross the RoI what `inside` makes of both.
#[inline(always)]
fn rows(
    base: &Patch<'_>,
    reference: &Patch<'_>,
    distorted: &Patch<'_>,
    out: &mut [u8],
    mut inside: impl FnMut((&Half, &Half), (&Half, &Half)) -> (Half, Half),
) {
    let (out, _) = out[..PATCH].as_chunks_mut::<ROW>();
    for dy in 0..4 {
        let (low, high) = base.row(dy);
        store(&mut out[dy], low, high);
    }
    for (out, [r, d]) in out[4..16].iter_mut().zip(reference.across(distorted)) {
        let (low, high) = inside(r, d);
        store(out, &low, &high);
    }
    for dy in 16..20 {
        let (low, high) = base.row(dy);
        store(&mut out[dy], low, high);
    }
}

/// Source outside and inside the RoI of every recipe, if none is a mask.
pub(crate) fn sources(recipes: &[Recipe]) -> Option<Vec<(Source, Source)>> {
    let source = |recipe: &Recipe| match recipe {
        Recipe::Box { outside, inside } => Some((*outside, *inside)),
        Recipe::Mask(_) => None,
    };
    recipes.iter().map(source).collect()
}
