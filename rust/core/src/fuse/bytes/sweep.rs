//! Copy and blend of one patch pair in one sweep over its rows, with vectors of 64 bytes.
//!
//! A row is one vector that reaches 4 samples past it, a mask is the RoI's columns, and the errors of the copy (outside the
//! RoI) and of the blend (inside) share their lanes.

use std::arch::x86_64::__m512i;

use pulp::cast;
use pulp::x86::V4;

use super::{PATCH, ROW, Start};

/// Columns 12..48 of a row.
const ROI: u64 = ((1 << 36) - 1) << 12;
/// The same of the 16-bit differences of samples 0..32 and 32..64.
const ROI_LOW: u32 = ROI as u32;
const ROI_HIGH: u32 = (ROI >> 32) as u32;
/// Lanes of pairs of samples: the RoI's, and all of a row, in both vectors.
const LANES: [[[i32; 16]; 2]; 2] = {
    let mut lanes = [[[0; 16]; 2]; 2];
    let mut pair = 0;
    while pair < ROW / 2 {
        if ROI >> (2 * pair) & 1 == 1 {
            lanes[0][pair / 16][pair % 16] = -1;
        }
        lanes[1][pair / 16][pair % 16] = -1;
        pair += 1;
    }
    lanes
};

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
    let (mut outer, mut inner) = ([zero; 2], [zero; 2]);
    for dy in 0..4 {
        row::<false>(simd, pair, dy, &mut outer, copied, blended);
    }
    for dy in 4..16 {
        row::<true>(simd, pair, dy, &mut inner, copied, blended);
    }
    for dy in 16..20 {
        row::<false>(simd, pair, dy, &mut outer, copied, blended);
    }
    let total = |sums: [__m512i; 2], lanes: [[i32; 16]; 2]| {
        let and = |i: usize| simd.avx512f._mm512_and_si512(sums[i], cast(lanes[i]));
        let both: [i32; 16] = cast(simd.avx512f._mm512_add_epi32(and(0), and(1)));
        both.iter().sum::<i32>() as u64
    };
    let (inside, all) = (total(inner, LANES[0]), total(inner, LANES[1]));
    Some((total(outer, LANES[1]) + all - inside, inside))
}

/// One row; `INSIDE` if it crosses the RoI.
#[inline(always)]
fn row<const INSIDE: bool>(
    simd: V4,
    [reference, distorted]: [Start<'_>; 2],
    dy: usize,
    sums: &mut [__m512i; 2],
    copied: &mut [u8; PATCH],
    blended: &mut [u8; PATCH],
) {
    let load = |start: &Start<'_>| *start.data[start.row(dy)..][..64].first_chunk::<64>().unwrap_or(&[0; 64]);
    let (r, d) = (load(&reference), load(&distorted));
    let halves = [errors(simd, &r, &d, 0), errors(simd, &r, &d, 32)];
    for (i, (sum, e)) in sums.iter_mut().zip(halves).enumerate() {
        // With e = r - d, the error of the blend, r - ((r + d + 1) >> 1), is e >> 1.
        let mask = if i == 0 { ROI_LOW } else { ROI_HIGH };
        let e = if INSIDE { simd.avx512bw._mm512_mask_srai_epi16::<1>(e, mask, e) } else { e };
        *sum = simd.avx512f._mm512_add_epi32(*sum, simd.avx512bw._mm512_madd_epi16(e, e));
    }
    let at = dy * ROW;
    if INSIDE {
        // The 4 samples past the row are overwritten by the next one.
        let (r, d): (__m512i, __m512i) = (cast(r), cast(d));
        let copy: [u8; 64] = cast(simd.avx512bw._mm512_mask_blend_epi8(ROI, d, r));
        let blend: [u8; 64] = cast(simd.avx512bw._mm512_mask_avg_epu8(d, ROI, r, d));
        copied[at..at + 64].copy_from_slice(&copy);
        blended[at..at + 64].copy_from_slice(&blend);
    } else {
        let d = &distorted.data[distorted.row(dy)..][..ROW];
        copied[at..at + ROW].copy_from_slice(d);
        blended[at..at + ROW].copy_from_slice(d);
    }
}

/// Differences of 32 samples from `start` on.
#[inline(always)]
fn errors(simd: V4, r: &[u8; 64], d: &[u8; 64], start: usize) -> __m512i {
    let wide = |row: &[u8; 64]| {
        let half = row[start..start + 32].first_chunk::<32>().unwrap_or(&[0; 32]);
        simd.avx512bw._mm512_cvtepu8_epi16(cast(*half))
    };
    simd.avx512bw._mm512_sub_epi16(wide(r), wide(d))
}
