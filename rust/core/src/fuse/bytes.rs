//! The default patch, 20x20 RGB of 8 bits with a RoI of 12x12, in explicit vectors.
//!
//! Left to the compiler, the sums of one patch take several times as long as with 16-bit multiply-adds that are kept in
//! lanes from the first row to the last (145 ns against 31 ns where they were tried alone, AMD EPYC with AVX-512). A row
//! of 60 samples is two overlapping halves of 32; lanes that would count twice, or lie outside what is summed, are left
//! out at the end.

use super::{Recipe, Source};
use crate::fuse::Mix;
use crate::view::View;

mod lanes;
mod start;
#[cfg(target_arch = "x86_64")]
mod sweep;
use lanes::HalfRow;
pub(crate) use lanes::{Lanes, Portable};
use start::ROW;
pub(crate) use start::{PATCH, Start};

/// The rows of a patch.
#[derive(Clone, Copy)]
pub(crate) struct Patch<'a>([&'a [u8; ROW]; 20]);

impl<'a> Patch<'a> {
    /// The patch at (`y`, `x`) of an RGB image. Its rows are found once, for all that reads them.
    #[inline(always)]
    pub(crate) fn at(image: &View<'a, u8>, y: usize, x: usize) -> Self {
        let mut rows = [const { &[0; ROW] }; 20];
        image.gather(y, 3 * x, &mut rows);
        Self(rows)
    }
    /// The left and the right half of row `dy`: samples 0..32 and 28..60.
    #[inline(always)]
    fn row(&self, dy: usize) -> (&'a HalfRow, &'a HalfRow) {
        halves(self.0[dy])
    }
    /// The rows of this patch and another that cross the RoI. The compiler is kept from knowing how many there are: it would
    /// unroll loops over them whole, and run out of registers.
    #[inline(always)]
    fn across(&self, other: &Self) -> impl Iterator<Item = [(&'a HalfRow, &'a HalfRow); 2]> {
        let end = std::hint::black_box(16);
        self.0[4..end].iter().zip(&other.0[4..end]).map(|(a, b)| [halves(a), halves(b)])
    }
}

/// The left and the right half of a row of 60.
#[inline(always)]
fn halves(row: &[u8; ROW]) -> (&HalfRow, &HalfRow) {
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
    fn add(&mut self, lanes: L, a: (&HalfRow, &HalfRow), b: (&HalfRow, &HalfRow)) {
        self.0 = lanes.add(self.0, lanes.errors(a.0, b.0));
        self.1 = lanes.add(self.1, lanes.errors(a.1, b.1));
    }
    /// Adds the errors of `a` against its mean with `b`: with `e = a - b`, `a - ((a + b + 1) >> 1)` is `e >> 1`. Those of
    /// `a` against `b` go to `whole`.
    #[inline(always)]
    fn add_halved(&mut self, whole: &mut Self, lanes: L, a: (&HalfRow, &HalfRow), b: (&HalfRow, &HalfRow)) {
        let (low, high) = (lanes.errors(a.0, b.0), lanes.errors(a.1, b.1));
        whole.0 = lanes.add(whole.0, low);
        whole.1 = lanes.add(whole.1, high);
        self.0 = lanes.add(self.0, lanes.halved(low));
        self.1 = lanes.add(self.1, lanes.halved(high));
    }
    /// The sum over the RoI's columns, 12..48, or over all others. Samples 28..32 are in both halves and count once.
    #[inline(always)]
    fn total(self, lanes: L, inside: bool) -> u64 {
        const LEFT: [i32; 16] = [0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1];
        const RIGHT: [i32; 16] = [0, 0, -1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0];
        let (low, high) = (lanes.split(self.0), lanes.split(self.1));
        let mut both = [0; 16];
        for i in 0..16 {
            let (left, right) = if inside { (LEFT[i], RIGHT[i]) } else { (!LEFT[i], !RIGHT[i] & NOT_IN_LEFT[i]) };
            both[i] = (low[i] & left) + (high[i] & right);
        }
        both.iter().sum::<i32>() as u64
    }
    /// Lane by lane.
    #[inline(always)]
    fn plus(self, lanes: L, other: Self) -> Self {
        Self(lanes.plus(self.0, other.0), lanes.plus(self.1, other.1))
    }
}

