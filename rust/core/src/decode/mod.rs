//! Files and bytes to RGB pixels.
//!
//! The first bytes of a file tell its format; the file's name plays no part. A file is first *opened*: its header is
//! read, what pixq does not take is refused, and the size is checked against `max_pixels`. Only then is memory
//! taken for pixels. A header that claims more pixels than the file's bytes could hold is refused as well,
//! so a forged header costs nothing but the bytes of the file.
//!
//! PNG, BMP and JPEG give the pixels of Pillow's `convert("RGB")`, bit for bit. Grey and palettes become RGB; 16-bit PNG and
//! TIFF stay 16-bit. Samples are converted to sRGB (see [`colour`]) unless the caller asks for raw ones, transparent pixels are
//! an error unless the caller names a background or takes them as they are, and the EXIF orientation is applied.

use std::cell::Cell;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Once};

use crate::error::{Error, Result};
use crate::regular;

mod alpha;
mod colour;
mod exif;
mod expand;
mod formats;
mod header;
mod options;
mod orient;
pub mod other;
mod patience;

use colour::Conversion;
pub use formats::{FORMATS, Format};
pub use header::Pixels;
use header::{Header, Reason, TRANSPARENT, WHOLE, no_memory};
pub use options::{Alpha, Background, Colour, DEFAULT_MAX_PIXELS, Options};
pub use patience::{decoding_stops, set_interrupt_check, stop_decoding};

/// What a file's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Rows, after the EXIF orientation.
    pub height: usize,
    /// Columns, after the EXIF orientation.
    pub width: usize,
    /// The name of a row of [`FORMATS`].
    pub format: &'static str,
    /// 8 or 16.
    pub bit_depth: u8,
    /// The EXIF orientation, 1..=8; 1 where there is none.
    pub orientation: u8,
    /// Whether an ICC profile is embedded.
    pub icc_profile: bool,
    /// Whether there is an alpha channel, or a colour that stands for transparent.
    pub alpha: bool,
    /// The profile that samples are converted from; `None` where they stay as they are.
    pub converted_from: Option<String>,
    /// What is wrong with the file although its pixels are all there.
    pub notes: Vec<String>,
    /// Whether [`other`]'s reader decodes it.
    pub other: bool,
}

/// A decoded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The pixels, (height, width, channels).
    pub pixels: Pixels,
    /// 4 where transparent pixels were asked for and there are some, else 3.
    pub channels: usize,
    /// What the header said.
    pub info: Info,
}

/// Decodes the file at `path`.
///
/// # Errors
/// [`Error::Io`] if it can't be read, [`Error::Decode`] if it is not an image that pixq takes.
pub fn decode_path(path: &Path, options: Options) -> Result<Decoded> {
    with_file(path, |name, bytes| decode_bytes(name, bytes, options))
}

/// Decodes `bytes`; `name` is used in messages.
///
/// # Errors
/// [`Error::Decode`] if they are not an image that pixq takes, [`Error::Interrupted`] if somebody asked to stop.
pub fn decode_bytes(name: &str, bytes: &[u8], options: Options) -> Result<Decoded> {
    let decoded = guarded(name, || {
        let (format, image) = formats::open(bytes, options)?;
        if !image.header.other && patience::is_long(&image.header) {
            return Ok(None);
        }
        let conversion = conversion(&image.header)?;
        let mut stored = image.header;
        let pixels = (image.pixels)(&mut stored.notes)?;
        finish(pixels, format, stored, conversion.as_deref(), options.alpha).map(Some)
    })?;
    decoded.map_or_else(|| patience::decode(name, bytes, options), Ok)
}

/// Reads the header of the file at `path`: everything that [`decode_path`] refuses without looking at the
/// pixels is refused here as well, and no memory is taken for them.
///
/// # Errors
/// As [`decode_path`].
pub fn probe_path(path: &Path, options: Options) -> Result<Info> {
    with_file(path, |name, bytes| probe_bytes(name, bytes, options))
}

