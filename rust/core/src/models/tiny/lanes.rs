//! Vector operations on 16 floats for each kind of processor.

/// 16 floats, a cache line.
pub(super) type Line = [f32; 16];

/// 16 lanes of `f32` on one kind of processor.
pub(super) trait Lanes: Copy {
    /// The lanes.
    type V: Copy;
    /// Whether there are registers for 32 of them.
    const MANY: bool;
    /// One number in all lanes.
    fn splat(self, x: f32) -> Self::V;
    /// The lanes in memory.
    fn load(self, from: &Line) -> Self::V;
    /// 16 bytes as floats.
    fn bytes(self, from: &[u8; 16]) -> Self::V;
    /// Writes the lanes to memory.
    fn store(self, v: Self::V, to: &mut Line);
    /// `a * b + c`, rounded once where the processor can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a` where it is above `b`, else `b`: a NaN of `b` stays.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `v` where `gate` is above 0, else 0.
    fn gate(self, gate: Self::V, v: Self::V) -> Self::V;
    /// A bit a lane, the lowest first: whether it is above 0.
    fn positive(self, v: Self::V) -> u16;

    /// `v` where it is above 0 or NaN, else 0.
    #[inline(always)]
    fn relu(self, v: Self::V) -> Self::V {
        self.max(self.splat(0.0), v)
    }
}

/// Any processor.
#[derive(Clone, Copy)]
pub(super) struct Portable;

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> Line {
    let mut line = [0.0; 16];
    for (i, x) in line.iter_mut().enumerate() {
        *x = f(i);
    }
    line
}

impl Lanes for Portable {
    type V = Line;
    const MANY: bool = false;
    #[inline(always)]
    fn splat(self, x: f32) -> Line {
        [x; 16]
    }
    #[inline(always)]
    fn load(self, from: &Line) -> Line {
        *from
    }
    #[inline(always)]
    fn bytes(self, from: &[u8; 16]) -> Line {
        each(|i| f32::from(from[i]))
    }
    #[inline(always)]
    fn store(self, v: Line, to: &mut Line) {
        *to = v;
    }
    #[inline(always)]
    fn fma(self, a: Line, b: Line, c: Line) -> Line {
        // Not `mul_add`, which is a call into the C library where the processor has no such instruction.
        each(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn add(self, a: Line, b: Line) -> Line {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Line, b: Line) -> Line {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Line, b: Line) -> Line {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn max(self, a: Line, b: Line) -> Line {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn gate(self, gate: Line, v: Line) -> Line {
        each(|i| if gate[i] > 0.0 { v[i] } else { 0.0 })
    }
    #[inline(always)]
    fn positive(self, v: Line) -> u16 {
        v.iter().rev().fold(0, |bits, &x| bits << 1 | u16::from(x > 0.0))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m512, _CMP_GT_OQ};

    use pulp::cast;
    use pulp::x86::{V3, V4};

    use super::{Lanes, Line};

    impl Lanes for V4 {
        type V = __m512;
        const MANY: bool = true;
        #[inline(always)]
        fn splat(self, x: f32) -> __m512 {
            self.avx512f._mm512_set1_ps(x)
        }
        #[inline(always)]
        fn load(self, from: &Line) -> __m512 {
            cast(*from)
        }
        #[inline(always)]
        fn bytes(self, from: &[u8; 16]) -> __m512 {
            self.avx512f._mm512_cvtepi32_ps(self.avx512f._mm512_cvtepu8_epi32(cast(*from)))
        }
        #[inline(always)]
        fn store(self, v: __m512, to: &mut Line) {
            *to = cast(v);
        }
        #[inline(always)]
        fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            self.avx512f._mm512_fmadd_ps(a, b, c)
        }
        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            self.avx512f._mm512_add_ps(a, b)
        }
        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            self.avx512f._mm512_sub_ps(a, b)
        }
        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            self.avx512f._mm512_mul_ps(a, b)
        }
        #[inline(always)]
        fn max(self, a: __m512, b: __m512) -> __m512 {
            self.avx512f._mm512_max_ps(a, b)
        }
        #[inline(always)]
        fn gate(self, gate: __m512, v: __m512) -> __m512 {
            self.avx512f._mm512_maskz_mov_ps(self.positive(gate), v)
        }
        #[inline(always)]
        fn positive(self, v: __m512) -> u16 {
            self.avx512f._mm512_cmp_ps_mask::<_CMP_GT_OQ>(v, self.splat(0.0))
        }
    }

    /// `$f` of the lower halves and of the upper halves.
    macro_rules! both {
        ($f:expr, $($v:ident),+) => {
            [$f($($v[0]),+), $f($($v[1]),+)]
        };
    }

    impl Lanes for V3 {
        type V = [__m256; 2];
        const MANY: bool = false;
        #[inline(always)]
        fn splat(self, x: f32) -> [__m256; 2] {
            [self.avx._mm256_set1_ps(x); 2]
        }
        #[inline(always)]
        fn load(self, from: &Line) -> [__m256; 2] {
            cast(*from)
        }
        #[inline(always)]
        fn bytes(self, from: &[u8; 16]) -> [__m256; 2] {
            let [a, b]: [u64; 2] = cast(*from);
            let wide = |half: u64| self.avx2._mm256_cvtepu8_epi32(cast([half, 0]));
            [self.avx._mm256_cvtepi32_ps(wide(a)), self.avx._mm256_cvtepi32_ps(wide(b))]
        }
        #[inline(always)]
        fn store(self, v: [__m256; 2], to: &mut Line) {
            *to = cast(v);
        }
        #[inline(always)]
        fn fma(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            both!(|a, b, c| self.fma._mm256_fmadd_ps(a, b, c), a, b, c)
        }
        #[inline(always)]
        fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            both!(|a, b| self.avx._mm256_add_ps(a, b), a, b)
        }
        #[inline(always)]
        fn sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            both!(|a, b| self.avx._mm256_sub_ps(a, b), a, b)
        }
        #[inline(always)]
        fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            both!(|a, b| self.avx._mm256_mul_ps(a, b), a, b)
        }
        #[inline(always)]
        fn max(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
            both!(|a, b| self.avx._mm256_max_ps(a, b), a, b)
        }
        #[inline(always)]
        fn gate(self, gate: [__m256; 2], v: [__m256; 2]) -> [__m256; 2] {
            let zero = self.avx._mm256_set1_ps(0.0);
            both!(|gate, v| self.avx._mm256_and_ps(self.avx._mm256_cmp_ps::<_CMP_GT_OQ>(gate, zero), v), gate, v)
        }
        #[inline(always)]
        fn positive(self, v: [__m256; 2]) -> u16 {
            let zero = self.avx._mm256_set1_ps(0.0);
            let [a, b] = both!(|v| self.avx._mm256_movemask_ps(self.avx._mm256_cmp_ps::<_CMP_GT_OQ>(v, zero)), v);
            a as u16 | (b as u16) << 8
        }
    }
}
