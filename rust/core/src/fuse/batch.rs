//! Fusion of batches and of rows gathered from two patch arrays.

use super::{Mix, Plan, Shape, fuse_patch};
use crate::checks::{check_len, patches_per_job};
use crate::error::{Error, Result};
use crate::parallel;
use crate::view::{Batch, View};

/// Fuses every patch pair of two batches with the first fusion of `plan` to `out`, packed.
///
/// # Errors
/// [`Error::Shape`] if the batches, the plan or `out` disagree in shape; [`Error::Value`] if the plan is empty.
pub fn fuse<T: Mix>(reference: &Batch<'_, T>, distorted: &Batch<'_, T>, plan: &Plan, out: &mut [T]) -> Result<()> {
    reference.same_shape("distorted", distorted)?;
    check_plan(plan)?;
    check_batch(plan, "reference", reference)?;
    each_pair(plan, reference.len(), out, |i| (0, reference.patch(i), distorted.patch(i)))
}

/// Which rows of two patch arrays to fuse, and how.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Rows of the reference array.
    pub reference: &'a [usize],
    /// Rows of the distorted array.
    pub distorted: &'a [usize],
    /// Which fusion of the plan each pair gets; the first where there is none.
    pub which: Option<&'a [u8]>,
}

/// Fuses rows gathered from two patch arrays to `out`, packed: pair `i` is row `rows.reference[i]` of the one and
/// row `rows.distorted[i]` of the other.
///
/// # Errors
/// [`Error::Value`] that names a row or a fusion that does not exist; [`Error::Shape`] if shapes or lengths disagree.
pub fn fuse_rows<T: Mix>(
    reference: &Batch<'_, T>,
    distorted: &Batch<'_, T>,
    rows: Rows<'_>,
    plan: &Plan,
    out: &mut [T],
) -> Result<()> {
    check_plan(plan)?;
    check_batch(plan, "reference", reference)?;
    check_batch(plan, "distorted", distorted)?;
    let len = rows.reference.len();
    for (what, found) in [("distorted_rows", rows.distorted.len()), ("which", rows.which.map_or(len, <[u8]>::len))] {
        check_len(what, found, &[len])?;
    }
    check_rows("a row of 'reference_rows'", rows.reference, reference.len(), "a row of 'reference'")?;
    check_rows("a row of 'distorted_rows'", rows.distorted, distorted.len(), "a row of 'distorted'")?;
    if let Some(&which) = rows.which.unwrap_or_default().iter().find(|&&which| usize::from(which) >= plan.len()) {
        let expected = "an index into 'fusions' and 'masks'";
        return Err(Error::Value { what: "an element of 'which'", value: which.to_string(), expected });
    }
    each_pair(plan, len, out, |i| {
        let which = rows.which.map_or(0, |which| usize::from(which[i]));
        (which, reference.patch(rows.reference[i]), distorted.patch(rows.distorted[i]))
    })
}

fn check_plan(plan: &Plan) -> Result<()> {
    if plan.is_empty() {
        return Err(Error::Value { what: "fusions", value: "empty".into(), expected: "at least one fusion or mask" });
    }
    Ok(())
}

fn check_batch<T>(plan: &Plan, what: &'static str, batch: &Batch<'_, T>) -> Result<()> {
    let [_, height, width, channels] = batch.shape();
    plan.check_patches(what, height, width, channels)
}

fn check_rows(what: &'static str, rows: &[usize], len: usize, expected: &'static str) -> Result<()> {
    match rows.iter().find(|&&row| row >= len) {
        None => Ok(()),
        Some(row) => Err(Error::Value { what, value: format!("{row} of {len}"), expected }),
    }
}

/// Fuses `pair(i)`, (fusion, reference, distorted), to patch `i` of `out`.
fn each_pair<'a, T: Mix>(
    plan: &Plan,
    len: usize,
    out: &mut [T],
    pair: impl Fn(usize) -> (usize, View<'a, T>, View<'a, T>) + Send + Sync,
) -> Result<()> {
    let samples = plan.patch_samples();
    check_len("out", out.len(), &[len, plan.size.0, plan.size.1, plan.channels])?;
    let job = patches_per_job(samples);
    let total = out.len();
    let jobs = out.chunks_mut(job * samples).enumerate().collect();
    parallel::for_each(total, jobs, |(chunk, out): (usize, &mut [T])| {
        let pair = |i| pair(chunk * job + i);
        parallel::vectorised(
            #[inline(always)]
            || {
                if plan.shape == Shape::DEFAULT {
                    run(Shape::DEFAULT, plan, pair, out)
                } else {
                    run(plan.shape, plan, pair, out)
                }
            },
        );
    });
    Ok(())
}

#[inline(always)]
fn run<'a, T: Mix>(s: Shape, plan: &Plan, pair: impl Fn(usize) -> (usize, View<'a, T>, View<'a, T>), out: &mut [T]) {
    for (i, out) in out.chunks_exact_mut(s.samples()).enumerate() {
        let (which, reference, distorted) = pair(i);
        fuse_patch(s, &plan.recipes[which], &reference, &distorted, out);
    }
}
