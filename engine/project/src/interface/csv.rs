//! The rows of a CSV file with a header line.

use std::fs::File;
use std::io::{self, Cursor, Read, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use csv::{ByteRecord, Position, Reader, ReaderBuilder};
use rusqlite::types::ValueRef;
use weft_model::ColumnType;

use super::row_reader::{Column, LINE_BYTES, RowLocation, RowReader, label, typed};

const BUFFER: usize = 64 * 1024;

/// The column names in the header line.
pub(super) fn header(path: &Path, delimiter: u8) -> Result<Vec<String>, String> {
    let label = label(path);
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut reader = reader(Bounded::new(file), delimiter, true, 8 * 1024);
    let header = match reader.byte_headers() {
        Ok(header) => header.clone(),
        Err(error) => return Err(format!("{label}, line 1: {}", reason(&error))),
    };
    if header.is_empty() {
        return Err(format!(
            "{label} is empty: its first line must name the columns"
        ));
    }
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for (index, field) in header.iter().enumerate() {
        let name = std::str::from_utf8(field)
            .map_err(|_| format!("{label}, line 1: the header is not UTF-8"))?
            .trim();
        let name = if name.is_empty() {
            format!("column_{}", index + 1)
        } else {
            name.to_owned()
        };
        if names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            return Err(format!("{label}, line 1: column {name} is named twice"));
        }
        names.push(name);
    }
    Ok(names)
}

/// Reads a file from its start, or single rows at a location.
pub(super) struct Scan {
    reader: Reader<Bounded>,
    /// Reads single rows. Kept, because making a reader costs more than reading a row.
    row: Reader<Cursor<Vec<u8>>>,
    delimiter: u8,
    kinds: Vec<ColumnType>,
    record: ByteRecord,
    location: RowLocation,
    label: String,
}

impl Scan {
    pub(super) fn open(path: &Path, delimiter: u8, columns: &[Column]) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self {
            reader: reader(Bounded::new(file), delimiter, true, BUFFER),
            row: reader(Cursor::default(), delimiter, false, 1024),
            delimiter,
            kinds: columns.iter().map(|column| column.kind).collect(),
            record: ByteRecord::new(),
            location: RowLocation::default(),
            label: label(path),
        })
    }

    fn at(&self, line: u64, message: &str) -> String {
        format!("{}, line {line}: {message}", self.label)
    }

    /// An error of the current row. The csv crate lets a row begin with the line feed before it, and with blank lines.
    fn error(&self, message: &str) -> String {
        let breaks = self.bytes_of_row().map_or(0, |row| {
            let before = row.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
            before.filter(|byte| **byte == b'\n').count()
        });
        self.at(self.location.line + breaks as u64, message)
    }

    fn check_record(&self) -> Result<(), String> {
        let (found, wanted) = (self.record.len(), self.kinds.len());
        if found != wanted {
            let message = format!("{found} fields where the header has {wanted}");
            return Err(self.error(&message));
        }
        if self.record.as_slice().len() > LINE_BYTES {
            return Err(self.error(TOO_LONG));
        }
        Ok(())
    }

    /// Whether the row may have quotes: without any, it has the bytes of its fields, the delimiters between them and a line
    /// break.
    fn may_have_quotes(&self) -> bool {
        let plain = self.record.as_slice().len() + self.record.len() + 1;
        self.location.length > plain as u64
    }

    /// Reports text behind a closing quote, which the csv crate adds to the field. It shows that an earlier quote was a stray
    /// one, which has made one row of several lines.
    fn check_quotes(&self) -> Result<(), String> {
        let row = self.bytes_of_row()?;
        if quotes(&row, self.delimiter) == Quotes::TextBehind {
            let message = "text follows the closing quote of a field";
            return Err(self.error(message));
        }
        Ok(())
    }

    fn bytes_of_row(&self) -> Result<Vec<u8>, String> {
        let mut row = vec![0; usize::try_from(self.location.length).unwrap_or(LINE_BYTES)];
        let file = &self.reader.get_ref().file;
        let read = file.read_exact_at(&mut row, self.location.offset);
        read.map_err(|error| self.at(self.location.line, &error.to_string()))?;
        Ok(row)
    }

    /// Reports a quoted field that is not closed: the csv crate accepts the end of the file as its end.
    fn check_end(&self) -> Result<(), String> {
        if quotes(&self.bytes_of_row()?, self.delimiter) == Quotes::Open {
            return Err(self.error("a quoted field is not closed"));
        }
        Ok(())
    }
}

