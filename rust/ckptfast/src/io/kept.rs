//! Memory that its last user has left, kept a while for the next one.
//!
//! The system zeroes fresh memory before it gives it to a process, which takes longer than copying
//! a value into it. Whoever restores again, loads one checkpoint after the other or copies through
//! buffers of a few megabytes asks again and again for memory of the same lengths.
//!
//! What is kept is soon offered to the system, which takes it without asking when memory is short;
//! it goes back after [`KEEP`], and before a process forks; and as much of it as does not fit goes
//! back before fresh memory is taken for a value, so that values and what is kept never take more
//! together than values took before, but for [`SLACK`]. Until then it counts as resident.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use memmap2::{MmapMut, UncheckedAdvice};

/// How long memory is kept. Loops over checkpoints come back sooner; whoever is done with a large
/// value soon sees its memory returned.
const KEEP: Duration = Duration::from_secs(10);

/// How long before it is offered to the system, and how often it is looked after. To offer memory
/// cuts huge pages that two values share into small ones, and to use it again is slower then.
const OFFER: Duration = Duration::from_secs(1);

/// Memory kept for a value is larger than the value by one part in this many at the most.
const SLACK: usize = 16;

static KEPT: Mutex<Kept> = Mutex::new(Kept { all: BTreeMap::new(), looked_after: false });

/// Wakes the thread that looks after it when nothing is kept any more.
static EMPTY: Condvar = Condvar::new();

thread_local! {
    /// The lock, while this thread forks.
    static FORKING: Cell<Option<MutexGuard<'static, Kept>>> = const { Cell::new(None) };
}

#[derive(Debug)]
struct Kept {
    /// By length; of one length the last one to be left comes last. No list is empty.
    all: BTreeMap<usize, Vec<Left>>,
    /// Whether a thread of this process offers and returns it.
    looked_after: bool,
}

#[derive(Debug)]
struct Left {
    pages: MmapMut,
    at: Instant,
    offered: bool,
}

/// Kept memory for a value of `length` bytes, holding anything.
pub fn take(length: usize) -> Option<MmapMut> {
    let fitting = length..=length.saturating_add(length / SLACK);
    look()?.smallest(fitting).map(|left| left.pages)
}

/// Gives back memory, `length` bytes if there are as many: for whoever found nothing that fits and
/// takes fresh memory instead.
pub fn make_room(length: usize) {
    let Some(mut kept) = look() else { return };
    let mut room = 0;
    while room < length
        && let Some(left) = kept.smallest(length - room..).or_else(|| kept.largest())
    {
        room += left.pages.len();
    }
}

/// Gives back everything; returns the number of bytes.
pub fn release() -> usize {
    let Some(mut kept) = look() else { return 0 };
    let all = std::mem::take(&mut kept.all);
    drop(kept);
    EMPTY.notify_all();
    all.values().flatten().map(|left| left.pages.len()).sum()
}

/// Keeps memory that nobody uses any more; gives it back at once where it cannot be kept.
pub fn keep(pages: MmapMut) {
    let Some(mut kept) = look() else { return };
    if !kept.looked_after {
        let thread = std::thread::Builder::new().name("ckptfast-memory".into());
        kept.looked_after = thread.spawn(look_after).is_ok();
    }
    if kept.looked_after {
        kept.put(Left { pages, at: Instant::now(), offered: false });
    }
}

/// What is kept; nothing ever is where forks cannot be made safe. Nobody takes the lock before they
/// are: a process forked meanwhile would find it locked for ever.
fn look() -> Option<MutexGuard<'static, Kept>> {
    forks_are_safe().then(lock)
}

fn lock() -> MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    fn put(&mut self, left: Left) {
        self.all.entry(left.pages.len()).or_default().push(left);
    }

    /// The smallest memory of these lengths, or, of the same, the one left last.
    fn smallest(&mut self, lengths: impl RangeBounds<usize>) -> Option<Left> {
        let (&length, same) = self.all.range(lengths).next()?;
        self.remove(length, same.len() - 1)
    }

    fn largest(&mut self) -> Option<Left> {
        let (&length, same) = self.all.last_key_value()?;
        self.remove(length, same.len() - 1)
    }

    fn remove(&mut self, length: usize, index: usize) -> Option<Left> {
        let same = self.all.get_mut(&length)?;
        let left = same.remove(index);
        if same.is_empty() {
            self.all.remove(&length);
        }
        Some(left)
    }

    /// Something that is to be offered or given back at a moment.
    fn due(&mut self, now: Instant) -> Option<Left> {
        let due = |left: &Left| now.duration_since(left.at) >= left.term();
        let mut all = self.all.iter();
        let (length, index) =
            all.find_map(|(&length, same)| Some((length, same.iter().position(due)?)))?;
        self.remove(length, index)
    }
}

