//! Threads and vectors: where kernels run.
//!
//! The pool is pixq's own. It is made by the first call that is worth it, never at import, and belongs
//! to the process that made it: a child of `fork` inherits the memory of a pool but none of its threads,
//! so it finds no pool of its own and makes one.
//!
//! No lock is ever waited for on the way to a pool, as a lock that another thread holds while a process
//! forks stays locked in the child for ever. A pool is built first and then put into a slot that only its
//! maker has claimed; readers look without waiting.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// Calls that write or read fewer samples than this stay on the calling thread: handing work to a pool and
/// waiting for it takes 10 to 50 microseconds, in which one thread gets through about this much.
pub const PARALLEL_SAMPLES: usize = 1 << 18;

/// The largest number of threads that can be set.
pub const MAX_THREADS: usize = 1024;

/// The number of threads that was set; 0 until then.
static THREADS: AtomicUsize = AtomicUsize::new(0);

struct Slot {
    process: u32,
    threads: usize,
    pool: ThreadPool,
}

/// A slot for each (process, number of threads) ever used, this process's ancestors included. When none is
/// left, work runs on the calling thread.
static SLOTS: [OnceLock<Slot>; 256] = [const { OnceLock::new() }; 256];
static CLAIMED: AtomicUsize = AtomicUsize::new(0);

/// Sets the number of threads that kernels use, for the whole process; 1 means the calling thread.
///
/// # Errors
/// [`Error::Value`] unless `threads` is 1 to [`MAX_THREADS`].
pub fn set_num_threads(threads: usize) -> Result<()> {
    if !(1..=MAX_THREADS).contains(&threads) {
        return Err(Error::Value { what: "the number of threads", value: threads.to_string(), expected: "1 to 1024" });
    }
    THREADS.store(threads, Ordering::Relaxed);
    Ok(())
}

/// The number of threads that kernels use: the number given to [`set_num_threads`], else the environment variable
/// `PIXQ_NUM_THREADS`, else one for each processor this process may use.
pub fn num_threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => {
            let asked = std::env::var("PIXQ_NUM_THREADS").ok().and_then(|text| text.trim().parse().ok());
            let threads = asked
                .filter(|n| (1..=MAX_THREADS).contains(n))
                .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
                .unwrap_or(1);
            // If another thread has set it meanwhile, that number counts.
            match THREADS.compare_exchange(0, threads, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => threads,
                Err(set) => set,
            }
        }
        threads => threads,
    }
}

thread_local!(static ALONE: Cell<bool> = const { Cell::new(false) });

/// Runs `work` with every kernel it calls on this thread, for work that is itself one of several parallel parts.
pub fn alone<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _restore = Restore(ALONE.replace(true));
    work()
}

/// This process's pool; none if the number of threads is 1 or no thread can be started.
pub fn pool() -> Option<&'static ThreadPool> {
    let (process, threads) = (std::process::id(), num_threads());
    if threads < 2 {
        return None;
    }
    let made = SLOTS.iter().take(CLAIMED.load(Ordering::Acquire)).filter_map(OnceLock::get);
    if let Some(slot) = made.into_iter().find(|slot| slot.process == process && slot.threads == threads) {
        return Some(&slot.pool);
    }
    if CLAIMED.load(Ordering::Acquire) >= SLOTS.len() {
        return None;
    }
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("pixq-{i}")).build().ok()?;
    // Two threads may get here at once; each then has a slot, and the first is found from then on.
    let slot = SLOTS.get(CLAIMED.fetch_add(1, Ordering::AcqRel))?;
    slot.set(Slot { process, threads, pool }).ok()?;
    slot.get().map(|slot| &slot.pool)
}

/// The pool for a call that touches `samples` samples, if it is worth it.
fn pool_for(samples: usize) -> Option<&'static ThreadPool> {
    if worth_it(samples) { pool() } else { None }
}

/// Whether a call that touches `samples` samples should be cut into jobs.
pub(crate) fn worth_it(samples: usize) -> bool {
    samples >= PARALLEL_SAMPLES && !ALONE.get() && num_threads() > 1
}

/// Runs `job` on every item, on the pool if the call touches enough `samples`. Jobs own what they write.
pub(crate) fn for_each<J: Send>(samples: usize, jobs: Vec<J>, job: impl Fn(J) + Send + Sync) {
    match pool_for(samples) {
        Some(pool) if jobs.len() > 1 => pool.install(|| jobs.into_par_iter().for_each(job)),
        _ => jobs.into_iter().for_each(job),
    }
}

