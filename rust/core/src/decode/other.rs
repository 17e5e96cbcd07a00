//! Formats that another reader decodes, which the program that uses this crate gives: in Python that is Pillow.
//!
//! Headers are read here where the reader does not tell what pixq has to know: colours that are declared in boxes.

use std::sync::OnceLock;

use super::colour::Declared;
use super::header::{Decoder, Header, Image, Pixels, Reason, checked_size, corrupt, several};
use super::{Colour, FORMATS, INTERRUPTED, Options};

/// What the other reader is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The name of a row of [`super::FORMATS`].
    pub format: &'static str,
    /// The file.
    pub bytes: &'a [u8],
    /// Which frame or page.
    pub frame: Option<u32>,
    /// Larger images must be refused before they are decoded.
    pub max_pixels: u64,
    /// Whether pixels are wanted, or the header alone.
    pub pixels: bool,
}

/// What the other reader found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Rows, before the orientation.
    pub height: usize,
    /// Columns, before the orientation.
    pub width: usize,
    /// 8 or 16.
    pub bit_depth: u8,
    /// Whether pixels have a fourth channel.
    pub alpha: bool,
    /// Whether red, green and blue are equal because the file is grey.
    pub grey: bool,
    /// The EXIF orientation; 1 where the reader has applied it.
    pub orientation: u8,
    /// The ICC profile.
    pub icc_profile: Option<Vec<u8>>,
    /// Whether there are several frames or pages.
    pub several: bool,
    /// Packed rows of RGB or RGBA, if they were wanted.
    pub pixels: Option<Pixels>,
}

