//! One writer at a time changes the names in a directory.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// A commit takes milliseconds. Who holds a turn for longer was stopped or has a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_micros(200);

/// The right to change what is in a directory, against other writers of ours; given up on drop.
///
/// A lock (`flock`) on the directory itself, so there is no file for it, and it goes with the
/// process. Where a file system has no such locks, or the turn of another writer does not end,
/// there is no protection.
#[derive(Debug)]
pub struct Turn(Option<fs::File>);

impl Turn {
    /// Waits for the turns of others to end.
    pub fn wait(directory: &Path) -> Self {
        Self(fs::File::open(directory).ok().filter(|handle| {
            let begin = Instant::now();
            loop {
                match rustix::fs::flock(handle, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => return true,
                    Err(Errno::WOULDBLOCK | Errno::INTR) if begin.elapsed() < PATIENCE => {
                        thread::sleep(PAUSE);
                    }
                    Err(_) => return false,
                }
            }
        }))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            // Closing is not enough: a child that was forked meanwhile has the same open file.
            let _ = rustix::fs::flock(handle, FlockOperation::Unlock);
        }
    }
}
