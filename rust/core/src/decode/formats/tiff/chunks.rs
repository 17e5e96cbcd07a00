//! The samples of a TIFF: strips and tiles are unpacked and put where they belong.

use fdeflate::Decompressor;
use weezl::{BitOrder, LzwStatus, decode::Decoder};

use crate::decode::exif::{Directory, Entry};
use crate::decode::header::{Reason, corrupt, truncated, zeroed};

/// What tiles may take beyond four times the picture (those at its edges are padded), and chunks in the file.
const PADDING: u64 = 1 << 24;
/// What chunks may take in the file, times the file and the picture: writers let tiles of one colour share their data.
const MOST_SHARED: usize = 4;

/// Samples of all pixels, row by row. Those of fewer than 8 bits are packed into bytes, and rows start at a byte.
pub(super) enum Stored {
    U8(Vec<u8>),
    U16(Vec<u16>),
}

#[derive(Clone, Copy)]
enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
}

/// Where the samples of a picture are and how they are packed. Strips are chunks as wide as the picture.
pub(super) struct Layout<'a> {
    bytes: &'a [u8],
    height: usize,
    width: usize,
    samples: usize,
    /// Bits of a sample.
    pub bits: u8,
    compression: Compression,
    /// Each sample was stored as the difference from the one to its left.
    predicted: bool,
    /// The first pixel of a byte is in its lowest bits.
    reversed: bool,
    big_endian: bool,
    /// Each sample has its own chunks.
    planar: bool,
    chunk: (usize, usize),
    /// Tiles keep their size at the picture's edges.
    tiled: bool,
    /// Where each chunk starts and how many bytes it has.
    places: Vec<(usize, usize)>,
}

impl<'a> Layout<'a> {
    /// Reads the layout of a picture with `samples` samples of `bits` bits per pixel.
    pub fn read(
        bytes: &'a [u8],
        directory: &Directory<'_>,
        (height, width): (usize, usize),
        samples: usize,
        bits: u8,
    ) -> Reason<Self> {
        let value = |tag, default| {
            directory.first_value(tag, default).ok_or_else(|| corrupt("TIFF", format_args!("tag {tag} is unreadable")))
        };
        if let Some(sizes) = directory.find(258)
            && (0..samples.min(sizes.count as usize))
                .any(|index| directory.value(sizes, index) != Some(u64::from(bits)))
        {
            return Err(corrupt("TIFF", "its channels differ in size"));
        }
        let compression = match value(259, 1)? {
            1 => Compression::None,
            5 => Compression::Lzw,
            8 | 32946 => Compression::Deflate,
            32773 => Compression::PackBits,
            other => return Err(format!("is a TIFF with compression {other}; save it with LZW, deflate or none")),
        };
        // Only LZW and deflate have predictors.
        let predicted = match (compression, value(317, 1)?) {
            (Compression::None | Compression::PackBits, _) | (_, 1) => false,
            (_, 2) if bits >= 8 => true,
            (_, other) => return Err(corrupt("TIFF", format_args!("predictor {other} for samples of {bits} bits"))),
        };
        let tiled = directory.find(322).is_some();
        let chunk = if tiled {
            (value(323, 0)?, value(322, 0)?)
        } else {
            (value(278, height as u64)?.min(height as u64), width as u64)
        };
        let mut this = Layout {
            bytes,
            height,
            width,
            samples,
            bits,
            compression,
            predicted,
            reversed: value(266, 1)? == 2,
            big_endian: bytes.starts_with(b"M"),
            planar: samples > 1 && value(284, 1)? == 2,
            chunk: (0, 0),
            tiled,
            places: Vec::new(),
        };
        this.chunk = this.checked_chunk(chunk)?;
        this.places = this.placed(directory)?;
        Ok(this)
    }

