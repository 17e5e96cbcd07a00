//! Where a patch of 20x20 RGB lies in its image.

use crate::view::View;

/// Samples of a row and of a patch.
pub(super) const ROW: usize = 60;
pub(crate) const PATCH: usize = 20 * ROW;

/// Where a patch begins in the buffer of its image, and how far apart its rows are, in samples.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(super) data: &'a [u8],
    at: usize,
    stride: isize,
}

impl<'a> Start<'a> {
    /// The patch at (`y`, `x`) of an RGB image.
    #[inline(always)]
    pub(crate) fn of(image: &View<'a, u8>, y: usize, x: usize) -> Self {
        let (data, at, stride) = image.place(y, 3 * x);
        Self { data, at, stride }
    }
    /// Where row `dy` begins.
    #[inline(always)]
    pub(super) fn row(&self, dy: usize) -> usize {
        self.at.wrapping_add_signed(self.stride.wrapping_mul(dy as isize))
    }
    /// A byte of each cache line to fetch for the patch, which are addresses alone: whether they lie in the buffer plays no
    /// part. The line with the last sample of each row is enough: on a grid, the first is in the line that the patch to the
    /// left ended in.
    #[inline(always)]
    pub(crate) fn cache_lines(&self) -> impl Iterator<Item = *const u8> {
        let (data, last, stride) = (self.data, self.at + ROW - 1, self.stride);
        (0..20).map(
            #[inline(always)]
            move |dy| data.as_ptr().wrapping_add(last.wrapping_add_signed(stride.wrapping_mul(dy))),
        )
    }
}
