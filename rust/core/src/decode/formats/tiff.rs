//! TIFF: grey, palettes and RGB, in strips or tiles, by pixels or by planes.
//!
//! The samples are read here and not by the `tiff` crate, which refuses tiles whose LZW data have no end code, panics on
//! tiles of single planes, and knows neither palettes nor inverted grey.

use crate::decode::colour::Declared;
use crate::decode::exif::Directory;
use crate::decode::expand::{self, Table};
use crate::decode::header::{
    Decoder, Header, Image, Pixels, Reason, checked_claim, checked_size, corrupt, no_such_frame, several, truncated,
    zeroed,
};
use crate::decode::{Colour as Asked, Options, other};

mod chunks;

use chunks::{Layout, Stored};

/// LZW and deflate stay below this ratio.
const BEST_COMPRESSION: u64 = 2048;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
}

pub(super) const DECODER: Decoder = Decoder {
    matches: |bytes| matches!(bytes, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..]),
    open: |bytes, options| {
        let Some(image) = Tiff::open(bytes, options)? else {
            return other::open("tiff", "a TIFF with several pages", bytes, options);
        };
        Ok(Image::new(image.header.clone(), || image.pixels()))
    },
};

struct Tiff<'a> {
    header: Header,
    layout: Layout<'a>,
    colour: Colour,
    palette: Option<Box<Table>>,
    /// Whether there is alpha, and colours have been multiplied with it.
    alpha: Option<bool>,
}

impl<'a> Tiff<'a> {
    /// `None` if the other reader has to read it.
    fn open(bytes: &'a [u8], options: Options) -> Reason<Option<Self>> {
        let directory = Directory::first(bytes).ok_or_else(|| truncated("TIFF"))?;
        if directory.has_more() && options.frame.is_none() {
            return Err(several("a TIFF with several pages"));
        }
        let directory = match options.frame {
            Some(page @ 1..) if directory.has_more() => directory.page(page).ok_or_else(|| no_such_frame(page))?,
            _ => directory,
        };
        let value = |tag, default| {
            directory.first_value(tag, default).ok_or_else(|| corrupt("TIFF", format_args!("tag {tag} is unreadable")))
        };
        let (height, width) = checked_size(value(257, 0)?, value(256, 0)?, options.max_pixels)?;
        let (samples, bits) = (value(277, 1)?, value(258, 1)?);
        let colour = match value(262, u64::MAX)? {
            0 => Colour::WhiteIsZero,
            1 => Colour::BlackIsZero,
            2 => Colour::Rgb,
            3 => Colour::Palette,
            6 if samples == 3 && bits == 8 => return Ok(None),
            5 => return Err("is a CMYK TIFF; convert it to RGB first".into()),
            _ => return Err("is a TIFF that is not grey, RGB or palette; convert it to RGB first".into()),
        };
        let channels = if colour == Colour::Rgb { 3 } else { 1 };
        // ExtraSamples: 1 is alpha that the colours have been multiplied with, 2 alpha that they have not.
        let alpha = match value(338, 0)? {
            extra @ (1 | 2) if samples == channels + 1 && colour != Colour::Palette => Some(extra == 1),
            _ if samples == channels => None,
            _ => return Err(format!("is a TIFF with {samples} channels; convert it to RGB first")),
        };
        let deep = bits > 16 || !matches!(value(339, 1)?, 1 | 4);
        if deep {
            return Err("holds signed, floating-point or 32-bit samples; convert it to 8 or 16 bits per channel".into());
        }
        let supported = match colour {
            Colour::Rgb => matches!(bits, 8 | 16),
            Colour::Palette => matches!(bits, 1 | 2 | 4 | 8),
            _ if alpha.is_some() => matches!(bits, 8 | 16),
            _ => matches!(bits, 1 | 2 | 4 | 8 | 16),
        };
        if !supported {
            return Err(format!("is a TIFF with {bits} bits per channel; convert it to 8 or 16"));
        }
        match value(259, 1)? {
            1 | 5 | 8 | 32946 | 32773 => {}
            // Fax and JPEG, LZMA, Zstandard and WebP, if the samples are no deeper than Pillow's.
            2 | 3 | 4 | 7 | 34925 | 50000 | 50001 if bits <= 8 => return Ok(None),
            other => return Err(format!("is a TIFF with compression {other}; save it with LZW, deflate or none")),
        }
        let bits = bits as u8;
        let header = Header {
            height,
            width,
            bit_depth: if bits == 16 { 16 } else { 8 },
            orientation: directory.orientation(),
            icc_profile: directory.find(34675).is_some(),
            alpha: alpha.is_some(),
            grey: matches!(colour, Colour::WhiteIsZero | Colour::BlackIsZero),
            colour: directory.find(34675).filter(|_| options.colour == Asked::Srgb).map(|entry| {
                let end = usize::try_from(entry.count).ok().and_then(|count| entry.at.checked_add(count));
                // A profile that is not there is as unreadable as one that is damaged.
                Declared::Icc(end.and_then(|end| bytes.get(entry.at..end)).unwrap_or_default().into())
            }),
            passes: u64::from(value(259, 1)? != 1),
            ..Header::new(height, width)
        };
        let row = (width as u64 * samples * u64::from(bits)).div_ceil(8);
        checked_claim(&header, row * height as u64, bytes.len(), BEST_COMPRESSION)?;
        let palette = if colour == Colour::Palette { Some(palette(&directory, bits)?) } else { None };
        let layout = Layout::read(bytes, &directory, (height, width), samples as usize, bits)?;
        Ok(Some(Tiff { header, layout, colour, palette, alpha }))
    }

