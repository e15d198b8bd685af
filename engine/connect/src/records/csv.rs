//! Delimited text. This file finds the ends of records, with bounds for malicious input; csv-core splits the fields.

use std::sync::Arc;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};

use super::{
    CsvFormat, FIELDS, Field, Input, Item, NOT_UTF8, Position, RECORD_BYTES, ReadFailure, Record,
    Records, Reject, TOO_LONG,
};

const NOT_CLOSED: &str = "a quoted field is not closed before the end of the file";
const BEHIND_QUOTE: &str = "text follows the closing quote of a field";
const LONE_RETURN: &str = "a carriage return without a line feed does not end a line";

/// Reads the records of delimited text.
pub(super) struct CsvRecords {
    splitter: Splitter,
    names: Vec<Arc<str>>,
    has_header: bool,
    position: Position,
}

impl CsvRecords {
    pub(super) fn new(
        format: &CsvFormat,
        input: Input,
        from: Position,
    ) -> Result<Self, ReadFailure> {
        let mut splitter = Splitter::new(format, input);
        let names = if format.header {
            header(&mut splitter)?
        } else {
            format
                .columns
                .iter()
                .map(|name| name.as_str().into())
                .collect()
        };
        splitter.input.advance_to(from)?;
        Ok(Self {
            position: splitter.input.position(),
            splitter,
            names,
            has_header: format.header,
        })
    }

    fn item(&mut self, line: u64) -> Item {
        let record = &self.splitter.record;
        let reject = |reason: &str| Item::Reject(Reject::new(line, reason, record));
        let Ok(fields) = self.splitter.fields.as_slice() else {
            return reject("more than 1,000 fields");
        };
        if self.names.is_empty() {
            let names = 1..=fields.len();
            self.names = names
                .map(|number| format!("column_{number}").into())
                .collect();
        }
        if fields.len() != self.names.len() {
            let (found, wanted) = (fields.len(), self.names.len());
            return reject(&format!("{found} fields for {wanted} columns"));
        }
        let texts: Result<Vec<&str>, _> = fields
            .iter()
            .map(|field| std::str::from_utf8(field))
            .collect();
        let Ok(texts) = texts else {
            return reject(NOT_UTF8);
        };
        let fields = self.names.iter().zip(texts);
        Item::Record(Record {
            line,
            fields: fields
                .map(|(name, text)| (Arc::clone(name), Field::Text(text.to_owned())))
                .collect(),
        })
    }
}

impl Records for CsvRecords {
    fn next(&mut self) -> Result<Option<Item>, ReadFailure> {
        let line = self.splitter.input.line() + 1;
        let item = match self.splitter.next()? {
            Split::End => return Ok(None),
            Split::Record { line, terminated } => {
                let item = self.item(line);
                if !terminated {
                    return Ok(Some(item));
                }
                item
            }
            Split::Malformed { reason, terminated } => {
                let item = Item::Reject(Reject::new(line, reason, &self.splitter.record));
                if !terminated {
                    return Ok(Some(item));
                }
                item
            }
        };
        self.position = self.splitter.input.position();
        Ok(Some(item))
    }

    fn names(&self) -> Option<&[Arc<str>]> {
        self.has_header.then_some(&self.names)
    }

    fn position(&self) -> Position {
        self.position
    }
}

fn header(splitter: &mut Splitter) -> Result<Vec<Arc<str>>, ReadFailure> {
    let failure = |reason: String| Err(ReadFailure::content(format!("line 1: {reason}")));
    match splitter.next()? {
        Split::Record { .. } => {}
        Split::End => {
            return Err(ReadFailure::content(
                "it is empty: its first line must name the columns".to_owned(),
            ));
        }
        Split::Malformed { reason, .. } => return failure(format!("the header: {reason}")),
    }
    let Ok(fields) = splitter.fields.as_slice() else {
        return failure("more than 1,000 columns".to_owned());
    };
    let mut names: Vec<Arc<str>> = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let Ok(name) = std::str::from_utf8(field) else {
            return failure("the header is not UTF-8".to_owned());
        };
        let name: Arc<str> = match name.trim() {
            "" => format!("column_{}", index + 1).into(),
            name => name.into(),
        };
        if names.contains(&name) {
            return failure(format!("column `{name}` is named twice"));
        }
        names.push(name);
    }
    Ok(names)
}

enum Split {
    Record {
        line: u64,
        terminated: bool,
    },
    /// A record that is no record of this format. All of its lines are consumed: which of them the writer meant as records of
    /// their own cannot be known.
    Malformed {
        reason: &'static str,
        terminated: bool,
    },
    End,
}

/// Splits the input into records.
struct Splitter {
    input: Input,
    delimiter: u8,
    quote: Option<u8>,
    core: Reader,
    record: Vec<u8>,
    fields: FieldList,
}

