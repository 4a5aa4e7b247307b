//! Running the core without the interpreter, while Ctrl-C keeps working.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use ckptfast::error::Result;
use ckptfast::parallel::{Interrupt, Workers, default_threads};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::errors;

/// Less work than this is not worth a second thread.
const SMALL: u64 = 1 << 20;
/// Less work than this ends before anybody could press a key.
const SHORT: u64 = 64 << 20;
/// How often a waiting call asks whether a signal came.
const PATIENCE: Duration = Duration::from_millis(50);

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method's lifetime is too special for `attach`"
)]
/// Calls `work`, which moves about `bytes` bytes, with the interpreter free for other threads.
/// Without a number of threads it may use as many as the process is granted.
pub(crate) fn detached<T: Send>(
    py: Python<'_>,
    threads: Option<usize>,
    bytes: u64,
    work: impl FnOnce(&Workers<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let interrupt = Interrupt::default();
    // To ask what is granted takes as long as opening a checkpoint does.
    let granted = || if bytes < SMALL { 1 } else { default_threads() };
    let workers =
        Workers { threads: threads.unwrap_or_else(granted).max(1), interrupt: &interrupt };
    // A panic is a bug of ours; it must not unwind into, or abort, somebody's training.
    let guarded = || catch_unwind(AssertUnwindSafe(|| work(&workers)));
    let outcome = if bytes < SHORT {
        py.detach(guarded)
    } else {
        py.detach(|| {
            thread::scope(|scope| {
                let (sender, receiver) = mpsc::channel();
                scope.spawn(move || sender.send(guarded()));
                let mut signal = Ok(());
                loop {
                    match receiver.recv_timeout(PATIENCE) {
                        Ok(outcome) => return signal.map(|()| outcome),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return Ok(Ok(Err(bug()))),
                    }
                    if signal.is_ok() {
                        signal = Python::attach(|py| py.check_signals());
                        if signal.is_err() {
                            interrupt.set();
                        }
                    }
                }
            })
        })?
    };
    match outcome {
        Ok(result) => result.map_err(|error| errors::to_python(py, &error)),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(PyRuntimeError::new_err(format!("ckptfast failed, which is a bug in it: {text}")))
        }
    }
}

fn bug() -> ckptfast::error::Error {
    ckptfast::error::Error::invalid("the worker thread ended without an answer")
}
