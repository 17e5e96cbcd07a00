//! Files and bytes to RGB pixels.
//!
//! The format is told by the first bytes, never by the file's name. A file is first *opened*: its header is
//! read, what pixq does not take is refused, and the size is held against `max_pixels`; only then is memory
//! taken for pixels. A header that claims more pixels than the file's bytes could hold is refused there too,
//! so a forged header costs its sender's bytes and nothing more.
//!
//! PNG, BMP and JPEG give Pillow's `convert("RGB")` bit for bit. Grey and palettes become RGB; 16-bit PNG and
//! TIFF stay 16-bit; alpha is an error, as there is no one right background. The EXIF orientation is applied,
//! an ICC profile is noted and left alone.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::error::{Error, Result};

mod bmp;
mod exif;
mod expand;
mod jpeg;
mod orient;
mod png;
mod tiff;
mod webp;

/// Pixels of a decoded image, packed rows of RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// 8 bits a channel.
    U8(Vec<u8>),
    /// 16 bits a channel.
    U16(Vec<u16>),
}

/// What a file's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Rows, after the EXIF orientation.
    pub height: usize,
    /// Columns, after the EXIF orientation.
    pub width: usize,
    /// `png`, `bmp`, `jpeg`, `webp` or `tiff`.
    pub format: &'static str,
    /// 8 or 16.
    pub bit_depth: u8,
    /// The EXIF orientation, 1..=8; 1 where there is none.
    pub orientation: u8,
    /// Whether an ICC profile is embedded. It is noted, never applied.
    pub icc_profile: bool,
}

/// A decoded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The pixels, (height, width, 3).
    pub pixels: Pixels,
    /// What the header said.
    pub info: Info,
}

/// The largest image that is decoded unless the caller says otherwise: 2^28 pixels.
///
/// That is 16384x16384, 768 MiB of 8-bit RGB, and above every photograph that the datasets of this field
/// hold. A progressive JPEG takes up to three times as much again while it is decoded.
pub const DEFAULT_MAX_PIXELS: u64 = 1 << 28;

/// Decodes the file at `path`.
///
/// # Errors
/// [`Error::Io`] if it can't be read, [`Error::Decode`] if it is not a picture pixq takes.
pub fn decode_path(path: &Path, max_pixels: u64) -> Result<Decoded> {
    with_file(path, |name, bytes| decode_bytes(name, bytes, max_pixels))
}

/// Decodes `bytes`; `name` stands in messages.
///
/// # Errors
/// [`Error::Decode`] if they are not a picture pixq takes.
pub fn decode_bytes(name: &str, bytes: &[u8], max_pixels: u64) -> Result<Decoded> {
    guarded(name, || {
        let image = Image::open(bytes, max_pixels)?;
        let header = image.header();
        let (format, stored) = (image.format(), header.clone());
        let pixels = orient::apply(image.pixels()?, stored.height, stored.width, stored.orientation)?;
        Ok(Decoded { pixels, info: stored.into_info(format) })
    })
}

/// Reads the header of the file at `path`: everything that [`decode_path`] refuses without looking at the
/// pixels is refused here as well, and no memory is taken for them.
///
/// # Errors
/// As [`decode_path`].
pub fn probe_path(path: &Path, max_pixels: u64) -> Result<Info> {
    with_file(path, |name, bytes| probe_bytes(name, bytes, max_pixels))
}

/// Reads the header of `bytes`; `name` stands in messages.
///
/// # Errors
/// As [`decode_bytes`].
pub fn probe_bytes(name: &str, bytes: &[u8], max_pixels: u64) -> Result<Info> {
    guarded(name, || {
        let image = Image::open(bytes, max_pixels)?;
        Ok(image.header().clone().into_info(image.format()))
    })
}

/// What an error says after the file's name.
type Reason<T> = std::result::Result<T, String>;

