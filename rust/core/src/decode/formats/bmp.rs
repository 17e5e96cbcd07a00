//! BMP as Pillow reads it.
//!
//! Written here because the pixels must equal Pillow's: the `image` crate rounds 15- and 16-bit colours to
//! nearest (3 of 31 to 25) where Pillow rounds down (to 24), and knows fewer headers.

use crate::decode::colour::Declared;
use crate::decode::expand::{self, Table};
use crate::decode::header::{
    Decoder, Header, Image, Pixels, Reason, checked_claim, checked_size, corrupt, truncated, zeroed,
};
use crate::decode::{Colour, Options};

const FILE_HEADER: usize = 14;
/// A run-length code of two bytes writes up to 255 pixels, a skip of four 255 rows.
const LONGEST_SKIP: u64 = 256;

#[derive(Clone, Copy)]
enum Kind {
    Palette,
    RunLength,
    /// Bits of red, green and blue, from the highest.
    Sixteen([u16; 3]),
    /// Bytes a pixel, and which of them are red, green and blue.
    Bytes(usize, [usize; 3]),
    /// Which of four bytes are red, green, blue and alpha.
    Transparent([usize; 4]),
}

pub(super) const DECODER: Decoder = Decoder {
    matches: |bytes| bytes.starts_with(b"BM"),
    open: |bytes, options| {
        let image = Bmp::open(bytes, options)?;
        Ok(Image::new(image.header.clone(), || image.pixels().map(Pixels::U8)))
    },
};

struct Bmp<'a> {
    header: Header,
    kind: Kind,
    bits: u8,
    top_down: bool,
    palette: Box<Table>,
    /// Where the pixels start; run-length streams are padded to even places of the file.
    offset: usize,
    bytes: &'a [u8],
}

