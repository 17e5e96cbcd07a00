//! The filters of PNG undone, in place, for 8-bit RGB.
//!
//! Done row by row this is half of a PNG's time, nearly all of it in Paeth: each pixel waits for the one to
//! its left. But a row only waits for the pixel above, so [`LANES`] rows are undone in one go, each a pixel
//! behind the row above it; their arithmetic is then independent and is done in the lanes of a vector.

/// Rows that are undone together.
const LANES: usize = 8;
/// Vectors that hold them.
const HALVES: usize = LANES / 2;
/// Bytes of a pixel, and the reach of every filter to the left.
const PIXEL: usize = 3;
/// Two lanes, of four channels each of which the last only keeps lanes aligned. Vectors of eight 16-bit values
/// are on every x86-64 and ARM; from longer arrays the compiler makes code that moves lanes by way of memory,
/// which takes longer than all the rest.
type Half = [i16; 8];
/// Steps that are laid out at once: few enough to stay in the first-level cache.
const STEPS: usize = 128;

/// Undoes `filters`, one for each row of `row` bytes in `pixels`; `None` if there is a filter PNG does not have.
pub(super) fn unfilter(pixels: &mut [u8], row: usize, filters: &[u8]) -> Option<()> {
    if filters.iter().any(|&filter| filter > 4) {
        return None;
    }
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
    Some(())
}

/// Undoes rows in which no pixel waits for the one to its left.
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
fn together(above: &[u8], rows: &mut [u8], row: usize, filters: &[u8]) {
    let width = row / PIXEL;
    let (above, _) = above.as_chunks::<PIXEL>();
    let mut state = State::new(filters);
    let arch = pulp::Arch::new();
    for start in (0..width + LANES - 1).step_by(STEPS) {
        let mut steps = [[0_u8; 4 * LANES]; STEPS];
        let mut tops = [[0_i16; 4]; STEPS];
        for (top, &[r, g, b]) in tops.iter_mut().zip(above.get(start..).unwrap_or_default()) {
            *top = [r.into(), g.into(), b.into(), 0];
        }
        for (k, current) in rows.chunks_exact(row).enumerate() {
            // The lane's first step in this block, and the pixel it is at then.
            let (step, x) = (k.saturating_sub(start), start.saturating_sub(k));
            let pixels = current.as_chunks::<PIXEL>().0.get(x..).unwrap_or_default();
            for (lanes, &[r, g, b]) in steps[step..].iter_mut().zip(pixels) {
                lanes.as_chunks_mut().0[k] = [r, g, b, 0];
            }
        }
        arch.dispatch(Advance { state: &mut state, steps: &mut steps, tops: &tops });
        for (k, current) in rows.chunks_exact_mut(row).enumerate() {
            let (step, x) = (k.saturating_sub(start), start.saturating_sub(k));
            let pixels = current.as_chunks_mut::<PIXEL>().0.get_mut(x..).unwrap_or_default();
            for (lanes, pixel) in steps[step..].iter().zip(pixels) {
                let [r, g, b, _] = lanes.as_chunks().0[k];
                *pixel = [r, g, b];
            }
        }
    }
}

/// The lanes between two steps. Before its row begins a lane computes with zeros and gets zeros, which is what
/// lies outside the image; what it gets after its row's end reaches only lanes whose rows have ended.
struct State {
    /// The pixels to the left, and those above them.
    left: [Half; HALVES],
    corner: [Half; HALVES],
    /// For each filter but 0 all bits of the lanes that have it.
    masks: [[Half; HALVES]; 4],
}

impl State {
    fn new(filters: &[u8]) -> Self {
        let mask = |filter: u8, lane: usize| -i16::from(filters.get(lane) == Some(&filter));
        let masks = std::array::from_fn(|f| {
            std::array::from_fn(|half| std::array::from_fn(|i| mask(f as u8 + 1, 2 * half + i / 4)))
        });
        State { left: [[0; 8]; HALVES], corner: [[0; 8]; HALVES], masks }
    }
}

/// One block of steps. Only this is compiled for the vector instructions of the machine at hand: bringing
/// pixels into order is slower with them. The arithmetic is in integers, so all machines agree.
struct Advance<'a> {
    state: &'a mut State,
    /// The laid-out pixels, which are undone in place.
    steps: &'a mut [[u8; 4 * LANES]; STEPS],
    /// The pixels above those of the first lane.
    tops: &'a [[i16; 4]; STEPS],
}

impl pulp::NullaryFnOnce for Advance<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (mut a, mut c) = (self.state.left, self.state.corner);
        let [sub, up, average, paeth] = self.state.masks;
        for (lanes, top) in self.steps.iter_mut().zip(self.tops) {
            // The lane above gave its pixel in the step before: it is that lane's left.
            let mut b = [[0; 8]; HALVES];
            b[0] = [top[0], top[1], top[2], top[3], a[0][0], a[0][1], a[0][2], a[0][3]];
            for h in 1..HALVES {
                let (over, this) = (a[h - 1], a[h]);
                b[h] = [over[4], over[5], over[6], over[7], this[0], this[1], this[2], this[3]];
            }
            for h in 0..HALVES {
                for i in 0..8 {
                    let predicted = (a[h][i] & sub[h][i])
                        | (b[h][i] & up[h][i])
                        | (((a[h][i] + b[h][i]) >> 1) & average[h][i])
                        | (nearest(a[h][i], b[h][i], c[h][i]) & paeth[h][i]);
                    let sum = i16::from(lanes[8 * h + i]) + predicted;
                    // `sum & 0xff`, which the compiler would compute in bytes, with two conversions in the
                    // one chain of operations that everything waits for.
                    a[h][i] = (sum as u16).min((sum as u16).wrapping_sub(256)) as i16;
                    lanes[8 * h + i] = a[h][i] as u8;
                }
            }
            c = b;
        }
        (self.state.left, self.state.corner) = (a, c);
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