/// Lanes of the right half of a row that are not in the left half.
const NOT_IN_LEFT: [i32; 16] = [0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1];

/// Sums over one patch pair.
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

/// Sums over one patch pair; `halved` and `largest` are computed only with `HALVED` and `LARGEST`.
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
            for (i, largest) in largest.iter_mut().enumerate() {
                *largest = r.0[i].abs_diff(d.0[i]).max(r.1[i].abs_diff(d.1[i])).max(*largest);
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
fn select<L: Lanes>(lanes: L, inside: (&HalfRow, &HalfRow), outside: (&HalfRow, &HalfRow)) -> (HalfRow, HalfRow) {
    (lanes.select_left(inside.0, outside.0), lanes.select_right(inside.1, outside.1))
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
fn store(out: &mut [u8; ROW], low: &HalfRow, high: &HalfRow) {
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
        Source::Average => rows(base, reference, distorted, out, |r, d| {
            select(lanes, (&lanes.average(r.0, d.0), &lanes.average(r.1, d.1)), d)
        }),
        Source::Weight(weight) => {
            let mean = |r: &HalfRow, d: &HalfRow| std::array::from_fn(|i| u8::weigh(r[i], d[i], weight));
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
    mut inside: impl FnMut((&HalfRow, &HalfRow), (&HalfRow, &HalfRow)) -> (HalfRow, HalfRow),
) {
    let (out, _) = out[..PATCH].as_chunks_mut::<ROW>();
    for (out, base) in out[..4].iter_mut().zip(&base.0) {
        let (low, high) = halves(base);
        store(out, low, high);
    }
    for (out, [r, d]) in out[4..16].iter_mut().zip(reference.across(distorted)) {
        let (low, high) = inside(r, d);
        store(out, &low, &high);
    }
    for (out, base) in out[16..].iter_mut().zip(&base.0[16..]) {
        let (low, high) = halves(base);
        store(out, low, high);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// All that one patch pair gives on one kind of processor.
    fn results<L: Lanes>(lanes: L, r: &Patch<'_>, d: &Patch<'_>) -> Vec<u64> {
        let errors = patch_errors::<L, true, true>(lanes, r, d);
        let mut all = vec![errors.outside, errors.inside, errors.halved, errors.largest.into(), blend_sum(lanes, r, d)];
        for outside in [Source::Reference, Source::Distorted] {
            for inside in [Source::Reference, Source::Distorted, Source::Average, Source::Weight(0.3)] {
                let mut out = [7; PATCH];
                all.push(fuse(lanes, (outside, inside), r, d, &mut out));
                all.extend(out.map(u64::from));
            }
        }
        all
    }

    #[test]
    fn every_processor_gives_the_same() {
        let mut generator = crate::sample::Generator::new(5, "bytes");
        let mut image = || (0..25 * 70).map(|_| generator.draw() as u8).collect::<Vec<u8>>();
        for _ in 0..20 {
            let (first, second) = (image(), image());
            let view = |data| View::new(data, 25, 23, 3, 1, 69).expect("it fits");
            let (r, d) = (Patch::at(&view(&first), 3, 2), Patch::at(&view(&second), 5, 3));
            let expected = results(Portable, &r, &d);
            #[cfg(target_arch = "x86_64")]
            {
                if let Some(lanes) = pulp::x86::V3::try_new() {
                    assert_eq!(results(lanes, &r, &d), expected);
                }
                if let Some(lanes) = pulp::x86::V4::try_new() {
                    assert_eq!(results(lanes, &r, &d), expected);
                }
            }
            assert!(expected[0] > 0);
        }
    }
}
