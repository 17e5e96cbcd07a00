//! The one error type of this crate. Each variant carries the values that were wrong.

use std::path::PathBuf;

/// The result of every function of this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two arrays that must agree in shape do not.
    #[error("{what} has shape {found:?}; expected {expected:?}")]
    Shape {
        /// The argument's name.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A view reaches outside its buffer.
    #[error(
        "a view of {height}x{width}x{channels} with row stride {row_stride} does not fit its buffer of {len} samples"
    )]
    OutOfBuffer {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Samples a pixel.
        channels: usize,
        /// Samples from one row to the next.
        row_stride: isize,
        /// Samples in the buffer.
        len: usize,
    },
    /// A region does not lie inside what it is taken from.
    #[error("{what} (y={y}, x={x}, height={height}, width={width}) does not lie inside {outer_height}x{outer_width}")]
    OutOfBounds {
        /// What the region is.
        what: &'static str,
        /// Top row; may be negative.
        y: i64,
        /// Left column; may be negative.
        x: i64,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Rows of the outer image or patch.
        outer_height: usize,
        /// Columns of the outer image or patch.
        outer_width: usize,
    },
    /// A number is outside its range.
    #[error("{what} is {value}; expected {expected}")]
    Value {
        /// The argument's name.
        what: &'static str,
        /// Its value.
        value: String,
        /// The range, in words.
        expected: &'static str,
    },
    /// A file could not be read or written.
    #[error("{path}: {reason}", path = path.display(), reason = os_message(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file or buffer is not an image that pixq takes.
    #[error("{name}: {reason}")]
    Decode {
        /// The file, or `<bytes>`.
        name: String,
        /// What is wrong, and how to fix it.
        reason: String,
    },
    /// A file of a patch set does not follow its format.
    #[error("{name}: {reason}", name = name.display())]
    Format {
        /// The file.
        name: PathBuf,
        /// What is wrong and where.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// The operating system's message, without the error number that Rust appends.
pub fn os_message(error: &std::io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.rfind(" (os error ")) {
        (Some(_), Some(end)) => text[..end].to_string(),
        _ => text,
    }
}
