//! The sorted string table: an immutable map from keys to values, both bytes, in one file.
//!
//! This is `LevelDB`'s table as TensorFlow 2.21 writes it (`tsl/lib/io/table*.cc`). It is the whole
//! of an `.index` file and of a V1 checkpoint. Everything here goes from bytes to bytes; nothing
//! knows what a key or a value means.
//!
//! ```text
//! table:   data block, trailer         as many as it takes, about 256 KiB each, in key order
//!          metaindex block, trailer    always empty
//!          index block, trailer        one entry per data block
//!          footer                      where the metaindex block and the index block are
//! ```
//!
//! An entry of the index block has as its value the handle (offset and size) of a data block, and
//! as its key a *separator*: not less than any key of that block, less than every key of the next.
//! It need not be a key of the table.
//!
//! `format` owns handle, trailer and footer, `block` the layout of a block, `reader` and `builder`
//! the table as a whole.

mod block;
mod block_builder;
mod builder;
mod format;
mod head;
mod reader;

pub use builder::TableBuilder;
pub use head::first_value;
pub use reader::Table;
