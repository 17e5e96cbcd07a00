//! PNG, by the `png` crate; 8-bit RGB without interlacing, which is nearly every PNG, by a shorter way.
//!
//! The chunks are walked here first, which costs nothing beside inflating: what a chunk's mere presence
//! decides (alpha, animation, orientation, colours) is known before a pixel is decoded, a file that ends
//! before its `IEND` is refused, and text, which may be a deflate bomb, is never inflated, a profile only to a limit.
//!
//! Every chunk's CRC is checked. The Adler-32 of the deflate stream is not: the same bytes are under the CRC.
//!
//! The shorter way inflates the whole picture with `fdeflate` (as the crate does) into the buffer that is
//! returned and undoes the filters there, many rows at once; it takes four fifths of the crate's time.

use std::io::Cursor;

use fdeflate::Decompressor;
use png::{BitDepth, ColorType, DecodeOptions, DecodingError, Limits, Reader, Transformations};

use crate::decode::colour::Declared;
use crate::decode::exif;
use crate::decode::expand::{self, Table};
use crate::decode::header::{
    Decoder, Header, Image, Pixels, Reason, WITHOUT_PROFILE, checked_claim, checked_size, corrupt, several, truncated,
    zeroed,
};
use crate::decode::{Colour, Options, other};

/// Deflate can't do better than 258 bytes for two bits.
const BEST_DEFLATE: u64 = 1032;
/// What the `png` crate may take beside its rows.
const BESIDE_ROWS: usize = 1 << 24;

const ANIMATED: &str = "an animated PNG";

mod unfilter;

pub(super) const DECODER: Decoder = Decoder {
    matches: |bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
    open: |bytes, options| {
        let image = Png::open(bytes, options)?;
        if !image.animated || options.frame == Some(0) {
            return Ok(Image::new(image.header.clone(), || image.pixels()));
        }
        if options.frame.is_none() {
            return Err(several(ANIMATED));
        }
        // What chunks declare counts for all frames; the other reader knows only a part of it.
        let Header { orientation, icc_profile, grey, colour, .. } = image.header;
        let mut frame = other::open("png", ANIMATED, bytes, options)?;
        frame.header = Header { orientation, icc_profile, grey, colour, ..frame.header };
        Ok(frame)
    },
};

struct Png<'a> {
    header: Header,
    bytes: &'a [u8],
    /// 8-bit RGB, not interlaced.
    plain: bool,
    /// Whether there are frames beside the picture.
    animated: bool,
}