impl<'a> Bmp<'a> {
    fn open(bytes: &'a [u8], options: Options) -> Reason<Self> {
        let short = || truncated("BMP");
        let word = |at: usize| bytes.get(at..at + 2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])));
        let long = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let (offset, size) = (long(10).ok_or_else(short)?, long(FILE_HEADER).ok_or_else(short)?);
        let end = FILE_HEADER + size as usize;
        let entry = match size {
            12 => 3,
            40 | 52 | 56 | 64 | 108 | 124 => 4,
            _ => return Err(corrupt("BMP", format_args!("a header of {size} bytes"))),
        };
        if bytes.len() < end {
            return Err(short());
        }
        let field = |at| long(FILE_HEADER + at).ok_or_else(short);
        let (width, height, bits, compression, colours, top_down) = if entry == 3 {
            let field = |at| word(FILE_HEADER + at).ok_or_else(short);
            (field(4)?, field(6)?, field(10)?, 0, 0, false)
        } else {
            let (height, bits) = (field(8)?, word(FILE_HEADER + 14).ok_or_else(short)?);
            // A negative height means that the top row comes first.
            let top_down = height >> 24 == 0xff;
            let height = if top_down { height.wrapping_neg() } else { height };
            (field(4)?, height, bits, field(16)?, field(32)?, top_down)
        };
        let (height, width) = checked_size(height.into(), width.into(), options.max_pixels)?;
        let mut header = Header { passes: 0, ..Header::new(height, width) };
        let masks = || -> Reason<[u32; 4]> {
            // In the 40-byte header the masks follow it, and there is none for alpha.
            let alpha = if size >= 56 { field(52)? } else { 0 };
            Ok([field(40)?, field(44)?, field(48)?, alpha])
        };
        let kind = match (bits, compression) {
            (1 | 4 | 8, 0) => Kind::Palette,
            (8, 1) | (4, 2) => Kind::RunLength,
            (16, 0) => Kind::Sixteen([5, 5, 5]),
            (24, 0) => Kind::Bytes(3, [2, 1, 0]),
            // The fourth byte has no meaning unless a mask gives it one.
            (32, 0) => Kind::Bytes(4, [2, 1, 0]),
            (16 | 24 | 32, 3) => from_masks(bits, masks()?)?,
            (_, 4 | 5) => return Err("is a BMP with a JPEG or PNG inside; save it as JPEG or PNG".into()),
            _ => {
                return Err(format!(
                    "is a BMP with {bits} bits per pixel and compression {compression}; save it with 24 bits, uncompressed"
                ));
            }
        };
        header.alpha = matches!(kind, Kind::Transparent(_));
        // Version 5 may carry a profile; its place is counted from the information header.
        if size == 124 && field(56)? == u32::from_be_bytes(*b"MBED") {
            header.icc_profile = true;
            let (start, length) = (FILE_HEADER + field(112)? as usize, field(116)? as usize);
            let profile = bytes.get(start..).and_then(|rest| rest.get(..length)).ok_or_else(short)?;
            if options.colour == Colour::Srgb {
                header.colour = Some(Declared::Icc(profile.into()));
            }
        }
        let mut palette = Box::new([[0; 3]; 256]);
        let mut offset = offset as usize;
        if matches!(kind, Kind::Palette | Kind::RunLength) {
            let colours = if colours == 0 { 1 << bits } else { colours as usize };
            if colours > 1 << 16 {
                return Err(corrupt("BMP", format_args!("a palette of {colours} colours")));
            }
            let rest = bytes.get(end..).unwrap_or_default();
            for (place, colour) in palette.iter_mut().zip(rest.chunks_exact(entry).take(colours)) {
                *place = [colour[2], colour[1], colour[0]];
            }
            // Some writers, and files with no offset, have the pixels behind the palette.
            if offset == end || offset == 0 {
                offset = end + entry * colours;
            }
        } else if offset == 0 {
            offset = if compression == 3 && size == 40 { end + 12 } else { end };
        }
        let held = bytes.len().saturating_sub(offset);
        let this = Bmp { header, kind, bits: bits as u8, top_down, palette, offset, bytes };
        let (needed, most) = match kind {
            Kind::RunLength => (this.header.pixels() as u64, LONGEST_SKIP * width as u64),
            // The last row's padding may be missing.
            _ => ((this.stride() * (height - 1) + this.row()) as u64, 1),
        };
        checked_claim(&this.header, needed, held, most)?;
        Ok(this)
    }

    /// Bytes of a row.
    fn row(&self) -> usize {
        (self.header.width * usize::from(self.bits)).div_ceil(8)
    }

    /// Bytes from a row to the next: rows are padded to four.
    fn stride(&self) -> usize {
        self.row().next_multiple_of(4)
    }

    fn pixels(self) -> Reason<Vec<u8>> {
        let channels = if self.header.alpha { 4 } else { 3 };
        let mut out = zeroed(self.header.pixels() * channels)?;
        let (stored, bits, stride) = match self.kind {
            Kind::RunLength => (&self.unpacked()?[..], 8, self.header.width),
            _ => (&self.bytes[self.offset..], self.bits, self.stride()),
        };
        let rows = stored.chunks(stride).take(self.header.height).enumerate();
        for (index, row) in rows {
            let y = if self.top_down { index } else { self.header.height - 1 - index };
            let out = &mut out[y * self.header.width * channels..][..self.header.width * channels];
            match self.kind {
                Kind::Palette | Kind::RunLength => expand::look_up(row, bits, &self.palette, out),
                Kind::Sixteen(widths) => sixteen(row, widths, out),
                Kind::Bytes(3, [2, 1, 0]) => {
                    for (pixel, &[blue, green, red]) in
                        out.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<3>().0)
                    {
                        *pixel = [red, green, blue];
                    }
                }
                Kind::Bytes(size, places) => {
                    for (pixel, stored) in out.as_chunks_mut::<3>().0.iter_mut().zip(row.chunks_exact(size)) {
                        *pixel = places.map(|place| stored[place]);
                    }
                }
                Kind::Transparent(places) => {
                    for (pixel, stored) in out.as_chunks_mut::<4>().0.iter_mut().zip(row.as_chunks::<4>().0) {
                        *pixel = places.map(|place| stored[place]);
                    }
                }
            }
        }
        // Many writers leave the fourth byte at 0 and mean nothing by it, and no viewer shows nothing.
        if self.header.alpha && out.as_chunks::<4>().0.iter().all(|pixel| pixel[3] == 0) {
            out.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel[3] = u8::MAX);
        }
        Ok(out)
    }

    /// A run-length stream as one byte a pixel, in the order of the file. Skipped pixels have colour 0.
    fn unpacked(&self) -> Reason<Vec<u8>> {
        let (width, wanted) = (self.header.width, self.header.pixels());
        let nibbles = self.bits == 4;
        let mut out: Vec<u8> = zeroed(wanted)?;
        let (mut at, mut x, mut done) = (self.offset, 0, 0);
        // What Pillow reads past the image's end in its last code is dropped.
        let mut put = |done: &mut usize, values: &mut dyn Iterator<Item = u8>| {
            for value in values {
                if let Some(place) = out.get_mut(*done) {
                    *place = value;
                }
                *done += 1;
            }
        };
        while done < wanted {
            let Some(&[count, value]) = self.bytes.get(at..at + 2) else { break };
            at += 2;
            match (count, value) {
                (0, 0) => {
                    done = done.next_multiple_of(width);
                    x = 0;
                }
                (0, 1) => break,
                (0, 2) => {
                    let Some(&[right, up]) = self.bytes.get(at..at + 2) else { break };
                    at += 2;
                    done += (usize::from(right) + usize::from(up) * width).min(wanted - done);
                    x = done % width;
                }
                (0, count) => {
                    let pixels = usize::from(count).min(wanted - done);
                    let length = if nibbles { pixels.div_ceil(2) } else { pixels };
                    let end = self.bytes.len().min(at + length);
                    let literal = &self.bytes[at..end];
                    if nibbles {
                        put(&mut done, &mut literal.iter().flat_map(|b| [b >> 4, b & 15]).take(pixels));
                    } else {
                        put(&mut done, &mut literal.iter().copied());
                    }
                    if literal.len() < length || done == wanted {
                        break;
                    }
                    x += usize::from(count);
                    at = end.next_multiple_of(2);
                }
                (count, value) => {
                    // A run ends with its row.
                    let pixels = usize::from(count).min(width.saturating_sub(x));
                    let pair = if nibbles { [value >> 4, value & 15] } else { [value; 2] };
                    put(&mut done, &mut pair.into_iter().cycle().take(pixels));
                    x += pixels;
                }
            }
        }
        if done < wanted { Err(truncated("BMP")) } else { Ok(out) }
    }
}

