//! What all decoders share: how they are called, the header of a stored image, its pixels, and the checks before memory is
//! taken for them.

use super::Options;
use super::colour::Declared;

/// Pixels of a decoded image, packed rows of RGB or RGBA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// 8 bits a channel.
    U8(Vec<u8>),
    /// 16 bits a channel.
    U16(Vec<u16>),
}

/// A result whose error is the part of a message that follows the file's name.
pub(super) type Reason<T> = std::result::Result<T, String>;

/// The header of a stored image, before the orientation.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub height: usize,
    pub width: usize,
    pub bit_depth: u8,
    pub orientation: u8,
    pub icc_profile: bool,
    /// Whether pixels have a fourth channel.
    pub alpha: bool,
    /// Whether red, green and blue are equal because the file is grey.
    pub grey: bool,
    /// Filled in only where colours are to be converted.
    pub colour: Option<Declared>,
    /// How often each pixel is computed with: more than once where it is coded in several scans, never where it is copied.
    pub passes: u64,
    /// What is wrong with the file although its pixels are all there.
    pub notes: Vec<String>,
    /// Whether pixels come from [`super::other`]'s reader, which minds interrupts itself.
    pub other: bool,
}

impl Header {
    /// A header of 8 bits and nothing special.
    pub fn new(height: usize, width: usize) -> Self {
        let (bit_depth, orientation) = (8, 1);
        let (icc_profile, alpha, grey, colour) = (false, false, false, None);
        let (passes, notes, other) = (1, Vec::new(), false);
        Header { height, width, bit_depth, orientation, icc_profile, alpha, grey, colour, passes, notes, other }
    }

    pub fn pixels(&self) -> usize {
        self.height * self.width
    }
}

/// How files of a format are recognised and opened.
pub(super) struct Decoder {
    /// Whether the first [`MAGIC`] bytes of a file are those of this format.
    pub matches: fn(&[u8]) -> bool,
    /// Reads the header of a file, and checks it.
    pub open: for<'a> fn(&'a [u8], Options) -> Reason<Image<'a>>,
}

/// Decodes the pixels; what is noticed on the way is added to the notes.
type Decode<'a> = dyn FnOnce(&mut Vec<String>) -> Reason<Pixels> + 'a;

/// An opened image: its header has been read and checked, its pixels have not been decoded.
pub(super) struct Image<'a> {
    pub header: Header,
    pub pixels: Box<Decode<'a>>,
}

impl<'a> Image<'a> {
    pub fn new(header: Header, pixels: impl FnOnce() -> Reason<Pixels> + 'a) -> Self {
        Self::with_notes(header, |_| pixels())
    }

    pub fn with_notes(header: Header, pixels: impl FnOnce(&mut Vec<String>) -> Reason<Pixels> + 'a) -> Self {
        Self { header, pixels: Box::new(pixels) }
    }
}

/// The number of bytes from the start of a file that tell its format.
pub(super) const MAGIC: usize = 32;

/// How to fix a file that ends early or holds damaged data.
pub(super) const WHOLE: &str = "get an intact copy of the file";
/// What to do about colours that can't be converted.
pub(super) const WITHOUT_PROFILE: &str =
    "save it as sRGB, or compare raw samples with --no-colour-management (colour_management=False)";
/// What is wrong with a file that has transparent pixels, and how to fix it.
pub(super) const TRANSPARENT: &str = "has transparent pixels; save it without them, or choose what lies under them: --background white \
     (background=\"white\")";

pub(super) fn corrupt(format: &str, what: impl std::fmt::Display) -> String {
    format!("is a corrupt {format} ({what}); {WHOLE}")
}

pub(super) fn truncated(format: &str) -> String {
    format!("is a truncated {format}; {WHOLE}")
}

/// What is wrong with an image of several frames or pages of which none was chosen; `what` is "an animated GIF".
pub(super) fn several(what: &str) -> String {
    format!("is {what}; choose one of its frames, e.g. --frame 0 (frame=0)")
}

pub(super) fn no_such_frame(frame: u32) -> String {
    format!("has no frame {frame}; frames are counted from 0")
}

/// Pictures of at most this many pixels may come from files of any size.
const SMALL: u64 = 1 << 24;
/// No picture larger than that has more pixels per byte of its file. Formats that store runs, or a colour only once, could
/// have any number, and a file of 38 bytes would take gigabytes.
const MOST_PIXELS_PER_BYTE: u64 = 1 << 16;

/// An error if decoding takes far more memory than a file of so many bytes deserves.
pub(super) fn checked_cost(header: &Header, bytes: usize) -> Reason<()> {
    let Header { height, width, .. } = *header;
    let pixels = header.pixels() as u64;
    if pixels > SMALL.max((bytes as u64).saturating_mul(MOST_PIXELS_PER_BYTE)) {
        return Err(format!(
            "has {width}x{height} pixels in {bytes} bytes, more than the limit of {MOST_PIXELS_PER_BYTE} pixels per byte; \
             save it in another format if you trust it"
        ));
    }
    Ok(())
}

/// The size as `(height, width)`, if there is something in it and it is within the limit.
pub(super) fn checked_size(height: u64, width: u64, max_pixels: u64) -> Reason<(usize, usize)> {
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

/// An error if a header claims more than `most` times the bytes that follow it.
pub(super) fn checked_claim(header: &Header, needed: u64, available: usize, most: u64) -> Reason<()> {
    if needed > (available as u64).saturating_mul(most) {
        let Header { height, width, .. } = header;
        return Err(format!(
            "is truncated or forged (its header says {width}x{height} but it has {available} bytes); {WHOLE}"
        ));
    }
    Ok(())
}

/// A zeroed buffer, or an error where there is no memory for it, which would otherwise end the process.
pub(super) fn zeroed<T: Copy + Default>(len: usize) -> Reason<Vec<T>> {
    // `vec!` gets pages from the system that are zero already and are not taken before they are written, so
    // a forged header costs nothing. It can't fail gently; that there is room was asked just before.
    room::<T>(len)?;
    Ok(vec![T::default(); len])
}

/// Whether there is memory for `len` values, which a decoder that is not ours will take.
pub(super) fn room<T>(len: usize) -> Reason<()> {
    Vec::<T>::new().try_reserve_exact(len).map_err(|_| no_memory(len.saturating_mul(size_of::<T>())))
}

pub(super) fn no_memory(bytes: usize) -> String {
    format!("needs {} MiB, more memory than this machine has free; lower max_pixels or free some memory", bytes >> 20)
}
