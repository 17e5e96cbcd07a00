//! JPEG, by libjpeg-turbo: the accurate integer DCT and smooth chroma upsampling, as Pillow and browsers use.
//!
//! # Warnings
//! libjpeg warns where it went on over damage. Pillow ignores every warning, and takes a file only if its
//! data are all there. Here a warning is an error if pixels may be wrong: after a bad Huffman code or a
//! missing segment they are guesses or plain grey, and people should not be asked whether they notice those.
//! What leaves the pixels alone passes with a note, as browsers show it: stray bytes between segments or after a scan, a
//! missing end marker. An unknown JFIF version or Adobe transform passes without one. libjpeg tells only its first
//! warning, so what is harmless is removed from a copy before it is decoded and can't hide another.
//!
//! A progressive file that is cut between two scans decodes without a warning, only less sharp. Without an end
//! marker it is taken only if its scans send every bit of every coefficient.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

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
/// Pixels times scans that any file may ask for: a few seconds, ...
const FREE_WORK: u64 = 1 << 28;
/// ... and how many more per byte. The ten scans of a progressive photograph come to a hundred, at the lowest
/// quality to a thousand.
const MOST_WORK_PER_BYTE: u64 = 2048;
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
        Ok(Image::with_notes(image.header.clone(), |notes| image.pixels(notes).map(Pixels::U8)))
    },
};

struct Jpeg<'a> {
    header: Header,
    walk: Walk<'a>,
}

