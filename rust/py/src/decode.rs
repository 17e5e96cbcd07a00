//! Files and bytes to arrays.

use std::ffi::CString;
use std::path::PathBuf;

use numpy::PyReadonlyArray3;
use numpy::ndarray::Array3;
use numpy::{Element, IntoPyArray};
use pixq_core::decode::other::{self, Found, Request};
use pixq_core::decode::{
    self, Alpha, Background, Colour, DEFAULT_MAX_PIXELS, Decoded, FORMATS, Format, Info, Options, Pixels,
};
use pyo3::exceptions::{PyException, PyTimeoutError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::error::{raise_when_interrupted, to_py};

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

/// The options of decoding, of Python's arguments.
fn options(
    max_pixels: u64,
    colour_management: bool,
    background: Option<&str>,
    keep_alpha: bool,
    frame: Option<u32>,
) -> PyResult<Options> {
    let alpha = match background {
        Some(_) if keep_alpha => {
            return Err(PyValueError::new_err("give 'background' or 'keep_alpha', not both"));
        }
        Some(name) => Alpha::On(background_of(name)?),
        None if keep_alpha => Alpha::Keep,
        None => Alpha::Refuse,
    };
    let colour = if colour_management { Colour::Srgb } else { Colour::Raw };
    Ok(Options { max_pixels, colour, alpha, frame })
}

fn background_of(name: &str) -> PyResult<Background> {
    Background::ALL.into_iter().find(|background| background.name() == name).ok_or_else(|| {
        let names: Vec<_> = Background::ALL.iter().map(|background| background.name()).collect();
        PyValueError::new_err(format!("'background' is {name:?}; choose one of {}", names.join(", ")))
    })
}

/// What bytes are called in messages.
const BYTES: &str = "<bytes>";

/// Decode an image to RGB.
///
/// The first bytes tell the format (see ``formats``); the name plays no part. PNG, BMP and JPEG
/// equal Pillow's ``convert("RGB")`` bit for bit. Grey and palettes become RGB, 16-bit PNG and TIFF stay
/// 16-bit. Samples that an ICC profile, ``cICP`` or ``gAMA`` says are not sRGB are converted to it, with the relative
/// colorimetric intent. The orientation is applied (as
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
/// colour_management : bool, keyword-only
///     False gives the file's own samples, whatever its profile says.
/// background : str, optional, keyword-only
///     What lies under transparent pixels: ``"black"``, ``"white"`` or ``"checker"``. Without it, an image that has
///     some is an error; one that is opaque everywhere never is.
/// keep_alpha : bool, keyword-only
///     True gives transparent pixels as they are: four channels if there are any.
/// frame : int, optional, keyword-only
///     Which frame of an animation, or page of a TIFF, counted from 0. Without it, a file that has several is an error;
///     files that hold one image ignore it.
/// notes : list of str, optional, keyword-only
///     What is wrong with the file although its pixels are all there is appended to it. Without it, it is a
///     ``DamagedImageWarning``.
///
/// Returns
/// -------
/// numpy.ndarray
///     (H, W, 3) uint8 in 0..255, or uint16 in 0..65535; C-contiguous and writable. With ``keep_alpha`` perhaps
///     (H, W, 4).
///
/// Raises
/// ------
/// ValueError
///     If it is not an image, truncated, corrupt, too large, animated, CMYK, deeper than 16 bits a channel, has
///     transparent pixels or colours that can't be converted. The message is one line: the name, what is wrong, and how to fix it.
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
#[expect(clippy::too_many_arguments, reason = "they are the keywords of a Python function")]
#[pyfunction(name = "decode")]
#[pyo3(
    signature = (source, *, max_pixels = DEFAULT_MAX_PIXELS, colour_management = true, background = None, keep_alpha = false, frame = None, notes = None),
    text_signature = "(source, *, max_pixels=268435456, colour_management=True, background=None, keep_alpha=False, frame=None, notes=None)"
)]
fn decode_py(
    py: Python<'_>,
    source: Source,
    max_pixels: u64,
    colour_management: bool,
    background: Option<&str>,
    keep_alpha: bool,
    frame: Option<u32>,
    notes: Option<Bound<'_, PyList>>,
) -> PyResult<Py<PyAny>> {
    let options = options(max_pixels, colour_management, background, keep_alpha, frame)?;
    let decoded = py.detach(|| match &source {
        Source::Path(path) => decode::decode_path(path, options),
        Source::Bytes(bytes) => decode::decode_bytes(BYTES, bytes, options),
    });
    let Decoded { pixels, channels, info } = decoded.map_err(to_py)?;
    for note in &info.notes {
        if let Some(notes) = &notes {
            notes.append(note)?;
            continue;
        }
        let name = match &source {
            Source::Path(path) => path.display().to_string(),
            Source::Bytes(_) => BYTES.into(),
        };
        warn(py, &format!("{name}: {note}"))?;
    }
    to_array(py, pixels, (info.height, info.width, channels))
}

