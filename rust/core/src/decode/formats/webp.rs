//! WebP, by the `image-webp` crate.
//!
//! The chunks are walked here first: the crate takes a lossy frame's memory before it compares the frame's
//! size with the file's, so a forged frame must be found before.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use crate::decode::colour::Declared;
use crate::decode::exif;
use crate::decode::header::{Decoder, Header, Image, Pixels, Reason, checked_size, corrupt, room, truncated, zeroed};
use crate::decode::{Colour, Options, other};

pub(super) const DECODER: Decoder = Decoder {
    matches: |bytes| matches!(bytes, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..]),
    open: |bytes, options| {
        let Some(image) = Webp::open(bytes, options)? else {
            return other::open("webp", "an animated WebP", bytes, options);
        };
        Ok(Image::new(image.header.clone(), || image.pixels().map(Pixels::U8)))
    },
};

struct Webp<'a> {
    header: Header,
    decoder: WebPDecoder<Cursor<&'a [u8]>>,
}

impl<'a> Webp<'a> {
    /// `None` if it is animated.
    fn open(bytes: &'a [u8], options: Options) -> Reason<Option<Self>> {
        // The container says how long it is, from its eighth byte on; what follows is none of its.
        let length = 8 + bytes.get(4..8).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
        let bytes = &bytes[..length.clamp(Self::MAGIC, bytes.len())];
        let mut header = Header::new(0, 0);
        let mut frame = None;
        let mut rest = &bytes[Self::MAGIC..];
        // A lone byte may be left by writers that pad the file and not its last chunk.
        while rest.len() > 1 {
            let (kind, data, after) = chunk(rest).ok_or_else(|| truncated("WebP"))?;
            match (kind, data) {
                // Three bytes of tag, three of start code, then 14 bits of width and of height.
                (b"VP8 ", [_, _, _, _, _, _, w0, w1, h0, h1, ..]) if frame.is_none() => {
                    let side = |low, high| u64::from(u16::from_le_bytes([low, high]) & 0x3fff);
                    frame = Some(checked_size(side(*h0, *h1), side(*w0, *w1), options.max_pixels)?);
                }
                (b"EXIF", block) => header.orientation = exif::orientation(block),
                (b"ICCP", profile) => {
                    header.icc_profile = true;
                    if options.colour == Colour::Srgb {
                        header.colour = Some(Declared::Icc(profile.into()));
                    }
                }
                _ => {}
            }
            rest = after;
        }
        let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(describe)?;
        let (width, height) = decoder.dimensions();
        (header.height, header.width) = checked_size(height.into(), width.into(), options.max_pixels)?;
        if decoder.is_animated() {
            return Ok(None);
        }
        header.alpha = decoder.has_alpha();
        if frame.is_some_and(|size| size != (header.height, header.width)) {
            return Err(corrupt("WebP", "its frame differs in size from its canvas"));
        }
        Ok(Some(Webp { header, decoder }))
    }

    /// Bytes before the first chunk.
    const MAGIC: usize = 12;

    fn pixels(mut self) -> Reason<Vec<u8>> {
        // The crate's own buffers (RGBA of a lossless file) would end the process if there were no memory.
        let channels = if self.header.alpha { 4 } else { 3 };
        let mut out = zeroed(self.header.pixels() * channels)?;
        room::<[u8; 4]>(self.header.pixels())?;
        // Its chunks are all there, so data that end early are damaged.
        self.decoder.read_image(&mut out).map_err(|error| match error {
            DecodingError::IoError(_) => corrupt("WebP", "its data end before its last row"),
            error => describe(error),
        })?;
        Ok(out)
    }
}

/// The next chunk's type and data, and what follows it; `None` if it is not all there.
fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (kind, rest) = bytes.split_at_checked(4)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (data, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    // Chunks start at even places.
    Some((kind, data, rest.get(data.len() % 2..).unwrap_or_default()))
}

fn describe(error: DecodingError) -> String {
    match error {
        DecodingError::IoError(_) => truncated("WebP"),
        error => corrupt("WebP", error.to_string().trim_end_matches('.')),
    }
}
