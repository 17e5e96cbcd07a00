//! Borrowed images and batches of patches.
//!
//! A view is a buffer, a shape and a stride between rows, which may be larger than a row (a column
//! range of a wider image) or negative (rows upside down). Pixels within a row are packed. Geometry is
//! checked once, with checked arithmetic, when the view is built.

use crate::error::{Error, Result};

/// A pixel sample: `u8`, `u16` or `f32`.
pub trait Sample: Copy + Default + PartialEq + PartialOrd + Send + Sync + std::fmt::Debug + 'static {
    /// The range from black to white: 255, 65535 or 1.0.
    const DATA_RANGE: f64;
    /// NumPy's name of the type.
    const NAME: &'static str;
    /// The sample as `f64`, exactly.
    fn to_f64(self) -> f64;
    /// The samples, if they are bytes.
    fn bytes(samples: &[Self]) -> Option<&[u8]> {
        let _ = samples;
        None
    }
    /// The samples to write to, if they are bytes.
    fn bytes_mut(samples: &mut [Self]) -> Option<&mut [u8]> {
        let _ = samples;
        None
    }
}

macro_rules! sample {
    ($t:ty, $range:expr, $name:expr $(, $bytes:item)*) => {
        impl Sample for $t {
            const DATA_RANGE: f64 = $range;
            const NAME: &'static str = $name;
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            $($bytes)*
        }
    };
}
sample!(
    u8,
    255.0,
    "uint8",
    fn bytes(samples: &[u8]) -> Option<&[u8]> {
        Some(samples)
    },
    fn bytes_mut(samples: &mut [u8]) -> Option<&mut [u8]> {
        Some(samples)
    }
);
sample!(u16, 65535.0, "uint16");
sample!(f32, 1.0, "float32");

/// A box inside an image or a patch, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Region {
    /// Top row.
    pub y: usize,
    /// Left column.
    pub x: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Region {
    /// The region, if it lies inside `height` x `width` and is not empty.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`].
    pub fn inside(self, what: &'static str, height: usize, width: usize) -> Result<Self> {
        let fits =
            |start: usize, len: usize, outer: usize| len > 0 && start.checked_add(len).is_some_and(|end| end <= outer);
        if fits(self.y, self.height, height) && fits(self.x, self.width, width) {
            Ok(self)
        } else {
            Err(Error::OutOfBounds {
                what,
                y: i64::try_from(self.y).unwrap_or(i64::MAX),
                x: i64::try_from(self.x).unwrap_or(i64::MAX),
                height: self.height,
                width: self.width,
                outer_height: height,
                outer_width: width,
            })
        }
    }
}

/// An image of shape (height, width, channels) whose rows may be strided or reversed.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    data: &'a [T],
    height: usize,
    width: usize,
    channels: usize,
    origin: usize,
    row_stride: isize,
}

/// Whether the sample offsets that `steps` (count, stride) from `origin` touch, `item` samples at each, lie in `0..len`.
fn span_fits(origin: usize, steps: &[(usize, isize)], item: usize, len: usize) -> bool {
    if item == 0 || steps.iter().any(|&(count, _)| count == 0) {
        return origin <= len; // nothing is touched; the strides of such a view are set to 0
    }
    let (mut low, mut high) = (origin as i128, origin as i128);
    for &(count, stride) in steps {
        // At most 2^64 * 2^63 = 2^127, so one product fits and a sum of two may not.
        let reach = (count as i128 - 1) * stride as i128;
        let end = if reach < 0 { &mut low } else { &mut high };
        match end.checked_add(reach) {
            Some(sum) => *end = sum,
            None => return false,
        }
    }
    low >= 0 && high + (item as i128) <= len as i128
}