/// Put an image with alpha on a background.
///
/// Parameters
/// ----------
/// pixels : numpy.ndarray
///     (H, W, 4) uint8 or uint16 whose fourth channel is alpha, C-contiguous, as ``decode(..., keep_alpha=True)`` gives it.
/// background : str
///     ``"black"``, ``"white"``, or ``"checker"``: squares of 8x8 pixels, alternately 102 and 153 of 255.
///
/// Returns
/// -------
/// numpy.ndarray
///     (H, W, 3) of the same dtype: ``(colour * alpha + background * (1 - alpha))``, rounded to nearest.
///
/// Raises
/// ------
/// ValueError
///     If the shape or the background is wrong.
/// TypeError
///     If the dtype is.
///
/// Examples
/// --------
/// >>> import numpy as np
/// >>> compose(np.array([[[200, 100, 0, 51]]], np.uint8), "white").tolist()
/// [[[244, 224, 204]]]
#[pyfunction(name = "compose")]
fn compose_py(py: Python<'_>, pixels: &Bound<'_, PyAny>, background: &str) -> PyResult<Py<PyAny>> {
    let background = background_of(background)?;
    let (pixels, (height, width, channels)) = from_array(pixels)?;
    if channels != 4 {
        return Err(PyValueError::new_err(format!(
            "'pixels' has {channels} channels; expected 4, the last of them alpha"
        )));
    }
    let composed = py.detach(|| decode::compose(&pixels, width, background)).map_err(to_py)?;
    to_array(py, composed, (height, width, 3))
}

/// The pixels of an array, copied, and its shape.
fn from_array(array: &Bound<'_, PyAny>) -> PyResult<(Pixels, (usize, usize, usize))> {
    let wrong = |_| PyValueError::new_err("'pixels' is not C-contiguous; use numpy.ascontiguousarray");
    if let Ok(array) = array.extract::<PyReadonlyArray3<'_, u8>>() {
        return Ok((Pixels::U8(array.as_slice().map_err(wrong)?.to_vec()), array.as_array().dim()));
    }
    if let Ok(array) = array.extract::<PyReadonlyArray3<'_, u16>>() {
        return Ok((Pixels::U16(array.as_slice().map_err(wrong)?.to_vec()), array.as_array().dim()));
    }
    Err(PyTypeError::new_err("'pixels' is not a (height, width, channels) array of uint8 or uint16"))
}

/// Read an image's header, and decode nothing.
///
/// What ``decode`` refuses for its header (animation, size, a damaged profile, ...) is refused here as well.
///
/// Parameters
/// ----------
/// source : str, os.PathLike or bytes
///     A file, or the bytes of one.
/// max_pixels : int, keyword-only
///     As in ``decode``.
/// colour_management : bool, keyword-only
///     As in ``decode``.
/// frame : int, optional, keyword-only
///     As in ``decode``.
///
/// Returns
/// -------
/// dict
///     ``height`` and ``width`` (after the orientation is applied), ``format`` (a ``name`` of
///     ``formats``), ``bit_depth`` (8 or 16), ``orientation`` (of the EXIF block, 1..8), ``icc_profile`` (whether one is embedded),
///     ``alpha`` (whether there is an alpha channel, or a colour that stands for transparent), ``converted_from`` (the name of the
///     profile that ``decode`` converts to sRGB, or None), ``notes`` (what is wrong with the file although its pixels are all
///     there; ``decode`` warns of it), ``pillow`` (whether Pillow decodes it).
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
/// {'height': 2, 'width': 4, 'format': 'bmp', 'bit_depth': 8, 'orientation': 1, 'icc_profile': False, 'alpha': False, 'converted_from': None, 'notes': [], 'pillow': False}
#[pyfunction(name = "probe")]
#[pyo3(
    signature = (source, *, max_pixels = DEFAULT_MAX_PIXELS, colour_management = true, frame = None),
    text_signature = "(source, *, max_pixels=268435456, colour_management=True, frame=None)"
)]
fn probe_py(
    py: Python<'_>,
    source: Source,
    max_pixels: u64,
    colour_management: bool,
    frame: Option<u32>,
) -> PyResult<Bound<'_, PyDict>> {
    let options = options(max_pixels, colour_management, None, true, frame)?;
    let info = py.detach(|| match &source {
        Source::Path(path) => decode::probe_path(path, options),
        Source::Bytes(bytes) => decode::probe_bytes(BYTES, bytes, options),
    });
    let Info { height, width, format, bit_depth, orientation, icc_profile, alpha, converted_from, notes, other } =
        info.map_err(to_py)?;
    let found = PyDict::new(py);
    found.set_item("height", height)?;
    found.set_item("width", width)?;
    found.set_item("format", format)?;
    found.set_item("bit_depth", bit_depth)?;
    found.set_item("orientation", orientation)?;
    found.set_item("icc_profile", icc_profile)?;
    found.set_item("alpha", alpha)?;
    found.set_item("converted_from", converted_from)?;
    found.set_item("notes", notes)?;
    found.set_item("pillow", other)?;
    Ok(found)
}

