//! JPEG, by libjpeg-turbo: the accurate integer DCT and smooth chroma upsampling, as Pillow and browsers use.
//!
//! # Warnings
//! libjpeg warns where it went on over damage. Pillow ignores every warning, and takes a file only if its
//! data are all there. Here a warning is an error if pixels may be wrong: after a bad Huffman code or a
//! missing segment they are guesses or plain grey, and people should not be asked whether they notice those.
//! What leaves the pixels alone passes, as in Pillow: stray bytes between the header's segments or before
//! the end, an unknown JFIF version, an unknown Adobe transform. libjpeg tells only its first warning, so
//! the harmless ones of the header are removed from a copy before it is decoded and can't hide another.

use std::borrow::Cow;
use std::cell::Cell;

use turbojpeg::{Decompressor, PixelFormat};

use crate::decode::colour::Declared;
use crate::decode::exif;
use crate::decode::header::{
    Decoder, Header, Image, Pixels, Reason, WHOLE, WITHOUT_PROFILE, checked_claim, checked_size, corrupt, truncated,
    zeroed,
};
use crate::decode::{Colour, Options};

/// More scans than any encoder writes; each costs a pass over the whole picture.
const MOST_SCANS: u32 = 500;
/// Huffman codes spend a bit at least on each 8x8 block: 512 pixels a byte.
const MOST_PIXELS_A_BYTE: u64 = 512;

thread_local! {
    /// Each thread keeps its decompressor instead of setting one up for each picture.
    static DECOMPRESSOR: Cell<Option<Decompressor>> = const { Cell::new(None) };
}

pub(super) const DECODER: Decoder = Decoder {
    matches: |bytes| bytes.starts_with(b"\xff\xd8\xff"),
    open: |bytes, options| {
        let image = Jpeg::open(bytes, options)?;
        Ok(Image::new(image.header.clone(), || image.pixels().map(Pixels::U8)))
    },
};

struct Jpeg<'a> {
    header: Header,
    bytes: &'a [u8],
    /// Whether the header holds things that libjpeg warns of and that don't matter.
    untidy: bool,
}

impl<'a> Jpeg<'a> {
    fn open(bytes: &'a [u8], options: Options) -> Reason<Self> {
        let mut frame = None;
        let (mut orientation, mut icc, mut untidy) = (None, Vec::new(), false);
        let mut segments = Segments::new(bytes);
        while let Some(Segment { marker, data, .. }) = segments.next()? {
            untidy |= tidied(marker, data).is_some();
            match (marker, data) {
                (0xc0..=0xcf, _) if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                    frame.get_or_insert((marker, data));
                }
                (0xe1, [b'E', b'x', b'i', b'f', 0, 0, block @ ..]) if orientation.is_none() => {
                    orientation = Some(exif::orientation(block));
                }
                (0xe2, [b'I', b'C', b'C', b'_', b'P', b'R', b'O', b'F', b'I', b'L', b'E', 0, part @ ..]) => {
                    icc.push(part)
                }
                _ => {}
            }
        }
        untidy |= segments.stray;
        let Some((marker, &[precision, h0, h1, w0, w1, components, ..])) = frame else {
            return Err(corrupt("JPEG", "it has no frame header"));
        };
        let (height, width) = (u16::from_be_bytes([h0, h1]), u16::from_be_bytes([w0, w1]));
        let (height, width) = checked_size(height.into(), width.into(), options.max_pixels)?;
        if precision != 8 {
            return Err(format!("is a JPEG with {precision} bits per channel; save it with 8"));
        }
        match components {
            1 | 3 => {}
            4 => return Err("is a CMYK JPEG; convert it to RGB first".into()),
            n => return Err(format!("is a JPEG with {n} channels; convert it to RGB first")),
        }
        let orientation = orientation.unwrap_or(1);
        let icc_profile = !icc.is_empty();
        let colour = match options.colour {
            Colour::Srgb if icc_profile => Some(Declared::Icc(joined(icc)?.into())),
            _ => None,
        };
        let header = Header { orientation, icc_profile, grey: components == 1, colour, ..Header::new(height, width) };
        // Arithmetic coding (0xc8 and above) has no such bound.
        if marker < 0xc8 {
            checked_claim(&header, header.pixels() as u64, bytes.len(), MOST_PIXELS_A_BYTE)?;
        }
        Ok(Jpeg { header, bytes, untidy })
    }

    fn pixels(self) -> Reason<Vec<u8>> {
        let mut decompressor = match DECOMPRESSOR.take() {
            Some(ready) => ready,
            None => new_decompressor().map_err(describe)?,
        };
        let pixels = self.decompress(&mut decompressor)?;
        // After an error libjpeg may stand in the middle of a header and go on from there in the next file.
        DECOMPRESSOR.set(Some(decompressor));
        Ok(pixels)
    }

    fn decompress(&self, decompressor: &mut Decompressor) -> Reason<Vec<u8>> {
        let bytes = if self.untidy { Cow::Owned(tidy(self.bytes)?) } else { Cow::Borrowed(self.bytes) };
        let Header { height, width, .. } = self.header;
        let found = decompressor.read_header(&bytes).map_err(describe)?;
        if (found.height, found.width) != (height, width) {
            return Err(corrupt("JPEG", "it has two frame headers"));
        }
        let mut pixels = zeroed(self.header.pixels() * 3)?;
        let image =
            turbojpeg::Image { pixels: &mut pixels[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
        match decompressor.decompress(&bytes, image) {
            Ok(()) => Ok(pixels),
            // Bytes left over when the last scan was complete: every pixel was written before them.
            Err(turbojpeg::Error::TurboJpegError(text)) if text.ends_with("extraneous bytes before marker 0xd9") => {
                Ok(pixels)
            }
            Err(error) => Err(describe(error)),
        }
    }
}

fn new_decompressor() -> turbojpeg::Result<Decompressor> {
    let mut decompressor = Decompressor::new()?;
    decompressor.set_scan_limit(MOST_SCANS)?;
    Ok(decompressor)
}

fn describe(error: turbojpeg::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("TurboJPEG error: ").unwrap_or(&text);
    let text = text.strip_prefix("Corrupt JPEG data: ").unwrap_or(text);
    if text.starts_with("Premature end of JPEG") || text.starts_with("premature end of data segment") {
        truncated("JPEG")
    } else if text.contains("scans") {
        format!("is a JPEG with more than {MOST_SCANS} scans, made to waste time; save it again or {WHOLE}")
    } else {
        corrupt("JPEG", text)
    }
}

/// The ICC profile, whose parts carry their number and how many there are (ICC.1, annex B.4).
fn joined(mut parts: Vec<&[u8]>) -> Reason<Vec<u8>> {
    parts.sort_by_key(|part| part.first().copied());
    let count = parts.len();
    let whole = parts
        .iter()
        .zip(1..)
        .all(|(part, number)| matches!(part, [n, of, ..] if usize::from(*n) == number && usize::from(*of) == count));
    if !whole {
        return Err(format!("has an ICC profile of which parts are missing; {WITHOUT_PROFILE}"));
    }
    Ok(parts.iter().flat_map(|part| &part[2..]).copied().collect())
}

/// One segment of the header.
struct Segment<'a> {
    marker: u8,
    data: &'a [u8],
    /// From its 0xff to its end.
    whole: &'a [u8],
}

