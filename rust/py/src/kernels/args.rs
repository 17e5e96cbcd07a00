//! Converts arguments to values. Every error is one line that names the argument and what is expected.

use std::ops::RangeInclusive;

use pixq_core::Region;
use pixq_core::fuse::{Fusion, Kind, kind_names};
use pyo3::exceptions::{PyMemoryError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::array::kind;
use crate::error::to_py;

/// The largest side of an image or a patch: the product of two, and three channels, fit 64 bits.
pub const MAX_SIDE: i128 = i32::MAX as i128;

/// The most patches a call cuts or chooses: 2^26, whose corners take 1 GB.
pub const MAX_CORNERS: usize = 1 << 26;

/// An optional argument.
pub type Maybe<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// A whole number in a range; `what` describes it in messages, such as "a whole number".
fn whole(name: &str, object: &Bound<'_, PyAny>, range: RangeInclusive<i128>, what: &str) -> PyResult<i128> {
    let wide = |_| object.extract::<u64>().map(i128::from);
    let expected = || format!("expected {what} from {} to {}", range.start(), range.end());
    match object.extract::<i64>().map(i128::from).or_else(wide) {
        Ok(number) if range.contains(&number) => Ok(number),
        Ok(number) => Err(PyValueError::new_err(format!("'{name}' is {number}; {}", expected()))),
        // Not written out: it may have any number of digits.
        Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
            let found = if object.lt(0)? { "below -2^63" } else { "above 2^64" };
            Err(PyValueError::new_err(format!("'{name}' is {found}; {}", expected())))
        }
        Err(_) => Err(PyTypeError::new_err(format!("'{name}' is a {}; {}", kind(object), expected()))),
    }
}

/// A number of pixels along a side, of patches, or the like: 0 to [`MAX_SIDE`].
pub fn side(name: &str, object: &Bound<'_, PyAny>) -> PyResult<usize> {
    Ok(whole(name, object, 0..=MAX_SIDE, "a whole number")? as usize)
}

/// The side of a patch: 1 to [`MAX_SIDE`].
pub fn patch_side(name: &str, object: &Bound<'_, PyAny>) -> PyResult<usize> {
    Ok(whole(name, object, 1..=MAX_SIDE, "a whole number")? as usize)
}

/// A number of things to choose.
pub fn count(name: &str, object: &Bound<'_, PyAny>) -> PyResult<usize> {
    Ok(whole(name, object, 0..=i64::MAX.into(), "a whole number")? as usize)
}

pub fn seed(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    Ok(whole("seed", object, 0..=u64::MAX.into(), "a whole number")? as u64)
}

/// (height, width) of a number of pixels, or of one for rows and one for columns.
pub fn size(name: &str, object: &Bound<'_, PyAny>) -> PyResult<(usize, usize)> {
    let side = |object: &Bound<'_, PyAny>| {
        Ok::<usize, PyErr>(whole(name, object, 1..=MAX_SIDE, "a whole number, or (rows, columns),")? as usize)
    };
    match object.cast::<PyTuple>() {
        Ok(pair) if pair.len() == 2 => Ok((side(&pair.get_item(0)?)?, side(&pair.get_item(1)?)?)),
        _ => side(object).map(|side| (side, side)),
    }
}

/// [`size`], or 20.
pub fn size_or_20(object: Maybe<'_, '_>) -> PyResult<(usize, usize)> {
    object.map_or(Ok((20, 20)), |object| size("size", object))
}

