//! Vector operations on 32 samples for each kind of processor.

use super::start::Start;
use crate::fuse::Mix;

/// The left or the right 32 of the 60 samples of a row.
pub(crate) type HalfRow = [u8; 32];

/// 16 lanes of sums of squares of pairs of samples, on one kind of processor.
pub(crate) trait Lanes: Copy {
    /// The lanes.
    type Sums: Copy;
    /// All lanes 0.
    fn zero(self) -> Self::Sums;
    /// 32 differences of 16 bits.
    type Errors: Copy;
    /// The differences `a - b`.
    fn errors(self, a: &HalfRow, b: &HalfRow) -> Self::Errors;
    /// The differences halved and rounded down.
    fn halved(self, errors: Self::Errors) -> Self::Errors;
    /// The lanes with the squares of differences added, that of sample `i` to lane `i / 2`.
    fn add(self, sums: Self::Sums, errors: Self::Errors) -> Self::Sums;
    /// The lanes of both added.
    fn plus(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// The lanes, one by one.
    fn split(self, sums: Self::Sums) -> [i32; 16];
    /// Means rounded half up.
    fn average(self, a: &HalfRow, b: &HalfRow) -> HalfRow;
    /// `inside` in the RoI's columns of the left half of a row, 12..32, `outside` in the others.
    fn select_left(self, inside: &HalfRow, outside: &HalfRow) -> HalfRow;
    /// `inside` in the RoI's columns of the right half of a row, 28..48, `outside` in the others.
    fn select_right(self, inside: &HalfRow, outside: &HalfRow) -> HalfRow;
    /// Prefetches the cache line at `byte`, which is not read.
    fn prefetch(self, byte: *const u8);
    /// Fuses a patch pair by `copy` to `copied` and by `blend` with weight 0.5 to `blended`, in one sweep over its rows;
    /// returns the squared errors outside the RoI and, for the blend, inside it. `None` where this processor has no faster
    /// way than one fusion after another, or at the end of an image's buffer.
    #[inline(always)]
    fn copy_and_blend(self, pair: [Start<'_>; 2], copied: &mut [u8], blended: &mut [u8]) -> Option<(u64, u64)> {
        let _ = (pair, copied, blended);
        None
    }
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
    fn errors(self, a: &HalfRow, b: &HalfRow) -> [i16; 32] {
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
    fn average(self, a: &HalfRow, b: &HalfRow) -> HalfRow {
        std::array::from_fn(|i| u8::average(a[i], b[i]))
    }
    #[inline(always)]
    fn select_left(self, inside: &HalfRow, outside: &HalfRow) -> HalfRow {
        std::array::from_fn(|i| if i >= 12 { inside[i] } else { outside[i] })
    }
    #[inline(always)]
    fn select_right(self, inside: &HalfRow, outside: &HalfRow) -> HalfRow {
        std::array::from_fn(|i| if i < 20 { inside[i] } else { outside[i] })
    }
    #[inline(always)]
    fn prefetch(self, _: *const u8) {}
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256i, __m512i, _MM_HINT_T0};

    use pulp::cast;
    use pulp::x86::{V3, V4};

    use super::{HalfRow, Lanes, Start};

    /// What processors with AVX2 and with AVX-512 do alike.
    macro_rules! avx2 {
        () => {
            #[inline(always)]
            fn average(self, a: &HalfRow, b: &HalfRow) -> HalfRow {
                cast(self.avx2._mm256_avg_epu8(cast(*a), cast(*b)))
            }
            #[inline(always)]
            fn select_left(self, inside: &HalfRow, outside: &HalfRow) -> HalfRow {
                cast(self.avx2._mm256_blend_epi32::<0b1111_1000>(cast(*outside), cast(*inside)))
            }
            #[inline(always)]
            fn select_right(self, inside: &HalfRow, outside: &HalfRow) -> HalfRow {
                cast(self.avx2._mm256_blend_epi32::<0b0001_1111>(cast(*outside), cast(*inside)))
            }
            #[inline(always)]
            fn prefetch(self, byte: *const u8) {
                self.sse._mm_prefetch::<_MM_HINT_T0>(byte.cast());
            }
        };
    }

    impl Lanes for V4 {
        type Sums = __m512i;
        #[inline(always)]
        fn zero(self) -> __m512i {
            cast([0i32; 16])
        }
        type Errors = __m512i;
        #[inline(always)]
        fn errors(self, a: &HalfRow, b: &HalfRow) -> __m512i {
            let wide = |half: &HalfRow| self.avx512bw._mm512_cvtepu8_epi16(cast(*half));
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
        avx2!();
        #[inline(always)]
        fn copy_and_blend(self, pair: [Start<'_>; 2], copied: &mut [u8], blended: &mut [u8]) -> Option<(u64, u64)> {
            crate::fuse::bytes::sweep::copy_and_blend(self, pair, copied, blended)
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
        fn errors(self, a: &HalfRow, b: &HalfRow) -> [__m256i; 2] {
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
        avx2!();
    }
}
