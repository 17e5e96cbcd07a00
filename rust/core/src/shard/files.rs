//! The files of a shard: arrays that grow, checksums, and cleaning up after what was cut short.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::regular;
use crate::view::View;

/// A finished file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of the whole file, lower-case hex, as `b3sum` prints it.
    pub blake3: String,
}

/// A `.npy` file of `uint8` patches whose row count becomes known at the end.
pub(super) struct Npy {
    file: BufWriter<File>,
    path: PathBuf,
    size: usize,
    pub rows: u64,
}

/// Bytes of a NumPy header; NumPy pads its own to a multiple of 64.
const NPY_HEADER: usize = 128;

fn npy_header(rows: u64, size: usize) -> [u8; NPY_HEADER] {
    let mut header = [b' '; NPY_HEADER];
    header[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    header[8..10].copy_from_slice(&((NPY_HEADER - 10) as u16).to_le_bytes());
    let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, {size}, {size}, 3), }}");
    header[10..10 + text.len()].copy_from_slice(text.as_bytes());
    header[NPY_HEADER - 1] = b'\n';
    header
}

impl Npy {
    pub fn create(path: PathBuf, size: usize) -> Result<Self> {
        let file = File::create(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let mut npy = Self { file: BufWriter::with_capacity(1 << 20, file), path, size, rows: 0 };
        npy.write(&npy_header(0, size))?;
        Ok(npy)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    /// Appends the patch at (`y`, `x`) of `image` and gives its row.
    pub fn push(&mut self, image: &View<'_, u8>, y: usize, x: usize) -> Result<u64> {
        for dy in 0..self.size {
            self.write(image.span(y + dy, x, self.size))?;
        }
        self.rows += 1;
        Ok(self.rows - 1)
    }

    pub fn finish(mut self) -> Result<()> {
        let header = npy_header(self.rows, self.size);
        let end = |npy: &mut Self| {
            npy.file.flush()?;
            npy.file.seek(SeekFrom::Start(0))?;
            npy.file.write_all(&header)?;
            npy.file.flush()
        };
        end(&mut self).map_err(|source| Error::Io { path: self.path.clone(), source })
    }
}

/// Removes what is left of an unfinished shard.
pub(super) struct Scratch(pub Vec<PathBuf>);

impl Drop for Scratch {
    fn drop(&mut self) {
        for path in &self.0 {
            // The file may be gone already; what stays is overwritten by the next build.
            let _ = fs::remove_file(path);
        }
    }
}

/// The names of a shard's files, in the order they are written.
pub(super) fn file_names(name: &str) -> [String; 3] {
    [format!("{name}.reference.npy"), format!("{name}.distorted.npy"), format!("{name}.jsonl")]
}

/// Size and BLAKE3 of a file.
///
/// BLAKE3 because a build hashes every byte it writes: SHA-256 took 12 % of it with SHA instructions, and on processors
/// without them is slower than decoding.
///
/// # Errors
/// [`Error::Io`].
pub fn checksum(path: &Path) -> Result<FileInfo> {
    let fail = |source| Error::Io { path: path.to_path_buf(), source };
    let mut file = regular::open(path).map_err(fail)?;
    let (mut hash, mut bytes, mut block) = (blake3::Hasher::new(), 0, vec![0; 1 << 18]);
    loop {
        match file.read(&mut block).map_err(fail)? {
            0 => break,
            n => {
                hash.update(&block[..n]);
                bytes += n as u64;
            }
        }
    }
    Ok(FileInfo { bytes, blake3: hash.finalize().to_hex().to_string() })
}
