//! The single changes, each of them a step that a failpoint can end.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::{Errno, retry_on_intr};

use super::durability::Durability;
use crate::error::{Error, Result};

/// Passes one change of the file system; in a test build a failpoint may end it, or the process.
#[cfg(feature = "failpoints")]
pub(super) fn step<T>(name: &'static str, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    super::failpoint::pass(name, call)
}

#[cfg(not(feature = "failpoints"))]
pub(super) fn step<T>(_name: &'static str, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    call()
}

/// Creates `directory` and whatever is missing above it.
pub fn create_directories(directory: &Path, durability: Durability) -> Result<()> {
    let missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
        .collect();
    for path in missing.into_iter().rev() {
        match step("mkdir", || fs::create_dir(path)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("cannot create the directory", error).at_path(path));
            }
            _ => {}
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_directory(parent.unwrap_or(Path::new(".")), durability)?;
    }
    Ok(())
}

/// Flushes the names in `directory`, where `durability` asks for it.
pub fn sync_directory(directory: &Path, durability: Durability) -> Result<()> {
    if !durability.flushes_directories() {
        return Ok(());
    }
    let failed = |error| Error::io("cannot flush the directory", error).at_path(directory);
    let handle = fs::File::open(directory).map_err(failed)?;
    match step("fsync", || Ok(retry_on_intr(|| rustix::fs::fsync(&handle))?)) {
        // A file system without flushing of directories keeps names in its own way.
        Err(error) if !is_unsupported(&error) => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Flushes the content of a file that is already in place, where `durability` asks for it.
pub fn sync_file(path: &Path, durability: Durability) -> Result<()> {
    let failed = |error| Error::io("cannot flush the file", error).at_path(path);
    if !durability.flushes_files() {
        return Ok(());
    }
    let file = fs::File::open(path).map_err(failed)?;
    flush(&file).map_err(failed)
}

/// The names in `directory`, in no particular order.
pub fn list(directory: &Path) -> Result<Vec<OsString>> {
    let failed = |error| Error::io("cannot list the directory", error).at_path(directory);
    fs::read_dir(directory)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.file_name()).map_err(failed))
        .collect()
}

/// Removes a file; false where there is none.
pub fn remove(path: &Path) -> Result<bool> {
    match step("unlink", || fs::remove_file(path)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("cannot remove", error).at_path(path)),
    }
}

/// Removes a directory that is empty.
pub fn remove_directory(path: &Path) -> Result<()> {
    step("rmdir", || fs::remove_dir(path))
        .map_err(|error| Error::io("cannot remove the directory", error).at_path(path))
}

/// Gives the file `from` the name `to`, replacing what has it now.
///
/// Where the file system can, `from` stays as a second name of the same file until the caller
/// removes it, so that whoever relies on it loses nothing when a later step fails. Elsewhere the
/// file is renamed.
pub fn place(from: &Path, to: &Path, undo: &mut Undo) -> Result<()> {
    let failed =
        |error| Error::io(format!("cannot rename to {}", to.display()), error).at_path(from);
    let linked = match link(from, to) {
        // A name that nothing refers to, left behind by a writer that died.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove(to)?;
            link(from, to)
        }
        linked => linked,
    };
    if linked.is_ok() {
        undo.remove(to);
    } else {
        step("rename", || fs::rename(from, to)).map_err(failed)?;
        undo.0.push(Step::MoveBack { from: from.to_owned(), to: to.to_owned() });
    }
    Ok(())
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    let (here, follow) = (rustix::fs::CWD, rustix::fs::AtFlags::SYMLINK_FOLLOW);
    step("link", || Ok(rustix::fs::linkat(here, from, here, to, follow)?))
}

/// Changes to take back, the last one first, unless [`Undo::keep`] is called.
#[derive(Debug, Default)]
pub struct Undo(Vec<Step>);

#[derive(Debug)]
enum Step {
    Remove(PathBuf),
    MoveBack { from: PathBuf, to: PathBuf },
}

impl Undo {
    /// Removes `path` again.
    pub fn remove(&mut self, path: &Path) {
        self.0.push(Step::Remove(path.to_owned()));
    }

    /// The changes are part of something that has succeeded.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for change in self.0.drain(..).rev() {
            // The failure that brought us here is the one to report.
            let _ = match change {
                Step::Remove(path) => remove(&path).map(drop),
                Step::MoveBack { from, to } => step("rename", || fs::rename(&to, &from))
                    .map_err(|error| Error::io("cannot rename back", error)),
            };
        }
    }
}

/// Flushes the content of an open file, and of its metadata what is needed to read it back.
pub(super) fn flush(file: &fs::File) -> io::Result<()> {
    step("fdatasync", || Ok(retry_on_intr(|| rustix::fs::fdatasync(file))?))
}

/// Whether the file system lacks the operation, as opposed to failing at it.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A directory of this test, removed when it is over.
    pub(in super::super) struct Scratch(pub(in super::super) PathBuf);

    impl Scratch {
        pub(in super::super) fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ckptfast-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        pub(in super::super) fn names(&self) -> Vec<String> {
            let names = list(&self.0).unwrap().into_iter();
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn directories_are_created_down_to_the_last() {
        let scratch = Scratch::new("directories");
        let deep = scratch.0.join("a/../a/b/c");
        for durability in [Durability::Full, Durability::None] {
            create_directories(&deep, durability).unwrap();
            assert!(scratch.0.join("a/b/c").is_dir());
        }
        fs::write(scratch.0.join("file"), b"").unwrap();
        assert!(create_directories(&scratch.0.join("file/d"), Durability::None).is_err());
    }

    #[test]
    fn a_placed_file_keeps_its_old_name_until_the_change_is_kept() {
        let scratch = Scratch::new("place");
        let (from, to) = (scratch.0.join("from"), scratch.0.join("to"));
        fs::write(&from, b"new").unwrap();
        fs::write(&to, b"orphan").unwrap();
        let mut undo = Undo::default();
        place(&from, &to, &mut undo).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert_eq!(fs::read(&from).unwrap(), b"new");
        drop(undo);
        assert_eq!(scratch.names(), ["from"]);

        let mut undo = Undo::default();
        place(&from, &to, &mut undo).unwrap();
        undo.keep();
        assert!(remove(&from).unwrap());
        assert!(!remove(&from).unwrap());
        assert_eq!(scratch.names(), ["to"]);
    }

    #[test]
    fn flushing_a_directory_that_is_gone_is_an_error() {
        let scratch = Scratch::new("gone");
        assert!(sync_directory(&scratch.0.join("x"), Durability::Full).is_err());
        assert!(sync_directory(&scratch.0.join("x"), Durability::Rename).is_ok());
    }
}
