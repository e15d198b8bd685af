//! Reads records from files and streams: CSV, JSON lines, JSON, XML, fixed width and lines that match a pattern, compressed
//! or not.
//!
//! Input is streamed. A record has at most 1 MiB; a longer or malformed one is skipped and returned as a [`Reject`]. Reading
//! blocks, so it needs its own thread.

mod csv;
mod format;
mod input;
mod json;
mod lines;
mod xml;

use std::sync::Arc;

use weft_model::number::written_integer;
use weft_model::{JsonCell, JsonObject};

pub use format::{CsvFormat, Format, FormatError, Pattern};
pub use input::{Input, InputLimits};

/// The longest record, and the longest line, in bytes.
pub const RECORD_BYTES: usize = 1024 * 1024;
/// The most fields of a record.
pub const FIELDS: usize = 1_000;
/// The characters of a rejected record that are kept.
const HEAD: usize = 200;
const TOO_LONG: &str = "longer than 1 MiB";
const NOT_UTF8: &str = "not UTF-8";

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// JSON null, or a missing field.
    Null,
    /// Text. All fields of text formats are texts.
    Text(String),
    /// A whole number in JSON.
    Integer(i64),
    /// Any other number in JSON, as it is written.
    Number(String),
    /// A double from a query.
    Real(f64),
    /// True or false in JSON.
    Bool(bool),
    /// Bytes from a query.
    Bytes(Vec<u8>),
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its first line, from 1.
    pub line: u64,
    /// The fields by name, in the order of the file.
    pub fields: Vec<(Arc<str>, Field)>,
}

impl Record {
    /// Finds a field by its name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        let found = self.fields.iter().find(|(known, _)| known.as_ref() == name);
        found.map(|(_, field)| field)
    }
}

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its first line, from 1.
    pub line: u64,
    /// Why it cannot be read.
    pub reason: String,
    /// Its first characters.
    pub head: String,
}

impl Reject {
    pub(crate) fn new(line: u64, reason: impl Into<String>, bytes: &[u8]) -> Self {
        // A character has at most four bytes.
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * HEAD)]);
        Self {
            line,
            reason: reason.into(),
            head: head.trim_end().chars().take(HEAD).collect(),
        }
    }
}

/// A record, or a rejected one.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A record that was read.
    Record(Record),
    /// A record that cannot be read.
    Reject(Reject),
}

/// The position after a record, where reading can continue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Decompressed bytes before it.
    pub offset: u64,
    /// Line breaks before it.
    pub line: u64,
}

/// Why the rest of an input cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ReadFailure {
    reason: String,
    /// The machine failed, not the content: another try may succeed.
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

/// Reads the records of one input.
pub trait Records: Send {
    /// Reads the next record; none at the end.
    ///
    /// # Errors
    /// The rest of the input cannot be read: the input failed, or the structure around the records is malformed.
    fn next(&mut self) -> Result<Option<Item>, ReadFailure>;

    /// The fields that every record has, if the input says so before its first record: the names of a CSV header.
    fn names(&self) -> Option<&[Arc<str>]> {
        None
    }

    /// The position after the last item. A last line without a line break may still grow, so it does not count.
    fn position(&self) -> Position;
}

/// Reads the records of `input` after `from`, a position from an earlier reading of the same content.
///
/// # Errors
/// The input cannot be read, or its beginning (a CSV header, the path to a JSON array) does not match `format`.
pub fn read(
    format: &Format,
    mut input: Input,
    from: Position,
) -> Result<Box<dyn Records>, ReadFailure> {
    input.skip_byte_order_mark()?;
    Ok(match format {
        Format::Csv(format) => Box::new(csv::CsvRecords::new(format, input, from)?),
        Format::JsonLines => Box::new(lines::LineRecords::new(
            lines::LineFormat::Json,
            input,
            from,
        )?),
        Format::Fixed(columns) => {
            let format = lines::LineFormat::fixed(columns);
            Box::new(lines::LineRecords::new(format, input, from)?)
        }
        Format::Lines(pattern) => {
            let format = lines::LineFormat::pattern(pattern);
            Box::new(lines::LineRecords::new(format, input, from)?)
        }
        Format::Json { path } => Box::new(json::JsonRecords::new(path, input, from)?),
        Format::Xml { element } => Box::new(xml::XmlRecords::new(element, input, from)),
    })
}

/// The fields of a JSON object.
fn object_fields(object: JsonObject) -> Vec<(Arc<str>, Field)> {
    let field = |cell| match cell {
        JsonCell::Null => Field::Null,
        JsonCell::Bool(value) => Field::Bool(value),
        JsonCell::Number(digits) => match written_integer(&digits) {
            Some(integer) => Field::Integer(integer),
            None => Field::Number(digits),
        },
        JsonCell::Text(text) | JsonCell::Nested(text) => Field::Text(text),
    };
    let fields = object.0.into_iter();
    fields
        .map(|(name, value)| (name.into(), field(value)))
        .collect()
}

#[cfg(test)]
mod tests;