impl<'a, T> View<'a, T> {
    /// A view of `data` whose first pixel is at `origin` and whose rows are `row_stride` samples apart.
    ///
    /// # Errors
    /// [`Error::OutOfBuffer`] if any row reaches outside `data`.
    pub fn new(
        data: &'a [T],
        height: usize,
        width: usize,
        channels: usize,
        origin: usize,
        row_stride: isize,
    ) -> Result<Self> {
        let fits =
            width.checked_mul(channels).is_some_and(|row| span_fits(origin, &[(height, row_stride)], row, data.len()));
        if !fits {
            return Err(Error::OutOfBuffer { height, width, channels, row_stride, len: data.len() });
        }
        let empty = height == 0 || width == 0 || channels == 0;
        Ok(Self { data, height, width, channels, origin, row_stride: if empty { 0 } else { row_stride } })
    }

    /// A view of packed rows.
    ///
    /// # Errors
    /// [`Error::OutOfBuffer`] if `data` is too short.
    pub fn packed(data: &'a [T], height: usize, width: usize, channels: usize) -> Result<Self> {
        let stride = width.checked_mul(channels).and_then(|s| isize::try_from(s).ok()).unwrap_or(isize::MAX);
        Self::new(data, height, width, channels, 0, stride)
    }

    /// Rows.
    #[inline]
    pub fn height(&self) -> usize {
        self.height
    }
    /// Columns.
    #[inline]
    pub fn width(&self) -> usize {
        self.width
    }
    /// Samples per pixel.
    #[inline]
    pub fn channels(&self) -> usize {
        self.channels
    }
    /// (height, width, channels).
    #[inline]
    pub fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }
    /// The whole image as a region.
    #[inline]
    pub fn region(&self) -> Region {
        Region { y: 0, x: 0, height: self.height, width: self.width }
    }
    /// Row `y`, packed: `width * channels` samples.
    #[inline]
    pub fn row(&self, y: usize) -> &'a [T] {
        self.span(y, 0, self.width)
    }
    /// Pixels `x..x + width` of row `y`: `width * channels` samples.
    #[inline]
    pub fn span(&self, y: usize, x: usize, width: usize) -> &'a [T] {
        debug_assert!(y < self.height && x + width <= self.width);
        let start = self.origin.wrapping_add_signed(self.row_stride.wrapping_mul(y as isize)) + x * self.channels;
        &self.data[start..start + width * self.channels]
    }
    /// The part of the image in `region`.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if it does not lie inside.
    pub fn crop(&self, what: &'static str, region: Region) -> Result<Self> {
        let r = region.inside(what, self.height, self.width)?;
        let origin = self.origin.wrapping_add_signed(self.row_stride.wrapping_mul(r.y as isize)) + r.x * self.channels;
        Ok(Self { origin, height: r.height, width: r.width, ..*self })
    }
    /// The `height` x `width` pixels at (`y`, `x`), which the caller has checked to lie inside.
    #[inline(always)]
    pub(crate) fn at(&self, y: usize, x: usize, height: usize, width: usize) -> Self {
        debug_assert!(y + height <= self.height && x + width <= self.width);
        let origin = self.origin.wrapping_add_signed(self.row_stride.wrapping_mul(y as isize)) + x * self.channels;
        Self { origin, height, width, ..*self }
    }
    /// The buffer, the offset in it of sample `start` of row `y`, and the stride between rows.
    #[inline(always)]
    pub(crate) fn place(&self, y: usize, start: usize) -> (&'a [T], usize, isize) {
        let at = self.origin.wrapping_add_signed(self.row_stride.wrapping_mul(y as isize)) + start;
        (self.data, at, self.row_stride)
    }
    /// Rows from row `y` on to `rows`, `N` samples of each from its sample `start`. Cheaper than [`View::samples`] for each:
    /// an addition leads from one row to the next.
    #[inline(always)]
    pub(crate) fn gather<const N: usize>(&self, y: usize, start: usize, rows: &mut [&'a [T; N]]) {
        debug_assert!(y + rows.len() <= self.height && start + N <= self.width * self.channels);
        let (data, stride) = (self.data, self.row_stride);
        let mut at = self.origin.wrapping_add_signed(stride.wrapping_mul(y as isize)) + start;
        let last = data.len().checked_sub(N);
        for row in rows {
            assert!(last.is_some_and(|last| at <= last), "the view was checked");
            // A slice of N has its first N samples, so nothing else is ever left.
            *row = data[at..at + N].first_chunk().unwrap_or(row);
            at = at.wrapping_add_signed(stride);
        }
    }
    /// Samples `start..start + len` of row `y`, counted from its first sample.
    #[inline(always)]
    pub(crate) fn samples(&self, y: usize, start: usize, len: usize) -> &'a [T] {
        debug_assert!(y < self.height && start + len <= self.width * self.channels);
        let start = self.origin.wrapping_add_signed(self.row_stride.wrapping_mul(y as isize)) + start;
        &self.data[start..start + len]
    }
    /// The same image, if its samples are bytes.
    pub(crate) fn bytes(&self) -> Option<View<'a, u8>>
    where
        T: Sample,
    {
        let Self { data, height, width, channels, origin, row_stride } = *self;
        Some(View { data: T::bytes(data)?, height, width, channels, origin, row_stride })
    }
    /// An error unless `other` has this shape.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn same_shape(&self, what: &'static str, other: &View<'_, T>) -> Result<()> {
        if self.shape() == other.shape() {
            Ok(())
        } else {
            Err(Error::Shape { what, found: other.shape().to_vec(), expected: self.shape().to_vec() })
        }
    }
}

