//! An element of an XML document that repeats, one after the other.

use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{
    FIELDS, Field, Input, Item, Position, RECORD_BYTES, ReadFailure, Record, Records, Reject,
    TOO_LONG,
};

/// The deepest nesting of elements.
const DEPTH: usize = 256;

/// The repeated elements.
pub(super) struct XmlRecords {
    reader: Reader<Input>,
    element: Vec<String>,
    /// What was read before: elements that begin in front of it are passed over.
    from: u64,
    /// The elements that are open.
    open: Vec<String>,
    buffer: Vec<u8>,
    position: Position,
}

/// An element on its way.
struct Building {
    line: u64,
    start: u64,
    depth: usize,
    text: Vec<String>,
    fields: Vec<(Arc<str>, Field)>,
    bytes: usize,
    wrong: Option<String>,
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

    /// The names of the elements below the record, joined.
    fn name(&self, building: &Building) -> String {
        self.open[building.depth..].join("/")
    }
}

impl Records for XmlRecords {
    fn next(&mut self) -> Result<Option<Item>, ReadFailure> {
        let mut building: Option<Building> = None;
        loop {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            let (line, start) = {
                let input = self.reader.get_mut();
                // A little more than a record may have: the markup around it.
                input.set_budget(RECORD_BYTES + 64 * 1024);
                (input.line() + 1, input.offset())
            };
            let event = match self.reader.read_event_into(&mut buffer) {
                Ok(event) => event,
                Err(error) => return self.failure(format!("it is no XML: {error}")),
            };
            let done = match event {
                Event::Eof => {
                    if !self.open.is_empty() {
                        return self.failure("it ends in the middle of an element");
                    }
                    return Ok(None);
                }
                Event::Start(tag) => {
                    self.start(&tag, &mut building, line, start)?;
                    None
                }
                Event::Empty(tag) => {
                    self.start(&tag, &mut building, line, start)?;
                    self.end(&mut building)
                }
                Event::End(_) => self.end(&mut building),
                Event::Text(text) => {
                    add(&mut building, &text.xml10_content());
                    None
                }
                Event::CData(text) => {
                    add(&mut building, &text.xml10_content());
                    None
                }
                Event::GeneralRef(reference) => {
                    let name = reference.xml10_content();
                    let text = match reference.resolve_char_ref() {
                        Ok(Some(character)) => Some(character.to_string()),
                        Ok(None) => {
                            quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned)
                        }
                        Err(_) => None,
                    };
                    match (text, &mut building) {
                        (Some(text), _) => add(&mut building, &text),
                        (None, Some(building)) => building.fail(format!("&{name}; is not known")),
                        (None, None) => {}
                    }
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
        building: &mut Option<Building>,
        line: u64,
        start: u64,
    ) -> Result<(), ReadFailure> {
        if self.open.len() == DEPTH {
            return self.failure(format!("more than {DEPTH} elements inside each other"));
        }
        self.open.push(tag.name().as_ref().to_owned());
        if building.is_none() && self.is_element() {
            *building = Some(Building {
                line,
                start,
                depth: self.open.len(),
                text: Vec::new(),
                fields: Vec::new(),
                bytes: 0,
                wrong: None,
            });
        }
        let Some(building) = building else {
            return Ok(());
        };
        building.text.push(String::new());
        let prefix = self.name(building);
        for attribute in tag.attributes() {
            let attribute = match attribute {
                Ok(attribute) => attribute,
                Err(error) => {
                    building.fail(error.to_string());
                    break;
                }
            };
            let key = attribute.key.as_ref();
            let name = match prefix.is_empty() {
                true => key.to_owned(),
                false => format!("{prefix}/{key}"),
            };
            match attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0) {
                Ok(value) => building.field(name, value.into_owned()),
                Err(error) => building.fail(error.to_string()),
            }
        }
        Ok(())
    }

    /// Closes the innermost element; the record where that was it.
    fn end(&mut self, building: &mut Option<Building>) -> Option<Building> {
        if let Some(building) = building {
            let text = building.text.pop().unwrap_or_default();
            let name = self.name(building);
            let is_text = building.is_leaf(&name) || !text.trim().is_empty();
            if !name.is_empty() && is_text {
                building.field(name, text.trim().to_owned());
            }
        }
        let is_done = building
            .as_ref()
            .is_some_and(|building| building.depth == self.open.len());
        self.open.pop();
        if is_done { building.take() } else { None }
    }
}

fn add(building: &mut Option<Building>, text: &str) {
    if let Some(building) = building
        && building.takes(text.len())
        && let Some(innermost) = building.text.last_mut()
    {
        innermost.push_str(text);
    }
}

impl Building {
    fn fail(&mut self, reason: String) {
        self.wrong.get_or_insert(reason);
    }

    fn takes(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        if self.bytes > RECORD_BYTES {
            // What was kept is of no use any more.
            self.fields.clear();
            self.text.iter_mut().for_each(String::clear);
            self.fail(TOO_LONG.to_owned());
        }
        self.bytes <= RECORD_BYTES
    }

    /// Nothing below this element became a field.
    fn is_leaf(&self, name: &str) -> bool {
        let inner = format!("{name}/");
        !self
            .fields
            .iter()
            .any(|(known, _)| known.starts_with(&inner))
    }

    /// Of what stands several times the first counts.
    fn field(&mut self, name: String, value: String) {
        if !self.takes(name.len() + value.len()) {
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
        match self.wrong {
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