impl<'a> Jpeg<'a> {
    fn open(bytes: &'a [u8], options: Options) -> Reason<Self> {
        let mut walk = Walk::new(bytes);
        let mut frame = None;
        let (mut orientation, mut icc) = (None, Vec::new());
        while let Some(Segment { marker, data }) = walk.next_segment()? {
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
        if walk.at_end() {
            return Err(if walk.ended { corrupt("JPEG", "it ends before its first scan") } else { truncated("JPEG") });
        }
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
        let (passes, complete) = walk.scans(frame)?;
        if !walk.ended && !complete {
            return Err(truncated("JPEG"));
        }
        let mut notes = Vec::new();
        if walk.stray {
            notes.push("is a JPEG with stray bytes between its segments, which were skipped; save it again".into());
        }
        if !walk.ended {
            notes.push("is a JPEG without its end marker; its pixels are all there, but save it again".into());
        }
        let header = Header {
            orientation,
            icc_profile,
            grey: components == 1,
            colour,
            passes,
            notes,
            ..Header::new(height, width)
        };
        // Arithmetic coding (0xc8 and above) has no such bound.
        if marker < 0xc8 {
            checked_claim(&header, header.pixels() as u64, bytes.len(), MOST_PIXELS_A_BYTE)?;
        }
        let (pixels, bytes) = (header.pixels() as u64, bytes.len() as u64);
        let work = pixels.saturating_mul(passes);
        if passes > 1 && work > FREE_WORK.saturating_add(bytes.saturating_mul(MOST_WORK_PER_BYTE)) {
            return Err(format!(
                "is a JPEG with {passes} scans of {width}x{height} pixels in {bytes} bytes, more than the limit of \
                 {MOST_WORK_PER_BYTE} pixels per byte; save it again, not progressive"
            ));
        }
        Ok(Jpeg { header, walk })
    }

    fn pixels(self, notes: &mut Vec<String>) -> Reason<Vec<u8>> {
        let mut decompressor = match DECOMPRESSOR.take() {
            Some(ready) => ready,
            None => new_decompressor().map_err(|error| self.describe(error))?,
        };
        let pixels = self.decompress(&mut decompressor, notes)?;
        // After an error libjpeg may stand in the middle of a header and go on from there in the next file.
        DECOMPRESSOR.set(Some(decompressor));
        Ok(pixels)
    }

    fn decompress(&self, decompressor: &mut Decompressor, notes: &mut Vec<String>) -> Reason<Vec<u8>> {
        let bytes = self.walk.tidy();
        let Header { height, width, .. } = self.header;
        let found = decompressor.read_header(&bytes).map_err(|error| self.describe(error))?;
        if (found.height, found.width) != (height, width) {
            return Err(corrupt("JPEG", "it has two frame headers"));
        }
        let mut pixels = zeroed(self.header.pixels() * 3)?;
        let mut decompress = |bytes: &[u8]| {
            let (pitch, format) = (width * 3, PixelFormat::RGB);
            let image = turbojpeg::Image { pixels: &mut pixels[..], width, pitch, height, format };
            decompressor.decompress(bytes, image)
        };
        let note = || "is a JPEG with stray bytes after a scan, which were skipped; save it again".into();
        match decompress(&bytes) {
            Ok(()) => {}
            Err(error) => match extraneous(&error) {
                // Bytes left over when the last scan was complete: every pixel was written before them.
                Some((_, 0xd9)) => notes.push(note()),
                // libjpeg tells only the first warning. Without the stray bytes there must be no other.
                Some((count, marker))
                    if bytes.len() == self.walk.bytes.len()
                        && self.walk.without(count, marker).any(|bytes| decompress(&bytes).is_ok()) =>
                {
                    notes.push(note());
                }
                _ => return Err(self.describe(error)),
            },
        }
        Ok(pixels)
    }

    fn describe(&self, error: turbojpeg::Error) -> String {
        let text = error.to_string();
        let text = text.strip_prefix("TurboJPEG error: ").unwrap_or(&text);
        let text = text.strip_prefix("Corrupt JPEG data: ").unwrap_or(text);
        if text.starts_with("Premature end of JPEG") || text.starts_with("premature end of data segment") {
            if self.walk.ended { corrupt("JPEG", "the data of a scan end early") } else { truncated("JPEG") }
        } else if text.contains("scans") {
            format!("is a JPEG with more than {MOST_SCANS} scans, made to waste time; save it again or {WHOLE}")
        } else {
            corrupt("JPEG", text)
        }
    }
}

/// How many bytes libjpeg passed over before which marker, if that was all it had to say.
fn extraneous(error: &turbojpeg::Error) -> Option<(usize, u8)> {
    let text = error.to_string();
    let (count, marker) =
        text.strip_prefix("TurboJPEG error: ").unwrap_or(&text).split_once(" extraneous bytes before marker 0x")?;
    let count = count.rsplit(' ').next()?.parse().ok()?;
    Some((count, u8::from_str_radix(marker.trim(), 16).ok()?))
}

fn new_decompressor() -> turbojpeg::Result<Decompressor> {
    let mut decompressor = Decompressor::new()?;
    decompressor.set_scan_limit(MOST_SCANS)?;
    Ok(decompressor)
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

/// One segment: what stands between two markers that have a length.
struct Segment<'a> {
    marker: u8,
    data: &'a [u8],
}

/// A walk from marker to marker, which finds what libjpeg would warn of although it leaves the pixels alone.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What belongs to the file: everything but stray bytes and what follows the end.
    pieces: Vec<Range<usize>>,
    /// Bytes to write over others, so that libjpeg has nothing to say.
    tidied: Vec<(usize, u8)>,
    /// Where the coded data of each scan end, and which marker follows.
    scan_ends: Vec<(usize, u8)>,
    /// Whether bytes that belong to no segment were passed over.
    stray: bool,
    /// Whether the end marker was found.
    ended: bool,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let start = 0..2;
        let (pieces, tidied, scan_ends) = (vec![start], Vec::new(), Vec::new());
        Walk { bytes, at: 2, pieces, tidied, scan_ends, stray: false, ended: false }
    }

    fn at_end(&self) -> bool {
        !self.bytes[self.at..].starts_with(b"\xff\xda")
    }

    /// Goes on by `length` bytes that belong to the file.
    fn take(&mut self, length: usize) {
        let (start, end) = (self.at, self.at + length);
        match self.pieces.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => self.pieces.push(start..end),
        }
        self.at = end;
    }

    /// The next segment; `None` at a scan, the end, or the end of the file.
    fn next_segment(&mut self) -> Reason<Option<Segment<'a>>> {
        loop {
            match &self.bytes[self.at..] {
                [] | [0xff] | [0xff, 0xda, ..] => return Ok(None),
                [0xff, 0xd9, ..] => {
                    self.take(2);
                    self.ended = true;
                    return Ok(None);
                }
                // 0xff may be repeated before a marker.
                [0xff, 0xff, ..] => self.take(1),
                // Markers that stand alone are not expected here, and libjpeg says what it thinks of them.
                [0xff, 0x01 | 0xd0..=0xd8, ..] => self.take(2),
                [0xff, 0, ..] => {
                    self.at += 2;
                    self.stray = true;
                }
                [0xff, marker, high, low, after @ ..] => {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    let data = length.checked_sub(2).ok_or_else(|| corrupt("JPEG", "a segment of no length"))?;
                    let data = after.get(..data).ok_or_else(|| truncated("JPEG"))?;
                    self.tidied.extend(tidied(*marker, data).map(|(at, value)| (self.at + 4 + at, value)));
                    self.take(2 + length);
                    return Ok(Some(Segment { marker: *marker, data }));
                }
                [0xff, _] | [0xff, _, _] => return Err(truncated("JPEG")),
                [_, ..] => {
                    self.at += 1;
                    self.stray = true;
                }
            }
        }
    }

    /// Walks over all scans; gives their number, and whether they send every coefficient of the frame in full.
    fn scans(&mut self, frame: Option<(u8, &[u8])>) -> Reason<(u64, bool)> {
        let (marker, frame) = frame.unwrap_or_default();
        let ids: Vec<u8> = frame.get(6..).unwrap_or_default().chunks_exact(3).map(|component| component[0]).collect();
        let progressive = matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce);
        // The lowest bit that was sent of each coefficient, and 255 before that.
        let mut sent = vec![[u8::MAX; 64]; ids.len()];
        let mut count = 0;
        while !self.at_end() {
            count += 1;
            let &[_, _, high, low, ref after @ ..] = &self.bytes[self.at..] else { return Err(truncated("JPEG")) };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let header = length.checked_sub(2).and_then(|length| after.get(..length));
            let Some(&[components, ref header @ ..]) = header else { return Err(truncated("JPEG")) };
            if let Some((selectors, &[start, end, bits])) =
                header.split_at_checked(2 * usize::from(components)).and_then(|(a, b)| Some((a, b.first_chunk()?)))
            {
                let (start, end, bit) = if progressive { (start, end, bits & 15) } else { (0, 63, 0) };
                for selector in selectors.chunks_exact(2) {
                    for (sent, _) in sent.iter_mut().zip(&ids).filter(|(_, id)| **id == selector[0]) {
                        sent.iter_mut().take(usize::from(end) + 1).skip(start.into()).for_each(|sent| *sent = bit);
                    }
                }
            }
            self.take(2 + length);
            self.take(coded(&self.bytes[self.at..]));
            self.scan_ends.push((self.at, self.bytes.get(self.at + 1).copied().unwrap_or_default()));
            while self.next_segment()?.is_some() {}
        }
        Ok((count, sent.iter().flatten().all(|&bit| bit == 0)))
    }

    /// The file without what libjpeg would warn of in vain.
    fn tidy(&self) -> Cow<'a, [u8]> {
        if self.ended && !self.stray && self.tidied.is_empty() {
            return Cow::Borrowed(self.bytes);
        }
        let mut whole = self.bytes.to_vec();
        for &(at, value) in &self.tidied {
            whole[at] = value;
        }
        let mut out = Vec::with_capacity(whole.len() + 2);
        for piece in &self.pieces {
            out.extend_from_slice(&whole[piece.clone()]);
        }
        if !self.ended {
            out.extend_from_slice(b"\xff\xd9");
        }
        Cow::Owned(out)
    }

    /// The file without `count` bytes at the end of a scan that `marker` follows, for each such scan.
    fn without(&self, count: usize, marker: u8) -> impl Iterator<Item = Vec<u8>> + '_ {
        let ends = self.scan_ends.iter().filter(move |(_, next)| *next == marker).map(|&(end, _)| end);
        ends.filter_map(move |end| Some([&self.bytes[..end.checked_sub(count)?], &self.bytes[end..]].concat())).take(8)
    }
}

/// The length of a scan's coded data: up to a marker that is not one of restart.
fn coded(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|&byte| byte == 0xff) {
        at += found;
        match bytes.get(at + 1) {
            Some(0 | 0xd0..=0xd7) => at += 2,
            Some(0xff) => at += 1,
            Some(_) => return at,
            None => break,
        }
    }
    bytes.len()
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
