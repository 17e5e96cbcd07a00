//! Copy and blend of one patch pair in one sweep over its rows, with vectors of 64 bytes.
//!
//! A row is one vector that reaches 4 samples past it, a mask is the RoI's columns, and the errors of the copy (outside the
//! RoI) and of the blend (inside) are those of the blended row, which share their lanes: 4 samples each, of which 15 are a
//! row and 3..12 the RoI.

use std::arch::x86_64::__m512i;
use std::ops::Range;

use pulp::cast;
use pulp::x86::V4;

use super::start::{PATCH, ROW, Start};

/// Columns 12..48 of a row.
const ROI: u64 = ((1 << 36) - 1) << 12;

/// See [`super::Lanes::copy_and_blend`].
#[inline(always)]
pub(super) fn copy_and_blend(
    simd: V4,
    pair: [Start<'_>; 2],
    copied: &mut [u8],
    blended: &mut [u8],
) -> Option<(u64, u64)> {
    let reaches = |start: &Start<'_>| start.row(0).max(start.row(19)) + 64 <= start.data.len();
    if !pair.iter().all(reaches) {
        return None;
    }
    let (copied, blended) = (copied.first_chunk_mut::<PATCH>()?, blended.first_chunk_mut::<PATCH>()?);
    let zero: __m512i = cast([0i32; 16]);
    let (mut outer, mut inner) = (zero, zero);
    for dy in 0..4 {
        row::<false>(simd, pair, dy, &mut outer, copied, blended);
    }
    for dy in 4..16 {
        row::<true>(simd, pair, dy, &mut inner, copied, blended);
    }
    for dy in 16..20 {
        row::<false>(simd, pair, dy, &mut outer, copied, blended);
    }
    let total = |sums: __m512i, lanes: [i32; 16]| {
        let lanes: [i32; 16] = cast(simd.avx512f._mm512_and_si512(sums, cast(lanes)));
        lanes.iter().sum::<i32>() as u64
    };
    let (inside, all) = (total(inner, lanes(3..12)), total(simd.avx512f._mm512_add_epi32(outer, inner), lanes(0..15)));
    Some((all - inside, inside))
}

/// All bits of some lanes.
const fn lanes(range: Range<usize>) -> [i32; 16] {
    let mut lanes = [0; 16];
    let mut lane = range.start;
    while lane < range.end {
        lanes[lane] = -1;
        lane += 1;
    }
    lanes
}

/// One row; `INSIDE` if it crosses the RoI.
#[inline(always)]
fn row<const INSIDE: bool>(
    simd: V4,
    [reference, distorted]: [Start<'_>; 2],
    dy: usize,
    sums: &mut __m512i,
    copied: &mut [u8; PATCH],
    blended: &mut [u8; PATCH],
) {
    let load = |start: &Start<'_>| -> __m512i {
        cast(*start.data[start.row(dy)..][..64].first_chunk::<64>().unwrap_or(&[0; 64]))
    };
    let (r, d) = (load(&reference), load(&distorted));
    let blend = if INSIDE { simd.avx512bw._mm512_mask_avg_epu8(d, ROI, r, d) } else { d };
    let copy = if INSIDE { simd.avx512bw._mm512_mask_blend_epi8(ROI, d, r) } else { d };
    *sums = simd.avx512f._mm512_add_epi32(*sums, squares(simd, r, blend));
    let at = dy * ROW;
    if dy == 19 {
        // From memory, as a part of a vector would take a detour by way of the stack.
        let d = &distorted.data[distorted.row(dy)..][..ROW];
        copied[at..].copy_from_slice(d);
        blended[at..].copy_from_slice(d);
        return;
    }
    // The 4 samples past the row are overwritten by the next one.
    for (out, fused) in [(copied, copy), (blended, blend)] {
        let fused: [u8; 64] = cast(fused);
        out[at..at + 64].copy_from_slice(&fused);
    }
}

/// Squared differences, 4 to a lane.
#[inline(always)]
fn squares(simd: V4, a: __m512i, b: __m512i) -> __m512i {
    let (f, bw) = (simd.avx512f, simd.avx512bw);
    let difference = f._mm512_or_si512(bw._mm512_subs_epu8(a, b), bw._mm512_subs_epu8(b, a));
    let even = f._mm512_and_si512(difference, cast([0x00FFu16; 32]));
    let odd = bw._mm512_srli_epi16::<8>(difference);
    f._mm512_add_epi32(bw._mm512_madd_epi16(even, even), bw._mm512_madd_epi16(odd, odd))
}
