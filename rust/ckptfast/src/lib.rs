//! Reads and writes TensorFlow checkpoints: tensor bundles (V2) and single files (V1).
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod bundle;
pub mod checkpoint;
pub mod coding;
pub mod counters;
pub mod crc32c;
pub mod dtype;
pub mod error;
pub mod events;
pub mod farmhash;
pub mod io;
pub mod libraries;
pub mod ordered_code;
pub mod parallel;
pub mod proto;
pub mod shape;
pub mod slice;
pub mod table;
pub mod v1;
