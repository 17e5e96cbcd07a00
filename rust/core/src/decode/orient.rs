//! The EXIF orientation, as `PIL.ImageOps.exif_transpose` applies it.

use super::header::{Pixels, Reason, zeroed};

/// Output is written in squares of this side, so that the columns a transposition reads stay in cache.
const BLOCK: usize = 32;

/// Turns and mirrors `pixels`, which are stored as `height` rows of `width`.
pub(super) fn apply<const N: usize>(pixels: Pixels, height: usize, width: usize, orientation: u8) -> Reason<Pixels> {
    Ok(match pixels {
        _ if !(2..=8).contains(&orientation) => pixels,
        Pixels::U8(stored) => Pixels::U8(turned::<_, N>(&stored, height, width, orientation)?),
        Pixels::U16(stored) => Pixels::U16(turned::<_, N>(&stored, height, width, orientation)?),
    })
}

fn turned<T: Copy + Default, const N: usize>(
    stored: &[T],
    height: usize,
    width: usize,
    orientation: u8,
) -> Reason<Vec<T>> {
    let mut out = zeroed(stored.len())?;
    let (source, _) = stored.as_chunks::<N>();
    let (target, _) = out.as_chunks_mut::<N>();
    let (last_row, last_column) = (height - 1, width - 1);
    // Where the output's pixel (y, x) is stored.
    let place = |y: usize, x: usize| match orientation {
        2 => (y, last_column - x),
        3 => (last_row - y, last_column - x),
        4 => (last_row - y, x),
        5 => (x, y),
        6 => (last_row - x, y),
        7 => (last_row - x, last_column - y),
        _ => (x, last_column - y),
    };
    let (rows, columns) = if orientation >= 5 { (width, height) } else { (height, width) };
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for y in top..rows.min(top + BLOCK) {
                for x in left..columns.min(left + BLOCK) {
                    let (row, column) = place(y, x);
                    target[y * columns + x] = source[row * width + column];
                }
            }
        }
    }
    Ok(out)
}
