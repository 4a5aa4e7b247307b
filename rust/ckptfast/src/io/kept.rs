//! Memory that its last user has left, kept a while for the next one.
//!
//! The system zeroes fresh memory before it gives it to a process, which takes longer than copying
//! a value into it. Whoever restores again, loads one checkpoint after the other or copies through
//! buffers of a few megabytes asks again and again for memory of the same lengths.
//!
//! What is kept is soon offered to the system, which takes it without asking when memory is short;
//! it never outlasts [`KEEP`]; and as much of it as does not fit goes back before fresh memory is
//! taken, so that the most memory a process has at a time does not grow. Until then it counts as
//! resident.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::sync::{Mutex, MutexGuard};
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

/// Attempts to look at what is kept. Others are at it for less than a microsecond; but a process
/// that was forked in that moment never sees the lock opened, so that nobody waits for it.
const ATTEMPTS: usize = 1000;

static KEPT: Mutex<Kept> = Mutex::new(Kept { all: BTreeMap::new(), keeper: None });

#[derive(Debug, Default)]
struct Kept {
    /// By length; of one length the last one to be left comes last. No list is empty.
    all: BTreeMap<usize, Vec<Left>>,
    /// The process whose thread looks after it, where there is something to look after.
    keeper: Option<u32>,
}

#[derive(Debug)]
struct Left {
    pages: MmapMut,
    at: Instant,
    offered: bool,
}

/// Kept memory for a value of `length` bytes, holding anything.
pub fn take(length: usize) -> Option<MmapMut> {
    look()?.take(length..=length.saturating_add(length / SLACK)).map(|left| left.pages)
}

/// Gives back memory, `length` bytes if there are as many: for whoever found nothing that fits and
/// takes fresh memory instead.
pub fn make_room(length: usize) {
    let mut returned = Vec::new();
    let mut room = 0;
    let mut kept = look();
    while room < length
        && let Some(left) = kept.as_mut().and_then(|kept| kept.take(..))
    {
        room += left.pages.len();
        returned.push(left);
    }
    drop(kept);
}

/// Gives back everything; returns the number of bytes.
pub fn release() -> usize {
    let returned = look().map(|mut kept| std::mem::take(&mut kept.all)).unwrap_or_default();
    returned.values().flatten().map(|left| left.pages.len()).sum()
}

/// Keeps memory that nobody uses any more; gives it back at once where it cannot be kept.
pub fn keep(pages: MmapMut) {
    let Some(mut kept) = look() else { return };
    if kept.keeper.is_none() {
        if std::thread::Builder::new().name("ckptfast-memory".into()).spawn(look_after).is_err() {
            return;
        }
        kept.keeper = Some(std::process::id());
    }
    kept.put(Left { pages, at: Instant::now(), offered: false });
}

impl Kept {
    fn put(&mut self, left: Left) {
        self.all.entry(left.pages.len()).or_default().push(left);
    }

    /// The smallest memory of these lengths, or, of the same, the one left last.
    fn take(&mut self, lengths: impl RangeBounds<usize>) -> Option<Left> {
        let (&length, same) = self.all.range_mut(lengths).next()?;
        let left = same.pop();
        if same.is_empty() {
            self.all.remove(&length);
        }
        left
    }

    /// What is to be offered or given back now.
    fn take_due(&mut self) -> Vec<Left> {
        let mut due = Vec::new();
        self.all.retain(|_, same| {
            due.extend(same.extract_if(.., |left| left.at.elapsed() >= left.term()));
            !same.is_empty()
        });
        due
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
        std::thread::sleep(OFFER);
        // Without the lock: to offer or to return a gigabyte can take some milliseconds.
        let mut due = look().map(|mut kept| kept.take_due()).unwrap_or_default();
        due.retain_mut(|left| !left.offered && left.offer());
        let Some(mut kept) = look() else { continue };
        for left in due {
            kept.put(left);
        }
        if kept.all.is_empty() {
            kept.keeper = None;
            return;
        }
    }
}

fn look() -> Option<MutexGuard<'static, Kept>> {
    let mut kept = (0..ATTEMPTS).find_map(|_| {
        std::hint::spin_loop();
        KEPT.try_lock().ok()
    })?;
    // A forked process has no such thread, and shares the pages: to write to one copies it first.
    if kept.keeper.is_some_and(|keeper| keeper != std::process::id()) {
        *kept = Kept::default();
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn kept(lengths: &[usize]) -> Kept {
        let mut kept = Kept::default();
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
            kept.take(length..=length + length / SLACK).map(|left| left.pages.len())
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
        assert!(kept.take_due().is_empty());
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        let same = kept.all.get_mut(&MIB).unwrap();
        same[0].at = ago(2);
        (same[1].at, same[1].offered) = (ago(2), true);
        (same[2].at, same[2].offered) = (ago(20), true);
        let due: Vec<bool> = kept.take_due().iter().map(|left| left.offered).collect();
        assert_eq!(due, [false, true]);
        assert_eq!(kept.all[&MIB].len(), 1);
    }

    #[test]
    fn what_was_offered_can_be_written_again() {
        let mut left = kept(&[MIB]).take(..).unwrap();
        left.pages.fill(1);
        assert!(left.offer());
        left.pages.fill(2);
        assert!(left.pages.iter().all(|&byte| byte == 2));
    }
}
