//! Tensor bundles, the V2 format: `PREFIX.index` and `PREFIX.data-?????-of-?????`.

mod arena;
pub(crate) mod assembly;
mod commit;
mod entries;
mod entry;
mod index;
mod layout;
mod merge;
pub mod naming;
pub(crate) mod partition;
mod read;
mod reader;
mod shard;
mod shards;
mod sources;
mod strided;
mod strings;
mod transfer;
mod value;
mod verify;
mod writer;

pub use entries::Entries;
pub use entry::{Content, Entry, Extent, Header};
pub use layout::MAX_ALIGN;
pub use merge::{MergeOptions, merge};
pub use read::ReadOptions;
pub use reader::{OpenOptions, Reader};
pub use shard::{Backend, CopyPolicy};
pub use sources::{Payload, TensorSource};
pub use strided::Strided;
pub use value::{Dense, Value};
pub use writer::{WriteOptions, write, write_grouped};
