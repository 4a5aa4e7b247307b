//! Writes or merges bundles with failpoints, for `tests/test_crash.py`.
//!
//! ```text
//! crash_save write PREFIX SEED FIRST COUNT SHARDS DURABILITY THREADS
//! crash_save merge PREFIX DURABILITY PART…
//! ```
//!
//! `write` saves float32 tensors `tFIRST` and following: tensor `tN` is `N + 1` times the value `SEED + N`.
//! The first of them comes with a string tensor `sFIRST` of the text `SEED`. `SHARDS` may be 0 for
//! the default. At the end the steps that were passed are printed, one per line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ckptfast::bundle::{self, MergeOptions, Payload, TensorSource, WriteOptions};
use ckptfast::dtype::DataType;
use ckptfast::error::{Error, Result};
use ckptfast::io::atomic::{Durability, failpoint};
use ckptfast::parallel::{Interrupt, Workers};
use ckptfast::shape::Shape;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["write", prefix, numbers @ .., durability, threads] => {
            write(Path::new(prefix), numbers, durability, threads)
        }
        ["merge", prefix, durability, parts @ ..] => merge(Path::new(prefix), durability, parts),
        _ => Err(Error::invalid("expected write … or merge …")),
    };
    match result {
        Ok(()) => {
            for step in failpoint::passed() {
                println!("{step}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write(prefix: &Path, numbers: &[&str], durability: &str, threads: &str) -> Result<()> {
    let numbers = numbers.iter().map(|text| number(text)).collect::<Result<Vec<u32>>>()?;
    let &[seed, first, count, shards] = numbers.as_slice() else {
        return Err(Error::invalid("expected SEED FIRST COUNT SHARDS"));
    };
    let text = seed.to_string();
    let value = |tensor: u32| f32::from(u16::try_from(seed + tensor).unwrap_or(u16::MAX));
    let values: Vec<Vec<u8>> = (first..first + count)
        .map(|tensor| value(tensor).to_le_bytes().repeat(tensor as usize + 1))
        .collect();
    let mut tensors = Vec::new();
    for (tensor, bytes) in (first..).zip(&values) {
        tensors.push(TensorSource {
            key: format!("t{tensor}").into_bytes().into(),
            dtype: DataType::Float32,
            shape: Shape::new([u64::from(tensor) + 1])?,
            slice: None,
            payload: Payload::Bytes(bytes),
        });
    }
    if count > 1 {
        tensors.push(TensorSource {
            key: format!("s{first}").into_bytes().into(),
            dtype: DataType::String,
            shape: Shape::default(),
            slice: None,
            payload: Payload::Strings(vec![text.as_bytes()]),
        });
    }
    let interrupt = Interrupt::default();
    let workers = Workers { threads: number(threads)?, interrupt: &interrupt };
    let options = WriteOptions {
        shards: Some(shards).filter(|&shards| shards > 0),
        durability: level(durability)?,
        ..WriteOptions::default()
    };
    bundle::write(prefix, tensors, &options, &workers).map(drop)
}

fn merge(prefix: &Path, durability: &str, parts: &[&str]) -> Result<()> {
    let parts: Vec<PathBuf> = parts.iter().map(PathBuf::from).collect();
    let options =
        MergeOptions { durability: level(durability)?, delete_old: true, allow_missing: false };
    bundle::merge(&parts, prefix, &options).map(drop)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::invalid(format!("not a number: {text}")))
}

fn level(text: &str) -> Result<Durability> {
    match text {
        "full" => Ok(Durability::Full),
        "rename" => Ok(Durability::Rename),
        "none" => Ok(Durability::None),
        _ => Err(Error::invalid(format!("not a durability: {text}"))),
    }
}