impl<'a> Png<'a> {
    /// The picture, which is the first frame if it is animated.
    fn open(bytes: &'a [u8], options: Options) -> Reason<Self> {
        let first = chunk(&bytes[SIGNATURE..]).ok_or_else(|| truncated("PNG"))?;
        let (kind, ihdr, mut rest) = (first.kind, first.data, first.after);
        let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, colour, compression, filter, interlace] = ihdr else {
            return Err(corrupt("PNG", "its first chunk is not an image header"));
        };
        if kind != b"IHDR" {
            return Err(corrupt("PNG", "its first chunk is not an image header"));
        }
        let (width, height) = (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
        let (height, width) = checked_size(height.into(), width.into(), options.max_pixels)?;
        let samples = match (colour, depth) {
            (0, 1 | 2 | 4 | 8 | 16) | (3, 1 | 2 | 4 | 8) => 1,
            (2, 8 | 16) => 3,
            (4, 8 | 16) => 2,
            (6, 8 | 16) => 4,
            _ => return Err(corrupt("PNG", format_args!("colour type {colour} with {depth} bits"))),
        };
        if compression != 0 || filter != 0 || interlace > 1 {
            return Err(corrupt("PNG", "its compression, filter or interlacing method is not one that PNG has"));
        }
        let bit_depth = if depth == 16 { 16 } else { 8 };
        let (grey, alpha) = (matches!(colour, 0 | 4), matches!(colour, 4 | 6));
        let mut header = Header { bit_depth, grey, alpha, ..Header::new(height, width) };
        let mut declared = Declarations::default();
        // Frames that are announced, whether the picture is one of them, and whether there are others.
        let (mut frames, mut among, mut others, mut seen) = (0, false, false, false);
        let row = (width as u64 * samples * u64::from(depth)).div_ceil(8);
        checked_claim(&header, row * height as u64, bytes.len(), BEST_DEFLATE)?;
        loop {
            let Chunk { kind, data, after, .. } = chunk(rest).ok_or_else(|| truncated("PNG"))?;
            match kind {
                b"tRNS" => header.alpha = true,
                // After the picture it has no meaning.
                b"acTL" if !seen => frames = data.first_chunk().map_or(0, |&count| u32::from_be_bytes(count)),
                b"fcTL" if !seen && frames > 0 => {
                    if data.get(4..12) != ihdr.get(..8) {
                        return Err(corrupt("PNG", "its first frame differs in size from the picture"));
                    }
                    among = true;
                }
                b"fdAT" => others = true,
                b"iCCP" => {
                    header.icc_profile = true;
                    declared.icc = Some(data);
                }
                b"cICP" => declared.cicp = Some(data),
                b"sRGB" => declared.srgb = true,
                b"gAMA" => declared.gamma = Some(data),
                b"cHRM" => declared.chromaticities = Some(data),
                b"eXIf" => header.orientation = exif::orientation(data),
                b"IEND" => break,
                b"IDAT" => seen = true,
                b"PLTE" => {}
                [first, ..] if first.is_ascii_lowercase() => {}
                _ => return Err(corrupt("PNG", format_args!("a chunk named {}", kind.escape_ascii()))),
            }
            rest = after;
        }
        if options.colour == Colour::Srgb {
            header.colour = declared.strongest()?;
        }
        let plain = (depth, colour, interlace, header.alpha) == (8, 2, 0, false);
        let animated = frames > 1 || (frames == 1 && !among && others);
        Ok(Png { header, bytes, plain, animated })
    }

    fn pixels(self) -> Reason<Pixels> {
        if self.plain {
            return self.inflated().map(Pixels::U8);
        }
        self.decode().map_err(|error| match error {
            Failure::Png(DecodingError::IoError(_)) => corrupt("PNG", "its data end before its last row"),
            Failure::Png(error) => corrupt("PNG", error.to_string().trim_end_matches('.')),
            Failure::Other(reason) => reason,
        })
    }

    /// The pixels of a plain PNG.
    fn inflated(&self) -> Reason<Vec<u8>> {
        let Header { height, width, .. } = self.header;
        let row = width * 3;
        let mut out: Vec<u8> = zeroed((row + 1) * height)?;
        let mut inflater = Decompressor::new();
        inflater.ignore_adler32();
        let (mut filled, mut rest, mut seen) = (0, &self.bytes[SIGNATURE..], false);
        // The image data are the first unbroken row of IDAT chunks.
        while let Some(Chunk { kind, data, crc, after }) = chunk(rest) {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(kind);
            hasher.update(data);
            if hasher.finalize() != crc {
                return Err(corrupt("PNG", format_args!("the checksum of {} is wrong", kind.escape_ascii())));
            }
            if kind == b"IDAT" {
                let mut input = data;
                while !input.is_empty() && filled < out.len() && !inflater.is_done() {
                    let (read, written) = inflater
                        .read(input, &mut out, filled, false)
                        .map_err(|error| corrupt("PNG", deflate(error)))?;
                    input = &input[read..];
                    filled += written;
                    if read == 0 && written == 0 {
                        break;
                    }
                }
                seen = true;
            } else if seen {
                break;
            }
            rest = after;
        }
        if filled < out.len() {
            return Err(corrupt("PNG", format_args!("its data ends after {} of {height} rows", filled / (row + 1))));
        }
        let mut filters = Vec::with_capacity(height);
        for y in 0..height {
            let at = y * (row + 1);
            filters.push(out[at]);
            out.copy_within(at + 1..at + 1 + row, y * row);
        }
        out.truncate(row * height);
        unfilter::unfilter(&mut out, row, &filters).ok_or_else(|| corrupt("PNG", "a filter that PNG does not have"))?;
        Ok(out)
    }