/// A box (y, x, height, width) inside `height` x `width`.
pub fn roi(object: Maybe<'_, '_>, height: usize, width: usize) -> PyResult<Option<Region>> {
    let Some(object) = object else { return Ok(None) };
    let expected = "four whole numbers (y, x, height, width)";
    let mut numbers = [0; 4];
    match object.cast::<PyTuple>() {
        Ok(four) if four.len() == 4 => {
            for (number, object) in numbers.iter_mut().zip(four) {
                *number = whole("roi", &object, i64::MIN.into()..=i64::MAX.into(), expected)? as i64;
            }
        }
        _ => return Err(PyTypeError::new_err(format!("'roi' is a {}; expected {expected}", kind(object)))),
    }
    let [y, x, h, w] = numbers;
    let whole = |number: i64| usize::try_from(number).ok();
    match (whole(y), whole(x), whole(h), whole(w)) {
        (Some(y), Some(x), Some(h), Some(w)) => {
            Region { y, x, height: h, width: w }.inside("roi", height, width).map(Some).map_err(to_py)
        }
        (_, _, Some(h), Some(w)) => Err(to_py(pixq_core::Error::OutOfBounds {
            what: "roi",
            y,
            x,
            height: h,
            width: w,
            outer_height: height,
            outer_width: width,
        })),
        _ => Err(PyValueError::new_err(format!("'roi' is {h}x{w}; expected at least 1x1"))),
    }
}

/// A number, or `default`.
pub fn real(name: &str, object: Maybe<'_, '_>, default: f64) -> PyResult<f64> {
    let Some(object) = object else { return Ok(default) };
    object.extract().map_err(|error: PyErr| match error.is_instance_of::<PyOverflowError>(object.py()) {
        true => PyValueError::new_err(format!("'{name}' is too large for a float; expected a smaller number")),
        false => PyTypeError::new_err(format!("'{name}' is a {}; expected a number", kind(object))),
    })
}

/// A string.
pub fn text(name: &str, object: &Bound<'_, PyAny>) -> PyResult<String> {
    object.extract().map_err(|error: PyErr| match error.is_instance_of::<PyTypeError>(object.py()) {
        true => PyTypeError::new_err(format!("'{name}' is a {}; expected a str", kind(object))),
        false => PyValueError::new_err(format!("'{name}' contains surrogates; expected valid Unicode text")),
    })
}

/// A fusion by its name. `alpha` is checked whether or not the fusion uses it.
pub fn fusion(name: &str, alpha: f64) -> PyResult<Fusion> {
    let Some(kind) = Kind::named(name) else {
        return Err(PyValueError::new_err(format!("'fusion' is {name:?}; expected {}", kind_names())));
    };
    kind.fusion(alpha).map_err(to_py)
}

/// Pairs of a name and an alpha; without them `default`, or none if there are masks.
pub fn fusions(object: Maybe<'_, '_>, masked: bool, default: &[Fusion]) -> PyResult<Vec<Fusion>> {
    let Some(object) = object else { return Ok(if masked { Vec::new() } else { default.to_vec() }) };
    let pairs: Vec<(String, f64)> = object.extract().map_err(|_| {
        PyTypeError::new_err("'fusions' is not a sequence of (name, alpha); pass, for example, [(\"blend\", 0.5)]")
    })?;
    pairs.iter().map(|(name, alpha)| fusion(name, *alpha)).collect()
}

/// The arrays of `masks`.
pub fn masks<'py>(object: Maybe<'_, 'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let Some(object) = object else { return Ok(Vec::new()) };
    let wrong = |_| {
        let expected = "expected a sequence of float64 arrays of shape (height, width)";
        PyTypeError::new_err(format!("'masks' is a {}; {expected}", kind(object)))
    };
    object.try_iter().map_err(wrong)?.collect()
}

/// An error if there are more patches than a call takes, or their corners do not fit in memory.
pub fn check_count(count: Option<usize>) -> PyResult<()> {
    match count {
        // Corners, the array of them, and the set that a sampler chooses from.
        Some(count @ 0..=MAX_CORNERS) => room(count, 64),
        _ => Err(PyValueError::new_err(format!("that is more than {MAX_CORNERS} patches; cut fewer patches per call"))),
    }
}

/// MemoryError if `count` items of `bytes` do not fit in memory, where the core would abort.
pub fn room(count: usize, bytes: usize) -> PyResult<()> {
    const SMALL: usize = 1 << 24;
    match count.checked_mul(bytes) {
        Some(0..SMALL) => Ok(()),
        Some(total) if Vec::<u8>::new().try_reserve_exact(total).is_ok() => Ok(()),
        _ => Err(PyMemoryError::new_err(format!("{count} items of {bytes} bytes do not fit in memory"))),
    }
}
