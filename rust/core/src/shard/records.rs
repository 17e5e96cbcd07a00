//! The records of a shard: one JSON line for each fused patch, written here and read here into columns.
//!
//! Any JSON reader can read the lines. Lines laid out as [`LineWriter`] writes them are scanned in place; a line
//! that another program wrote, with other spacing or key order, goes through `serde_json` and means the same.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::Deserialize;

use super::spec::ImageSpec;
use crate::error::{Error, Result};
use crate::fuse::{Fusion, KINDS};
use crate::regular;

/// The fields of a record that differ within an image.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Index of the patch among the places sampled in its image.
    pub patch_id: u64,
    /// Top row in the image.
    pub y: u64,
    /// Left column in the image.
    pub x: u64,
    /// PSNR of the fused patch in dB; `None` where it equals its reference.
    pub psnr: Option<f64>,
    /// The fusion.
    pub fusion: Fusion,
    /// Quality of the fused patch.
    pub quality: f64,
    /// Row of the reference patch in the shard.
    pub reference_row: u64,
    /// Row of the unfused distorted patch in the shard.
    pub distorted_row: u64,
    /// PSNR inside the RoI in dB; `None` where it equals the reference's.
    pub psnr_roi: Option<f64>,
    /// Whether the fused patch equals its reference.
    pub identical: bool,
}

/// The parts of a line that are the same for a whole image.
#[derive(Debug)]
pub struct ImagePart {
    head: String,
    middle: String,
}

