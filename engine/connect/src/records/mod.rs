//! Records out of files and streams: CSV, JSON lines, JSON, XML, fixed width and lines by a pattern, compressed or not.
//!
//! Nothing is read as a whole. One record has at most 1 MiB; what is longer, or not as it should be, is passed over
//! and told as a [`Reject`]. Reading blocks, so it has a thread of its own.

mod csv;
mod format;
mod input;
mod json;
mod lines;
mod xml;

use std::sync::Arc;

pub use format::{CsvFormat, Format, FormatError, Pattern};
pub use input::{Input, InputLimits};

/// The longest record, and the longest line, in bytes.
pub const RECORD_BYTES: usize = 1024 * 1024;
/// The most fields of a record.
pub const FIELDS: usize = 1_000;
/// Characters of a rejected record that are told.
const HEAD: usize = 200;
const TOO_LONG: &str = "longer than 1 MiB";
const NOT_UTF8: &str = "not UTF-8";

/// A field as the format has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// JSON null, or a field that is not there.
    Null,
    /// Text. The text formats have nothing else.
    Text(String),
    /// A whole number of JSON.
    Integer(i64),
    /// Another number of JSON.
    Real(f64),
    /// True or false of JSON.
    Bool(bool),
    /// Bytes of a query.
    Bytes(Vec<u8>),
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The line that it begins on, from 1.
    pub line: u64,
    /// Its fields by name, in the order of the file.
    pub fields: Vec<(Arc<str>, Field)>,
}

impl Record {
    /// A field by its name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        let found = self.fields.iter().find(|(known, _)| known.as_ref() == name);
        found.map(|(_, field)| field)
    }
}

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The line that it begins on, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
    /// Its first characters.
    pub head: String,
}

impl Reject {
    pub(crate) fn new(line: u64, reason: impl Into<String>, bytes: &[u8]) -> Self {
        // Four bytes are the most that a character has.
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * HEAD)]);
        Self {
            line,
            reason: reason.into(),
            head: head.trim_end().chars().take(HEAD).collect(),
        }
    }
}

/// What stands next in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A record.
    Record(Record),
    /// A record that cannot be read.
    Reject(Reject),
}

/// Where reading goes on: behind a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Bytes before it, decompressed.
    pub offset: u64,
    /// Line breaks before it.
    pub line: u64,
}

/// The rest of a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ReadFailure {
    reason: String,
    /// The machine failed and not the content: another reading may do better.
    pub is_transient: bool,
}

impl ReadFailure {
    fn content(reason: String) -> Self {
        Self {
            reason,
            is_transient: false,
        }
    }
}

impl From<std::io::Error> for ReadFailure {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let of_content = [
            ErrorKind::InvalidData,
            ErrorKind::InvalidInput,
            ErrorKind::UnexpectedEof,
        ];
        Self {
            is_transient: !of_content.contains(&error.kind()),
            reason: error.to_string(),
        }
    }
}

/// Reads records one after the other.
pub trait Records: Send {
    /// The next one; none at the end.
    ///
    /// # Errors
    /// What follows cannot be read at all: the input fails, or the structure around the records is broken.
    fn next(&mut self) -> Result<Option<Item>, ReadFailure>;

    /// Where to go on behind the last item. A last line without a line break may still grow, so it counts as not read.
    fn position(&self) -> Position;
}

/// Reads the records of `input` behind `from`, a position that an earlier reading of the same content gave.
///
/// # Errors
/// The input cannot be read, or its beginning (a CSV header, the way to a JSON array) is not as `format` says.
pub fn read(
    format: &Format,
    mut input: Input,
    from: Position,
) -> Result<Box<dyn Records>, ReadFailure> {
    input.pass_byte_order_mark()?;
    Ok(match format {
        Format::Csv(format) => Box::new(csv::CsvRecords::new(format, input, from)?),
        Format::JsonLines => Box::new(lines::LineRecords::new(lines::Shape::Json, input, from)?),
        Format::Fixed(columns) => {
            let shape = lines::Shape::fixed(columns);
            Box::new(lines::LineRecords::new(shape, input, from)?)
        }
        Format::Lines(pattern) => {
            let shape = lines::Shape::pattern(pattern);
            Box::new(lines::LineRecords::new(shape, input, from)?)
        }
        Format::Json { path } => Box::new(json::JsonRecords::new(path, input, from)?),
        Format::Xml { element } => Box::new(xml::XmlRecords::new(element, input, from)),
    })
}

/// The fields of a JSON object.
fn object_fields(object: serde_json::Map<String, serde_json::Value>) -> Vec<(Arc<str>, Field)> {
    use serde_json::Value;
    let field = |value| match value {
        Value::Null => Field::Null,
        Value::Bool(value) => Field::Bool(value),
        Value::String(text) => Field::Text(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Field::Integer(integer),
            (None, Some(real)) if !number.is_u64() => Field::Real(real),
            // Too large for an integer of ours: its digits are kept.
            _ => Field::Text(number.to_string()),
        },
        inner @ (Value::Array(_) | Value::Object(_)) => Field::Text(inner.to_string()),
    };
    let fields = object.into_iter();
    fields
        .map(|(name, value)| (name.into(), field(value)))
        .collect()
}

#[cfg(test)]
mod tests;
