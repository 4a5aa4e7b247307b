//! What can go wrong, where, and with which numbers.
//!
//! An [`Error`] is a category, a sentence, and a place. Callers decide by [`Error::kind`] and the
//! typed fields, never by the text; the text is composed in one place, here.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The five categories of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The checkpoint is fine and does not hold what was asked for.
    NotFound,
    /// The bytes are not what a writer of this format leaves behind.
    Corruption,
    /// The bytes may be fine, but this implementation cannot handle them.
    Unsupported,
    /// The request contradicts itself or the checkpoint.
    InvalidArgument,
    /// The operating system refused; [`Error::io_kind`] says how.
    Io,
}

/// A failure with its place. One pointer wide, so that `Result` stays small.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    place: Place,
    checksums: Option<Checksums>,
    source: Option<io::Error>,
    note: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Place {
    path: Option<PathBuf>,
    key: Option<Vec<u8>>,
    shard: Option<u32>,
    range: Option<Range<u64>>,
}

/// The two sides of a failed comparison, both unmasked CRC-32C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// What the file says the bytes should have.
    pub stored: u32,
    /// What the bytes have.
    pub calculated: u32,
}

impl Error {
    fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            place: Place::default(),
            checksums: None,
            source: None,
            note: None,
        }))
    }

    /// The checkpoint does not hold what was asked for.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// The bytes contradict the format.
    pub fn corruption(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Corruption, message)
    }

    /// Legal, perhaps, but not handled here.
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// The request is at fault.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// A system call failed while doing `what` ("open", "rename to …").
    pub fn io(what: impl Into<Cow<'static, str>>, source: io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Io, what);
        error.0.source = Some(source);
        error
    }

    /// The caller asked a long operation to stop.
    pub fn interrupted() -> Self {
        Self::io("interrupted", io::ErrorKind::Interrupted.into())
    }

    /// Stored and calculated checksum differ.
    pub fn checksum(stored: u32, calculated: u32) -> Self {
        let mut error = Self::corruption("checksum does not match");
        error.0.checksums = Some(Checksums { stored, calculated });
        error
    }

    /// Names the file, unless an inner layer already did.
    #[must_use]
    pub fn at_path(mut self, path: &Path) -> Self {
        self.0.place.path.get_or_insert_with(|| path.to_owned());
        self
    }

    /// Names the tensor (or raw table key), unless an inner layer already did.
    #[must_use]
    pub fn with_key(mut self, key: &[u8]) -> Self {
        self.0.place.key.get_or_insert_with(|| key.to_owned());
        self
    }

    /// Names the data file by its number.
    #[must_use]
    pub fn with_shard(mut self, shard: u32) -> Self {
        self.0.place.shard.get_or_insert(shard);
        self
    }

    /// Names the bytes `offset .. offset + length` of the file.
    #[must_use]
    pub fn with_range(mut self, offset: u64, length: u64) -> Self {
        self.0.place.range.get_or_insert(offset..offset.saturating_add(length));
        self
    }

    /// Adds what the failure means or what to do about it.
    #[must_use]
    pub fn with_note(mut self, note: &'static str) -> Self {
        self.0.note.get_or_insert(note);
        self
    }

    /// The category.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The file, where known.
    pub fn path(&self) -> Option<&Path> {
        self.0.place.path.as_deref()
    }

    /// The tensor, where known.
    pub fn key(&self) -> Option<&[u8]> {
        self.0.place.key.as_deref()
    }

    /// The number of the data file, where known.
    pub fn shard(&self) -> Option<u32> {
        self.0.place.shard
    }

    /// The byte range in [`Error::path`], where known.
    pub fn range(&self) -> Option<Range<u64>> {
        self.0.place.range.clone()
    }

    /// Both checksums, where that is what differs.
    pub fn checksums(&self) -> Option<Checksums> {
        self.0.checksums
    }

    /// The operating system's error number, for `Io`.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.source.as_ref().and_then(io::Error::raw_os_error)
    }

    /// The operating system's category, for `Io`.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        self.0.source.as_ref().map(io::Error::kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.0.place;
        if let Some(path) = &place.path {
            write!(f, "{}: ", path.display())?;
        }
        f.write_str(&self.0.message)?;
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        if let Some(Checksums { stored, calculated }) = self.0.checksums {
            write!(f, ": stored {stored:#010x}, calculated {calculated:#010x}")?;
        }
        let mut separator = " (";
        if let Some(key) = &place.key {
            write!(f, "{separator}tensor '{}'", shown(key))?;
            separator = ", ";
        }
        if let Some(shard) = place.shard {
            write!(f, "{separator}shard {shard}")?;
            separator = ", ";
        }
        if let Some(Range { start, end }) = place.range {
            write!(f, "{separator}bytes {start}..{end}")?;
            separator = ", ";
        }
        if separator == ", " {
            f.write_str(")")?;
        }
        self.0.note.map_or(Ok(()), |note| write!(f, "; {note}"))
    }
}

/// A name as text, on one line: control characters are escaped.
pub(crate) fn shown(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for character in String::from_utf8_lossy(name).chars() {
        match character {
            '\0' => text.push_str(r"\0"),
            _ if character.is_control() => text.extend(character.escape_default()),
            _ => text.push(character),
        }
    }
    text
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}