/// The state of the search for the end of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote in a quoted field: the field has ended, or a second quote follows that escapes the first.
    QuoteInside,
    /// After a carriage return that is not quoted. Only a line feed may follow.
    Return,
    /// After a carriage return within a line.
    LoneReturn,
    /// After text behind a closing quote. Quotes no longer have a meaning in this record.
    BehindQuote,
}

impl State {
    fn after(self, byte: u8, delimiter: u8, quote: Option<u8>) -> Self {
        let is_quote = quote == Some(byte);
        match self {
            Self::FieldStart if is_quote => Self::Quoted,
            Self::Quoted if is_quote => Self::QuoteInside,
            Self::Quoted => Self::Quoted,
            Self::QuoteInside if is_quote => Self::Quoted,
            Self::BehindQuote => Self::BehindQuote,
            Self::Return | Self::LoneReturn => Self::LoneReturn,
            Self::FieldStart | Self::Plain | Self::QuoteInside if byte == delimiter => {
                Self::FieldStart
            }
            Self::FieldStart | Self::Plain | Self::QuoteInside if byte == b'\r' => Self::Return,
            Self::QuoteInside => Self::BehindQuote,
            Self::FieldStart | Self::Plain => Self::Plain,
        }
    }
}

impl Splitter {
    fn new(format: &CsvFormat, input: Input) -> Self {
        let core = ReaderBuilder::new()
            .delimiter(format.delimiter)
            .quote(format.quote.unwrap_or(b'"'))
            .quoting(format.quote.is_some())
            .terminator(Terminator::Any(b'\n'))
            .build();
        Self {
            input,
            delimiter: format.delimiter,
            quote: format.quote,
            core,
            record: Vec::new(),
            fields: FieldList::default(),
        }
    }

    fn next(&mut self) -> Result<Split, ReadFailure> {
        loop {
            let line = self.input.line() + 1;
            let Scanned {
                state,
                terminated,
                is_long,
            } = self.scan()?;
            let reason = match state {
                // The last line of a file that is still written ends anywhere.
                State::Quoted => Some(NOT_CLOSED),
                State::BehindQuote => Some(BEHIND_QUOTE),
                State::LoneReturn => Some(LONE_RETURN),
                State::FieldStart | State::Plain | State::QuoteInside | State::Return => None,
            };
            if let Some(reason) = is_long.then_some(TOO_LONG).or(reason) {
                return Ok(Split::Malformed { reason, terminated });
            }
            if self.record.is_empty() {
                return Ok(Split::End);
            }
            let end = self.record.len() - usize::from(terminated);
            let end = end - usize::from(end > 0 && self.record[end - 1] == b'\r');
            if end == 0 {
                continue;
            }
            self.record.truncate(end);
            self.fields.read(&mut self.core, &mut self.record);
            return Ok(Split::Record { line, terminated });
        }
    }

    /// Consumes one record. Of a longer one than allowed the beginning is kept.
    fn scan(&mut self) -> Result<Scanned, ReadFailure> {
        let (delimiter, quote) = (self.delimiter, self.quote);
        self.record.clear();
        let mut state = State::FieldStart;
        let mut is_long = false;
        loop {
            let bytes = self.input.peek()?;
            let mut end = None;
            for (at, byte) in bytes.iter().enumerate() {
                if *byte == b'\n' && state != State::Quoted {
                    end = Some(at);
                    break;
                }
                state = state.after(*byte, delimiter, quote);
            }
            let count = end.map_or(bytes.len(), |at| at + 1);
            let free = (RECORD_BYTES + 1).saturating_sub(self.record.len());
            self.record.extend_from_slice(&bytes[..count.min(free)]);
            is_long |= self.record.len() > RECORD_BYTES;
            let is_end_of_input = count == 0;
            self.input.take(count);
            if end.is_some() || is_end_of_input {
                return Ok(Scanned {
                    state,
                    terminated: end.is_some(),
                    is_long,
                });
            }
        }
    }
}

/// The end of a record.
struct Scanned {
    state: State,
    /// By a line feed, not by the end of the input.
    terminated: bool,
    is_long: bool,
}

/// The fields of one record.
#[derive(Default)]
struct FieldList {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
    fits: bool,
}

impl FieldList {
    fn read(&mut self, core: &mut Reader, record: &mut Vec<u8>) {
        // csv-core reports a buffer that is exactly full as too small.
        self.bytes.resize(record.len() + 1, 0);
        self.ends.resize(FIELDS + 1, 0);
        core.reset();
        record.push(b'\n');
        let (result, _, _, count) = core.read_record(record, &mut self.bytes, &mut self.ends);
        record.pop();
        self.fits = matches!(result, ReadRecordResult::Record);
        self.count = count;
    }

    fn as_slice(&self) -> Result<Vec<&[u8]>, ()> {
        if !self.fits {
            return Err(());
        }
        let mut start = 0;
        let ends = self.ends[..self.count].iter();
        Ok(ends
            .map(|end| {
                let field = &self.bytes[start..*end];
                start = *end;
                field
            })
            .collect())
    }
}
