//! TIFF, by the `tiff` crate.
//!
//! Its directory is read here first: what pixq does not take is refused by name, and inverted grey and
//! palettes, which the crate does not do, are handed to it as plain grey and looked up afterwards.

use std::borrow::Cow;
use std::io::Cursor;

use tiff::TiffError;
use tiff::decoder::{DecodingResult, Limits};

use crate::decode::exif::Directory;
use crate::decode::expand::{self, Table};
use crate::decode::header::{
    Decoder, FLATTEN, Header, Image, Pixels, Reason, checked_claim, checked_size, corrupt, room, truncated, zeroed,
};

/// LZW and deflate stay below this ratio.
const BEST_COMPRESSION: u64 = 2048;
/// What the crate may take beside the samples.
const BESIDE_SAMPLES: usize = 1 << 24;

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
        let image = Tiff::open(bytes, options.max_pixels)?;
        Ok(Image::new(image.header.clone(), || image.pixels()))
    },
};

struct Tiff<'a> {
    header: Header,
    bytes: Cow<'a, [u8]>,
    colour: Colour,
    bits: u8,
    planar: bool,
    palette: Option<Box<Table>>,
}

impl<'a> Tiff<'a> {
    fn open(bytes: &'a [u8], max_pixels: u64) -> Reason<Self> {
        let directory = Directory::first(bytes).ok_or_else(|| truncated("TIFF"))?;
        let value = |tag, default| {
            directory.first_value(tag, default).ok_or_else(|| corrupt("TIFF", format_args!("tag {tag} is unreadable")))
        };
        let (height, width) = checked_size(value(257, 0)?, value(256, 0)?, max_pixels)?;
        if directory.more {
            return Err("is a TIFF with several pages; save the page you want as a separate file".into());
        }
        let (samples, bits) = (value(277, 1)?, value(258, 1)?);
        let colour = match value(262, u64::MAX)? {
            0 => Colour::WhiteIsZero,
            1 => Colour::BlackIsZero,
            2 => Colour::Rgb,
            3 => Colour::Palette,
            5 => return Err("is a CMYK TIFF; convert it to RGB first".into()),
            _ => return Err("is a TIFF that is not grey, RGB or palette; convert it to RGB first".into()),
        };
        let channels = if colour == Colour::Rgb { 3 } else { 1 };
        if samples != channels {
            return Err(match value(338, 0)? {
                1 | 2 => FLATTEN.into(),
                _ => format!("is a TIFF with {samples} channels; convert it to RGB first"),
            });
        }
        let deep = bits > 16 || !matches!(value(339, 1)?, 1 | 4);
        if deep {
            return Err("holds signed, floating-point or 32-bit samples; convert it to 8 or 16 bits per channel".into());
        }
        let supported = match colour {
            Colour::Rgb => matches!(bits, 8 | 16),
            Colour::Palette => matches!(bits, 1 | 2 | 4 | 8),
            _ => matches!(bits, 1 | 2 | 4 | 8 | 16),
        };
        if !supported {
            return Err(format!("is a TIFF with {bits} bits per channel; convert it to 8 or 16"));
        }
        // JPEG in TIFF is left out because it would not be decoded by the JPEG decoder above.
        match value(259, 1)? {
            1 | 5 | 8 | 32946 | 32773 => {}
            other => return Err(format!("is a TIFF with compression {other}; save it with LZW, deflate or none")),
        }
        if value(266, 1)? != 1 {
            return Err("is a TIFF with reversed bit order (FillOrder 2); save it again".into());
        }
        let planar = samples > 1 && value(284, 1)? == 2;
        let bits = bits as u8;
        let header = Header {
            height,
            width,
            bit_depth: if bits == 16 { 16 } else { 8 },
            orientation: directory.orientation(),
            icc_profile: directory.find(34675).is_some(),
        };
        let row = (width as u64 * samples * u64::from(bits)).div_ceil(8);
        checked_claim(&header, row * height as u64, bytes.len(), BEST_COMPRESSION)?;
        let palette = if colour == Colour::Palette { Some(palette(&directory, bits)?) } else { None };
        let mut bytes = Cow::Borrowed(bytes);
        if matches!(colour, Colour::WhiteIsZero | Colour::Palette)
            && let Some((place, plain)) = directory.rewritten(262, 1)
            && let Some(place) = bytes.to_mut().get_mut(place)
        {
            place.copy_from_slice(&plain);
        }
        Ok(Tiff { header, bytes, colour, bits, planar, palette })
    }

