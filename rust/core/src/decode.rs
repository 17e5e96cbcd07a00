//! Files and bytes to RGB pixels.

use std::path::Path;

use crate::error::{Error, Result};

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
pub const DEFAULT_MAX_PIXELS: u64 = 1 << 28;

/// Decodes the file at `path`.
///
/// # Errors
/// [`Error::Io`] if it can't be read, [`Error::Decode`] if it is not a picture pixq takes.
pub fn decode_path(path: &Path, max_pixels: u64) -> Result<Decoded> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
    decode_bytes(&path.display().to_string(), &bytes, max_pixels)
}

/// Decodes `bytes`; `name` stands in messages.
///
/// # Errors
/// [`Error::Decode`] if they are not a picture pixq takes.
pub fn decode_bytes(name: &str, bytes: &[u8], max_pixels: u64) -> Result<Decoded> {
    let _ = (bytes, max_pixels);
    Err(Error::Decode { name: name.into(), reason: "stub".into() })
}
