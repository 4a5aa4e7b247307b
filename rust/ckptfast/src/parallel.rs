//! Work shared by a few threads that live as long as one call.
//!
//! Threads are started per call and joined before it returns. A pool would save microseconds and
//! would be gone after a `fork`, which Python programs do.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// Set by whoever waits for a long call, to end it early.
#[derive(Debug, Default)]
pub struct Interrupt(AtomicBool);

impl Interrupt {
    /// Asks the call to end with an `Interrupted` error at its next job.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Fails when [`Interrupt::set`] was called; long loops ask at every step.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::interrupted()) } else { Ok(()) }
    }
}

/// What a call may use, and how it is told to stop.
#[derive(Clone, Copy, Debug)]
pub struct Workers<'a> {
    /// Number of threads, the calling one included; at least 1.
    pub threads: usize,
    /// Ends the call early.
    pub interrupt: &'a Interrupt,
}

/// How many threads this process may keep busy: processors of its affinity mask and cgroup quota.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Workers<'_> {
    /// Runs `job(0) … job(count - 1)`, each once, in no particular order.
    ///
    /// After a failure no new job starts; of several failures that of the lowest job is returned.
    pub fn run(&self, count: usize, job: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
        let next = AtomicUsize::new(0);
        let failure: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        let work = || loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            if let Err(error) = self.interrupt.check().and_then(|()| job(index)) {
                next.store(count, Ordering::Relaxed);
                let mut slot = failure.lock().unwrap_or_else(PoisonError::into_inner);
                if slot.as_ref().is_none_or(|(earlier, _)| index < *earlier) {
                    *slot = Some((index, error));
                }
            }
        };
        let helpers = self.threads.min(count).saturating_sub(1);
        if helpers == 0 {
            work();
        } else {
            std::thread::scope(|scope| {
                for _ in 0..helpers {
                    // Without the memory for a thread the others do its share.
                    if std::thread::Builder::new().spawn_scoped(scope, work).is_err() {
                        break;
                    }
                }
                work();
            });
        }
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_runs_once_whatever_the_number_of_threads() {
        for threads in [1, 2, 7] {
            let done: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
            let interrupt = Interrupt::default();
            let workers = Workers { threads, interrupt: &interrupt };
            workers
                .run(100, |index| {
                    done[index].fetch_add(1, Ordering::Relaxed);
                    Ok(())
                })
                .unwrap();
            assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn a_failure_stops_the_rest_and_is_returned() {
        let interrupt = Interrupt::default();
        let workers = Workers { threads: 1, interrupt: &interrupt };
        let ran = AtomicUsize::new(0);
        let result = workers.run(100, |index| {
            ran.fetch_add(1, Ordering::Relaxed);
            if index == 3 { Err(Error::invalid("third")) } else { Ok(()) }
        });
        assert_eq!(result.unwrap_err().message(), "third");
        assert_eq!(ran.into_inner(), 4);
    }

    #[test]
    fn an_interrupt_ends_the_call_before_the_next_job() {
        let interrupt = Interrupt::default();
        let workers = Workers { threads: 2, interrupt: &interrupt };
        let last = AtomicUsize::new(0);
        let result = workers.run(1000, |index| {
            last.fetch_max(index, Ordering::Relaxed);
            if index == 5 {
                interrupt.set();
            }
            // The other thread would do all that is left while this one is not running.
            while index > 5 && interrupt.check().is_ok() {
                std::thread::yield_now();
            }
            Ok(())
        });
        assert_eq!(result.unwrap_err().io_kind(), Some(std::io::ErrorKind::Interrupted));
        assert!(last.into_inner() <= 6);
    }
}