    fn decode(&self) -> Result<Pixels, Failure> {
        let mut options = DecodeOptions::default();
        options.set_ignore_text_chunk(true);
        options.set_ignore_iccp_chunk(true);
        options.set_skip_ancillary_crc_failures(false);
        let mut decoder = png::Decoder::new_with_options(Cursor::new(self.bytes), options);
        // Pixels were checked against the limit already; this is for the crate's rows and the small chunks.
        decoder.set_limits(Limits { bytes: self.header.width * 12 + BESIDE_ROWS });
        if self.header.alpha {
            // Grey and palettes to 8 bits, and the colour that stands for transparent to alpha.
            decoder.set_transformations(Transformations::EXPAND);
        }
        let mut reader = decoder.read_info()?;
        let info = reader.info();
        if info.size() != (self.header.width as u32, self.header.height as u32) {
            return Err(Failure::Other(corrupt("PNG", "it has two image headers")));
        }
        if self.header.alpha {
            return transparent(&mut reader);
        }
        let bits = info.bit_depth as u8;
        let samples = self.header.pixels() * 3;
        let stride = self.header.width * 3;
        match (info.color_type, info.bit_depth) {
            // Interlaced.
            (ColorType::Rgb, BitDepth::Eight) => {
                let mut out = zeroed(samples)?;
                reader.next_frame(&mut out)?;
                Ok(Pixels::U8(out))
            }
            (colour, BitDepth::Sixteen) => {
                let mut out = zeroed(samples)?;
                let grey = colour == ColorType::Grayscale;
                let mut rows = out.chunks_exact_mut(stride);
                each_row(&mut reader, |row| {
                    rows.next().into_iter().for_each(|out| expand::sixteen(row, grey, out));
                })?;
                Ok(Pixels::U16(out))
            }
            (colour, _) => {
                let table: Table = match (colour, &info.palette) {
                    (ColorType::Grayscale, _) => expand::grey(bits),
                    (_, Some(colours)) => expand::palette(colours),
                    _ => return Err(Failure::Other(corrupt("PNG", "it has no palette"))),
                };
                let mut out = zeroed(samples)?;
                let mut rows = out.chunks_exact_mut(stride);
                each_row(&mut reader, |row| {
                    rows.next().into_iter().for_each(|out| expand::look_up(row, bits, &table, out));
                })?;
                Ok(Pixels::U8(out))
            }
        }
    }
}

/// The largest profile that is read. Those of printers, with tables for every colour, take a few MiB.
const LARGEST_PROFILE: usize = 1 << 24;

/// The chunks in which a PNG declares its colours.
#[derive(Default)]
struct Declarations<'a> {
    cicp: Option<&'a [u8]>,
    icc: Option<&'a [u8]>,
    srgb: bool,
    gamma: Option<&'a [u8]>,
    chromaticities: Option<&'a [u8]>,
}

impl Declarations<'_> {
    /// The one that counts (PNG 3rd edition, 4.3): cICP, iCCP, sRGB, then gAMA with cHRM.
    fn strongest(self) -> Reason<Option<Declared>> {
        if let Some(cicp) = self.cicp {
            let code_points =
                cicp.try_into().map_err(|_| corrupt("PNG", "a cICP chunk that is not four bytes long"))?;
            return Ok(Some(Declared::Cicp(code_points)));
        }
        if let Some(icc) = self.icc {
            return inflated_profile(icc).map(|profile| Some(Declared::Icc(profile.into())));
        }
        let Some(gamma) = self.gamma.filter(|_| !self.srgb) else { return Ok(None) };
        let number = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes);
        match gamma.try_into().map(|bytes| number(&bytes)) {
            Ok(gamma) if gamma > 0 => {
                let points = self.chromaticities.and_then(|points| {
                    let (points, []) = points.as_chunks::<4>() else { return None };
                    <[_; 8]>::try_from(points).ok().map(|points| points.each_ref().map(number))
                });
                Ok(Some(Declared::Gamma(gamma, points)))
            }
            _ => Err(corrupt("PNG", "a gAMA chunk that holds no gamma")),
        }
    }
}

