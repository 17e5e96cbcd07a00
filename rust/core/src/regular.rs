//! Opens files to read: never a pipe or a device, which may keep a reader waiting for ever or have no end.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Opens the file at `path`. A folder is opened too: reading it then fails with the system's own words.
///
/// # Errors
/// If it can't be opened, or is a pipe, a socket or a device.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        let reason = "is a pipe, a socket or a device, not a file; save its content as a file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    File::open(path)
}
