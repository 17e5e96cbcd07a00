//! Transparent pixels: found, and put on a background.

use super::header::{Pixels, Reason, zeroed};
use super::options::Background;

/// Side of a checker's squares, in pixels.
const SQUARE: usize = 8;
/// Greys of a checker's squares: one darker and one lighter than the middle.
const GREYS: [u8; 2] = [102, 153];

/// Whether every pixel of RGBA is opaque.
pub(super) fn is_opaque(pixels: &Pixels) -> bool {
    match pixels {
        Pixels::U8(samples) => samples.as_chunks::<4>().0.iter().all(|pixel| pixel[3] == u8::MAX),
        Pixels::U16(samples) => samples.as_chunks::<4>().0.iter().all(|pixel| pixel[3] == u16::MAX),
    }
}

/// RGBA without its alpha.
pub(super) fn dropped(pixels: Pixels) -> Reason<Pixels> {
    fn rgb<T: Copy + Default>(samples: &[T]) -> Reason<Vec<T>> {
        let mut out = zeroed(samples.len() / 4 * 3)?;
        for (rgb, &[red, green, blue, _]) in out.as_chunks_mut::<3>().0.iter_mut().zip(samples.as_chunks::<4>().0) {
            *rgb = [red, green, blue];
        }
        Ok(out)
    }
    Ok(match pixels {
        Pixels::U8(samples) => Pixels::U8(rgb(&samples)?),
        Pixels::U16(samples) => Pixels::U16(rgb(&samples)?),
    })
}

/// RGBA of `width` columns on a background, as browsers put it: in the file's sRGB, rounded to nearest.
pub(super) fn composed(pixels: &Pixels, width: usize, background: Background) -> Reason<Pixels> {
    let grey = |index: usize| match background {
        Background::Black => 0,
        Background::White => u8::MAX,
        Background::Checker => GREYS[(index / width / SQUARE + index % width / SQUARE) % 2],
    };
    Ok(match pixels {
        Pixels::U8(samples) => {
            let mut out = zeroed(samples.len() / 4 * 3)?;
            let pixels = out.as_chunks_mut::<3>().0.iter_mut().zip(samples.as_chunks::<4>().0);
            for (index, (rgb, &[red, green, blue, alpha])) in pixels.enumerate() {
                let (alpha, grey) = (u32::from(alpha), u32::from(grey(index)));
                *rgb = [red, green, blue].map(|c| ((u32::from(c) * alpha + grey * (255 - alpha) + 127) / 255) as u8);
            }
            Pixels::U8(out)
        }
        Pixels::U16(samples) => {
            let mut out = zeroed(samples.len() / 4 * 3)?;
            let pixels = out.as_chunks_mut::<3>().0.iter_mut().zip(samples.as_chunks::<4>().0);
            for (index, (rgb, &[red, green, blue, alpha])) in pixels.enumerate() {
                let (alpha, grey) = (u64::from(alpha), u64::from(grey(index)) * 257);
                *rgb = [red, green, blue]
                    .map(|c| ((u64::from(c) * alpha + grey * (65535 - alpha) + 32767) / 65535) as u16);
            }
            Pixels::U16(out)
        }
    })
}
