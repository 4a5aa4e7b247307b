//! Temporary files: written beside their target, renamed onto it, swept when their writer died.
//!
//! A name is that of the target and `.ckptfast-HOST-RANDOM.tmp`, with a hash of the host's name: no
//! longer than what TensorFlow appends (`.tempstate` and up to 20 digits). Where the whole would be
//! longer than a name can be, the target's name is cut. The file is locked (`flock`) while its writer
//! lives, and the lock goes with the process, however it ends: a temporary file of this host whose
//! lock is free is nobody's. Other hosts are left alone, because locks may not reach across a
//! network file system.

use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use rustix::io::{Errno, retry_on_intr};

use super::changes::{flush, is_unsupported, list, remove, step};
use super::durability::Durability;
use crate::crc32c;
use crate::error::{Error, Result};

const MARK: &[u8] = b".ckptfast-";
const END: &[u8] = b".tmp";

/// Bytes of the longest name of a file.
const NAME_MAX: usize = 255;
/// Bytes that a temporary name has after the target's.
const ADDED: usize = 30;
/// A target's name in that of a temporary file may be cut if it is this long, and never if not.
pub const SHORTEST_CUT: usize = NAME_MAX - ADDED - 3;

/// Some systems refuse single writes of 2 GiB and more.
const MAX_TRANSFER: usize = (1 << 30) - 4096;

/// How often a name that turns out to be taken is drawn again.
const ATTEMPTS: usize = 16;

/// A file that is not yet what it is going to be. Dropped unpublished, it is removed.
#[derive(Debug)]
pub struct TempFile {
    file: fs::File,
    path: PathBuf,
    target: PathBuf,
    published: bool,
}

impl TempFile {
    /// Creates an empty file beside `target`, with the mode that the umask grants.
    pub fn create(target: &Path) -> Result<Self> {
        let failed = |error| Error::io("cannot create", error).at_path(target);
        for _ in 0..ATTEMPTS {
            let path = temp_path(target);
            let mut options = fs::File::options();
            options.read(true).write(true).create_new(true);
            let file = match step("create", || options.open(&path)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file.map_err(failed)?,
            };
            let temp = Self { file, path, target: target.to_owned(), published: false };
            if lock(&temp.file).map_err(failed)? {
                return Ok(temp);
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Makes the file `length` bytes long and reserves the room for them, so that a full disk is
    /// found before anything is written. Bytes never written read as zero.
    pub fn reserve(&self, length: u64) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        let allocate = || {
            let call = || rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, length);
            Ok(retry_on_intr(call)?)
        };
        let reserved = match step("fallocate", allocate) {
            // Without reservations a full disk is found by the write that hits it.
            Err(error) if is_unsupported(&error) => step("ftruncate", || self.file.set_len(length)),
            reserved => reserved,
        };
        reserved.map_err(|error| {
            Error::io(format!("cannot reserve {length} bytes"), error).at_path(&self.target)
        })
    }

    /// Writes all of `bytes` from byte `offset` on.
    pub fn write_at(&self, mut bytes: &[u8], mut offset: u64) -> Result<()> {
        while !bytes.is_empty() {
            let part = bytes.get(..MAX_TRANSFER).unwrap_or(bytes);
            let write = || Ok(retry_on_intr(|| rustix::io::pwrite(&self.file, part, offset))?);
            let written = match step("write", write) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                written => written,
            };
            let written = written.map_err(|error| {
                Error::io("cannot write", error)
                    .at_path(&self.target)
                    .with_range(offset, part.len() as u64)
            })?;
            bytes = bytes.get(written..).unwrap_or_default();
            offset += written as u64;
        }
        Ok(())
    }

    /// Has the system begin to flush what was written to `range`, where a flush will follow. The disk
    /// then works while the rest is still being written.
    pub fn begin_sync(&self, range: Range<u64>, durability: Durability) {
        let length = NonZeroU64::new(range.end.saturating_sub(range.start));
        if !durability.flushes_files() || length.is_none() {
            return;
        }
        // Linux writes out what it is told is not needed, and keeps in its cache what is not yet
        // written. A hint: the flush itself tells of errors.
        let _ = rustix::fs::fadvise(&self.file, range.start, length, Advice::DontNeed);
    }

    /// Flushes the content, where `durability` asks for it.
    ///
    /// # Errors
    /// Final: the content may be lost whatever a second flush would say.
    pub fn sync(&self, durability: Durability) -> Result<()> {
        if !durability.flushes_files() {
            return Ok(());
        }
        flush(&self.file).map_err(|error| {
            Error::io("cannot flush to disk, so nothing was changed", error).at_path(&self.target)
        })
    }

    /// Where the file is going.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Renames the file onto its target.
    pub fn publish(mut self) -> Result<()> {
        step("rename", || fs::rename(&self.path, &self.target))
            .map_err(|error| Error::io("cannot rename into place", error).at_path(&self.target))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is swept by the next writer.
            let _ = remove(&self.path);
        }
    }
}

/// Removes temporary files of dead writers from `directory`: those of this host whose lock is free
/// and whose target's name is one of `ours`.
pub fn sweep(directory: &Path, ours: impl Fn(&Path) -> bool) {
    // Tidying up; a file that cannot be opened, locked or removed stays, and the write goes on.
    for name in list(directory).unwrap_or_default() {
        let stale =
            parse_temp_name(&name).is_some_and(|(target, on)| on == host() && ours(&target));
        let path = directory.join(&name);
        let open = || fs::File::options().read(true).write(true).open(&path);
        if stale && let Ok(file) = open() {
            // A writer that is just about to lock its new file finds it unlinked, and starts over.
            let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if free && is_linked(&file).unwrap_or(false) {
                let _ = remove(&path);
            }
        }
    }
}

