//! NumPy arrays to views, without a copy, and new arrays for results.
//!
//! An input is borrowed as one slice over the memory between its lowest and its highest sample, whatever its row
//! strides. Pixels within a row must be packed; what is not is refused, so that every copy is made by the caller and
//! can be seen.
//!
//! # Aliasing
//!
//! Two checks keep `&[T]` of an input and `&mut [T]` of an output apart:
//!
//! - Within a call, [`output`] compares addresses, so views count as shared whatever their base objects are
//!   (`frombuffer` twice, `as_strided`, a tensor's `numpy()`).
//! - Between calls on several threads, every slice is registered with rust-numpy's borrow flags for as long as it
//!   lives. They are kept for each base object, and shared by all extensions that use rust-numpy.
//!
//! # The caller's duty
//!
//! A call reads its inputs while other Python threads run, and nothing in NumPy lets it lock an array against NumPy and
//! other code that knows no borrow flags. Until the call returns, no other thread may write to an input, or free its
//! memory under it (`resize(refcheck=False)`, a closed or truncated file behind a memory map). A write is a data race:
//! in practice the call sees a mixture of old and new pixels, but neither Rust nor C promise that. Freed memory is read
//! after it was freed. Nor can anything here tell that one file is mapped into memory at two addresses. The same holds
//! for NumPy's own functions that release the GIL.

use std::marker::PhantomData;
use std::ops::Range;

use numpy::ndarray::{ArrayView1, Dimension, Ix1};
use numpy::{BorrowError, Element, PY_ARRAY_API, PyArray, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods};
use numpy::{PyReadonlyArray, PyReadwriteArray, PyUntypedArray, PyUntypedArrayMethods, dtype, npyffi};
use pixq_core::{Batch, Sample, View};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::error::to_py;

/// The sample types that kernels take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    U8,
    U16,
    F32,
}

/// Runs `$body` with `$T` standing for the array's sample type.
macro_rules! by_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::array::Dtype::U8 => {
                type $T = u8;
                $body
            }
            $crate::array::Dtype::U16 => {
                type $T = u16;
                $body
            }
            $crate::array::Dtype::F32 => {
                type $T = f32;
                $body
            }
        }
    };
}
pub(crate) use by_dtype;

