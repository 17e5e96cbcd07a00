//! The filters of PNG undone, in place, for 8-bit RGB.
//!
//! Done row by row this is half of a PNG's time, nearly all of it in Paeth: each pixel waits for the one to
//! its left. But a row only waits for the pixel above, so [`LANES`] rows are undone in one go, each a pixel
//! behind the row above it; their arithmetic is then independent and is done in the lanes of a vector.

/// Rows that are undone together.
const LANES: usize = 4;
/// Bytes of a pixel, and the reach of every filter to the left.
const PIXEL: usize = 3;
/// Two lanes, of four channels each of which the last only keeps lanes aligned. Vectors of eight 16-bit values are on every x86-64 and ARM; from one array of sixteen the
/// compiler makes code that moves lanes by way of memory, which takes longer than all the rest.
type Half = [i16; 8];
/// Steps that are laid out at once: few enough to stay in the first-level cache.
const STEPS: usize = 128;

/// Undoes `filters`, one for each row of `row` bytes in `pixels`; `None` if there is a filter PNG does not have.
pub(super) fn unfilter(pixels: &mut [u8], row: usize, filters: &[u8]) -> Option<()> {
    if filters.iter().any(|&filter| filter > 4) {
        return None;
    }
    // With the vector instructions that this machine has: the arithmetic is in integers, so all agree.
    pulp::Arch::new().dispatch(Undo { pixels, row, filters });
    Some(())
}

struct Undo<'a> {
    pixels: &'a mut [u8],
    row: usize,
    filters: &'a [u8],
}

impl pulp::NullaryFnOnce for Undo<'_> {
    type Output = ();

    // Inlined, like all that it calls, into a function that is compiled for the machine at hand.
    #[inline(always)]
    fn call(self) {
        let Undo { pixels, row, filters } = self;
        let zeros = vec![0; row];
        for (group, filters) in filters.chunks(LANES).enumerate() {
            let (done, rest) = pixels.split_at_mut(group * LANES * row);
            let above = if group == 0 { &zeros[..] } else { &done[done.len() - row..] };
            let rows = &mut rest[..filters.len() * row];
            if filters.iter().all(|filter| matches!(filter, 0 | 2)) {
                apart(above, rows, row, filters);
            } else {
                together(above, rows, row, filters);
            }
        }
    }
}

/// Undoes rows in which no pixel waits for the one to its left.
#[inline(always)]
fn apart(above: &[u8], rows: &mut [u8], row: usize, filters: &[u8]) {
    for (k, &filter) in filters.iter().enumerate() {
        let (done, rest) = rows.split_at_mut(k * row);
        let above = if k == 0 { above } else { &done[(k - 1) * row..] };
        if filter == 2 {
            rest.iter_mut().zip(above).for_each(|(value, above)| *value = value.wrapping_add(*above));
        }
    }
}

/// Undoes up to [`LANES`] rows. At step `t` lane `k` is at pixel `t - k` of row `k`.
///
/// Pixels are brought into the order of the steps first and back afterwards, so that a step is one load, some
/// vector operations and one store.
#[inline(always)]
fn together(above: &[u8], rows: &mut [u8], row: usize, filters: &[u8]) {
    let width = row / PIXEL;
    let (above, _) = above.as_chunks::<PIXEL>();
    let mut state = State::new(filters);
    for start in (0..width + LANES - 1).step_by(STEPS) {
        let mut steps = [[[0; 8]; 2]; STEPS];
        let mut tops = [[0_i16; 4]; STEPS];
        for (top, &[r, g, b]) in tops.iter_mut().zip(above.get(start..).unwrap_or_default()) {
            *top = [r.into(), g.into(), b.into(), 0];
        }
        for (k, current) in rows.chunks_exact(row).enumerate() {
            // The lane's first step in this block, and the pixel it is at then.
            let (step, x) = (k.saturating_sub(start), start.saturating_sub(k));
            let pixels = current.as_chunks::<PIXEL>().0.get(x..).unwrap_or_default();
            for (lanes, &[r, g, b]) in steps[step..].iter_mut().zip(pixels) {
                lanes.as_flattened_mut().as_chunks_mut().0[k] = [r, g, b, 0].map(i16::from);
            }
        }
        state.advance(&mut steps, &tops);
        for (k, current) in rows.chunks_exact_mut(row).enumerate() {
            let (step, x) = (k.saturating_sub(start), start.saturating_sub(k));
            let pixels = current.as_chunks_mut::<PIXEL>().0.get_mut(x..).unwrap_or_default();
            for (lanes, pixel) in steps[step..].iter().zip(pixels) {
                let [r, g, b, _] = lanes.as_flattened().as_chunks().0[k];
                *pixel = [r, g, b].map(|value| value as u8);
            }
        }
    }
}

