//! Files and bytes to arrays.

use std::path::PathBuf;

use numpy::ndarray::Array3;
use numpy::{Element, IntoPyArray};
use pixq_core::decode::{self, DEFAULT_MAX_PIXELS, Decoded, FORMATS, Format, Info, Options, Pixels};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyDict;

use crate::error::to_py;

/// The input: a file, or bytes in memory.
enum Source {
    Path(PathBuf),
    Bytes(PyBackedBytes),
}

impl<'py> FromPyObject<'_, 'py> for Source {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.extract() {
            return Ok(Source::Bytes(bytes));
        }
        object.extract().map(Source::Path).map_err(|_| {
            let found = object.get_type().name().map_or_else(|_| "this".into(), |name| name.to_string());
            PyTypeError::new_err(format!("'source' has type {found}; expected a path (str or os.PathLike) or bytes"))
        })
    }
}

/// What bytes are called in messages.
const BYTES: &str = "<bytes>";

/// Decode an image to RGB.
///
/// The first bytes tell the format (see ``formats``); the name plays no part. PNG, BMP and JPEG
/// equal Pillow's ``convert("RGB")`` bit for bit. Grey and palettes become RGB, 16-bit PNG and TIFF stay
/// 16-bit, an ICC profile is neither applied nor an error. The orientation is applied (as
/// ``PIL.ImageOps.exif_transpose`` does) where an EXIF block has it; one in XMP, or in a PNG's text
/// ("Raw profile type exif"), which Pillow reads as well, is not. The GIL is released.
///
/// Parameters
/// ----------
/// source : str, os.PathLike or bytes
///     A file, or the bytes of one.
/// max_pixels : int, keyword-only
///     The largest height * width that is decoded; 268435456 (2**28) by default. A header that claims more
///     is an error before any memory is taken. Pass the size of your largest image to be strict, or more
///     than 2**28 for larger images from a source that you trust.
///
/// Returns
/// -------
/// numpy.ndarray
///     (H, W, 3) uint8 in 0..255, or uint16 in 0..65535; C-contiguous and writable.
///
/// Raises
/// ------
/// ValueError
///     If it is not an image, truncated, corrupt, too large, animated, CMYK, has alpha, or is deeper than 16
///     bits a channel. The message is one line: the name, what is wrong, and how to fix it.
/// OSError
///     If the file can't be read: ``FileNotFoundError``, ``IsADirectoryError``, ``PermissionError``.
/// TypeError
///     If ``source`` is neither a path nor bytes.
///
/// Examples
/// --------
/// >>> import io
/// >>> from PIL import Image
/// >>> file = io.BytesIO()
/// >>> Image.new("RGB", (4, 2), (10, 20, 30)).save(file, "PNG")
/// >>> image = decode(file.getvalue())
/// >>> image.shape, str(image.dtype), image[0, 0].tolist()
/// ((2, 4, 3), 'uint8', [10, 20, 30])
#[pyfunction(name = "decode")]
#[pyo3(signature = (source, *, max_pixels = DEFAULT_MAX_PIXELS), text_signature = "(source, *, max_pixels=268435456)")]
fn decode_py(py: Python<'_>, source: Source, max_pixels: u64) -> PyResult<Py<PyAny>> {
    let options = Options { max_pixels, ..Options::default() };
    let decoded = py.detach(|| match &source {
        Source::Path(path) => decode::decode_path(path, options),
        Source::Bytes(bytes) => decode::decode_bytes(BYTES, bytes, options),
    });
    let Decoded { pixels, info } = decoded.map_err(to_py)?;
    match pixels {
        Pixels::U8(values) => array(py, values, &info),
        Pixels::U16(values) => array(py, values, &info),
    }
}

/// Read an image's header, and decode nothing.
///
/// What ``decode`` refuses for its header (alpha, animation, size, ...) is refused here as well.
///
/// Parameters
/// ----------
/// source : str, os.PathLike or bytes
///     A file, or the bytes of one.
/// max_pixels : int, keyword-only
///     As in ``decode``.
///
/// Returns
/// -------
/// dict
///     ``height`` and ``width`` (after the orientation is applied), ``format`` (a ``name`` of
///     ``formats``), ``bit_depth`` (8 or 16), ``orientation`` (of the EXIF block, 1..8), ``icc_profile`` (whether one is embedded).
///
/// Raises
/// ------
/// ValueError, OSError, TypeError
///     As ``decode``.
///
/// Examples
/// --------
/// >>> import io
/// >>> from PIL import Image
/// >>> file = io.BytesIO()
/// >>> Image.new("L", (4, 2)).save(file, "BMP")
/// >>> probe(file.getvalue())
/// {'height': 2, 'width': 4, 'format': 'bmp', 'bit_depth': 8, 'orientation': 1, 'icc_profile': False}
#[pyfunction(name = "probe")]
#[pyo3(signature = (source, *, max_pixels = DEFAULT_MAX_PIXELS), text_signature = "(source, *, max_pixels=268435456)")]
fn probe_py(py: Python<'_>, source: Source, max_pixels: u64) -> PyResult<Bound<'_, PyDict>> {
    let options = Options { max_pixels, ..Options::default() };
    let info = py.detach(|| match &source {
        Source::Path(path) => decode::probe_path(path, options),
        Source::Bytes(bytes) => decode::probe_bytes(BYTES, bytes, options),
    });
    let Info { height, width, format, bit_depth, orientation, icc_profile } = info.map_err(to_py)?;
    let found = PyDict::new(py);
    found.set_item("height", height)?;
    found.set_item("width", width)?;
    found.set_item("format", format)?;
    found.set_item("bit_depth", bit_depth)?;
    found.set_item("orientation", orientation)?;
    found.set_item("icc_profile", icc_profile)?;
    Ok(found)
}

/// All image formats.
///
/// Returns
/// -------
/// list of dict
///     For each format its ``name`` in results, ``title`` in sentences, ``endings`` of file names (lower case, the usual one
///     first), ``media_type``, whether it is for the ``web`` (every current browser shows it), and whether it is ``decoded``;
///     the others are known by name only.
///
/// Examples
/// --------
/// >>> formats()[0]["title"], formats()[0]["endings"], formats()[0]["decoded"]
/// ('PNG', ['.png', '.apng'], True)
#[pyfunction(name = "formats")]
fn formats_py(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let row = |format: &Format| {
        let row = PyDict::new(py);
        row.set_item("name", format.name)?;
        row.set_item("title", format.title)?;
        row.set_item("endings", format.endings)?;
        row.set_item("media_type", format.media_type)?;
        row.set_item("web", format.web)?;
        row.set_item("decoded", format.is_decoded())?;
        Ok(row)
    };
    FORMATS.iter().map(row).collect()
}

/// An array that owns `values`: they are not copied.
fn array<T: Element>(py: Python<'_>, values: Vec<T>, info: &Info) -> PyResult<Py<PyAny>> {
    let array = Array3::from_shape_vec((info.height, info.width, 3), values)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(array.into_pyarray(py).into_any().unbind())
}

/// Adds this file's functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(formats_py, m)?)?;
    m.add_function(wrap_pyfunction!(decode_py, m)?)?;
    m.add_function(wrap_pyfunction!(probe_py, m)?)
}