/// Reads an image, or says in one line what is wrong with it.
pub type Reader = fn(Request<'_>) -> Result<Found, String>;

static READER: OnceLock<Reader> = OnceLock::new();

/// Sets the reader of the formats that this crate has no decoder for; the first one counts.
pub fn set_reader(reader: Reader) {
    // A second one is that of the same program.
    let _ = READER.set(reader);
}

/// `ftyp` boxes name the format by a brand, or by one of several that it is compatible with.
fn has_brand(bytes: &[u8], brands: &[&[u8; 4]]) -> bool {
    let listed = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().any(|brand| brands.contains(&brand));
    // Its first four bytes say how long it is.
    let size = bytes.first_chunk().map_or(0, |&size| u32::from_be_bytes(size) as usize);
    match &bytes[..size.min(bytes.len())] {
        [_, _, _, _, b'f', b't', b'y', b'p', major @ ..] if major.len() >= 4 => {
            // The name of the most general brand tells nothing; the ones after it do.
            listed(&major[..4])
                || (matches!(&major[..4], b"mif1" | b"msf1") && listed(major.get(8..).unwrap_or_default()))
        }
        _ => false,
    }
}

pub(super) const GIF: Decoder = Decoder {
    matches: |bytes| bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a"),
    open: |bytes, options| open("gif", "an animated GIF", bytes, options),
};

pub(super) const AVIF: Decoder = Decoder {
    matches: |bytes| has_brand(bytes, &[b"avif", b"avis"]),
    open: |bytes, options| open("avif", "an animated AVIF", bytes, options),
};

pub(super) const HEIF: Decoder = Decoder {
    matches: |bytes| {
        has_brand(bytes, &[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"])
            && !(AVIF.matches)(bytes)
    },
    open: |bytes, options| open("heif", "a HEIF with several images", bytes, options),
};

pub(super) const JXL: Decoder = Decoder {
    matches: |bytes| bytes.starts_with(b"\xff\x0a") || bytes.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n"),
    open: |bytes, options| open("jxl", "an animated JPEG XL", bytes, options),
};

pub(super) const JP2: Decoder = Decoder {
    matches: |bytes| bytes.starts_with(b"\0\0\0\x0cjP  \r\n\x87\n") || bytes.starts_with(b"\xff\x4f\xff\x51"),
    open: |bytes, options| open("jp2", "a JPEG 2000 with several images", bytes, options),
};

/// Opens a file with the other reader; `what` is what it is if it holds several images.
pub(super) fn open<'a>(
    format: &'static str,
    what: &'static str,
    bytes: &'a [u8],
    options: Options,
) -> Reason<Image<'a>> {
    let title = FORMATS.iter().find(|row| row.name == format).map_or(format, |row| row.title);
    let Some(reader) = READER.get() else {
        return Err(format!("is {title} of a kind that needs Pillow; read it with Python"));
    };
    let mut request = Request { format, bytes, frame: options.frame, max_pixels: options.max_pixels, pixels: false };
    let mut answer = reader(request);
    if let Err(reason) = &answer
        && reason != INTERRUPTED
        && options.frame > Some(0)
    {
        // A file of one image has no other frame, and needs none.
        let alone = Request { frame: None, ..request };
        match reader(alone) {
            Ok(found) if !found.several => (request, answer) = (alone, Ok(found)),
            Err(reason) if reason == INTERRUPTED => return Err(reason),
            _ => {}
        }
    }
    let found = answer?;
    if found.several && options.frame.is_none() {
        return Err(several(what));
    }
    let Found { height, width, bit_depth, alpha, grey, orientation, icc_profile, .. } = found;
    let (height, width) = checked_size(height as u64, width as u64, options.max_pixels)?;
    let boxed = if icc_profile.is_none() { boxed_colour(format, bytes) } else { None };
    let declared = icc_profile.map(|profile| Declared::Icc(profile.into())).or(boxed);
    let header = Header {
        bit_depth,
        orientation,
        alpha,
        grey,
        icc_profile: matches!(declared, Some(Declared::Icc(_))),
        colour: declared.filter(|_| options.colour == Colour::Srgb),
        other: true,
        ..Header::new(height, width)
    };
    let samples = header.pixels() * if alpha { 4 } else { 3 };
    let pixels = move || {
        let found = reader(Request { pixels: true, ..request })?;
        match found.pixels {
            Some(Pixels::U8(values)) if bit_depth == 8 && values.len() == samples => Ok(Pixels::U8(values)),
            Some(Pixels::U16(values)) if bit_depth == 16 && values.len() == samples => Ok(Pixels::U16(values)),
            _ => Err(corrupt(title, "its pixels do not fit its header")),
        }
    };
    Ok(Image::new(header, pixels))
}

/// What the boxes of a file declare about its colours.
fn boxed_colour(format: &str, bytes: &[u8]) -> Option<Declared> {
    match format {
        "jp2" => match child(child(bytes, b"jp2h")?, b"colr")? {
            // Method, precedence, approximation; methods 2 and 3 are ICC profiles.
            [2 | 3, _, _, profile @ ..] => Some(Declared::Icc(profile.into())),
            _ => None,
        },
        "avif" | "heif" => {
            // `meta` begins with a version and flags.
            let properties = child(child(child(bytes, b"meta")?.get(4..)?, b"iprp")?, b"ipco")?;
            Boxes(properties).filter(|(kind, _)| *kind == b"colr").find_map(|(_, data)| match data {
                // Primaries and transfer; the reader has undone the matrix and the range.
                [b'n', b'c', b'l', b'x', p0, p1, t0, t1, ..] => {
                    let code = |high, low| u8::try_from(u16::from_be_bytes([high, low])).unwrap_or(u8::MAX);
                    Some(Declared::Cicp([code(*p0, *p1), code(*t0, *t1), 0, 1]))
                }
                _ => None,
            })
        }
        _ => None,
    }
}

/// The content of the first box of a kind.
fn child<'a>(data: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    Boxes(data).find(|(other, _)| *other == kind).map(|(_, content)| content)
}

/// Boxes side by side: their kinds and contents (ISO/IEC 14496-12, 4.2).
struct Boxes<'a>(&'a [u8]);

impl<'a> Iterator for Boxes<'a> {
    type Item = (&'a [u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (size, rest) = self.0.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = match u32::from_be_bytes(*size) {
            // To the end of the file.
            0 => (rest.len(), rest),
            1 => {
                let (size, rest) = rest.split_first_chunk::<8>()?;
                (usize::try_from(u64::from_be_bytes(*size)).ok()?.checked_sub(16)?, rest)
            }
            size => ((size as usize).checked_sub(8)?, rest),
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((kind, content))
    }
}
