//! Sums and means of planes over patches.

use std::ops::Range;

use super::planes::Plane;

/// The patches of an image: a grid whose last row and column may be smaller.
pub(super) struct Patches {
    pub height: usize,
    pub width: usize,
    pub size: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Patches {
    /// Rows and columns of the image that the patch covers.
    pub fn pixels(&self, row: usize, column: usize) -> (Range<usize>, Range<usize>) {
        let along = |i: usize, end: usize| i * self.size..((i + 1) * self.size).min(end);
        (along(row, self.height), along(column, self.width))
    }

    /// Mean of a plane over each patch, given to `each(patch, mean)`.
    ///
    /// Pixel `i` of the plane lies at `start + i * step` of the image. Where fewer than five pixels of the plane lie along a
    /// patch, the plane is interpolated in the middle of the patch.
    pub fn means(&self, plane: &Plane, start: f32, step: f32, mut each: impl FnMut(usize, f32)) {
        let coarse = self.size as f32 / step < 5.0;
        for row in 0..self.rows {
            for column in 0..self.columns {
                let (rows, columns) = self.pixels(row, column);
                let mean = if coarse {
                    let place = |pixels: Range<usize>| ((pixels.start + pixels.end - 1) as f32 * 0.5 - start) / step;
                    between(plane, place(rows), place(columns))
                } else {
                    mean(plane, within(rows, start, step, plane.height), within(columns, start, step, plane.width))
                };
                each(row * self.columns + column, mean);
            }
        }
    }
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