    fn pixels(self) -> Reason<Pixels> {
        let Header { height, width, .. } = self.header;
        let samples = self.header.pixels() * 3;
        let bytes_needed = samples * usize::from(self.header.bit_depth / 8);
        // The crate's own buffer would end the process if there were no memory for it.
        room::<u8>(bytes_needed)?;
        let mut limits = Limits::default();
        limits.decoding_buffer_size = bytes_needed;
        limits.intermediate_buffer_size = bytes_needed + BESIDE_SAMPLES;
        limits.ifd_value_size = self.bytes.len();
        let mut decoder =
            tiff::decoder::Decoder::new(Cursor::new(&self.bytes[..])).map_err(describe)?.with_limits(limits);
        let mut stored = DecodingResult::U8(Vec::new());
        let layout = decoder.read_image_to_buffer(&mut stored).map_err(describe)?;
        if stored.as_buffer(0).byte_len() < layout.complete_len {
            return Err(corrupt("TIFF", "its channels differ in size"));
        }
        let wrong = || corrupt("TIFF", "its data do not fit its header");
        match (stored, self.colour) {
            (DecodingResult::U8(stored), Colour::Rgb) if stored.len() == samples => {
                Ok(Pixels::U8(if self.planar { interleaved(&stored)? } else { stored }))
            }
            (DecodingResult::U16(stored), Colour::Rgb) if stored.len() == samples => {
                Ok(Pixels::U16(if self.planar { interleaved(&stored)? } else { stored }))
            }
            (DecodingResult::U16(stored), colour) if stored.len() == height * width => {
                let mut out = zeroed::<u16>(samples)?;
                let flip = if colour == Colour::WhiteIsZero { u16::MAX } else { 0 };
                for (pixel, sample) in out.as_chunks_mut::<3>().0.iter_mut().zip(stored) {
                    *pixel = [sample ^ flip; 3];
                }
                Ok(Pixels::U16(out))
            }
            (DecodingResult::U8(stored), colour) => {
                let row = (width * usize::from(self.bits)).div_ceil(8);
                if stored.len() != row * height {
                    return Err(wrong());
                }
                let mut table = self.palette.map_or_else(|| expand::grey(self.bits), |table| *table);
                if colour == Colour::WhiteIsZero {
                    table.iter_mut().for_each(|entry| *entry = entry.map(|value| !value));
                }
                let mut out = zeroed(samples)?;
                for (row, out) in stored.chunks_exact(row).zip(out.chunks_exact_mut(width * 3)) {
                    expand::look_up(row, self.bits, &table, out);
                }
                Ok(Pixels::U8(out))
            }
            _ => Err(wrong()),
        }
    }
}

/// The colour map: all reds, all greens, all blues, of 16 bits, of which Pillow takes the upper 8.
fn palette(directory: &Directory<'_>, bits: u8) -> Reason<Box<Table>> {
    let colours = 1_usize << bits;
    let map = directory.find(320).filter(|entry| entry.count >= 3 * colours as u64);
    let map = map.ok_or_else(|| corrupt("TIFF", "it has no palette"))?;
    let mut table = Box::new([[0; 3]; 256]);
    for (index, entry) in table.iter_mut().take(colours).enumerate() {
        for (channel, value) in entry.iter_mut().enumerate() {
            let wide = directory.value(map, channel * colours + index).ok_or_else(|| truncated("TIFF"))?;
            *value = (wide >> 8) as u8;
        }
    }
    Ok(table)
}

/// Three planes to packed pixels.
fn interleaved<T: Copy + Default>(planes: &[T]) -> Reason<Vec<T>> {
    let mut out = zeroed(planes.len())?;
    let (red, rest) = planes.split_at(planes.len() / 3);
    let (green, blue) = rest.split_at(red.len());
    for (pixel, ((&red, &green), &blue)) in out.as_chunks_mut::<3>().0.iter_mut().zip(red.iter().zip(green).zip(blue)) {
        *pixel = [red, green, blue];
    }
    Ok(out)
}

fn describe(error: TiffError) -> String {
    match error {
        TiffError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => truncated("TIFF"),
        error => corrupt("TIFF", error.to_string().trim_end_matches('.')),
    }
}
