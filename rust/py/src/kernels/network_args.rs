//! Arguments that the bindings of the networks share: vectors of float32, images of bytes, the scaling of channels.

use numpy::ndarray::Ix1;
use numpy::{PyReadonlyArray, PyReadwriteArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::array::{Argument, Dtype, Pixels, kind, output, readonly, tuple};

/// An error unless a vector that is `contiguous` has as many numbers as expected, which are `what`.
fn fits(name: &str, contiguous: bool, found: usize, expected: usize, what: &str) -> PyResult<()> {
    if found != expected {
        let (found, expected) = (tuple(&[found]), tuple(&[expected]));
        return Err(PyValueError::new_err(format!("'{name}' has shape {found}; expected {expected}: {what}")));
    }
    if !contiguous {
        return Err(PyValueError::new_err(format!("'{name}' is not contiguous; pass numpy.ascontiguousarray(...)")));
    }
    Ok(())
}

const VECTOR: &str = "a float32 array of shape (n,)";

/// `count` float32 numbers, which are `what`.
pub(super) fn float_vector<'py>(
    name: &str,
    object: &Bound<'py, PyAny>,
    count: usize,
    what: &str,
) -> PyResult<PyReadonlyArray<'py, f32, Ix1>> {
    let array = readonly::<f32, Ix1>(name, object, VECTOR)?;
    fits(name, array.is_c_contiguous(), array.len(), count, what)?;
    Ok(array)
}

/// Room for `count` float32 numbers, which will be `what`, that shares no memory with the `others`.
pub(super) fn output_vector<'py>(
    name: &str,
    object: &Bound<'py, PyAny>,
    count: usize,
    what: &str,
    others: &[Argument<'_, 'py>],
) -> PyResult<PyReadwriteArray<'py, f32, Ix1>> {
    let array = output::<f32, Ix1>(name, object, VECTOR, others)?;
    fits(name, array.is_c_contiguous(), array.len(), count, what)?;
    Ok(array)
}

/// The inputs that all networks have, by their names.
pub(super) fn inputs<'a, 'py>(arguments: [&'a Bound<'py, PyAny>; 5]) -> [Argument<'a, 'py>; 5] {
    let [parameters, reference, distorted, scale, shift] = arguments;
    [("parameters", parameters), ("reference", reference), ("distorted", distorted), ("scale", scale), ("shift", shift)]
}

/// Numbers for the nine channels.
pub(super) fn channels(name: &str, object: &Bound<'_, PyAny>) -> PyResult<[f32; 9]> {
    object.extract().map_err(|_| {
        let expected = "nine numbers: three each for reference, distorted and difference";
        match object.len() {
            Ok(len) if len != 9 => PyValueError::new_err(format!("'{name}' has length {len}; expected {expected}")),
            _ => PyTypeError::new_err(format!("'{name}' is a {}; expected {expected}", kind(object))),
        }
    })
}

/// Two arrays of bytes of one shape.
pub(super) fn bytes<'a, 'py>(
    reference: &'a Bound<'py, PyAny>,
    distorted: &'a Bound<'py, PyAny>,
) -> PyResult<[Pixels<'a, 'py>; 2]> {
    let reference = Pixels::new("reference", reference)?;
    let distorted = reference.and("distorted", distorted)?;
    reference.same_shape(&distorted)?;
    if reference.dtype != Dtype::U8 {
        let found = if reference.dtype == Dtype::U16 { "uint16" } else { "float32" };
        return Err(PyTypeError::new_err(format!("'reference' has dtype {found}; expected uint8")));
    }
    Ok([reference, distorted])
}

/// Two images that have patches the network can take.
pub(super) fn images<'a, 'py>(
    reference: &'a Bound<'py, PyAny>,
    distorted: &'a Bound<'py, PyAny>,
) -> PyResult<[Pixels<'a, 'py>; 2]> {
    let [reference, distorted] = bytes(reference, distorted)?;
    match *reference.shape() {
        [_, _, 3] => Ok([reference, distorted]),
        _ => Err(reference.unexpected("(height, width, 3)")),
    }
}
