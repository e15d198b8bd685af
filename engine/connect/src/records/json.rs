//! JSON: the objects of one array in a document.

use weft_model::JsonObject;

use super::{
    Input, Item, Position, RECORD_BYTES, ReadFailure, Record, Records, Reject, TOO_LONG,
    object_fields,
};

/// The longest key on the path to the array.
const KEY_BYTES: usize = 64 * 1024;

/// The objects of the array.
pub(super) struct JsonRecords {
    input: Input,
    /// Objects that start before this offset are skipped: they were read before.
    from: u64,
    value: Vec<u8>,
    is_first: bool,
    is_at_end: bool,
    position: Position,
}

impl JsonRecords {
    pub(super) fn new(path: &[String], input: Input, from: Position) -> Result<Self, ReadFailure> {
        let mut records = Self {
            input,
            from: from.offset,
            value: Vec::new(),
            is_first: true,
            is_at_end: false,
            position: from,
        };
        for key in path {
            records.enter(key)?;
        }
        match records.next_byte()? {
            Some(b'[') => records.input.take(1),
            Some(b'{') if path.is_empty() => {
                return records.failure("it is an object; `path` must name its array of records");
            }
            _ => return records.failure("there is no array of records"),
        }
        Ok(records)
    }

    fn failure<T>(&self, reason: &str) -> Result<T, ReadFailure> {
        Err(ReadFailure::content(format!(
            "line {}: {reason}",
            self.input.line() + 1
        )))
    }

    /// The next byte that is not white space, without consuming it.
    fn next_byte(&mut self) -> Result<Option<u8>, ReadFailure> {
        loop {
            let bytes = self.input.peek()?;
            let blank = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'\r' | b'\n');
            let count = bytes.iter().take_while(blank).count();
            let is_all = count == bytes.len() && count > 0;
            let found = bytes.get(count).copied();
            self.input.take(count);
            if !is_all {
                return Ok(found);
            }
        }
    }

    /// Enters the object that starts here, up to the value of a key.
    fn enter(&mut self, wanted: &str) -> Result<(), ReadFailure> {
        if self.next_byte()? != Some(b'{') {
            return self.failure(&format!("there is no object with the key `{wanted}`"));
        }
        self.input.take(1);
        loop {
            match self.next_byte()? {
                Some(b'"') => {}
                Some(b',') => {
                    self.input.take(1);
                    continue;
                }
                Some(b'}') => return self.failure(&format!("there is no key `{wanted}`")),
                _ => return self.failure("it is not JSON"),
            }
            let fits = self.take_value(KEY_BYTES)?;
            let key: Option<String> = serde_json::from_slice(&self.value).ok().filter(|_| fits);
            if self.next_byte()? != Some(b':') {
                return self.failure("it is not JSON");
            }
            self.input.take(1);
            self.next_byte()?;
            if key.as_deref() == Some(wanted) {
                return Ok(());
            }
            self.take_value(0)?;
        }
    }

    /// Consumes the value that starts here; returns whether it fits. Of a longer one the beginning is kept.
    fn take_value(&mut self, most: usize) -> Result<bool, ReadFailure> {
        self.value.clear();
        let (mut depth, mut in_text, mut is_escaped) = (0_u64, false, false);
        let mut fits = true;
        loop {
            let bytes = self.input.peek()?;
            if bytes.is_empty() {
                return self.failure("it ends in the middle of a value");
            }
            let mut count = 0;
            let mut is_end = false;
            for byte in bytes {
                if in_text {
                    count += 1;
                    match byte {
                        _ if is_escaped => is_escaped = false,
                        b'\\' => is_escaped = true,
                        b'"' => {
                            in_text = false;
                            is_end = depth == 0;
                        }
                        _ => {}
                    }
                } else {
                    match byte {
                        b'"' => in_text = true,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' if depth > 0 => {
                            depth -= 1;
                            is_end = depth == 0;
                        }
                        // The end of a number or a word, which belongs to what is around it.
                        b',' | b'}' | b']' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => {
                            let free = most.saturating_sub(self.value.len());
                            fits &= count <= free;
                            self.value.extend_from_slice(&bytes[..count.min(free)]);
                            self.input.take(count);
                            return Ok(fits);
                        }
                        _ => {}
                    }
                    count += 1;
                }
                if is_end {
                    break;
                }
            }
            let free = most.saturating_sub(self.value.len());
            fits &= count <= free;
            self.value.extend_from_slice(&bytes[..count.min(free)]);
            self.input.take(count);
            if is_end {
                return Ok(fits);
            }
        }
    }

    fn item(&self, line: u64, fits: bool) -> Item {
        let reject = |reason: String| Item::Reject(Reject::new(line, reason, &self.value));
        if !fits {
            return reject(TOO_LONG.to_owned());
        }
        match JsonObject::parse(&self.value) {
            Ok(object) => Item::Record(Record {
                line,
                fields: object_fields(object),
            }),
            Err(reason) => reject(reason),
        }
    }
}

impl Records for JsonRecords {
    fn next(&mut self) -> Result<Option<Item>, ReadFailure> {
        while !self.is_at_end {
            match (self.next_byte()?, self.is_first) {
                (Some(b']'), _) => {
                    self.input.take(1);
                    self.is_at_end = true;
                    break;
                }
                (Some(b','), false) => {
                    self.input.take(1);
                    self.next_byte()?;
                }
                (Some(_), true) => self.is_first = false,
                (None, _) => return self.failure("it ends in the middle of the array"),
                (Some(_), false) => {
                    return self.failure("a comma is missing between two records");
                }
            }
            let (line, start) = (self.input.line() + 1, self.input.offset());
            let fits = self.take_value(RECORD_BYTES)?;
            if self.input.offset() == start {
                return self.failure("a record is missing");
            }
            if start < self.from {
                continue;
            }
            self.position = self.input.position();
            return Ok(Some(self.item(line, fits)));
        }
        Ok(None)
    }

    fn position(&self) -> Position {
        self.position
    }
}
