//! Pixels for pixq: tiles, fusions, errors between patches, decoding and patch-set shards.
//!
//! Nothing here knows Python. Every kernel takes a [`view::View`] (or a [`view::Batch`] of patches)
//! whose geometry was checked when it was built, so kernels need no checks of their own.
//!
//! # Determinism
//!
//! Results are bit-identical for any number of threads: sums over integers are exact, sums over floats
//! are taken in `f64` over fixed chunks that are folded in order, and parallel loops write disjoint
//! outputs.
#![forbid(unsafe_code)]

mod checks;
pub mod decode;
pub mod equal;
pub mod error;
pub mod fuse;
pub mod models;
pub mod parallel;
pub mod psnr;
mod regular;
pub mod sample;
pub mod shard;
pub mod tile;
pub mod view;
pub mod visibility;

pub use error::{Error, Result};
pub use view::{Batch, Region, Sample, View};
