//! Rows of grey or palette samples to rows of RGB, and pixels with alpha to RGBA.

use super::header::{Reason, zeroed};

/// The colour of each sample value of up to 8 bits.
pub(super) type Table = [[u8; 3]; 256];

/// Grey of `bits` bits spread over 0..=255, as Pillow's `convert("RGB")` does: 1 bit to 0 and 255, 2 bits in
/// steps of 85, 4 bits in steps of 17.
pub(super) fn grey(bits: u8) -> Table {
    let most = (1_usize << bits) - 1;
    std::array::from_fn(|sample| [(sample.min(most) * 255 / most) as u8; 3])
}

/// A palette of packed RGB. A sample beyond its end is black, as in Pillow.
pub(super) fn palette(colours: &[u8]) -> Table {
    let mut table = [[0; 3]; 256];
    for (entry, colour) in table.iter_mut().zip(colours.as_chunks::<3>().0) {
        *entry = *colour;
    }
    table
}

/// Looks up a row of samples of 1, 2, 4 or 8 bits, the leftmost in the highest bits of a byte.
pub(super) fn look_up(row: &[u8], bits: u8, table: &Table, out: &mut [u8]) {
    let (out, _) = out.as_chunks_mut::<3>();
    if bits == 8 {
        for (pixel, &sample) in out.iter_mut().zip(row) {
            *pixel = table[usize::from(sample)];
        }
        return;
    }
    let (in_a_byte, mask) = (usize::from(8 / bits), (1_u8 << bits) - 1);
    for (pixels, &byte) in out.chunks_mut(in_a_byte).zip(row) {
        for (index, pixel) in pixels.iter_mut().enumerate() {
            let shift = 8 - bits * (index as u8 + 1);
            *pixel = table[usize::from(byte >> shift & mask)];
        }
    }
}

/// 16-bit big-endian samples, three to a pixel, or one that is repeated.
pub(super) fn sixteen(row: &[u8], grey: bool, out: &mut [u16]) {
    let (samples, _) = row.as_chunks::<2>();
    if grey {
        for (pixel, &sample) in out.as_chunks_mut::<3>().0.iter_mut().zip(samples) {
            *pixel = [u16::from_be_bytes(sample); 3];
        }
    } else {
        for (value, &sample) in out.iter_mut().zip(samples) {
            *value = u16::from_be_bytes(sample);
        }
    }
}

/// RGBA of packed pixels of 1 (grey), 2 (grey and alpha), 3 or 4 channels; without alpha they are `opaque`.
pub(super) fn rgba<T: Copy + Default>(packed: &[T], channels: usize, opaque: T) -> Reason<Vec<T>> {
    let mut out = zeroed(packed.len() / channels * 4)?;
    for (pixel, stored) in out.as_chunks_mut::<4>().0.iter_mut().zip(packed.chunks_exact(channels)) {
        *pixel = match *stored {
            [grey] => [grey, grey, grey, opaque],
            [grey, alpha] => [grey, grey, grey, alpha],
            [red, green, blue] => [red, green, blue, opaque],
            [red, green, blue, alpha, ..] => [red, green, blue, alpha],
            [] => [opaque; 4],
        };
    }
    Ok(out)
}
