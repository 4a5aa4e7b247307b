//! Replacing a bundle by a new one: the rename of the index is the only commit.
//!
//! The names of data files follow from the number of them in the header, so new data takes names
//! that the live index does not use: a prefix that is written again and again alternates between
//! one and two data files. The old bundle stays whole until the new index is in its place; the
//! files it named go last.
//!
//! Writers of one prefix take turns (`turn`) from the last look at the live index to that removal.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::entry::Header;
use super::index;
use super::naming;
use crate::error::{Error, ErrorKind, Result};
use crate::io::File;
use crate::io::atomic::{self, Durability, TempFile, Turn, Undo};
use crate::table::Table;

/// The header counts data files in 31 bits.
const MAX_SHARDS: u32 = i32::MAX.cast_unsigned();

/// What is at a prefix before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Live {
    /// No index, so no bundle.
    Absent,
    /// A bundle of this many data files.
    Shards(u32),
    /// An index that says nothing we can rely on.
    Unreadable,
}

impl Live {
    /// Looks at the index of `prefix`.
    pub(super) fn read(prefix: &Path) -> Self {
        match read_header(prefix) {
            Ok(header) => Self::Shards(header.num_shards),
            Err(error) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => Self::Absent,
            Err(_) => Self::Unreadable,
        }
    }
}

fn read_header(prefix: &Path) -> Result<Header> {
    let index = index::read(&File::open(&naming::index_path(prefix))?)?;
    let value = Table::parse(&index)?.get(&index, b"")?;
    Header::decode(&value.ok_or_else(|| Error::corruption("the index has no bundle header"))?)
}

/// The smallest number of data files, from `least` on, whose names the new bundle may take.
///
/// Names that the live header does not use are free even where such files exist: nothing refers to
/// them. Where the live index cannot be read nothing is known about any existing data file, so a
/// number is free only when there is no file of it.
pub(super) fn free_count(prefix: &Path, live: Live, least: u32) -> Result<u32> {
    let taken = match live {
        Live::Absent => BTreeSet::new(),
        Live::Shards(number) => BTreeSet::from([number]),
        Live::Unreadable => {
            data_names(prefix)?.into_iter().map(|(_, num_shards)| num_shards).collect()
        }
    };
    let number = (least..=MAX_SHARDS).find(|number| !taken.contains(number));
    number.ok_or_else(|| Error::invalid("there are too many data files"))
}

/// Shard and number of shards of every data file of `prefix`.
fn data_names(prefix: &Path) -> Result<Vec<(u32, u32)>> {
    let stem = naming::stem(prefix);
    let names = atomic::list(&naming::directory(prefix))?;
    let parsed = names.iter().filter_map(|name| naming::parse_data_name(name.as_ref()));
    let ours = parsed.filter(|(prefix, _, _)| *prefix == stem);
    Ok(ours.map(|(_, shard, num_shards)| (shard, num_shards)).collect())
}

/// Removes temporary files that dead writers of `prefix` have left.
pub(super) fn sweep(prefix: &Path) {
    let stem = naming::stem(prefix);
    let index = naming::index_path(&stem);
    atomic::sweep(&naming::directory(prefix), |target| {
        target == index
            || naming::parse_data_name(target).is_some_and(|(of, _, _)| of == stem)
            || may_be_cut(target.as_os_str().as_bytes(), stem.as_os_str().as_bytes())
    });
}

/// Whether a name may be what is left of one of the files' that begin with `stem`.
fn may_be_cut(name: &[u8], stem: &[u8]) -> bool {
    let begins = |rest: &[u8]| {
        rest.starts_with(b".data-") || b".data-".starts_with(rest) || b".index".starts_with(rest)
    };
    name.len() >= atomic::SHORTEST_CUT
        && (stem.starts_with(name) || name.strip_prefix(stem).is_some_and(begins))
}

/// Waits until no other writer of ours commits in the directory of `prefix`.
///
/// Without it, a writer that began before the bundle was replaced by another would take the names
/// of that one's data, or have its own data removed as that of a replaced bundle.
pub(super) fn turn(prefix: &Path) -> Turn {
    Turn::wait(&naming::directory(prefix))
}

/// Makes `index`, written and flushed, the index of `prefix`. The data files it names have their
/// names; `undo` takes those back when the commit does not happen.
///
/// # Errors
/// Before the commit: nothing has changed. After it, when only the last flush fails: the new
/// bundle is in place, and nothing of the old one may be removed.
pub(super) fn publish(
    prefix: &Path,
    index: TempFile,
    undo: Undo,
    durability: Durability,
) -> Result<()> {
    let directory = naming::directory(prefix);
    atomic::sync_directory(&directory, durability)?;
    index.publish()?;
    undo.keep();
    atomic::sync_directory(&directory, durability).map_err(|error| match error.kind() {
        ErrorKind::Io => Error::io(
            "the checkpoint is in place, but a power failure may still undo it: cannot flush the \
             directory",
            error.raw_os_error().map_or_else(
                || std::io::ErrorKind::Other.into(),
                std::io::Error::from_raw_os_error,
            ),
        )
        .at_path(&directory),
        _ => error,
    })
}

/// Removes the data files that a replaced header named and the new one does not.
pub(super) fn remove_replaced(prefix: &Path, live: Live, num_shards: u32) {
    let Live::Shards(replaced) = live else { return };
    if replaced == num_shards {
        return;
    }
    // The save has succeeded. Data that cannot be removed is data that nothing refers to.
    for (shard, of) in data_names(prefix).unwrap_or_default() {
        if of == replaced {
            let _ = atomic::remove(&naming::data_path(prefix, shard, of));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_long_name_is_found_and_nothing_else() {
        let stem = |length: usize| "n".repeat(length).into_bytes();
        let of = |length: usize, rest: &str| [&stem(length), rest.as_bytes()].concat();
        assert!(may_be_cut(&stem(225), &stem(235)));
        for name in [of(225, ""), of(220, ".data"), of(219, ".index"), of(210, ".data-00000-of-")] {
            let own = name.iter().take_while(|&&byte| byte == b'n').count();
            assert!(may_be_cut(&name, &stem(own)));
        }
        for (name, own) in [
            (of(210, ".index"), 210),
            (of(225, ""), 224),
            (of(220, ".meta"), 220),
            (of(220, "other"), 220),
        ] {
            assert!(!may_be_cut(&name, &stem(own)));
        }
    }
}