impl Left {
    fn term(&self) -> Duration {
        if self.offered { KEEP } else { OFFER }
    }

    /// Marks the pages as free; the first write to one of them takes it back. False where the
    /// system does not want them, such as pages locked in memory.
    #[allow(unsafe_code, reason = "advice that loses what is in the pages")]
    fn offer(&mut self) -> bool {
        // SAFETY: nobody uses what is in the pages any more.
        self.offered = unsafe { self.pages.unchecked_advise(UncheckedAdvice::Free) }.is_ok();
        self.offered
    }
}

/// Offers memory and gives it back when the time has come, until nothing is kept.
fn look_after() {
    loop {
        let mut kept = lock();
        if kept.all.is_empty() {
            kept.looked_after = false;
            return;
        }
        // With the lock, so that nothing is ever missing, but for one piece at a time.
        match kept.due(Instant::now()) {
            Some(left) if left.offered => drop(left),
            Some(mut left) => {
                if left.offer() {
                    kept.put(left);
                }
            }
            None => drop(EMPTY.wait_timeout(kept, OFFER)),
        }
    }
}

/// Sees to it, once, that a process forks with nothing kept and the lock open: its child has no
/// thread to look after anything, and would share the pages. False where the system cannot.
///
/// Done at the first look at kept memory at the latest. Whoever may fork while another thread takes
/// that look does it earlier.
#[allow(unsafe_code, reason = "a call of the system's, and functions for it to call")]
pub fn forks_are_safe() -> bool {
    unsafe extern "C" fn before() {
        let mut kept = lock();
        kept.all.clear();
        // In a thread that is ending the lock is opened again here, and something may be kept.
        let _ = FORKING.try_with(|lock| lock.set(Some(kept)));
    }
    unsafe extern "C" fn in_parent() {
        let _ = FORKING.try_with(|lock| drop(lock.take()));
    }
    unsafe extern "C" fn in_child() {
        let lock = FORKING.try_with(Cell::take).ok().flatten();
        if let Some(mut kept) = lock {
            kept.looked_after = false;
        }
    }
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    // SAFETY: the functions neither unwind nor wait for anything but the lock, which is never held
    // for long, and run in the thread that forks.
    *REGISTERED.get_or_init(|| unsafe {
        libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn kept(lengths: &[usize]) -> Kept {
        let mut kept = Kept { all: BTreeMap::new(), looked_after: false };
        for &length in lengths {
            let pages = MmapMut::map_anon(length).unwrap();
            kept.put(Left { pages, at: Instant::now(), offered: false });
        }
        kept
    }

    #[test]
    fn the_smallest_memory_that_is_long_enough_and_not_much_longer_is_taken() {
        let mut kept = kept(&[MIB, 3 * MIB, 2 * MIB, 2 * MIB + 4096]);
        let mut take = |length: usize| {
            kept.smallest(length..=length + length / SLACK).map(|left| left.pages.len())
        };
        assert_eq!(take(MIB + 1), None);
        assert_eq!(take(2 * MIB), Some(2 * MIB));
        assert_eq!(take(2 * MIB), Some(2 * MIB + 4096));
        assert_eq!(take(2 * MIB), None);
        assert_eq!(take(MIB - MIB / 20), Some(MIB));
        assert_eq!(kept.all.len(), 1);
    }

    #[test]
    fn memory_is_due_once_to_be_offered_and_once_to_be_returned() {
        let mut kept = kept(&[MIB, MIB, MIB]);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let same = kept.all.get_mut(&MIB).unwrap();
        same[0].at = after(18);
        (same[1].at, same[1].offered) = (after(18), true);
        (same[2].at, same[2].offered) = (start, true);
        assert!(kept.due(start).is_none());
        let mut due = || kept.due(after(20)).map(|left| left.offered);
        let due: Vec<bool> = std::iter::from_fn(&mut due).collect();
        assert_eq!(due, [false, true]);
        assert_eq!(kept.all[&MIB].len(), 1);
    }

    #[test]
    fn what_was_offered_can_be_written_again() {
        let mut left = kept(&[MIB]).largest().unwrap();
        left.pages.fill(1);
        assert!(left.offer());
        left.pages.fill(2);
        assert!(left.pages.iter().all(|&byte| byte == 2));
    }
}
