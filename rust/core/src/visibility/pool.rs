//! Sums and means of planes over patches.

use std::ops::Range;

use super::planes::Plane;
use crate::error::{Error, Result};
use crate::parallel;

/// The patches of an image: a grid, whose patches may overlap.
#[derive(Clone, Debug)]
pub struct Patches {
    size: usize,
    rows: Vec<Range<usize>>,
    columns: Vec<Range<usize>>,
}

impl Patches {
    /// Patches of `size` pixels a side that lie side by side from the top left; the last row and column may be smaller.
    pub fn side_by_side(height: usize, width: usize, size: usize) -> Self {
        let size = size.max(1);
        let along = |end: usize| (0..end).step_by(size).map(|start| start..(start + size).min(end)).collect();
        Self { size, rows: along(height), columns: along(width) }
    }

    /// Patches whose first rows of pixels are `ys`, and whose first columns are `xs`.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] if one does not lie inside the image.
    pub fn at(ys: &[i64], xs: &[i64], size: usize, height: usize, width: usize) -> Result<Self> {
        let outside = |y: i64, x: i64| Error::OutOfBounds {
            what: "a patch",
            y,
            x,
            height: size,
            width: size,
            outer_height: height,
            outer_width: width,
        };
        let along = |starts: &[i64], end: usize, error: &dyn Fn(i64) -> Error| {
            let pixels = |&start: &i64| {
                let first = usize::try_from(start).ok().filter(|&first| first <= end && size <= end - first);
                first.map(|first| first..first + size).ok_or_else(|| error(start))
            };
            starts.iter().map(pixels).collect::<Result<Vec<_>>>()
        };
        let rows = along(ys, height, &|y| outside(y, 0))?;
        Ok(Self { size, rows, columns: along(xs, width, &|x| outside(0, x))? })
    }

    /// Number of rows and columns of patches.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows.len(), self.columns.len())
    }

    /// Rows and columns of the image that a patch covers.
    pub(super) fn pixels(&self, row: usize, column: usize) -> (Range<usize>, Range<usize>) {
        (self.rows[row].clone(), self.columns[column].clone())
    }

    /// Adds the mean of a plane over each patch, times a factor, to `out`, row by row.
    ///
    /// Pixel `i` of the plane lies at `start + i * step` of the image. Where fewer than five pixels of the plane lie along a
    /// patch, the plane is interpolated in the middle of the patch.
    pub(super) fn add_means(&self, plane: &Plane, start: f32, step: f32, out: &mut [f32], factor: Factor) {
        let coarse = self.size as f32 / step < 5.0;
        let columns = self.columns.len();
        let jobs: Vec<_> = out.chunks_mut(columns.max(1)).enumerate().collect();
        parallel::for_each(plane.height * plane.width, jobs, |(row, out)| {
            for (column, out) in out.iter_mut().enumerate() {
                let (rows, columns) = self.pixels(row, column);
                let factor = match factor {
                    Factor::Area => (rows.len() * columns.len()) as f32,
                    Factor::Share(share) => share,
                };
                let mean = if coarse {
                    let place = |pixels: Range<usize>| ((pixels.start + pixels.end - 1) as f32 * 0.5 - start) / step;
                    between(plane, place(rows), place(columns))
                } else {
                    mean(plane, within(rows, start, step, plane.height), within(columns, start, step, plane.width))
                };
                *out += factor * mean;
            }
        });
    }
}

/// What a mean is multiplied by: the patch's area in pixels, or a number.
#[derive(Clone, Copy)]
pub(super) enum Factor {
    Area,
    Share(f32),
}

/// The pixels of a plane that lie in `pixels` of the image, or the closest one.
fn within(pixels: Range<usize>, start: f32, step: f32, end: usize) -> Range<usize> {
    let first = |pixel: usize| (((pixel as f32 - 0.5 - start) / step).ceil().max(0.0) as usize).min(end);
    let (low, high) = (first(pixels.start), first(pixels.end));
    if low < high { low..high } else { low.min(end - 1)..low.min(end - 1) + 1 }
}

fn mean(plane: &Plane, rows: Range<usize>, columns: Range<usize>) -> f32 {
    let count = (rows.len() * columns.len()) as f32;
    let mut sum = 0.0;
    for y in rows {
        sum += plane.row(y)[columns.clone()].iter().sum::<f32>();
    }
    sum / count
}

/// The plane between its pixels.
fn between(plane: &Plane, y: f32, x: f32) -> f32 {
    let split = |place: f32, end: usize| {
        let place = place.clamp(0.0, (end - 1) as f32);
        let low = place as usize;
        (low, (low + 1).min(end - 1), place - low as f32)
    };
    let ((y0, y1, v), (x0, x1, u)) = (split(y, plane.height), split(x, plane.width));
    let along = |y: usize| plane.row(y)[x0] * (1.0 - u) + plane.row(y)[x1] * u;
    along(y0) * (1.0 - v) + along(y1) * v
}