/// Writes records, one per line.
#[derive(Debug)]
pub struct LineWriter<W: Write> {
    out: W,
    line: Vec<u8>,
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn push_int(line: &mut Vec<u8>, value: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn push_float(line: &mut Vec<u8>, value: Option<f64>) {
    match value {
        Some(value) => line.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
        None => line.extend_from_slice(b"null"),
    }
}

impl<W: Write> LineWriter<W> {
    /// Writes to `out`, which should be buffered.
    pub fn new(out: W) -> Self {
        Self { out, line: Vec::with_capacity(512) }
    }

    /// Prepares the parts that all lines of `image` share.
    pub fn image(&self, image: &ImageSpec) -> ImagePart {
        let mut mos = Vec::new();
        push_float(&mut mos, Some(image.mos));
        ImagePart {
            head: format!("{{\"image_id\":{},\"patch_id\":", json(&image.image_id)),
            middle: format!(
                "}},\"distortion_type\":{},\"MOS\":{},\"PSNR\":",
                json(&image.distortion_type),
                String::from_utf8_lossy(&mos)
            ),
        }
    }

    /// Writes one line.
    ///
    /// # Errors
    /// Any error of the underlying writer.
    pub fn write(&mut self, image: &ImagePart, record: &Line) -> io::Result<()> {
        let line = &mut self.line;
        line.clear();
        line.extend_from_slice(image.head.as_bytes());
        push_int(line, record.patch_id);
        line.extend_from_slice(b",\"coords\":{\"x\":");
        push_int(line, record.x);
        line.extend_from_slice(b",\"y\":");
        push_int(line, record.y);
        line.extend_from_slice(image.middle.as_bytes());
        push_float(line, record.psnr);
        line.extend_from_slice(b",\"fusion_type\":\"");
        line.extend_from_slice(record.fusion.kind().name.as_bytes());
        line.extend_from_slice(b"\",\"alpha\":");
        push_float(line, record.fusion.alpha());
        line.extend_from_slice(b",\"quality\":");
        push_float(line, Some(record.quality));
        line.extend_from_slice(b",\"reference_row\":");
        push_int(line, record.reference_row);
        line.extend_from_slice(b",\"distorted_row\":");
        push_int(line, record.distorted_row);
        line.extend_from_slice(b",\"PSNR_roi\":");
        push_float(line, record.psnr_roi);
        line.extend_from_slice(if record.identical {
            b",\"identical\":true}\n"
        } else {
            b",\"identical\":false}\n".as_slice()
        });
        self.out.write_all(line)
    }

    /// The underlying writer, not flushed.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// Records as columns of equal length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Index into the image list the caller gave.
    pub image: Vec<u32>,
    /// Index of the patch in its image.
    pub patch_id: Vec<u32>,
    /// Top row in the image.
    pub y: Vec<u32>,
    /// Left column in the image.
    pub x: Vec<u32>,
    /// dB; infinite where the fused patch equals its reference.
    pub psnr: Vec<f64>,
    /// Index into [`KINDS`].
    pub fusion: Vec<u8>,
    /// NaN where the fusion has none.
    pub alpha: Vec<f64>,
    /// 0..=1.
    pub quality: Vec<f64>,
    /// Row of the shard's reference array.
    pub reference_row: Vec<u32>,
    /// Row of the shard's distorted array.
    pub distorted_row: Vec<u32>,
    /// dB; infinite where the RoI equals the reference's.
    pub psnr_roi: Vec<f64>,
    /// Whether the fused patch equals its reference.
    pub identical: Vec<bool>,
}

#[derive(Deserialize)]
struct Coords {
    x: u32,
    y: u32,
}

/// A line as any JSON writer may have laid it out.
#[derive(Deserialize)]
struct AnyLine<'a> {
    #[serde(borrow)]
    image_id: Cow<'a, str>,
    patch_id: u32,
    coords: Coords,
    #[serde(rename = "PSNR")]
    psnr: Option<f64>,
    #[serde(borrow)]
    fusion_type: Cow<'a, str>,
    alpha: Option<f64>,
    quality: f64,
    reference_row: u32,
    distorted_row: u32,
    #[serde(rename = "PSNR_roi")]
    psnr_roi: Option<f64>,
    identical: bool,
}

/// Walks over a line laid out as [`LineWriter`] writes it; every step is `None` where the line is another.
struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn int(&mut self) -> Option<u32> {
        let (mut value, mut digits) = (0u64, 0);
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            value = value * 10 + u64::from(digit - b'0');
            digits += 1;
            self.0 = rest;
            if digits > 10 {
                return None;
            }
        }
        // JSON has no leading zeros.
        if digits == 0 || (digits > 1 && value < 10u64.pow(digits - 1)) { None } else { u32::try_from(value).ok() }
    }

    /// A number up to the next comma, or null.
    fn float(&mut self) -> Option<Option<f64>> {
        let end = self.0.iter().position(|&byte| byte == b',')?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest;
        if text == b"null" {
            return Some(None);
        }
        // What `parse` takes and JSON does not (inf, nan, a leading plus or zero, a bare point, numbers that are too
        // large) is left to serde_json, which refuses it.
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let leading = matches!(digits, [b'0'] | [b'0', b'.' | b'e' | b'E', ..] | [b'1'..=b'9', ..]);
        let point = digits
            .iter()
            .position(|&byte| byte == b'.')
            .is_none_or(|at| digits.get(at + 1).is_some_and(u8::is_ascii_digit));
        if !(leading && point && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'e' | b'E'))) {
            return None;
        }
        std::str::from_utf8(text).ok()?.parse().ok().filter(|number: &f64| number.is_finite()).map(Some)
    }

    /// A string without escapes, nor control characters, which JSON forbids.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.literal(b"\"")?;
        let end = self.0.iter().position(|&byte| matches!(byte, b'"' | b'\\'))?;
        let (text, rest) = self.0.split_at(end);
        if text.iter().any(|&byte| byte < b' ') {
            return None;
        }
        self.0 = rest;
        self.literal(b"\"")?;
        // Strings that are passed over are checked as well: damage anywhere is an error.
        std::str::from_utf8(text).ok()?;
        Some(text)
    }
}

