//! File names of a bundle: `PREFIX.index` and `PREFIX.data-SSSSS-of-NNNNN`.
//!
//! A prefix is text in front of a suffix, not a path with a meaning of its own: it may end in `/`
//! (the files are then `.index` and so on in that directory), and nothing is normalised.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::proto::wire::{Field, next_field};
use crate::table;

const INDEX: &str = ".index";
const DATA: &str = ".data-";
const OF: &str = "-of-";

/// The metadata file of the bundle at `prefix`.
pub fn index_path(prefix: &Path) -> PathBuf {
    append(prefix, INDEX)
}

/// Data file number `shard` of `num_shards`. Five digits are the least, not the most.
pub fn data_path(prefix: &Path, shard: u32, num_shards: u32) -> PathBuf {
    append(prefix, &format!("{DATA}{shard:05}{OF}{num_shards:05}"))
}

/// Prefix, shard and number of shards behind the path (or name) of a data file.
///
/// `None` for everything that [`data_path`] does not make, such as a number with too many zeros.
pub fn parse_data_name(path: &Path) -> Option<(PathBuf, u32, u32)> {
    let bytes = path.as_os_str().as_bytes();
    let at = bytes.windows(DATA.len()).rposition(|window| window == DATA.as_bytes())?;
    let (prefix, suffix) = bytes.split_at_checked(at)?;
    let numbers = std::str::from_utf8(suffix).ok()?.strip_prefix(DATA)?;
    let (shard, num_shards) = numbers.split_once(OF)?;
    let (shard, num_shards) = (shard.parse().ok()?, num_shards.parse().ok()?);
    let prefix = PathBuf::from(OsStr::from_bytes(prefix));
    let canonical = shard < num_shards && data_path(&prefix, shard, num_shards) == path;
    canonical.then_some((prefix, shard, num_shards))
}

/// The number of shards that an index gives, from its first bytes.
///
/// `None` where they do not say. Whoever deletes or skips a damaged checkpoint needs to know which
/// files it has, although nothing else of it can be read.
pub fn shard_count(head: &[u8]) -> Option<u32> {
    let mut header = table::first_value(head)?;
    while let Ok(Some((number, field))) = next_field(&mut header) {
        if let (1, Field::Varint(count)) = (number, field) {
            return u32::try_from(count).ok().filter(|&count| 0 < count && count < 1 << 31);
        }
    }
    None
}

/// The directory that holds the files of `prefix`.
pub fn directory(prefix: &Path) -> PathBuf {
    match index_path(prefix).parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What the files of `prefix` begin with inside [`directory`]; empty for a prefix that ends in `/`.
pub fn stem(prefix: &Path) -> PathBuf {
    let index = index_path(prefix);
    let name = index.file_name().unwrap_or_default().as_bytes();
    let stem = name.strip_suffix(INDEX.as_bytes()).unwrap_or(name);
    PathBuf::from(OsStr::from_bytes(stem))
}

fn append(prefix: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(prefix);
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_concatenated_and_numbers_may_outgrow_five_digits() {
        let name = |prefix: &str, shard, num| data_path(Path::new(prefix), shard, num);
        assert_eq!(name("d/m-1", 0, 1), Path::new("d/m-1.data-00000-of-00001"));
        assert_eq!(name("m", 7, 100_000), Path::new("m.data-00007-of-100000"));
        assert_eq!(name("d/", 0, 2).as_os_str(), "d/.data-00000-of-00002");
        assert_eq!(index_path(Path::new("a.ckpt")).as_os_str(), "a.ckpt.index");
        assert_eq!(index_path(Path::new("d/")).as_os_str(), "d/.index");
    }

    #[test]
    fn data_names_parse_back_to_what_made_them() {
        for prefix in ["m", "d/m", "d/", "", "m.data-00000-of-00001", "m.data-"] {
            for (shard, num) in [(0, 1), (4, 7), (99_999, 123_456)] {
                let path = data_path(Path::new(prefix), shard, num);
                assert_eq!(parse_data_name(&path), Some((prefix.into(), shard, num)), "{prefix}");
            }
        }
    }

    #[test]
    fn names_that_are_not_ours_do_not_parse() {
        for name in [
            "m.data-00001-of-00001",
            "m.data-000000-of-00001",
            "m.data-0-of-1",
            "m.data-00000-of-00000",
            "m.data-+0000-of-00001",
            "m.data-00000-of-00001.tempstate123",
            "m.data-00000",
            "m.index",
        ] {
            assert_eq!(parse_data_name(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn directory_and_stem_split_a_prefix_where_its_files_are() {
        for (prefix, directory_, stem_) in [
            ("m", ".", "m"),
            ("d/m", "d", "m"),
            ("d/", "d", ""),
            ("/m", "/", "m"),
            ("d/.", "d", "."),
        ] {
            let prefix = Path::new(prefix);
            assert_eq!(directory(prefix), Path::new(directory_));
            assert_eq!(stem(prefix).as_os_str(), stem_);
        }
    }
}
