//! The image formats that pixq knows. To add one, write its decoder and add a row to [`FORMATS`]: everything else, in
//! Python and on the pages, follows from the table.

use super::Options;
use super::header::{Decoder, Image, Reason, WHOLE, checked_cost};
use super::other;

mod bmp;
mod jpeg;
mod png;
mod tiff;
mod webp;

/// An image format.
pub struct Format {
    /// Its name in results.
    pub name: &'static str,
    /// Its name in sentences.
    pub title: &'static str,
    /// How the names of its files end, in lower case; the usual ending comes first.
    pub endings: &'static [&'static str],
    /// Its media (MIME) type.
    pub media_type: &'static str,
    /// Whether every current browser shows it and it is meant for web pages.
    pub web: bool,
    /// What pixq needs to read it besides its own dependencies: the name of an extra.
    pub extra: Option<&'static str>,
    decoder: Option<Decoder>,
}

/// All formats. Those from GIF on are read by [`other`]'s reader. The last ones have no decoder: files with their endings count
/// as images, and are refused by name.
pub static FORMATS: [Format; 14] = [
    row("png", "PNG", &[".png", ".apng"], "image/png", true, Some(png::DECODER)),
    row("jpeg", "JPEG", &[".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"], "image/jpeg", true, Some(jpeg::DECODER)),
    row("bmp", "BMP", &[".bmp", ".dib"], "image/bmp", false, Some(bmp::DECODER)),
    row("webp", "WebP", &[".webp"], "image/webp", true, Some(webp::DECODER)),
    row("tiff", "TIFF", &[".tif", ".tiff"], "image/tiff", false, Some(tiff::DECODER)),
    row("gif", "GIF", &[".gif"], "image/gif", true, Some(other::GIF)),
    row("avif", "AVIF", &[".avif", ".avifs"], "image/avif", true, Some(other::AVIF)),
    row("jp2", "JPEG 2000", &[".jp2", ".j2k", ".jpx", ".j2c", ".jpc"], "image/jp2", false, Some(other::JP2)),
    Format {
        extra: Some("heif"),
        ..row("heif", "HEIF", &[".heic", ".heif", ".hif"], "image/heif", false, Some(other::HEIF))
    },
    Format { extra: Some("jxl"), ..row("jxl", "JPEG XL", &[".jxl"], "image/jxl", false, Some(other::JXL)) },
    row("psd", "Photoshop", &[".psd"], "image/vnd.adobe.photoshop", false, None),
    row("tga", "TGA", &[".tga"], "image/x-tga", false, None),
    row("pnm", "PNM", &[".ppm", ".pgm"], "image/x-portable-anymap", false, None),
    row("exr", "OpenEXR", &[".exr"], "image/x-exr", false, None),
];

const fn row(
    name: &'static str,
    title: &'static str,
    endings: &'static [&'static str],
    media_type: &'static str,
    web: bool,
    decoder: Option<Decoder>,
) -> Format {
    Format { name, title, endings, media_type, web, extra: None, decoder }
}

impl Format {
    /// Whether pixq decodes it.
    pub fn is_decoded(&self) -> bool {
        self.decoder.is_some()
    }
}

/// An error unless `bytes`, or the first [`super::header::MAGIC`] of them, are the start of an image that pixq decodes.
pub(super) fn check_start(bytes: &[u8]) -> Reason<()> {
    recognise(bytes).map(|_| ())
}

/// The name of the format of `bytes`, and the image.
pub(super) fn open(bytes: &[u8], options: Options) -> Reason<(&'static str, Image<'_>)> {
    let (name, decoder) = recognise(bytes)?;
    let image = (decoder.open)(bytes, options)?;
    checked_cost(&image.header, bytes.len())?;
    Ok((name, image))
}

fn recognise(bytes: &[u8]) -> Reason<(&'static str, &'static Decoder)> {
    if bytes.is_empty() {
        return Err(format!("is empty; {WHOLE}"));
    }
    let decoders = FORMATS.iter().filter_map(|format| Some((format.name, format.decoder.as_ref()?)));
    decoders.into_iter().find(|(_, decoder)| (decoder.matches)(bytes)).ok_or_else(|| {
        let titles: Vec<_> = FORMATS.iter().filter(|format| format.is_decoded()).map(|format| format.title).collect();
        let (last, others) = titles.split_last().expect("there are formats");
        format!("is not a {} or {last} image; convert it to one of these formats", others.join(", "))
    })
}