const TOO_LONG: &str = "longer than 1 MiB";

impl RowReader for Scan {
    fn next(&mut self) -> Result<bool, String> {
        self.reader.get_mut().left = LINE_BYTES + BUFFER;
        let line = self.reader.position().line();
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {
                if let Some(start) = self.record.position() {
                    self.location = RowLocation {
                        offset: start.byte(),
                        length: self.reader.position().byte() - start.byte(),
                        line: start.line(),
                    };
                }
                if self.may_have_quotes() {
                    self.check_quotes()?;
                }
                self.check_record().map(|()| true)
            }
            Ok(false) => self.check_end().map(|()| false),
            Err(error) => Err(self.at(line, &reason(&error))),
        }
    }

    fn seek(&mut self, location: RowLocation) -> Result<(), String> {
        self.location = location;
        let row = self.row.get_mut().get_mut();
        row.resize(usize::try_from(location.length).unwrap_or(0), 0);
        let read = self
            .reader
            .get_ref()
            .file
            .read_exact_at(row, location.offset);
        read.map_err(|error| self.at(location.line, &error.to_string()))?;
        self.row
            .seek_raw(SeekFrom::Start(0), Position::new())
            .and_then(|()| self.row.read_byte_record(&mut self.record))
            .map_err(|error| self.at(location.line, &reason(&error)))?;
        self.check_record()
    }

    fn cell(&self, column: usize) -> Result<ValueRef<'_>, String> {
        let bytes = self.record.get(column).unwrap_or_default();
        if std::str::from_utf8(bytes).is_err() {
            return Err(self.error("not UTF-8"));
        }
        Ok(typed(bytes, self.kinds[column]))
    }

    fn location(&self) -> RowLocation {
        self.location
    }
}

fn reader<R: Read>(source: R, delimiter: u8, headers: bool, buffer: usize) -> Reader<R> {
    ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(headers)
        // The number of fields is compared with the header line, not with the first row that is read.
        .flexible(true)
        .buffer_capacity(buffer.max(64))
        .from_reader(source)
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// A file that fails when a row is too long.
struct Bounded {
    file: File,
    left: usize,
}

impl Bounded {
    fn new(file: File) -> Self {
        let left = LINE_BYTES + BUFFER;
        Self { file, left }
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, TOO_LONG));
        }
        let wanted = buffer.len().min(self.left);
        let read = self.file.read(&mut buffer[..wanted])?;
        self.left -= read;
        Ok(read)
    }
}

/// What the quotes of a row say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    Closed,
    /// The last field is not closed.
    Open,
    /// Text follows a closing quote.
    TextBehind,
}

fn quotes(row: &[u8], delimiter: u8) -> Quotes {
    #[derive(Clone, Copy)]
    enum State {
        FieldStart,
        Plain,
        Inside,
        /// After a quote in a quoted field: its end, or the first of two.
        QuoteInside,
    }
    let mut state = State::FieldStart;
    for &byte in row {
        let ends_field = byte == delimiter || byte == b'\n' || byte == b'\r';
        state = match (state, byte) {
            (State::Inside, b'"') => State::QuoteInside,
            (State::Inside, _) | (State::FieldStart | State::QuoteInside, b'"') => State::Inside,
            _ if ends_field => State::FieldStart,
            (State::QuoteInside, _) => return Quotes::TextBehind,
            (State::FieldStart | State::Plain, _) => State::Plain,
        };
    }
    match state {
        State::Inside => Quotes::Open,
        State::FieldStart | State::Plain | State::QuoteInside => Quotes::Closed,
    }
}