/// An argument and its name.
pub type Argument<'a, 'py> = (&'static str, &'a Bound<'py, PyAny>);

/// An argument that is an array of pixels.
pub struct Pixels<'a, 'py> {
    name: &'static str,
    array: &'a Bound<'py, PyUntypedArray>,
    pub dtype: Dtype,
    /// Registers that the memory is read, for as long as views of it may live.
    _borrow: PyReadonlyArray<'py, u8, Ix1>,
}

impl<'a, 'py> Pixels<'a, 'py> {
    /// The argument `name`.
    pub fn new(name: &'static str, object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        let array = object
            .cast::<PyUntypedArray>()
            .map_err(|_| PyTypeError::new_err(format!("'{name}' is a {}; expected a numpy array", kind(object))))?;
        let py = array.py();
        let found = array.dtype();
        let is = |other: &Bound<'py, numpy::PyArrayDescr>| found.is_equiv_to(other);
        let dtype = if is(&dtype::<u8>(py)) {
            Dtype::U8
        } else if is(&dtype::<u16>(py)) {
            Dtype::U16
        } else if is(&dtype::<f32>(py)) {
            Dtype::F32
        } else {
            let found = found.str()?;
            return Err(PyTypeError::new_err(format!("'{name}' has dtype {found}; expected uint8, uint16 or float32")));
        };
        Ok(Self { name, array, dtype, _borrow: borrow_bytes(name, array)? })
    }

    /// Another argument, which must have the dtype of this one.
    pub fn and(&self, name: &'static str, object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        let other = Self::new(name, object)?;
        if other.dtype == self.dtype {
            return Ok(other);
        }
        let (first, found, wanted) = (self.name, other.array.dtype().str()?, self.array.dtype().str()?);
        Err(PyTypeError::new_err(format!("'{name}' has dtype {found} but '{first}' has {wanted}; make them the same")))
    }

    /// An error unless `other` has this shape.
    pub fn same_shape(&self, other: &Self) -> PyResult<()> {
        if self.shape() == other.shape() {
            return Ok(());
        }
        Err(PyValueError::new_err(format!(
            "'{}' has shape {} but '{}' has {}; make them the same",
            other.name,
            tuple(other.shape()),
            self.name,
            tuple(self.shape())
        )))
    }

    pub fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    /// What an image is: (height, width) or (height, width, 1 or 3). Whether it has an axis of channels.
    pub fn image_channels(&self) -> PyResult<(usize, bool)> {
        match *self.shape() {
            [_, _] => Ok((1, false)),
            [_, _, c @ (1 | 3)] => Ok((c, true)),
            _ => Err(self.unexpected("(height, width) or (height, width, 1 or 3)")),
        }
    }

    /// What a batch is: (n, height, width) or (n, height, width, 1 or 3). Whether it has an axis of channels.
    pub fn batch_channels(&self) -> PyResult<(usize, bool)> {
        match *self.shape() {
            [_, _, _] => Ok((1, false)),
            [_, _, _, c @ (1 | 3)] => Ok((c, true)),
            _ => Err(self.unexpected("(n, height, width) or (n, height, width, 1 or 3)")),
        }
    }

    pub fn unexpected(&self, expected: &str) -> PyErr {
        PyValueError::new_err(format!("'{}' has shape {}; expected {expected}", self.name, tuple(self.shape())))
    }

    /// The array as an image of `T`, its [`Dtype`].
    pub fn view<T: Sample + Element>(&self) -> PyResult<View<'_, T>> {
        let (channels, has_channels) = self.image_channels()?;
        let (height, width) = (self.shape()[0], self.shape()[1]);
        let steps = self.steps::<T>(1, channels, has_channels)?;
        let (data, origin) = self.borrow::<T>(&[(height, steps[0])], width * channels)?;
        View::new(data, height, width, channels, origin, steps[0]).map_err(to_py)
    }

    /// The array as a batch of `T`, its [`Dtype`].
    pub fn batch<T: Sample + Element>(&self) -> PyResult<Batch<'_, T>> {
        let (channels, has_channels) = self.batch_channels()?;
        let (len, height, width) = (self.shape()[0], self.shape()[1], self.shape()[2]);
        let steps = self.steps::<T>(2, channels, has_channels)?;
        let (data, origin) = self.borrow::<T>(&[(len, steps[0]), (height, steps[1])], width * channels)?;
        Batch::new(data, [len, height, width, channels], origin, steps[0], steps[1]).map_err(to_py)
    }

    /// An image, which is a batch of one patch, or a batch of four axes.
    pub fn patches<T: Sample + Element>(&self) -> PyResult<Batch<'_, T>> {
        if self.shape().len() == 4 {
            return self.batch();
        }
        let (channels, has_channels) = self.image_channels()?;
        let (height, width) = (self.shape()[0], self.shape()[1]);
        let steps = self.steps::<T>(1, channels, has_channels)?;
        let (data, origin) = self.borrow::<T>(&[(height, steps[0])], width * channels)?;
        Batch::new(data, [1, height, width, channels], origin, 0, steps[0]).map_err(to_py)
    }

    /// Strides of the first `free` axes, in samples; an error unless the axes after them are packed.
    fn steps<T>(&self, free: usize, channels: usize, has_channels: bool) -> PyResult<[isize; 2]> {
        let item = size_of::<T>() as isize;
        let (shape, strides) = (self.shape(), self.array.strides());
        if shape.contains(&0) {
            return Ok([0; 2]); // NumPy gives arrays without elements any strides
        }
        // The stride of an axis of length 1 means nothing and may be anything.
        let packed = |axis: usize, step: usize| shape[axis] == 1 || strides[axis] == step as isize * item;
        if !packed(free, channels) || (has_channels && !packed(free + 1, 1)) {
            return Err(PyValueError::new_err(format!(
                "'{}' has pixels that are not contiguous within rows; pass numpy.ascontiguousarray(...)",
                self.name
            )));
        }
        let mut steps = [0; 2];
        for axis in 0..free {
            if shape[axis] > 1 {
                if strides[axis] % item != 0 {
                    return Err(self.unaligned());
                }
                steps[axis] = strides[axis] / item;
            }
        }
        Ok(steps)
    }

    fn unaligned(&self) -> PyErr {
        PyValueError::new_err(format!(
            "'{}' is not aligned to its dtype in memory; pass a copy (numpy.array)",
            self.name
        ))
    }

    /// The memory from the lowest to the highest sample, and the place of the first element in it. `steps` are the
    /// lengths and strides of the axes before the packed rows of `row` samples.
    fn borrow<T: Element>(&self, steps: &[(usize, isize)], row: usize) -> PyResult<(&[T], usize)> {
        if self.shape().contains(&0) {
            return Ok((&[], 0));
        }
        // SAFETY: a cast `PyUntypedArray` is an ndarray object, and `array` keeps it alive.
        let first = unsafe { (*self.array.as_array_ptr()).fields.data.cast::<T>() };
        if !first.is_aligned() {
            return Err(self.unaligned());
        }
        let reach = |count: usize, step: isize| (count as isize - 1) * step;
        let low: isize = steps.iter().map(|&(count, step)| reach(count, step).min(0)).sum();
        let high: isize = steps.iter().map(|&(count, step)| reach(count, step).max(0)).sum::<isize>() + row as isize;
        // SAFETY: no axis is empty, so `first` and the samples at the offsets `low` and `high - 1` from it are elements
        // of the array: NumPy places element (i, j, ..) at `data + i * strides[0] + j * strides[1] + ..`, every stride
        // is a whole number of samples, and the packed axes were checked. They and all between them belong to the one
        // buffer that backs the array (its own, or its base's), so offsets do not overflow and the slice spans one
        // allocation. It is aligned (checked), as the samples are whole steps from `first`. Every bit pattern is a valid
        // u8, u16 or f32. The array object outlives `self`, and so the slice, which keeps its buffer alive (its own, or
        // that of its base) unless someone frees it on purpose. No `&mut` slice made here overlaps it: outputs of this
        // call are compared with all of its inputs by address ([`output`]), and outputs of other calls by the borrow
        // that `self` holds on exactly these bytes, if both arrays have one base object. Not proven, as NumPy has no
        // lock for it, is that no other code writes to the buffer, or frees it with `resize(refcheck=False)`, before
        // the call returns: that is the caller's duty (see the module's text).
        let data = unsafe { std::slice::from_raw_parts(first.offset(low), (high - low) as usize) };
        Ok((data, low.unsigned_abs()))
    }
}

