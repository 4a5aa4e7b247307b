//! Event files (`events.out.tfevents.*`): what summary writers leave behind, record by record.
//!
//! ```text
//! file     record*
//! record   length u64 | masked crc32c of the length u32 | data | masked crc32c of the data u32
//! data     Event { 1: wall_time, 2: step, 4: graph_def, 5: summary, 9: meta_graph_def, … }
//! ```
//!
//! The framing is that of `TFRecord`, numbers are little-endian, and the messages are those of
//! `event.proto`, `summary.proto` and `tensor.proto`. Only scalars and graphs are taken; the rest is
//! checked and skipped.

mod event;
mod reader;
mod records;
mod scalar;

pub use reader::{Event, Reader, Value};
