//! A process forked while other threads look at kept memory can look at it too. A process of its
//! own: nothing was ever kept in it.
#![allow(unsafe_code, reason = "forks, and what a child may call")]

use std::sync::atomic::{AtomicBool, Ordering};

use ckptfast::io::{forks_are_safe, release_memory};

/// Forks; the child looks at kept memory and ends. Its status.
fn look_in_a_child() -> i32 {
    // SAFETY: the child allocates nothing and never returns.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above. A child that waits for ever is killed; others take no time.
        unsafe {
            libc::alarm(300);
            release_memory();
            libc::_exit(0);
        }
    }
    let mut status = -1;
    // SAFETY: `status` lives until the call returns.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}

#[test]
fn a_lock_that_another_thread_held_at_the_fork_is_open_in_the_child() {
    assert!(forks_are_safe());
    let over = AtomicBool::new(false);
    let failed = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    release_memory();
                }
            });
        }
        let failed = (0..200).map(|_| look_in_a_child()).find(|&status| status != 0);
        over.store(true, Ordering::Relaxed);
        failed
    });
    assert_eq!(failed, None);
}