/// Locks a file just created; false where a sweeper has come in between.
fn lock(file: &fs::File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        // On a file system without locks nobody can take the file for a dead writer's either.
        Ok(()) | Err(_) => is_linked(file),
    }
}

fn is_linked(file: &fs::File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() > 0)
}

fn temp_path(target: &Path) -> PathBuf {
    let random = RandomState::new().build_hasher().finish() >> 36;
    let mut name = cut(target.file_name().unwrap_or_default().as_bytes()).to_vec();
    name.extend(format!(".ckptfast-{:08x}-{random:07x}.tmp", host()).into_bytes());
    target.with_file_name(OsString::from_vec(name))
}

/// As much of a name as leaves room for what is added, and no part of a character of UTF-8.
fn cut(name: &[u8]) -> &[u8] {
    let is_inside = |at: &usize| name.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let mut ends = (SHORTEST_CUT..=NAME_MAX - ADDED).rev();
    let end = ends.find(|end| !is_inside(end)).unwrap_or(NAME_MAX - ADDED);
    name.get(..end).unwrap_or(name)
}

/// The target's name and the host behind the name of a temporary file.
fn parse_temp_name(name: &OsString) -> Option<(PathBuf, u32)> {
    let stem = name.as_bytes().strip_suffix(END)?;
    let at = stem.windows(MARK.len()).rposition(|window| window == MARK)?;
    let (target, mark) = stem.split_at_checked(at)?;
    let mut fields = std::str::from_utf8(mark.strip_prefix(MARK)?).ok()?.split('-');
    let host = u32::from_str_radix(fields.next().filter(|field| field.len() == 8)?, 16).ok()?;
    u32::from_str_radix(fields.next().filter(|field| field.len() == 7)?, 16).ok()?;
    fields.next().is_none().then(|| (OsString::from_vec(target.to_vec()).into(), host))
}

fn host() -> u32 {
    crc32c::value(rustix::system::uname().nodename().to_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::changes::tests::Scratch;
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let scratch = Scratch::new("publish");
        let target = scratch.0.join("m.index");
        fs::write(&target, b"old").unwrap();
        let write = || {
            let temp = TempFile::create(&target).unwrap();
            temp.reserve(6).unwrap();
            temp.write_at(b"new", 3).unwrap();
            temp.sync(Durability::Full).unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"old");
            temp
        };
        drop(write());
        assert_eq!(scratch.names(), ["m.index"]);
        write().publish().unwrap();
        assert_eq!(scratch.names(), ["m.index"]);
        assert_eq!(fs::read(&target).unwrap(), b"\0\0\0new");
    }

    #[test]
    fn a_file_that_cannot_be_renamed_is_removed() {
        let scratch = Scratch::new("rename");
        let target = scratch.0.join("m.index");
        fs::create_dir(&target).unwrap();
        let error = TempFile::create(&target).unwrap().publish().unwrap_err();
        assert_eq!(error.path(), Some(target.as_path()));
        assert_eq!(scratch.names(), ["m.index"]);
    }

    #[test]
    fn only_dead_files_of_this_host_and_of_our_targets_are_swept() {
        let scratch = Scratch::new("sweep");
        let alive = TempFile::create(&scratch.0.join("m.index")).unwrap();
        let dead = |name: &str| fs::write(scratch.0.join(name), b"").unwrap();
        let (here, elsewhere) = (host(), host() ^ 1);
        let keep = [
            format!("m.index.ckptfast-{elsewhere:08x}-{:07x}.tmp", 2),
            format!("other.index.ckptfast-{here:08x}-{:07x}.tmp", 3),
            format!("m.index.ckptfast-{here:08x}-x{:06x}.tmp", 4),
            format!("m.index.ckptfast-{here:08x}-{:07x}.tmp.txt", 5),
            "m.index.tempstate17".to_owned(),
            "m.index".to_owned(),
        ];
        for name in &keep {
            dead(name);
        }
        dead(&format!("m.index.ckptfast-{here:08x}-{:07x}.tmp", 1));
        sweep(&scratch.0, |target| target == Path::new("m.index"));
        let mut left = keep.to_vec();
        left.push(alive.path.file_name().unwrap().to_str().unwrap().to_owned());
        left.sort();
        assert_eq!(scratch.names(), left);
        alive.publish().unwrap();
    }

    #[test]
    fn names_grow_no_longer_than_tensorflows() {
        let grown = temp_path(Path::new("m.data-00000-of-00001")).as_os_str().len();
        assert!(grown - "m.data-00000-of-00001".len() <= ".tempstate12345678901234567890".len());
    }

    #[test]
    fn a_name_near_the_limit_is_cut_between_characters() {
        for (target, kept) in [
            ("n".repeat(225), 225),
            ("n".repeat(255), 225),
            ("\u{fc}".repeat(120), 224),
            ("\u{1d11e}".repeat(60), 224),
        ] {
            let path = temp_path(&Path::new("d").join(&target));
            assert_eq!(path.parent(), Some(Path::new("d")));
            let name = path.file_name().unwrap().to_owned();
            assert_eq!(name.len(), kept + ADDED);
            let parsed = parse_temp_name(&name).unwrap().0;
            assert_eq!(parsed.to_str(), target.get(..kept));
        }
    }

    #[test]
    fn a_file_swept_before_it_was_locked_is_not_used() {
        let scratch = Scratch::new("race");
        let path = scratch.0.join("t");
        let file = fs::File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!lock(&file).unwrap());
    }
}