    fn pixels(self) -> Reason<Pixels> {
        let width = self.header.width;
        let samples = self.header.pixels() * 3;
        let bits = self.layout.bits;
        if let Some(multiplied) = self.alpha {
            let inverted = self.colour == Colour::WhiteIsZero;
            return match self.layout.stored()? {
                Stored::U8(stored) => rgba(&stored, self.header.pixels(), inverted, multiplied).map(Pixels::U8),
                Stored::U16(stored) => rgba(&stored, self.header.pixels(), inverted, multiplied).map(Pixels::U16),
            };
        }
        match (self.layout.stored()?, self.colour) {
            (Stored::U8(stored), Colour::Rgb) => Ok(Pixels::U8(stored)),
            (Stored::U16(stored), Colour::Rgb) => Ok(Pixels::U16(stored)),
            (Stored::U16(stored), colour) => {
                let mut out = zeroed::<u16>(samples)?;
                let flip = if colour == Colour::WhiteIsZero { u16::MAX } else { 0 };
                for (pixel, sample) in out.as_chunks_mut::<3>().0.iter_mut().zip(stored) {
                    *pixel = [sample ^ flip; 3];
                }
                Ok(Pixels::U16(out))
            }
            (Stored::U8(stored), colour) => {
                let row = (width * usize::from(bits)).div_ceil(8);
                let mut table = self.palette.map_or_else(|| expand::grey(bits), |table| *table);
                if colour == Colour::WhiteIsZero {
                    table.iter_mut().for_each(|entry| *entry = entry.map(|value| !value));
                }
                let mut out = zeroed(samples)?;
                for (row, out) in stored.chunks_exact(row).zip(out.chunks_exact_mut(width * 3)) {
                    expand::look_up(row, bits, &table, out);
                }
                Ok(Pixels::U8(out))
            }
        }
    }
}

/// The colour map: all reds, all greens, all blues, of 16 bits. The upper 8 are taken, as in Pillow, which is right for
/// writers that repeat the byte and for those that leave the lower one zero. Some writers put 0..=255 into it; libtiff takes
/// a map for one of theirs if all its values are below 256, and so do we, as it would be all black otherwise.
fn palette(directory: &Directory<'_>, bits: u8) -> Reason<Box<Table>> {
    let colours = 1_usize << bits;
    let map = directory.find(320).filter(|entry| entry.count >= 3 * colours as u64);
    let map = map.ok_or_else(|| corrupt("TIFF", "it has no palette"))?;
    let wide: Vec<u64> = (0..3 * colours)
        .map(|index| directory.value(map, index).ok_or_else(|| truncated("TIFF")))
        .collect::<Reason<_>>()?;
    let shift = if wide.iter().all(|&value| value < 256) { 0 } else { 8 };
    let mut table = Box::new([[0; 3]; 256]);
    for (index, entry) in table.iter_mut().take(colours).enumerate() {
        *entry = std::array::from_fn(|channel| (wide[channel * colours + index] >> shift) as u8);
    }
    Ok(table)
}

/// Grey or RGB with alpha to RGBA whose colours are not multiplied with it. Inverted colours are white at 0.
fn rgba<T>(stored: &[T], pixels: usize, inverted: bool, multiplied: bool) -> Reason<Vec<T>>
where
    T: Copy + Default + Into<u32> + TryFrom<u32>,
{
    let most = (1_u64 << (8 * size_of::<T>())) - 1;
    let mut out = expand::rgba(stored, stored.len() / pixels, T::default())?;
    for pixel in out.as_chunks_mut::<4>().0 {
        let alpha = u64::from(pixel[3].into());
        for value in &mut pixel[..3] {
            let wide = u64::from((*value).into());
            let wide = if inverted { most - wide } else { wide };
            let wide = if multiplied && alpha > 0 { (wide * most + alpha / 2) / alpha } else { wide };
            *value = T::try_from(wide.min(most) as u32).unwrap_or_default();
        }
    }
    Ok(out)
}
