//! Scalars and graphs of an event file, a batch at a time.

use std::collections::HashMap;
use std::path::Path;

use super::event::{Content, Stamp, SummaryValue, next_content, next_value};
use super::records::Records;
use super::scalar;
use crate::error::{Error, Result};

/// The plugin of `tf.summary.scalar`.
const SCALARS: &[u8] = b"scalars";
/// How much of the file one batch takes in.
const BATCH: u64 = 4 << 20;

/// A scalar or a graph, and when it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Seconds since the epoch.
    pub wall_time: f64,
    /// The step it belongs to.
    pub step: i64,
    /// What was written.
    pub value: Value,
}

/// What an event holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Scalar {
        /// Place of its tag in [`Reader::tags`].
        tag: usize,
        /// The number; integers of 64 bits are rounded to it.
        value: f64,
    },
    /// A serialized `GraphDef`.
    Graph(Vec<u8>),
    /// A serialized `MetaGraphDef`.
    MetaGraph(Vec<u8>),
}

/// An open event file.
#[derive(Debug)]
pub struct Reader {
    records: Records,
    tags: Tags,
    failure: Option<Error>,
}

/// Every tag seen so far. A writer may say only once which plugin a tag is for.
#[derive(Debug, Default)]
struct Tags {
    names: Vec<Box<[u8]>>,
    places: HashMap<Box<[u8]>, (usize, Plugin)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plugin {
    Unknown,
    Scalars,
    Other,
}

impl Reader {
    /// Opens the file at `path`. What is appended to it later is not seen.
    ///
    /// # Errors
    /// `Io` where it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { records: Records::open(path)?, tags: Tags::default(), failure: None })
    }

    /// The tags of all values so far, in the order of their first appearance. Not all of them need
    /// be UTF-8.
    pub fn tags(&self) -> &[Box<[u8]>] {
        &self.tags.names
    }

    /// The next events; none at the end. Batches are bounded by bytes, never empty before the end.
    ///
    /// A record that the file ends in the middle of is the end: it is being written.
    ///
    /// # Errors
    /// `Corruption` where a checksum does not match or a record is not an event, with its bytes.
    /// The events before it come first.
    pub fn batch(&mut self) -> Result<Vec<Event>> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let mut events = Vec::new();
        let mut taken = 0;
        while taken < BATCH || events.is_empty() {
            match self.take_record(&mut events) {
                Ok(0) => break,
                Ok(length) => taken += length,
                Err(error) if events.is_empty() => return Err(error),
                Err(error) => {
                    self.failure = Some(error);
                    break;
                }
            }
        }
        Ok(events)
    }

    /// Appends what the next record holds, and tells how many bytes it takes: 0 at the end.
    fn take_record(&mut self, events: &mut Vec<Event>) -> Result<u64> {
        let Some((start, data)) = self.records.next()? else { return Ok(0) };
        let length = data.len() as u64 + 16;
        let before = events.len();
        let taken = take(data, &mut self.tags, events);
        taken.map_err(|error| {
            events.truncate(before);
            self.records.located(error).with_range(start, length)
        })?;
        Ok(length)
    }
}

fn take(mut data: &[u8], tags: &mut Tags, events: &mut Vec<Event>) -> Result<()> {
    let Stamp { wall_time, step } = Stamp::parse(data)?;
    let mut push = |value| events.push(Event { wall_time, step, value });
    while let Some(content) = next_content(&mut data)? {
        match content {
            Content::Graph(graph) => push(Value::Graph(graph.to_vec())),
            Content::MetaGraph(graph) => push(Value::MetaGraph(graph.to_vec())),
            Content::Summary(mut summary) => {
                while let Some(value) = next_value(&mut summary)? {
                    tags.scalar(&value)?.map(&mut push);
                }
            }
        }
    }
    Ok(())
}

impl Tags {
    /// The value of a summary as a scalar, if it is one.
    fn scalar(&mut self, value: &SummaryValue<'_>) -> Result<Option<Value>> {
        if let Some(simple) = value.simple {
            let (tag, _) = self.place(value.tag, value.plugin);
            return Ok(Some(Value::Scalar { tag, value: simple.into() }));
        }
        let Some(tensor) = value.tensor else { return Ok(None) };
        if value.plugin.is_some_and(|plugin| !plugin.is_empty() && plugin != SCALARS) {
            self.place(value.tag, value.plugin);
            return Ok(None);
        }
        let found = scalar::parse(tensor)?;
        let (tag, plugin) = self.place(value.tag, value.plugin);
        let is_scalar = |rank| match plugin {
            Plugin::Scalars => true,
            Plugin::Unknown => rank == 0,
            Plugin::Other => false,
        };
        let found = found.filter(|scalar| is_scalar(scalar.rank));
        Ok(found.map(|scalar| Value::Scalar { tag, value: scalar.value }))
    }

    /// Where a tag is listed, and what it is known to be for.
    fn place(&mut self, tag: &[u8], plugin: Option<&[u8]>) -> (usize, Plugin) {
        let said = match plugin {
            None | Some([]) => Plugin::Unknown,
            Some(SCALARS) => Plugin::Scalars,
            Some(_) => Plugin::Other,
        };
        if let Some((place, known)) = self.places.get_mut(tag) {
            if said != Plugin::Unknown {
                *known = said;
            }
            return (*place, *known);
        }
        let place = self.names.len();
        self.names.push(tag.into());
        self.places.insert(tag.into(), (place, said));
        (place, said)
    }
}
