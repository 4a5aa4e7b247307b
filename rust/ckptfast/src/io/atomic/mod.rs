//! Changing a directory so that nobody ever sees half a change.
//!
//! This module is the only place that creates, renames, links, removes or flushes files. A file is
//! written under a temporary name beside its target and then renamed ([`TempFile`]); what has to
//! be taken back when a later step fails is kept in an [`Undo`].
//!
//! A failed flush is final. The kernel may have dropped the pages it could not write and marked
//! them clean, so a second `fsync` that succeeds would prove nothing.

mod changes;
mod durability;
#[cfg(feature = "failpoints")]
pub mod failpoint;
mod temp;
mod turn;

pub use changes::{
    Undo, create_directories, list, place, remove, remove_directory, sync_directory, sync_file,
};
pub use durability::Durability;
pub use temp::{SHORTEST_CUT, TempFile, sweep};
pub use turn::Turn;