    /// The chunks' size, if they are not far larger than the picture.
    fn checked_chunk(&self, (rows, columns): (u64, u64)) -> Reason<(usize, usize)> {
        let wrong = || corrupt("TIFF", format_args!("strips or tiles of {columns}x{rows} pixels"));
        if rows == 0
            || columns == 0
            || (self.bits < 8 && !(columns * u64::from(self.bits)).is_multiple_of(8) && self.tiled)
        {
            return Err(wrong());
        }
        // In all, chunks take the picture's size rounded up to whole ones.
        let padded = |size: usize, step: u64| (size as u64).div_ceil(step).checked_mul(step);
        let rows_needed = if self.tiled {
            padded(self.height, rows).map(|n| n.min(self.height as u64))
        } else {
            Some(self.height as u64)
        };
        let total = rows_needed.zip(padded(self.width, columns)).and_then(|(rows, columns)| {
            rows.checked_mul(columns)?.checked_mul(self.samples as u64 * u64::from(self.bits)).map(|bits| bits / 8)
        });
        let picture = (self.height * self.width) as u64 * self.samples as u64 * u64::from(self.bits) / 8;
        match total {
            Some(total) if total <= 4 * picture + PADDING => Ok((rows as usize, columns as usize)),
            _ => Err(wrong()),
        }
    }

    /// Chunks down and across, and planes of them.
    fn grid(&self) -> (usize, usize, usize) {
        let planes = if self.planar { self.samples } else { 1 };
        (self.height.div_ceil(self.chunk.0), self.width.div_ceil(self.chunk.1), planes)
    }

    fn placed(&self, directory: &Directory<'_>) -> Reason<Vec<(usize, usize)>> {
        let (down, across, planes) = self.grid();
        let count = down * across * planes;
        let (offsets, lengths) = if self.tiled { (324, 325) } else { (273, 279) };
        let offsets = directory.find(offsets).ok_or_else(|| corrupt("TIFF", "it says nowhere where its data are"))?;
        let lengths = directory.find(lengths);
        if (offsets.count as usize) < count {
            return Err(corrupt("TIFF", format_args!("{} of {count} strips or tiles", offsets.count)));
        }
        let number = |entry: Entry, index| {
            directory.value(entry, index).and_then(|value| usize::try_from(value).ok()).ok_or_else(|| truncated("TIFF"))
        };
        // What is longer than that holds codes that give nothing, or data after the last code.
        let (rows, columns) = (self.chunk.0.min(self.height), self.chunk.1);
        let needed = 2 * self.bytes_of(columns) * rows + 1024;
        let picture = self.bytes_of(self.width) * self.height * planes;
        let mut left = MOST_SHARED.saturating_mul(self.bytes.len() + picture).saturating_add(PADDING as usize);
        let place = |index| {
            let start = number(offsets, index)?;
            // Where lengths are missing, chunks are as long as it takes.
            let rest = self.bytes.len().checked_sub(start).ok_or_else(|| truncated("TIFF"))?;
            let length = lengths.map_or(Ok(rest), |lengths| number(lengths, index))?;
            if length > rest {
                return Err(truncated("TIFF"));
            }
            let length = length.min(needed);
            left = left
                .checked_sub(length)
                .ok_or_else(|| corrupt("TIFF", "too many of its strips or tiles share their data"))?;
            Ok((start, length))
        };
        (0..count).map(place).collect()
    }

    /// Bytes of `pixels` pixels of a chunk.
    fn bytes_of(&self, pixels: usize) -> usize {
        let samples = if self.planar { 1 } else { self.samples };
        (pixels * samples * usize::from(self.bits)).div_ceil(8)
    }