/// The lanes between two steps. Before its row begins a lane computes with zeros and gets zeros, which is what
/// lies outside the image; what it gets after its row's end reaches only lanes whose rows have ended.
struct State {
    /// The pixels to the left, and those above them.
    left: [Half; 2],
    corner: [Half; 2],
    /// For each filter but 0 all bits of the lanes that have it.
    masks: [[Half; 2]; 4],
}

impl State {
    #[inline(always)]
    fn new(filters: &[u8]) -> Self {
        let mask = |filter: u8, lane: usize| -i16::from(filters.get(lane) == Some(&filter));
        let masks = std::array::from_fn(|f| {
            std::array::from_fn(|half| std::array::from_fn(|i| mask(f as u8 + 1, 2 * half + i / 4)))
        });
        State { left: [[0; 8]; 2], corner: [[0; 8]; 2], masks }
    }

    /// Undoes laid-out pixels; `tops` are the pixels above those of the first lane.
    #[inline(always)]
    fn advance(&mut self, steps: &mut [[Half; 2]; STEPS], tops: &[[i16; 4]; STEPS]) {
        let ([mut a0, mut a1], [mut c0, mut c1]) = (self.left, self.corner);
        let [sub, up, average, paeth] = self.masks;
        for (lanes, top) in steps.iter_mut().zip(tops) {
            // The lane above gave its pixel in the step before: it is that lane's left.
            let b0 = [top[0], top[1], top[2], top[3], a0[0], a0[1], a0[2], a0[3]];
            let b1 = [a0[4], a0[5], a0[6], a0[7], a1[0], a1[1], a1[2], a1[3]];
            let predict = |half: usize, i: usize, a: i16, b: i16, c: i16| {
                (a & sub[half][i])
                    | (b & up[half][i])
                    | (((a + b) >> 1) & average[half][i])
                    | (nearest(a, b, c) & paeth[half][i])
            };
            a0 = std::array::from_fn(|i| (lanes[0][i] + predict(0, i, a0[i], b0[i], c0[i])) & 0xff);
            a1 = std::array::from_fn(|i| (lanes[1][i] + predict(1, i, a1[i], b1[i], c1[i])) & 0xff);
            *lanes = [a0, a1];
            (c0, c1) = (b0, b1);
        }
        (self.left, self.corner) = ([a0, a1], [c0, c1]);
    }
}

/// Paeth's predictor: whichever of left, up and corner is nearest to left + up - corner, the earlier of those
/// of equal distance.
#[inline(always)]
fn nearest(a: i16, b: i16, c: i16) -> i16 {
    let (to_a, to_b) = (b - c, a - c);
    let (near_a, near_b, near_c) = (to_a.abs(), to_b.abs(), (to_a + to_b).abs());
    let b_or_c = if near_b <= near_c { b } else { c };
    if near_a <= near_b.min(near_c) { a } else { b_or_c }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The specification, byte by byte (PNG 3rd edition, 9.2 and 9.4).
    fn specified(pixels: &mut [u8], row: usize, filters: &[u8]) {
        for (y, filter) in filters.iter().enumerate() {
            for x in 0..row {
                let at = y * row + x;
                let a = if x >= PIXEL { i32::from(pixels[at - PIXEL]) } else { 0 };
                let b = if y > 0 { i32::from(pixels[at - row]) } else { 0 };
                let c = if x >= PIXEL && y > 0 { i32::from(pixels[at - row - PIXEL]) } else { 0 };
                let predictor = {
                    let p = a + b - c;
                    let (pa, pb, pc) = ((p - a).abs(), (p - b).abs(), (p - c).abs());
                    if pa <= pb && pa <= pc {
                        a
                    } else if pb <= pc {
                        b
                    } else {
                        c
                    }
                };
                let add = [0, a, b, (a + b) / 2, predictor][usize::from(*filter)];
                pixels[at] = (i32::from(pixels[at]) + add) as u8;
            }
        }
    }

    proptest! {
        #[test]
        fn equals_the_specification(
            width in 1_usize..40,
            filters in prop::collection::vec(prop_oneof![3 => Just(4_u8), 1 => 0_u8..5], 1..20),
            seed in prop::collection::vec(any::<u8>(), 20 * 40 * PIXEL),
        ) {
            let row = width * PIXEL;
            let mut found = seed[..row * filters.len()].to_vec();
            let mut expected = found.clone();
            specified(&mut expected, row, &filters);
            prop_assert_eq!(unfilter(&mut found, row, &filters), Some(()));
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn an_unknown_filter_is_refused() {
        assert_eq!(unfilter(&mut [0; 6], 3, &[0, 5]), None);
    }
}