/// The segments between the start of the image and its first scan.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether bytes that belong to no segment were passed over.
    stray: bool,
}

impl<'a> Segments<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Segments { bytes, at: 2, stray: false }
    }

    /// The next segment; `None` at the first scan, where `at` then stands.
    fn next(&mut self) -> Reason<Option<Segment<'a>>> {
        loop {
            let rest = &self.bytes[self.at..];
            match rest {
                [0xff, 0xda, ..] => return Ok(None),
                // 0xff may be repeated before a marker.
                [0xff, 0xff, ..] => self.at += 1,
                // Markers that stand alone are not expected here, and libjpeg says what it thinks of them.
                [0xff, 0x01 | 0xd0..=0xd8, ..] => self.at += 2,
                [0xff, 0xd9, ..] => return Err(corrupt("JPEG", "it ends before its first scan")),
                [0xff, 0, ..] => {
                    self.at += 2;
                    self.stray = true;
                }
                [0xff, marker, high, low, after @ ..] => {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    let data = length.checked_sub(2).ok_or_else(|| corrupt("JPEG", "a segment of no length"))?;
                    let data = after.get(..data).ok_or_else(|| truncated("JPEG"))?;
                    let whole = &rest[..2 + length];
                    self.at += whole.len();
                    return Ok(Some(Segment { marker: *marker, data, whole }));
                }
                [] | [0xff] | [0xff, _] | [0xff, _, _] => return Err(truncated("JPEG")),
                [_, ..] => {
                    self.at += 1;
                    self.stray = true;
                }
            }
        }
    }
}

/// What to write over which byte of a segment's data so that libjpeg has nothing to say; `None` if it has
/// nothing to say as it is.
fn tidied(marker: u8, data: &[u8]) -> Option<(usize, u8)> {
    match (marker, data) {
        // libjpeg knows version 1 of JFIF, and reads any other as if it were that.
        (0xe0, [b'J', b'F', b'I', b'F', 0, major, ..]) if *major != 1 && data.len() >= 14 => Some((5, 1)),
        // Transforms are 0 (RGB) and 1 (YCbCr); anything else is taken for YCbCr.
        (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) if *transform > 1 => Some((11, 1)),
        _ => None,
    }
}

/// The file without the stray bytes that [`Segments`] skips, and with the segments that [`tidied`] repairs.
fn tidy(bytes: &[u8]) -> Reason<Vec<u8>> {
    let mut out = bytes[..2].to_vec();
    out.reserve(bytes.len());
    let mut segments = Segments::new(bytes);
    while let Some(Segment { marker, data, whole }) = segments.next()? {
        let start = out.len() + (whole.len() - data.len());
        out.extend_from_slice(whole);
        if let Some((at, value)) = tidied(marker, data) {
            out[start + at] = value;
        }
    }
    out.extend_from_slice(&bytes[segments.at..]);
    Ok(out)
}
