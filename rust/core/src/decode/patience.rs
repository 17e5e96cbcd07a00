//! Long decoding, which the caller can interrupt.
//!
//! Decoders can't be stopped from outside. A picture that takes long is therefore decoded on a thread of its own from a
//! copy of the file, and the thread that asked for it waits and looks now and then whether it should stop. If so, it
//! leaves the other thread to finish what nobody takes.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::header::{Header, no_memory};
use super::{Decoded, Options, decode_bytes};
use crate::error::{Error, Result};

/// Pixels times scans from which on a picture takes long: a tenth of a second or more.
const LONG: u64 = 1 << 23;
/// How long an interrupt may wait.
const PATIENCE: Duration = Duration::from_millis(50);

static CHECK: OnceLock<fn() -> bool> = OnceLock::new();
static STOPS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread was started to decode one picture.
    static DECODES: Cell<bool> = const { Cell::new(false) };
}

/// Sets the function that tells whether the thread that calls it was interrupted; the first one counts.
pub fn set_interrupt_check(check: fn() -> bool) {
    let _ = CHECK.set(check);
}

/// Makes all decoding that is going on end with [`Error::Interrupted`], on whatever thread.
pub fn stop_decoding() {
    STOPS.fetch_add(1, Ordering::Relaxed);
}

/// How often [`stop_decoding`] was called.
pub fn decoding_stops() -> u64 {
    STOPS.load(Ordering::Relaxed)
}

/// Whether a picture takes so long that somebody may want to interrupt it, and somebody can.
pub(super) fn is_long(header: &Header) -> bool {
    header.pixels() as u64 * header.passes >= LONG && CHECK.get().is_some() && !DECODES.get()
}

/// Decodes on another thread and waits for it.
pub(super) fn decode(name: &str, bytes: &[u8], options: Options) -> Result<Decoded> {
    let stops = decoding_stops();
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len())
        .map_err(|_| Error::Decode { name: name.into(), reason: no_memory(bytes.len()) })?;
    copy.extend_from_slice(bytes);
    let (send, receive) = channel();
    let its_name = name.to_string();
    let work = move || {
        DECODES.set(true);
        // Nobody may be waiting any more.
        let _ = send.send(decode_bytes(&its_name, &copy, options));
    };
    if thread::Builder::new().name("pixq-decode".into()).spawn(work).is_err() {
        DECODES.set(true);
        let decoded = decode_bytes(name, bytes, options);
        DECODES.set(false);
        return decoded;
    }
    loop {
        match receive.recv_timeout(PATIENCE) {
            Ok(decoded) => return decoded,
            Err(RecvTimeoutError::Timeout) => {
                if decoding_stops() != stops || CHECK.get().is_some_and(|interrupted| interrupted()) {
                    return Err(Error::Interrupted);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                let reason = "can't be decoded (its thread ended early)".into();
                return Err(Error::Decode { name: name.into(), reason });
            }
        }
    }
}