/// The header of a stored image, before the orientation.
#[derive(Clone, Debug)]
struct Header {
    height: usize,
    width: usize,
    bit_depth: u8,
    orientation: u8,
    icc_profile: bool,
}

impl Header {
    fn into_info(self, format: &'static str) -> Info {
        let Header { height, width, bit_depth, orientation, icc_profile } = self;
        let (height, width) = if orientation >= 5 { (width, height) } else { (height, width) };
        Info { height, width, format, bit_depth, orientation, icc_profile }
    }

    fn pixels(&self) -> usize {
        self.height * self.width
    }
}

/// An opened image: its header was read and found good.
enum Image<'a> {
    Png(png::Png<'a>),
    Jpeg(jpeg::Jpeg<'a>),
    Bmp(bmp::Bmp<'a>),
    Webp(webp::Webp<'a>),
    Tiff(tiff::Tiff<'a>),
}

impl<'a> Image<'a> {
    fn open(bytes: &'a [u8], max_pixels: u64) -> Reason<Self> {
        Ok(match Format::of(bytes)? {
            Format::Png => Image::Png(png::Png::open(bytes, max_pixels)?),
            Format::Jpeg => Image::Jpeg(jpeg::Jpeg::open(bytes, max_pixels)?),
            Format::Bmp => Image::Bmp(bmp::Bmp::open(bytes, max_pixels)?),
            Format::Webp => Image::Webp(webp::Webp::open(bytes, max_pixels)?),
            Format::Tiff => Image::Tiff(tiff::Tiff::open(bytes, max_pixels)?),
        })
    }

    fn format(&self) -> &'static str {
        match self {
            Image::Png(_) => "png",
            Image::Jpeg(_) => "jpeg",
            Image::Bmp(_) => "bmp",
            Image::Webp(_) => "webp",
            Image::Tiff(_) => "tiff",
        }
    }

    fn header(&self) -> &Header {
        match self {
            Image::Png(image) => &image.header,
            Image::Jpeg(image) => &image.header,
            Image::Bmp(image) => &image.header,
            Image::Webp(image) => &image.header,
            Image::Tiff(image) => &image.header,
        }
    }

    fn pixels(self) -> Reason<Pixels> {
        match self {
            Image::Png(image) => image.pixels(),
            Image::Jpeg(image) => image.pixels().map(Pixels::U8),
            Image::Bmp(image) => image.pixels().map(Pixels::U8),
            Image::Webp(image) => image.pixels().map(Pixels::U8),
            Image::Tiff(image) => image.pixels(),
        }
    }
}

enum Format {
    Png,
    Jpeg,
    Bmp,
    Webp,
    Tiff,
}

impl Format {
    /// How many bytes [`Format::of`] looks at.
    const MAGIC: usize = 12;

    fn of(bytes: &[u8]) -> Reason<Format> {
        match bytes {
            [] => Err(format!("is empty; {WHOLE}")),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Format::Png),
            [0xff, 0xd8, 0xff, ..] => Ok(Format::Jpeg),
            [b'B', b'M', ..] => Ok(Format::Bmp),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Format::Webp),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Format::Tiff),
            _ => Err("is not a PNG, JPEG, BMP, WebP or TIFF image; convert it to one of these".into()),
        }
    }
}

/// The mend for a file that ends early or holds damaged data.
const WHOLE: &str = "get a whole copy of the file";
/// The mend for alpha.
const FLATTEN: &str = "has an alpha channel; flatten it first (put it on a background and save it without alpha)";

fn corrupt(format: &str, what: impl std::fmt::Display) -> String {
    format!("is a corrupt {format} ({what}); {WHOLE}")
}

fn truncated(format: &str) -> String {
    format!("is a truncated {format}; {WHOLE}")
}