/// The addresses from an array's lowest byte to the one behind its highest; an empty range if it has no elements.
fn span(array: &Bound<'_, PyUntypedArray>) -> Range<usize> {
    // SAFETY: a cast `PyUntypedArray` is an ndarray object that is alive.
    let first = unsafe { (*array.as_array_ptr()).fields.data.addr() };
    if array.shape().contains(&0) {
        return first..first;
    }
    let (mut low, mut high) = (0, array.dtype().itemsize() as isize);
    for (&count, &stride) in array.shape().iter().zip(array.strides()) {
        let reach = (count as isize - 1) * stride;
        low += reach.min(0);
        high += reach.max(0);
    }
    first.wrapping_add_signed(low)..first.wrapping_add_signed(high)
}

/// A borrow of all bytes in an array's [`span`], to read them. Those between its rows are among them, since the slices
/// of views are, and an array of strides would not register them.
fn borrow_bytes<'py>(name: &str, array: &Bound<'py, PyUntypedArray>) -> PyResult<PyReadonlyArray<'py, u8, Ix1>> {
    let bytes = span(array);
    // SAFETY: `array` is an ndarray object that is alive, and its `span` lies in the buffer that backs it, so that the
    // pointer has the provenance of its data. The new array keeps that buffer alive, as `array` is its base; nobody but
    // this borrow of it sees the new array, and nothing reads or writes through it.
    let bytes = unsafe {
        let view = match bytes.len() {
            0 => ArrayView1::from(&[]),
            len => {
                let first = (*array.as_array_ptr()).fields.data.cast::<u8>();
                ArrayView1::from_shape_ptr(len, first.with_addr(bytes.start))
            }
        };
        PyArray::borrow_from_array(&view, array.clone().into_any())
    };
    bytes.try_readonly().map_err(|error| not_borrowed(name, &error))
}

/// The error for an array that another call uses, or that is read-only.
fn not_borrowed(name: &str, error: &BorrowError) -> PyErr {
    PyValueError::new_err(match error {
        BorrowError::NotWriteable => format!("'{name}' is read-only; pass a writable array"),
        _ => {
            format!("'{name}' shares memory with an array of a call that has not returned; wait for it or pass a copy")
        }
    })
}