/// The layouts that Pillow knows; others have no name.
fn from_masks(bits: u32, masks: [u32; 4]) -> Reason<Kind> {
    let [red, green, blue, alpha] = masks;
    match (bits, [red, green, blue]) {
        (16, [0xf800, 0x07e0, 0x001f]) => Ok(Kind::Sixteen([5, 6, 5])),
        (16, [0x7c00, 0x03e0, 0x001f]) => Ok(Kind::Sixteen([5, 5, 5])),
        (24, [0xff_0000, 0xff00, 0xff]) => Ok(Kind::Bytes(3, [2, 1, 0])),
        (32, [0x00ff_0000, 0x0000_ff00, 0x0000_00ff]) if alpha == 0xff00_0000 => Ok(Kind::Transparent([2, 1, 0, 3])),
        (32, [0x0000_00ff, 0x0000_ff00, 0x00ff_0000]) if alpha == 0xff00_0000 => Ok(Kind::Transparent([0, 1, 2, 3])),
        (32, [0xff00_0000, 0x00ff_0000, 0x0000_ff00]) if alpha == 0xff => Ok(Kind::Transparent([3, 2, 1, 0])),
        (32, [0x0000_ff00, 0x00ff_0000, 0xff00_0000]) if alpha == 0xff => Ok(Kind::Transparent([1, 2, 3, 0])),
        // Without masks the order is the usual one.
        (32, [0, 0, 0]) if alpha == 0 => Ok(Kind::Transparent([2, 1, 0, 3])),
        (32, _) if alpha != 0 => {
            Err(format!("is a BMP with the colour masks {red:#x}, {green:#x}, {blue:#x}, {alpha:#x}; save it as PNG"))
        }
        (32, [0x00ff_0000, 0x0000_ff00, 0x0000_00ff]) => Ok(Kind::Bytes(4, [2, 1, 0])),
        (32, [0xff00_0000, 0x00ff_0000, 0x0000_ff00]) => Ok(Kind::Bytes(4, [3, 2, 1])),
        (32, [0xff00_0000, 0x0000_ff00, 0x0000_00ff]) => Ok(Kind::Bytes(4, [3, 1, 0])),
        _ => Err(format!(
            "is a BMP with the colour masks {red:#x}, {green:#x}, {blue:#x}; save it with 24 bits, uncompressed"
        )),
    }
}

/// Little-endian pixels of three fields, each spread over 0..=255 and rounded down, as in Pillow.
fn sixteen(row: &[u8], widths: [u16; 3], out: &mut [u8]) {
    let [_, green, blue] = widths;
    let shifts = [green + blue, blue, 0];
    for (pixel, &stored) in out.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<2>().0) {
        let stored = u32::from(u16::from_le_bytes(stored));
        for ((value, width), shift) in pixel.iter_mut().zip(widths).zip(shifts) {
            let most = (1 << width) - 1;
            *value = ((stored >> shift & most) * 255 / most) as u8;
        }
    }
}