/// The profile of an iCCP chunk: a name, a zero, the method (0), and a deflate stream.
fn inflated_profile(chunk: &[u8]) -> Reason<Vec<u8>> {
    let unreadable = || format!("has an ICC profile that can't be read (it is damaged); {WITHOUT_PROFILE}");
    let name = chunk.iter().position(|&byte| byte == 0).ok_or_else(unreadable)?;
    let [0, 0, stream @ ..] = &chunk[name..] else { return Err(unreadable()) };
    fdeflate::decompress_to_vec_bounded(stream, LARGEST_PROFILE).map_err(|_| unreadable())
}

/// RGBA of whatever the crate has expanded: grey or RGB of 8 or 16 bits, with alpha or (after a tRNS chunk that means nothing)
/// without.
fn transparent(reader: &mut Reader<Cursor<&[u8]>>) -> Result<Pixels, Failure> {
    let (colour, depth) = reader.output_color_type();
    let channels = colour.samples();
    let mut packed = zeroed(reader.output_buffer_size().ok_or(DecodingError::LimitsExceeded)?)?;
    reader.next_frame(&mut packed)?;
    Ok(if depth == BitDepth::Sixteen {
        let samples: Vec<u16> = packed.as_chunks::<2>().0.iter().map(|&sample| u16::from_be_bytes(sample)).collect();
        Pixels::U16(expand::rgba(&samples, channels, u16::MAX)?)
    } else if channels == 4 {
        Pixels::U8(packed)
    } else {
        Pixels::U8(expand::rgba(&packed, channels, u8::MAX)?)
    })
}

/// Hands each stored row to `take`, and reads the image data to its end.
fn each_row(reader: &mut Reader<Cursor<&[u8]>>, mut take: impl FnMut(&[u8])) -> Result<(), Failure> {
    let width = reader.info().width;
    let length = reader.output_line_size(width).ok_or(DecodingError::LimitsExceeded)?;
    if reader.info().interlaced {
        // Adam7 fills the rows in seven passes, so they are complete only at the end.
        let mut packed = zeroed(reader.output_buffer_size().ok_or(DecodingError::LimitsExceeded)?)?;
        reader.next_frame(&mut packed)?;
        packed.chunks_exact(length).for_each(take);
    } else {
        let mut row = zeroed(length)?;
        while reader.read_row(&mut row)?.is_some() {
            take(&row);
        }
    }
    Ok(())
}

/// Bytes before the first chunk.
const SIGNATURE: usize = 8;

struct Chunk<'a> {
    kind: &'a [u8; 4],
    data: &'a [u8],
    crc: u32,
    after: &'a [u8],
}

/// The next chunk; `None` if it is not all there.
fn chunk(bytes: &[u8]) -> Option<Chunk<'_>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (kind, rest) = rest.split_first_chunk()?;
    let (data, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let (crc, after) = rest.split_first_chunk()?;
    Some(Chunk { kind, data, crc: u32::from_be_bytes(*crc), after })
}

/// In words what is wrong with a deflate stream.
fn deflate(error: fdeflate::DecompressionError) -> String {
    format!("its data can't be inflated: {error:?}")
}

enum Failure {
    Png(DecodingError),
    Other(String),
}

impl From<DecodingError> for Failure {
    fn from(error: DecodingError) -> Self {
        Failure::Png(error)
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Failure::Other(reason)
    }
}