/// Reads the header of `bytes`; `name` is used in messages.
///
/// # Errors
/// As [`decode_bytes`].
pub fn probe_bytes(name: &str, bytes: &[u8], options: Options) -> Result<Info> {
    guarded(name, || {
        let (format, image) = formats::open(bytes, options)?;
        let conversion = conversion(&image.header)?;
        Ok(info(image.header, format, conversion.as_deref()))
    })
}

/// How the samples of an image become sRGB; `None` if they stay as they are.
fn conversion(header: &Header) -> Reason<Option<Arc<Conversion>>> {
    match &header.colour {
        Some(declared) => colour::conversion(declared, header.grey),
        None => Ok(None),
    }
}

/// From stored pixels to those the caller asked for.
fn finish(
    mut pixels: Pixels,
    format: &'static str,
    header: Header,
    conversion: Option<&Conversion>,
    alpha: Alpha,
) -> Reason<Decoded> {
    let mut channels = if header.alpha { 4 } else { 3 };
    if channels == 4 && alpha::is_opaque(&pixels) {
        (pixels, channels) = (alpha::dropped(pixels)?, 3);
    }
    if channels == 4 && alpha == Alpha::Refuse {
        return Err(TRANSPARENT.into());
    }
    if let Some(conversion) = conversion {
        conversion.apply(&mut pixels, channels)?;
    }
    let (height, width, orientation) = (header.height, header.width, header.orientation);
    let info = info(header, format, conversion);
    if channels == 4 {
        pixels = orient::apply::<4>(pixels, height, width, orientation)?;
        if let Alpha::On(background) = alpha {
            (pixels, channels) = (alpha::composed(&pixels, info.width, background)?, 3);
        }
    } else {
        pixels = orient::apply::<3>(pixels, height, width, orientation)?;
    }
    Ok(Decoded { pixels, channels, info })
}

/// What the header of a stored image says, with the EXIF orientation applied.
fn info(header: Header, format: &'static str, conversion: Option<&Conversion>) -> Info {
    let Header { height, width, bit_depth, orientation, icc_profile, alpha, notes, other, .. } = header;
    let (height, width) = if orientation >= 5 { (width, height) } else { (height, width) };
    let converted_from = conversion.map(|conversion| conversion.from.clone());
    Info { height, width, format, bit_depth, orientation, icc_profile, alpha, converted_from, notes, other }
}

/// Puts RGBA of `width` columns on a background.
///
/// # Errors
/// [`Error::Decode`] if there is no memory for it.
pub fn compose(rgba: &Pixels, width: usize, background: Background) -> Result<Pixels> {
    guarded("image", || alpha::composed(rgba, width, background))
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
    let mut file = regular::open(path).map_err(io)?;
    (&mut file).take(header::MAGIC as u64).read_to_end(bytes).map_err(io)?;
    formats::check_start(bytes).map_err(refused)?;
    let len = usize::try_from(file.metadata().map_err(io)?.len()).unwrap_or(usize::MAX);
    bytes.try_reserve(len).map_err(|_| refused(no_memory(len)))?;
    file.read_to_end(bytes).map_err(io)?;
    Ok(())
}

/// What [`other`]'s reader says if somebody asked to stop.
pub const INTERRUPTED: &str = "interrupted";

thread_local! {
    /// Whether a panic of this thread becomes an error, so that nothing is printed about it.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the texts of panics that [`guarded`] catches off stderr.
fn quiet_guarded_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                before(info);
            }
        }));
    });
}

/// Names the errors of `work`, and turns a panic in a decoder that is not ours into one.
fn guarded<T>(name: &str, work: impl FnOnce() -> Reason<T>) -> Result<T> {
    quiet_guarded_panics();
    let before = GUARDED.replace(true);
    // The closure owns or borrows nothing that outlives a panic in a broken state: buffers are dropped, and
    // the JPEG decompressor that is kept for the next call is put back only when it returned.
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    result.unwrap_or_else(|_| Err(format!("can't be decoded (the decoder gave up on damaged data); {WHOLE}"))).map_err(
        |reason| match &reason[..] {
            INTERRUPTED => Error::Interrupted,
            _ => Error::Decode { name: name.into(), reason },
        },
    )
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
