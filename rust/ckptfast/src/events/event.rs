//! The messages `Event`, `Summary` and `Summary.Value`, as far as scalars and graphs go.

use crate::error::Result;
use crate::proto::wire::{Field, next_field};

/// When an event was written, and what for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamp {
    /// Seconds since the epoch.
    pub(super) wall_time: f64,
    pub(super) step: i64,
}

impl Stamp {
    /// That of an `Event`, in which the fields may have any order.
    pub(super) fn parse(mut event: &[u8]) -> Result<Self> {
        let mut stamp = Self::default();
        while let Some((number, field)) = next_field(&mut event)? {
            match (number, field) {
                (1, Field::Fixed64(bytes)) => stamp.wall_time = f64::from_le_bytes(bytes),
                (2, Field::Varint(step)) => stamp.step = step.cast_signed(),
                _ => {}
            }
        }
        Ok(stamp)
    }
}

/// What an event holds.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Graph(&'a [u8]),
    MetaGraph(&'a [u8]),
    Summary(&'a [u8]),
}

/// Takes the next content off an `Event`; `None` at its end.
pub(super) fn next_content<'a>(event: &mut &'a [u8]) -> Result<Option<Content<'a>>> {
    while let Some((number, field)) = next_field(event)? {
        match (number, field) {
            (4, Field::Bytes(bytes)) => return Ok(Some(Content::Graph(bytes))),
            (5, Field::Bytes(bytes)) => return Ok(Some(Content::Summary(bytes))),
            (9, Field::Bytes(bytes)) => return Ok(Some(Content::MetaGraph(bytes))),
            _ => {}
        }
    }
    Ok(None)
}

/// One value of a summary.
#[derive(Debug, Default)]
pub(super) struct SummaryValue<'a> {
    pub(super) tag: &'a [u8],
    /// The plugin that the value is for, where metadata is there at all.
    pub(super) plugin: Option<&'a [u8]>,
    pub(super) simple: Option<f32>,
    pub(super) tensor: Option<&'a [u8]>,
}

/// Takes the next value off a `Summary`; `None` at its end.
pub(super) fn next_value<'a>(summary: &mut &'a [u8]) -> Result<Option<SummaryValue<'a>>> {
    while let Some((number, field)) = next_field(summary)? {
        if let (1, Field::Bytes(value)) = (number, field) {
            return SummaryValue::parse(value).map(Some);
        }
    }
    Ok(None)
}

impl<'a> SummaryValue<'a> {
    fn parse(mut message: &'a [u8]) -> Result<Self> {
        let mut value = Self::default();
        while let Some((number, field)) = next_field(&mut message)? {
            match (number, field) {
                (1, Field::Bytes(bytes)) => value.tag = bytes,
                (2, Field::Fixed32(bytes)) => value.simple = Some(f32::from_le_bytes(bytes)),
                (8, Field::Bytes(bytes)) => value.tensor = Some(bytes),
                (9, Field::Bytes(bytes)) => value.plugin = Some(plugin_name(bytes)?),
                _ => {}
            }
        }
        Ok(value)
    }
}

/// `plugin_data.plugin_name` of a `SummaryMetadata`.
fn plugin_name(mut metadata: &[u8]) -> Result<&[u8]> {
    let mut name: &[u8] = &[];
    while let Some((number, field)) = next_field(&mut metadata)? {
        let (1, Field::Bytes(mut data)) = (number, field) else { continue };
        while let Some((number, field)) = next_field(&mut data)? {
            if let (1, Field::Bytes(bytes)) = (number, field) {
                name = bytes;
            }
        }
    }
    Ok(name)
}