/// All image formats.
///
/// Returns
/// -------
/// list of dict
///     For each format its ``name`` in results, ``title`` in sentences, ``endings`` of file names (lower case, the usual one
///     first), ``media_type``, whether it is for the ``web`` (every current browser shows it), whether it is ``decoded`` (the
///     others are known by name only), and the ``extra`` of pixq that decoding it needs, or None.
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
        row.set_item("extra", format.extra)?;
        Ok(row)
    };
    FORMATS.iter().map(row).collect()
}

/// An array that owns `pixels`: they are not copied.
fn to_array(py: Python<'_>, pixels: Pixels, shape: (usize, usize, usize)) -> PyResult<Py<PyAny>> {
    fn owned<T: Element>(py: Python<'_>, values: Vec<T>, shape: (usize, usize, usize)) -> PyResult<Py<PyAny>> {
        let array = Array3::from_shape_vec(shape, values).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(array.into_pyarray(py).into_any().unbind())
    }
    match pixels {
        Pixels::U8(values) => owned(py, values, shape),
        Pixels::U16(values) => owned(py, values, shape),
    }
}

/// Issue a `DamagedImageWarning`.
fn warn(py: Python<'_>, message: &str) -> PyResult<()> {
    let category = py.import("pixq.errors")?.getattr("DamagedImageWarning")?;
    let message = CString::new(message.replace(char::is_control, "\u{fffd}"))?;
    PyErr::warn(py, &category, &message, 1)
}

/// Whether this thread was interrupted, if it is Python's main thread. What the signal's handler raised is raised when
/// decoding has ended.
fn interrupted() -> bool {
    Python::attach(|py| py.check_signals().map_err(raise_when_interrupted).is_err())
}

/// Make all decoding that is going on raise ``KeyboardInterrupt``, on whatever thread.
///
/// The main thread notices Ctrl-C by itself, within a second; its handler can call this for the others.
///
/// Examples
/// --------
/// >>> before = decoding_stops()
/// >>> stop_decoding()
/// >>> decoding_stops() - before
/// 1
#[pyfunction]
fn stop_decoding() {
    decode::stop_decoding();
}

/// How often ``stop_decoding`` was called.
///
/// Examples
/// --------
/// >>> decoding_stops() >= 0
/// True
#[pyfunction]
fn decoding_stops() -> u64 {
    decode::decoding_stops()
}

/// Reads what the core has no decoder for by `pixq.io.pillow_decoder.read`.
fn read_by_pillow(request: Request<'_>) -> Result<Found, String> {
    Python::attach(|py| {
        let found = (|| {
            let arguments =
                (request.format, PyBytes::new(py, request.bytes), request.max_pixels, request.frame, request.pixels);
            let found = py.import("pixq.io.pillow_decoder")?.call_method1("read", arguments)?;
            let pixels = found.getattr("pixels")?;
            PyResult::Ok(Found {
                height: found.getattr("height")?.extract()?,
                width: found.getattr("width")?.extract()?,
                bit_depth: found.getattr("bit_depth")?.extract()?,
                alpha: found.getattr("alpha")?.extract()?,
                grey: found.getattr("grey")?.extract()?,
                orientation: found.getattr("orientation")?.extract()?,
                icc_profile: found.getattr("icc_profile")?.extract()?,
                several: found.getattr("several")?.extract()?,
                pixels: if pixels.is_none() { None } else { Some(from_array(&pixels)?.0) },
            })
        })();
        found.map_err(|error| {
            // Handlers of signals raise `KeyboardInterrupt`, `TimeoutError` or what they like.
            if !error.is_instance_of::<PyException>(py) || error.is_instance_of::<PyTimeoutError>(py) {
                raise_when_interrupted(error);
                decode::INTERRUPTED.into()
            } else {
                error.value(py).to_string().replace(char::is_control, " ")
            }
        })
    })
}

/// Adds this file's functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    decode::set_interrupt_check(interrupted);
    other::set_reader(read_by_pillow);
    m.add_function(wrap_pyfunction!(stop_decoding, m)?)?;
    m.add_function(wrap_pyfunction!(decoding_stops, m)?)?;
    m.add_function(wrap_pyfunction!(formats_py, m)?)?;
    m.add_function(wrap_pyfunction!(decode_py, m)?)?;
    m.add_function(wrap_pyfunction!(compose_py, m)?)?;
    m.add_function(wrap_pyfunction!(probe_py, m)?)
}
