//! Bindings of [`pixq_core::psnr`] and [`pixq_core::sample::local_variance`].

use pixq_core::{psnr, sample};
use pyo3::prelude::*;

use super::{RoiBox, Size, region};
use crate::array::{Output, Pixels, by_dtype};
use crate::error::to_py;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(mse, m)?)?;
    m.add_function(wrap_pyfunction!(psnr_py, m)?)?;
    m.add_function(wrap_pyfunction!(local_variance, m)?)
}

#[pyfunction]
#[pyo3(signature = (reference, distorted, *, roi = None))]
fn mse<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    roi: Option<RoiBox>,
) -> PyResult<Bound<'py, PyAny>> {
    measured(py, reference, distorted, roi, None)
}

#[pyfunction]
#[pyo3(name = "psnr", signature = (reference, distorted, *, roi = None, data_range = None))]
fn psnr_py<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    roi: Option<RoiBox>,
    data_range: Option<f64>,
) -> PyResult<Bound<'py, PyAny>> {
    measured(py, reference, distorted, roi, Some(data_range))
}

/// The PSNR where `range` is given, the mean squared error where it is not.
fn measured<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    distorted: &Bound<'py, PyAny>,
    roi: Option<RoiBox>,
    range: Option<Option<f64>>,
) -> PyResult<Bound<'py, PyAny>> {
    let reference = Pixels::new("reference", reference)?;
    let distorted = reference.and("distorted", distorted)?;
    reference.same_shape(&distorted)?;
    let batch = reference.shape().len() == 4;
    let axes = if batch {
        reference.batch_channels()?;
        &reference.shape()[1..]
    } else {
        reference.image_channels()?;
        reference.shape()
    };
    let roi = roi.map(|roi| region(roi, axes[0], axes[1])).transpose()?;
    by_dtype!(reference.dtype, T => {
        if batch {
            let (r, d) = (reference.batch::<T>()?, distorted.batch::<T>()?);
            let mut out = Output::<f64>::zeros(py, &[r.len()])?;
            let values = out.samples();
            py.detach(|| match range {
                Some(range) => psnr::psnr_each(&r, &d, roi, range, values),
                None => psnr::mse_each(&r, &d, roi, values),
            })
            .map_err(to_py)?;
            return Ok(out.finish().into_any());
        }
        let (r, d) = (reference.view::<T>()?, distorted.view::<T>()?);
        let value = py
            .detach(|| match range {
                Some(range) => psnr::psnr(&r, &d, roi, range),
                None => psnr::mse(&r, &d, roi),
            })
            .map_err(to_py)?;
        Ok(value.into_pyobject(py)?.into_any())
    })
}

#[pyfunction]
#[pyo3(signature = (image, *, size = Size::Square(20)))]
fn local_variance<'py>(py: Python<'py>, image: &Bound<'py, PyAny>, size: Size) -> PyResult<Bound<'py, PyAny>> {
    let image = Pixels::new("image", image)?;
    image.image_channels()?;
    let size = size.pair("size")?;
    // A box that does not fit is the core's to refuse; it gets an array of zero rows.
    let (rows, columns) = pixq_core::tile::grid_shape(image.shape()[0], image.shape()[1], size, (1, 1));
    by_dtype!(image.dtype, T => {
        let view = image.view::<T>()?;
        let mut out = Output::<f64>::zeros(py, &[rows, columns])?;
        let values = out.samples();
        py.detach(|| sample::local_variance(&view, size, values)).map_err(to_py)?;
        Ok(out.finish().into_any())
    })
}
