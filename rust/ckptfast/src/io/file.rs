//! A file opened for reading, with its length and the kind of file system it lies on.

use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::io::{ReadWriteFlags, preadv2};

use super::zeroed;
use crate::error::{Error, Result};

/// Some systems refuse single reads and writes of 2 GiB and more.
pub(super) const MAX_TRANSFER: usize = 1 << 30;

/// Distance of the samples that tell whether a file is cached.
const SAMPLE: usize = 1 << 20;

/// `f_type` of file systems whose pages may vanish or come over a wire, from `statfs(2)`: a page
/// fault there is slow, and an error in one kills the process instead of failing a call.
const NETWORK_FILE_SYSTEMS: [u64; 14] = [
    0x0000_6969, // NFS
    0x0000_517b, // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x0bd0_0bd0, // Lustre
    0x6573_5546, // FUSE
    0x0102_1997, // 9p
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x6b41_4653, // kAFS
    0x4750_4653, // GPFS
    0x1983_0326, // BeeGFS
    0x0116_1970, // GFS2
    0x7461_636f, // OCFS2
];

/// An open file. Its length is that at the time of opening.
#[derive(Debug)]
pub struct File {
    handle: std::fs::File,
    path: PathBuf,
    length: u64,
}

impl File {
    /// Opens `path` for reading.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("cannot open", error).at_path(path);
        // To open a pipe would wait for a writer. It has no length, so nothing is read from one.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut options = std::fs::File::options();
        let handle = options.read(true).custom_flags(flags).open(path).map_err(failed)?;
        let metadata = handle.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        Ok(Self { handle, path: path.to_owned(), length: metadata.len() })
    }

    /// The whole content, for files known to be small (an index).
    ///
    /// # Errors
    /// `Io` also where there is no memory for it.
    pub fn read_all(&self) -> Result<Vec<u8>> {
        let length = usize::try_from(self.length)
            .map_err(|_| Error::unsupported("file is too large").at_path(&self.path))?;
        let mut bytes = zeroed(length)?;
        self.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Fills `target` from byte `offset` on.
    ///
    /// # Errors
    /// `Corruption` when the file ends before `target` is full; it was cut after it was opened.
    pub fn read_at(&self, target: &mut [u8], mut offset: u64) -> Result<()> {
        for part in target.chunks_mut(MAX_TRANSFER) {
            let length = part.len() as u64;
            self.handle.read_exact_at(part, offset).map_err(|error| {
                let error = match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => Error::corruption("file ends too early"),
                    _ => Error::io("cannot read", error),
                };
                error.at_path(&self.path).with_range(offset, length)
            })?;
            offset += length;
        }
        Ok(())
    }

    /// Whether another file has its path now. One that was only removed is not replaced.
    pub fn is_replaced(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|there| !self.has(&there))
    }

    /// The same file opened once more; `None` where its path leads elsewhere by now.
    pub fn open_again(&self) -> Option<Self> {
        let handle = std::fs::File::open(&self.path).ok()?;
        let metadata = handle.metadata().ok()?;
        self.has(&metadata).then(|| Self { handle, path: self.path.clone(), length: self.length })
    }

    fn has(&self, there: &std::fs::Metadata) -> bool {
        let here = self.handle.metadata();
        here.is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()))
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes when it was opened.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether the file lies on a network (or user-space) file system.
    pub fn on_network(&self) -> bool {
        rustix::fs::fstatfs(&self.handle).is_ok_and(|statistics| {
            // The magic numbers are 32 bits; the field's type and sign vary between platforms.
            let kind = u64::from_ne_bytes(statistics.f_type.to_ne_bytes()) & 0xffff_ffff;
            NETWORK_FILE_SYSTEMS.contains(&kind)
        })
    }

    /// Whether `offset .. offset + length` seems to be in the page cache, by a few samples.
    pub fn is_cached(&self, offset: u64, length: u64) -> bool {
        (offset..offset.saturating_add(length)).step_by(SAMPLE).all(|at| {
            let mut byte = [0];
            let mut buffers = [std::io::IoSliceMut::new(&mut byte)];
            let read = preadv2(&self.handle, &mut buffers, at, ReadWriteFlags::NOWAIT);
            // A file system that cannot tell is taken for a fast one.
            !matches!(read, Err(rustix::io::Errno::AGAIN))
        })
    }

    pub(super) fn handle(&self) -> &std::fs::File {
        &self.handle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_again_only_while_its_path_leads_to_it() {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("ckptfast-again-{}", std::process::id()));
        let other = path.with_extension("new");
        std::fs::write(&path, b"old").unwrap();
        let file = File::open(&path).unwrap();
        let again = file.open_again().unwrap();
        assert!(!file.is_replaced());
        std::fs::write(&other, b"new").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(file.is_replaced());
        assert!(file.open_again().is_none());
        let mut bytes = [0; 3];
        again.read_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"old");
        std::fs::remove_file(&path).unwrap();
        assert!(!file.is_replaced());
        assert!(file.open_again().is_none());
    }
}
