//! How much of a write is on disk when it returns.

/// What is on disk, rather than only in the kernel's memory, when a write returns.
///
/// Every level survives the death of the process at any instant, because the renames are in the
/// same order. They differ in what a power failure (or a crash of the kernel) may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Files are flushed before they are renamed, directories before and after the rename that
    /// counts and before anything old is removed: a power failure at any instant leaves the old or
    /// the new bundle whole, after the return the new one.
    #[default]
    Full,
    /// Files are flushed before they are renamed, directories are left to the file system. One
    /// that keeps the order of renames (ext4, XFS and Btrfs do) leaves the old or the new bundle
    /// whole, but for some seconds after the return it may be the old one.
    Rename,
    /// Nothing is flushed: a power failure within the next half minute may leave neither.
    None,
}

impl Durability {
    pub(super) fn flushes_files(self) -> bool {
        self != Self::None
    }

    pub(super) fn flushes_directories(self) -> bool {
        self == Self::Full
    }
}