/// An array that results are written to. It must share no memory with `others`, the other array arguments: lists and the
/// like, which are copied, may be among them. What lies between the rows of an array counts as its memory.
pub fn output<'py, T: Element, D: Dimension>(
    name: &str,
    object: &Bound<'py, PyAny>,
    expected: &str,
    others: &[Argument<'_, 'py>],
) -> PyResult<PyReadwriteArray<'py, T, D>> {
    let array = aligned::<T, D>(name, object, expected)?;
    let bytes = span(array.as_untyped());
    for (other, object) in others {
        let Ok(array) = object.cast::<PyUntypedArray>() else { continue };
        let used = span(array);
        if bytes.start.max(used.start) < bytes.end.min(used.end) {
            return Err(PyValueError::new_err(format!(
                "'{name}' shares memory with '{other}'; pass an array of its own, such as numpy.empty(...)"
            )));
        }
    }
    array.try_readwrite().map_err(|error| not_borrowed(name, &error))
}

/// A small array of another type, such as coordinates, as a read-only borrow; `expected` describes it in messages.
pub fn readonly<'py, T: Element, D: Dimension>(
    name: &str,
    object: &Bound<'py, PyAny>,
    expected: &str,
) -> PyResult<PyReadonlyArray<'py, T, D>> {
    let array = aligned::<T, D>(name, object, expected)?;
    array.try_readonly().map_err(|error| not_borrowed(name, &error))
}

fn aligned<'a, 'py, T: Element, D: Dimension>(
    name: &str,
    object: &'a Bound<'py, PyAny>,
    expected: &str,
) -> PyResult<&'a Bound<'py, PyArray<T, D>>> {
    let wrong = || match object.cast::<PyUntypedArray>() {
        Ok(array) => {
            let (shape, dtype) = (tuple(array.shape()), array.dtype());
            PyTypeError::new_err(format!("'{name}' has dtype {dtype} and shape {shape}; expected {expected}"))
        }
        Err(_) => PyTypeError::new_err(format!("'{name}' is a {}; expected a numpy array, {expected}", kind(object))),
    };
    let array = object.cast::<PyArray<T, D>>().map_err(|_| wrong())?;
    // SAFETY: `array` is an ndarray object that is alive.
    let flags = unsafe { (*array.as_array_ptr()).fields.flags };
    if flags & npyffi::NPY_ARRAY_ALIGNED == 0 {
        return Err(PyValueError::new_err(format!(
            "'{name}' is not aligned to its dtype in memory; pass a copy (numpy.array)"
        )));
    }
    Ok(array)
}

/// The name of an object's type.
pub fn kind(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "something else".into(), |name| name.to_string())
}

/// `shape` as Python writes it.
pub fn tuple(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// A new array that no one else has seen.
pub struct Output<'py, T> {
    array: Bound<'py, PyArrayDyn<T>>,
    sample: PhantomData<T>,
}

impl<'py, T: Element> Output<'py, T> {
    /// Zeros of `shape`; ValueError or MemoryError where that is too much.
    pub fn zeros(py: Python<'py>, shape: &[usize]) -> PyResult<Self> {
        let mut dims = Vec::with_capacity(shape.len());
        for &len in shape {
            let len = npyffi::npy_intp::try_from(len);
            dims.push(len.map_err(|_| PyValueError::new_err("the result is larger than any memory"))?);
        }
        // SAFETY: `dims` holds as many lengths as are announced and outlives the call, which steals the reference to
        // the dtype that `into_dtype_ptr` gives away, and returns a new reference to an ndarray of that dtype or null
        // with an exception set.
        let array = unsafe {
            let dtype = dtype::<T>(py).into_dtype_ptr();
            let ptr = PY_ARRAY_API.PyArray_Zeros(py, dims.len() as _, dims.as_mut_ptr(), dtype, 0);
            Bound::from_owned_ptr_or_err(py, ptr)?.cast_into_unchecked()
        };
        Ok(Self { array, sample: PhantomData })
    }

    /// Its samples.
    pub fn samples(&mut self) -> &mut [T] {
        // SAFETY: the array was made by `zeros`, which left it C-contiguous, initialised and owning its memory, and no
        // other reference to it exists until `finish` consumes `self`; `&mut self` excludes a second slice.
        unsafe {
            let array = self.array.as_array_ptr();
            match self.array.len() {
                0 => &mut [],
                len => std::slice::from_raw_parts_mut((*array).fields.data.cast(), len),
            }
        }
    }

    /// The finished array.
    pub fn finish(self) -> Bound<'py, PyArrayDyn<T>> {
        self.array
    }
}
