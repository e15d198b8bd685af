//! XML: the occurrences of a repeated element.

use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::{
    FIELDS, Field, Input, Item, Position, RECORD_BYTES, ReadFailure, Record, Records, Reject,
    TOO_LONG,
};

/// The deepest nesting of elements.
const DEPTH: usize = 256;

/// Reads a record from each occurrence of an element.
pub(super) struct XmlRecords {
    reader: Reader<Input>,
    element: Vec<String>,
    /// Elements that start before this offset are skipped: they were read before.
    from: u64,
    /// The names of the open elements.
    open: Vec<String>,
    buffer: Vec<u8>,
    position: Position,
}

/// The record of an element that is still open.
struct OpenRecord {
    line: u64,
    start: u64,
    depth: usize,
    text: Vec<String>,
    fields: Vec<(Arc<str>, Field)>,
    bytes: usize,
    error: Option<String>,
}

impl XmlRecords {
    pub(super) fn new(element: &[String], input: Input, from: Position) -> Self {
        Self {
            reader: Reader::from_reader(input),
            element: element.to_vec(),
            from: from.offset,
            open: Vec::new(),
            buffer: Vec::new(),
            position: from,
        }
    }

    fn failure<T>(&self, reason: impl std::fmt::Display) -> Result<T, ReadFailure> {
        let line = self.reader.get_ref().line() + 1;
        Err(ReadFailure::content(format!("line {line}: {reason}")))
    }

    fn is_element(&self) -> bool {
        self.open.ends_with(&self.element)
    }

    /// The path of the innermost element inside the record.
    fn name(&self, record: &OpenRecord) -> String {
        self.open[record.depth..].join("/")
    }
}

impl Records for XmlRecords {
    fn next(&mut self) -> Result<Option<Item>, ReadFailure> {
        let mut record: Option<OpenRecord> = None;
        loop {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            let (line, start) = {
                let input = self.reader.get_mut();
                // A record, and markup around it.
                input.set_budget(RECORD_BYTES + 64 * 1024);
                (input.line() + 1, input.offset())
            };
            let event = match self.reader.read_event_into(&mut buffer) {
                Ok(event) => event,
                Err(error) => return self.failure(format!("it is not XML: {error}")),
            };
            let done = match event {
                Event::Eof => {
                    if !self.open.is_empty() {
                        return self.failure("it ends in the middle of an element");
                    }
                    return Ok(None);
                }
                Event::Start(tag) => {
                    self.start(&tag, &mut record, line, start)?;
                    None
                }
                Event::Empty(tag) => {
                    self.start(&tag, &mut record, line, start)?;
                    self.end(&mut record)
                }
                Event::End(_) => self.end(&mut record),
                Event::Text(text) => {
                    add(&mut record, &text.xml10_content());
                    None
                }
                Event::CData(text) => {
                    add(&mut record, &text.xml10_content());
                    None
                }
                Event::GeneralRef(reference) => {
                    add_reference(&mut record, &reference);
                    None
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => None,
            };
            self.buffer = buffer;
            if let Some(done) = done {
                self.position = self.reader.get_ref().position();
                if done.start < self.from {
                    continue;
                }
                return Ok(Some(done.item()));
            }
        }
    }

    fn position(&self) -> Position {
        self.position
    }
}

impl XmlRecords {
    fn start(
        &mut self,
        tag: &BytesStart<'_>,
        record: &mut Option<OpenRecord>,
        line: u64,
        start: u64,
    ) -> Result<(), ReadFailure> {
        if self.open.len() == DEPTH {
            return self.failure(format!("elements are nested more than {DEPTH} deep"));
        }
        self.open.push(tag.name().as_ref().to_owned());
        if record.is_none() && self.is_element() {
            *record = Some(OpenRecord {
                line,
                start,
                depth: self.open.len(),
                text: Vec::new(),
                fields: Vec::new(),
                bytes: 0,
                error: None,
            });
        }
        let Some(record) = record else {
            return Ok(());
        };
        record.text.push(String::new());
        let prefix = self.name(record);
        for attribute in tag.attributes() {
            let attribute = match attribute {
                Ok(attribute) => attribute,
                Err(error) => {
                    record.fail(error.to_string());
                    break;
                }
            };
            let key = attribute.key.as_ref();
            let name = match prefix.is_empty() {
                true => key.to_owned(),
                false => format!("{prefix}/{key}"),
            };
            match attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0) {
                Ok(value) => record.field(name, value.into_owned()),
                Err(error) => record.fail(error.to_string()),
            }
        }
        Ok(())
    }

    /// Closes the innermost element; returns the record if that was its element.
    fn end(&mut self, record: &mut Option<OpenRecord>) -> Option<OpenRecord> {
        if let Some(record) = record {
            let text = record.text.pop().unwrap_or_default();
            let name = self.name(record);
            let is_text = record.is_leaf(&name) || !text.trim().is_empty();
            if !name.is_empty() && is_text {
                record.field(name, text.trim().to_owned());
            }
        }
        let is_done = record
            .as_ref()
            .is_some_and(|record| record.depth == self.open.len());
        self.open.pop();
        if is_done { record.take() } else { None }
    }
}

fn add(record: &mut Option<OpenRecord>, text: &str) {
    if let Some(record) = record
        && record.count(text.len())
        && let Some(innermost) = record.text.last_mut()
    {
        innermost.push_str(text);
    }
}

/// Adds the text of `&name;` or `&#number;`. Entities that the document defines are not resolved.
fn add_reference(record: &mut Option<OpenRecord>, reference: &BytesRef<'_>) {
    let name = reference.xml10_content();
    let text = match reference.resolve_char_ref() {
        Ok(Some(character)) => Some(character.to_string()),
        Ok(None) => quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned),
        Err(_) => None,
    };
    match (text, record) {
        (Some(text), record) => add(record, &text),
        (None, Some(record)) => record.fail(format!("&{name}; is unknown")),
        (None, None) => (),
    }
}

impl OpenRecord {
    fn fail(&mut self, reason: String) {
        self.error.get_or_insert(reason);
    }

    fn count(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        if self.bytes > RECORD_BYTES {
            // A rejected record needs no more memory.
            self.fields.clear();
            self.text.iter_mut().for_each(String::clear);
            self.fail(TOO_LONG.to_owned());
        }
        self.bytes <= RECORD_BYTES
    }

    /// Whether no inner element of this element is a field.
    fn is_leaf(&self, name: &str) -> bool {
        let inner = format!("{name}/");
        !self
            .fields
            .iter()
            .any(|(known, _)| known.starts_with(&inner))
    }

    /// Adds a field. Of several with one name the first counts.
    fn field(&mut self, name: String, value: String) {
        if !self.count(name.len() + value.len()) {
            return;
        }
        if self.fields.iter().any(|(known, _)| known.as_ref() == name) {
            return;
        }
        if self.fields.len() == FIELDS {
            return self.fail("more than 1,000 fields".to_owned());
        }
        self.fields.push((name.into(), Field::Text(value)));
    }

    fn item(self) -> Item {
        match self.error {
            None => Item::Record(Record {
                line: self.line,
                fields: self.fields,
            }),
            Some(reason) => {
                let fields = self.fields.iter();
                let head: Vec<String> = fields
                    .map(|(name, field)| match field {
                        Field::Text(text) => format!("{name}={text}"),
                        other => format!("{name}={other:?}"),
                    })
                    .collect();
                Item::Reject(Reject::new(self.line, reason, head.join(" ").as_bytes()))
            }
        }
    }
}