fn scan(line: &[u8]) -> Option<AnyLine<'_>> {
    let mut s = Scan(line);
    s.literal(b"{\"image_id\":")?;
    let image_id = std::str::from_utf8(s.string()?).ok()?.into();
    s.literal(b",\"patch_id\":")?;
    let patch_id = s.int()?;
    s.literal(b",\"coords\":{\"x\":")?;
    let x = s.int()?;
    s.literal(b",\"y\":")?;
    let y = s.int()?;
    s.literal(b"},\"distortion_type\":")?;
    s.string()?;
    s.literal(b",\"MOS\":")?;
    s.float()?;
    s.literal(b",\"PSNR\":")?;
    let psnr = s.float()?;
    s.literal(b",\"fusion_type\":")?;
    let fusion_type = std::str::from_utf8(s.string()?).ok()?.into();
    s.literal(b",\"alpha\":")?;
    let alpha = s.float()?;
    s.literal(b",\"quality\":")?;
    let quality = s.float()??;
    s.literal(b",\"reference_row\":")?;
    let reference_row = s.int()?;
    s.literal(b",\"distorted_row\":")?;
    let distorted_row = s.int()?;
    s.literal(b",\"PSNR_roi\":")?;
    let psnr_roi = s.float()?;
    s.literal(b",\"identical\":")?;
    let identical = match s.0 {
        b"true}" => true,
        b"false}" => false,
        _ => return None,
    };
    let coords = Coords { x, y };
    Some(AnyLine {
        image_id,
        patch_id,
        coords,
        psnr,
        fusion_type,
        alpha,
        quality,
        reference_row,
        distorted_row,
        psnr_roi,
        identical,
    })
}

impl Columns {
    fn push(&mut self, image: u32, line: &AnyLine<'_>) -> std::result::Result<(), String> {
        let fusion = KINDS
            .iter()
            .position(|kind| kind.name == line.fusion_type)
            .ok_or_else(|| format!("unknown fusion_type {:?}", line.fusion_type))?;
        self.image.push(image);
        self.patch_id.push(line.patch_id);
        self.y.push(line.coords.y);
        self.x.push(line.coords.x);
        self.psnr.push(line.psnr.unwrap_or(f64::INFINITY));
        self.fusion.push(fusion as u8);
        self.alpha.push(line.alpha.unwrap_or(f64::NAN));
        self.quality.push(line.quality);
        self.reference_row.push(line.reference_row);
        self.distorted_row.push(line.distorted_row);
        self.psnr_roi.push(line.psnr_roi.unwrap_or(f64::INFINITY));
        self.identical.push(line.identical);
        Ok(())
    }
}

/// Reads the records file at `path`; [`Columns::image`] holds positions in `image_ids`.
///
/// # Errors
/// [`Error::Io`] if it can't be read, [`Error::Format`] with the line number if a line is not a record or names an
/// image that is not in `image_ids`.
pub fn read(path: &Path, image_ids: &[String]) -> Result<Columns> {
    let fail = |source| Error::Io { path: path.to_path_buf(), source };
    let wrong = |number: usize, what: &str| Error::Format {
        name: path.to_path_buf(),
        reason: format!("line {number}: {what}; build the patch set again"),
    };
    let index: HashMap<&str, u32> = image_ids.iter().zip(0..).map(|(id, i)| (id.as_str(), i)).collect();
    let mut file = BufReader::with_capacity(1 << 18, regular::open(path).map_err(fail)?);
    let (mut columns, mut line, mut number) = (Columns::default(), Vec::new(), 0);
    // Lines of one image stand together, so the last answer is nearly always the next one.
    let mut last: Option<(&str, u32)> = None;
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(fail)? == 0 {
            return Ok(columns);
        }
        number += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let record = match scan(text) {
            Some(record) => record,
            None => serde_json::from_slice(text).map_err(|error| wrong(number, &format!("not a record ({error})")))?,
        };
        let image = match last {
            Some((id, image)) if id == record.image_id => image,
            _ => {
                let (&id, &image) = index
                    .get_key_value(&*record.image_id)
                    .ok_or_else(|| wrong(number, &format!("image {:?} is not in images.jsonl", record.image_id)))?;
                last = Some((id, image));
                image
            }
        };
        columns.push(image, &record).map_err(|what| wrong(number, &what))?;
    }
}

#[cfg(test)]
mod tests;