/// As [`for_each`], with room to work in, which a thread makes by `room()` and uses for one job after the other. No result may
/// depend on what an earlier job has left there.
pub(crate) fn for_each_with<J: Send, R>(
    samples: usize,
    jobs: Vec<J>,
    room: impl Fn() -> R + Send + Sync,
    job: impl Fn(&mut R, J) + Send + Sync,
) {
    match pool_for(samples) {
        Some(pool) if jobs.len() > 1 => pool.install(|| jobs.into_par_iter().for_each_init(room, job)),
        _ => {
            let mut room = room();
            jobs.into_iter().for_each(|each| job(&mut room, each));
        }
    }
}

/// `part(0)` to `part(count - 1)`, in that order whatever thread computed them.
pub(crate) fn map<R: Send>(samples: usize, count: usize, part: impl Fn(usize) -> R + Send + Sync) -> Vec<R> {
    match pool_for(samples) {
        Some(pool) if count > 1 => pool.install(|| (0..count).into_par_iter().map(part).collect()),
        _ => (0..count).map(part).collect(),
    }
}

/// Runs `work` with each of `states` at the same time: the first on this thread, which does not wait for others to wake, and
/// the others on the pool, where there is one.
pub(crate) fn together<S: Send>(states: &mut [S], work: impl Fn(&mut S) + Send + Sync) {
    let Some((first, others)) = states.split_first_mut() else { return };
    let pool = if others.is_empty() || ALONE.get() { None } else { pool() };
    match pool {
        Some(pool) => pool.in_place_scope(|scope| {
            let work = &work;
            for state in others {
                scope.spawn(move |_| work(state));
            }
            work(first);
        }),
        None => {
            work(first);
            others.iter_mut().for_each(work);
        }
    }
}

/// This processor's vectors.
#[inline(always)]
pub(crate) fn arch() -> pulp::Arch {
    // Not a OnceLock, which a fork could leave locked.
    thread_local!(static ARCH: Cell<Option<pulp::Arch>> = const { Cell::new(None) });
    ARCH.get().unwrap_or_else(|| {
        let arch = pulp::Arch::new();
        ARCH.set(Some(arch));
        arch
    })
}

/// Runs `kernel` compiled for the widest vectors this processor has. Rust never contracts or reorders
/// floating-point operations, so the result does not depend on which they are. What `kernel` calls has to be
/// `#[inline(always)]`, and so has the closure, or it is compiled separately, for the oldest processors.
#[inline(always)]
pub(crate) fn vectorised<R>(kernel: impl FnMut() -> R) -> R {
    arch().dispatch(Inline(kernel))
}

/// A closure that is compiled into its caller. `FnMut`, as one that is called by value goes through a function of the
/// compiler's, which is not always inlined.
pub(crate) struct Inline<F>(pub F);

impl<R, F: FnMut() -> R> pulp::NullaryFnOnce for Inline<F> {
    type Output = R;
    #[inline(always)]
    fn call(mut self) -> R {
        (self.0)()
    }
}

/// Runs `$body` with `$lanes` standing for the vectors of `$arch`, or for `$portable` where there is nothing better, and
/// compiled for them.
macro_rules! with_lanes {
    ($arch:expr, $portable:expr, $lanes:ident => $body:expr) => {
        match $arch {
            #[cfg(target_arch = "x86_64")]
            pulp::Arch::V4($lanes) => $lanes.vectorize($crate::parallel::Inline(
                #[inline(always)]
                || $body,
            )),
            #[cfg(target_arch = "x86_64")]
            pulp::Arch::V3($lanes) => $lanes.vectorize($crate::parallel::Inline(
                #[inline(always)]
                || $body,
            )),
            _ => {
                let $lanes = $portable;
                $body
            }
        }
    };
}
pub(crate) use with_lanes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_alone_stays_on_its_thread() {
        let threads = |parts: Vec<std::thread::ThreadId>| parts.iter().any(|&id| id != std::thread::current().id());
        set_num_threads(2).unwrap();
        let where_run = || map(PARALLEL_SAMPLES, 64, |_| std::thread::current().id());
        assert!(threads(where_run()));
        assert!(!threads(alone(where_run)));
        assert!(threads(where_run()), "and only while it lasts");
    }
}