/// Patches of shape (len, height, width, channels); patches and rows may be strided or reversed.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a, T> {
    data: &'a [T],
    len: usize,
    patch_stride: isize,
    first: View<'a, T>,
}

impl<'a, T> Batch<'a, T> {
    /// A batch of `shape` (len, height, width, channels) with strides in samples.
    ///
    /// # Errors
    /// [`Error::OutOfBuffer`] if any patch reaches outside `data`.
    pub fn new(
        data: &'a [T],
        shape: [usize; 4],
        origin: usize,
        patch_stride: isize,
        row_stride: isize,
    ) -> Result<Self> {
        let [len, height, width, channels] = shape;
        let fits = width
            .checked_mul(channels)
            .is_some_and(|row| span_fits(origin, &[(len, patch_stride), (height, row_stride)], row, data.len()));
        if !fits {
            return Err(Error::OutOfBuffer { height, width, channels, row_stride, len: data.len() });
        }
        let empty = shape.contains(&0);
        let first = View { data, height, width, channels, origin, row_stride: if empty { 0 } else { row_stride } };
        Ok(Self { data, len, patch_stride: if empty { 0 } else { patch_stride }, first })
    }

    /// A batch of packed patches.
    ///
    /// # Errors
    /// [`Error::OutOfBuffer`] if `data` is too short.
    pub fn packed(data: &'a [T], shape: [usize; 4]) -> Result<Self> {
        let [_, height, width, channels] = shape;
        let stride = |items: Option<usize>| items.and_then(|s| isize::try_from(s).ok()).unwrap_or(isize::MAX);
        let row = width.checked_mul(channels);
        Self::new(data, shape, 0, stride(row.and_then(|r| r.checked_mul(height))), stride(row))
    }

    /// Patches.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// (len, height, width, channels).
    #[inline]
    pub fn shape(&self) -> [usize; 4] {
        [self.len, self.first.height, self.first.width, self.first.channels]
    }
    /// Patch `i`.
    ///
    /// # Panics
    /// If `i` is not below [`Batch::len`].
    #[inline]
    pub fn patch(&self, i: usize) -> View<'a, T> {
        assert!(i < self.len, "patch {i} of {}", self.len);
        let origin = self.first.origin.wrapping_add_signed(self.patch_stride.wrapping_mul(i as isize));
        View { data: self.data, origin, ..self.first }
    }
    /// An error unless `other` has this shape.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn same_shape(&self, what: &'static str, other: &Batch<'_, T>) -> Result<()> {
        if self.shape() == other.shape() {
            Ok(())
        } else {
            Err(Error::Shape { what, found: other.shape().to_vec(), expected: self.shape().to_vec() })
        }
    }
}
