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

    fn check_record(&self) -> Result<(), String> {
        let (found, wanted) = (self.record.len(), self.kinds.len());
        if found != wanted {
            let message = format!("{found} fields where the header has {wanted}");
            return Err(self.at(self.location.line, &message));
        }
        if self.record.as_slice().len() > LINE_BYTES {
            return Err(self.at(self.location.line, TOO_LONG));
        }
        Ok(())
    }

    /// Reports a quoted field that is not closed: the csv crate accepts the end of the file as its end.
    fn check_end(&self) -> Result<(), String> {
        let mut last = vec![0; usize::try_from(self.location.length).unwrap_or(LINE_BYTES)];
        let file = &self.reader.get_ref().file;
        let read = file.read_exact_at(&mut last, self.location.offset);
        read.map_err(|error| self.at(self.location.line, &error.to_string()))?;
        if ends_inside_quotes(&last, self.delimiter) {
            return Err(self.at(self.location.line, "a quoted field is not closed"));
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
            return Err(self.at(self.location.line, "not UTF-8"));
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

fn ends_inside_quotes(row: &[u8], delimiter: u8) -> bool {
    let mut inside = false;
    let mut field_starts = true;
    for &byte in row {
        if inside {
            inside = byte != b'"';
        } else if byte == b'"' {
            // This is also true for the second of two quotes, which continues the field.
            inside = field_starts;
        } else {
            field_starts = byte == delimiter || byte == b'\n' || byte == b'\r';
        }
    }
    inside
}