/// The size as `(height, width)`, if there is something in it and it is within the limit.
fn checked_size(height: u64, width: u64, max_pixels: u64) -> Reason<(usize, usize)> {
    if height == 0 || width == 0 {
        return Err(format!("has no pixels (its header says {width}x{height}); {WHOLE}"));
    }
    let pixels = height.checked_mul(width).filter(|&n| n <= max_pixels);
    // Twelve bytes a pixel is the most that is ever computed with: 16-bit RGB, and what it is made from.
    match pixels.and_then(|n| n.checked_mul(12)).and_then(|n| isize::try_from(n).ok()) {
        Some(_) => Ok((height as usize, width as usize)),
        None => Err(format!(
            "is {width}x{height}, more than the limit of {max_pixels} pixels; raise max_pixels if you trust the file"
        )),
    }
}

/// Refuses a header that claims more than `most` times the bytes that follow it.
fn checked_claim(header: &Header, needed: u64, available: usize, most: u64) -> Reason<()> {
    if needed > (available as u64).saturating_mul(most) {
        let Header { height, width, .. } = header;
        return Err(format!("is truncated or forged (it says {width}x{height} but holds {available} bytes); {WHOLE}"));
    }
    Ok(())
}

/// A zeroed buffer; that there is no memory for it is an error and not the end of the process.
fn zeroed<T: Copy + Default>(len: usize) -> Reason<Vec<T>> {
    // `vec!` gets pages from the system that are zero already and are not taken before they are written, so
    // a forged header costs nothing. It can't fail gently; that there is room was asked just before.
    room::<T>(len)?;
    Ok(vec![T::default(); len])
}

/// Whether there is memory for `len` values, which a decoder that is not ours will take.
fn room<T>(len: usize) -> Reason<()> {
    Vec::<T>::new().try_reserve_exact(len).map_err(|_| no_memory(len.saturating_mul(size_of::<T>())))
}

fn no_memory(bytes: usize) -> String {
    format!("needs {} MiB, which this machine does not have free; lower max_pixels or free memory", bytes >> 20)
}

thread_local! {
    /// Where this thread reads files to. New memory for each file would cost more than reading it.
    static FILE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The largest file whose memory a thread keeps for the next.
const KEPT: usize = 1 << 23;

pub(crate) fn with_file<T>(path: &Path, work: impl FnOnce(&str, &[u8]) -> Result<T>) -> Result<T> {
    // A name may hold a line break; a message is one line.
    let name = path.display().to_string().replace(char::is_control, "\u{fffd}");
    let mut bytes = FILE.take();
    let result = read(path, &name, &mut bytes).and_then(|()| work(&name, &bytes));
    if bytes.capacity() <= KEPT {
        FILE.set(bytes);
    }
    result
}

/// Reads a file, but not past its first bytes if those are not an image's.
fn read(path: &Path, name: &str, bytes: &mut Vec<u8>) -> Result<()> {
    let io = |source| Error::Io { path: path.into(), source };
    let refused = |reason| Error::Decode { name: name.into(), reason };
    bytes.clear();
    let mut file = File::open(path).map_err(io)?;
    (&mut file).take(Format::MAGIC as u64).read_to_end(bytes).map_err(io)?;
    Format::of(bytes).map_err(refused)?;
    let len = usize::try_from(file.metadata().map_err(io)?.len()).unwrap_or(usize::MAX);
    bytes.try_reserve(len).map_err(|_| refused(no_memory(len)))?;
    file.read_to_end(bytes).map_err(io)?;
    Ok(())
}

/// Names the errors of `work`, and turns a panic in a decoder that is not ours into one.
fn guarded<T>(name: &str, work: impl FnOnce() -> Reason<T>) -> Result<T> {
    // The closure owns or borrows nothing that outlives a panic in a broken state: buffers are dropped, and
    // the JPEG decompressor that is kept for the next call is put back only when it returned.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(format!("can't be decoded (the decoder gave up on damaged data); {WHOLE}")))
        .map_err(|reason| Error::Decode { name: name.into(), reason })
}

#[cfg(test)]
mod tests;