    /// All samples, those of a pixel side by side.
    pub fn stored(&self) -> Reason<Stored> {
        if self.bits == 16 {
            let from = if self.big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
            let mut out = zeroed::<u16>(self.height * self.width * self.samples)?;
            self.fill(&mut out, self.width * self.samples, |row, out, samples| {
                for (value, &pair) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                    *value = from(pair);
                }
                if self.predicted {
                    summed(out, samples, u16::wrapping_add);
                }
            })?;
            return Ok(Stored::U16(out));
        }
        let row = (self.width * self.samples * usize::from(self.bits)).div_ceil(8);
        let mut out = zeroed::<u8>(self.height * row)?;
        self.fill(&mut out, row, |row, out, samples| {
            out.copy_from_slice(&row[..out.len()]);
            if self.predicted {
                summed(out, samples, u8::wrapping_add);
            }
        })?;
        Ok(Stored::U8(out))
    }

    /// Unpacks all chunks into `out`, rows of `stride` values, each row of a chunk by `convert` from bytes to values.
    fn fill<T: Copy + Default>(
        &self,
        out: &mut [T],
        stride: usize,
        convert: impl Fn(&[u8], &mut [T], usize),
    ) -> Reason<()> {
        let (down, across, planes) = self.grid();
        let (rows, columns) = self.chunk;
        // A whole row of a chunk: prediction runs into its padding.
        let (row_bytes, samples) = (self.bytes_of(columns), if self.planar { 1 } else { self.samples });
        let values = |pixels: usize| self.bytes_of(pixels) / size_of::<T>();
        let mut unpacked = zeroed::<u8>(row_bytes * rows.min(self.height))?;
        let mut line = zeroed::<T>(values(columns))?;
        for (index, &(start, length)) in self.places.iter().take(down * across * planes).enumerate() {
            let (plane, index) = (index / (down * across), index % (down * across));
            let (top, left) = (index / across * rows, index % across * columns);
            let (height, width) = (rows.min(self.height - top), columns.min(self.width - left));
            let unpacked = &mut unpacked[..row_bytes * height];
            self.unpack(&self.bytes[start..start + length], unpacked)?;
            for (y, row) in unpacked.chunks_exact(row_bytes).enumerate() {
                convert(row, &mut line, samples);
                let target = &mut out[(top + y) * stride..][..stride];
                if self.planar {
                    let target = target[left * planes..].iter_mut().skip(plane).step_by(planes);
                    target.zip(&line[..width]).for_each(|(value, &sample)| *value = sample);
                } else {
                    target[values(left)..][..values(width)].copy_from_slice(&line[..values(width)]);
                }
            }
        }
        Ok(())
    }

    /// Unpacks `data` until `out` is full.
    fn unpack(&self, data: &[u8], out: &mut [u8]) -> Reason<()> {
        let turned: Vec<u8>;
        let data = if self.reversed {
            turned = data.iter().map(|byte| byte.reverse_bits()).collect();
            &turned[..]
        } else {
            data
        };
        let filled = match self.compression {
            Compression::None => {
                let length = data.len().min(out.len());
                out[..length].copy_from_slice(&data[..length]);
                length
            }
            Compression::PackBits => packbits(data, out),
            Compression::Lzw => lzw(data, out)?,
            Compression::Deflate => inflate(data, out)?,
        };
        if filled < out.len() { Err(corrupt("TIFF", "the data of a strip or tile end early")) } else { Ok(()) }
    }
}

/// Replaces differences by sums, each sample with the one of the pixel to its left.
fn summed<T: Copy>(row: &mut [T], samples: usize, add: impl Fn(T, T) -> T) {
    for index in samples..row.len() {
        row[index] = add(row[index], row[index - samples]);
    }
}

/// The number of bytes that `data` gave, up to the length of `out`.
fn packbits(mut data: &[u8], out: &mut [u8]) -> usize {
    let mut filled = 0;
    while let Some((&code, rest)) = data.split_first() {
        let target = &mut out[filled..];
        match code as i8 {
            -128 => data = rest,
            count @ 0.. => {
                let count = usize::from(count as u8) + 1;
                let length = count.min(target.len()).min(rest.len());
                target[..length].copy_from_slice(&rest[..length]);
                filled += length;
                data = rest.get(count..).unwrap_or_default();
            }
            count => {
                let Some((&value, rest)) = rest.split_first() else { break };
                let length = (1 + usize::from(count.unsigned_abs())).min(target.len());
                target[..length].fill(value);
                filled += length;
                data = rest;
            }
        }
        if filled == out.len() {
            break;
        }
    }
    filled
}

fn lzw(mut data: &[u8], out: &mut [u8]) -> Reason<usize> {
    let mut decoder = Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    let mut filled = 0;
    while filled < out.len() {
        let step = decoder.decode_bytes(data, &mut out[filled..]);
        data = &data[step.consumed_in..];
        filled += step.consumed_out;
        match step.status {
            Ok(LzwStatus::Ok) => {}
            Ok(LzwStatus::Done | LzwStatus::NoProgress) => break,
            Err(error) => return Err(corrupt("TIFF", error)),
        }
    }
    Ok(filled)
}

fn inflate(mut data: &[u8], out: &mut [u8]) -> Reason<usize> {
    let mut inflater = Decompressor::new();
    inflater.ignore_adler32();
    let mut filled = 0;
    while filled < out.len() && !inflater.is_done() {
        let (read, written) = inflater
            .read(data, out, filled, false)
            .map_err(|error| corrupt("TIFF", format_args!("its data can't be inflated: {error:?}")))?;
        data = &data[read..];
        filled += written;
        if read == 0 && written == 0 {
            break;
        }
    }
    Ok(filled)
}
