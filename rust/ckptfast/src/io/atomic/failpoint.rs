//! Ends a write at a chosen step, to see what it leaves behind. Test builds only.
//!
//! Steps count from 1 in the order in which they are passed. `CKPTFAST_KILL_AT=N` kills the
//! process (`SIGKILL`) before step `N`, `CKPTFAST_KILL_AT=N+` right after it;
//! `CKPTFAST_FAIL_AT=N:ENOSPC` (or `EIO`) fails step `N` instead of doing it.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

static PASSED: Mutex<Vec<&str>> = Mutex::new(Vec::new());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    KillBefore,
    KillAfter,
    Fail(Errno),
}

/// The names of all steps so far.
pub fn passed() -> Vec<&'static str> {
    PASSED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(super) fn pass<T>(name: &'static str, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    static PLAN: OnceLock<Option<(usize, Action)>> = OnceLock::new();
    let number = {
        let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
        passed.push(name);
        passed.len()
    };
    let plan = PLAN.get_or_init(plan).filter(|(at, _)| *at == number).map(|(_, action)| action);
    if plan == Some(Action::KillBefore) {
        kill();
    }
    if let Some(Action::Fail(errno)) = plan {
        return Err(errno.into());
    }
    let result = call();
    if plan == Some(Action::KillAfter) {
        kill();
    }
    result
}

fn plan() -> Option<(usize, Action)> {
    let (variable, plan) = if let Ok(text) = std::env::var("CKPTFAST_KILL_AT") {
        ("CKPTFAST_KILL_AT", parse_kill(&text))
    } else if let Ok(text) = std::env::var("CKPTFAST_FAIL_AT") {
        ("CKPTFAST_FAIL_AT", parse_fail(&text))
    } else {
        return None;
    };
    if plan.is_none() {
        // A test that kills nothing would pass for the wrong reason.
        eprintln!("cannot understand {variable}");
        std::process::exit(2);
    }
    plan
}

fn parse_kill(text: &str) -> Option<(usize, Action)> {
    match text.strip_suffix('+') {
        Some(number) => Some((number.parse().ok()?, Action::KillAfter)),
        None => Some((text.parse().ok()?, Action::KillBefore)),
    }
}

fn parse_fail(text: &str) -> Option<(usize, Action)> {
    let (number, name) = text.split_once(':')?;
    let errno = match name {
        "ENOSPC" => Errno::NOSPC,
        "EIO" => Errno::IO,
        _ => return None,
    };
    Some((number.parse().ok()?, Action::Fail(errno)))
}

fn kill() {
    let _ = kill_process(getpid(), Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_parse() {
        assert_eq!(parse_kill("3"), Some((3, Action::KillBefore)));
        assert_eq!(parse_kill("12+"), Some((12, Action::KillAfter)));
        assert_eq!(parse_kill("+"), None);
        assert_eq!(parse_fail("4:ENOSPC"), Some((4, Action::Fail(Errno::NOSPC))));
        assert_eq!(parse_fail("4:ENOENT"), None);
    }
}
