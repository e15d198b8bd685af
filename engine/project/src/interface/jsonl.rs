//! The rows of a file with a JSON object on each line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::types::ValueRef;
use weft_model::ColumnType;
use weft_model::Value;
use weft_model::{JsonCell, JsonObject};

use super::row_reader::{COLUMNS, Column, LINE_BYTES, RowLocation, RowReader, label, typed};
use crate::sqlite_value::to_sqlite;

/// The number of lines to search for column names.
const SAMPLE: usize = 1_000;

/// The names of the columns: the stated ones, and the keys of the first lines.
pub(super) fn keys(path: &Path, stated: Vec<String>) -> Result<Vec<String>, String> {
    let mut names = stated;
    let mut lines = Lines::open(path)?;
    for _ in 0..SAMPLE {
        if !lines.next()? {
            break;
        }
        for (key, _) in lines.object()? {
            if !names.contains(&key) {
                names.push(key);
            }
        }
        if names.len() > COLUMNS {
            break;
        }
    }
    if names.is_empty() {
        return Err(format!(
            "{} has no columns: state them under `columns`",
            label(path)
        ));
    }
    Ok(names)
}

/// Reads a file from its start, or single rows at a location.
pub(super) struct Scan {
    lines: Lines,
    columns: Vec<Column>,
    cells: Vec<Value>,
}

impl Scan {
    pub(super) fn open(path: &Path, columns: &[Column]) -> Result<Self, String> {
        Ok(Self {
            lines: Lines::open(path)?,
            columns: columns.to_vec(),
            cells: Vec::new(),
        })
    }

    fn take_cells(&mut self) -> Result<(), String> {
        let object = self.lines.object()?;
        self.cells.clear();
        self.cells.resize(self.columns.len(), Value::Null);
        for (key, json) in object {
            // Objects mostly have the keys of the columns, in one order.
            if let Some(at) = self.columns.iter().position(|column| column.name == key) {
                self.cells[at] = cell(json, self.columns[at].kind);
            }
        }
        Ok(())
    }
}

impl RowReader for Scan {
    fn next(&mut self) -> Result<bool, String> {
        let found = self.lines.next()?;
        if found {
            self.take_cells()?;
        }
        Ok(found)
    }

    fn seek(&mut self, location: RowLocation) -> Result<(), String> {
        self.lines.seek(location)?;
        self.take_cells()
    }

    fn cell(&self, column: usize) -> Result<ValueRef<'_>, String> {
        Ok(match &self.cells[column] {
            Value::Text(text) => typed(text.as_bytes(), kind_of_text(self.columns[column].kind)),
            value => to_sqlite(value),
        })
    }

    fn location(&self) -> RowLocation {
        self.lines.location
    }
}

/// A string in a column of type ANY stays a string, because JSON has numbers of its own.
fn kind_of_text(kind: ColumnType) -> ColumnType {
    match kind {
        ColumnType::Any => ColumnType::Text,
        kind => kind,
    }
}

fn cell(json: JsonCell, kind: ColumnType) -> Value {
    match json {
        JsonCell::Null => Value::Null,
        JsonCell::Bool(flag) if kind != ColumnType::Text => Value::Integer(i64::from(flag)),
        JsonCell::Bool(flag) => Value::Text(flag.to_string()),
        JsonCell::Number(digits) if kind == ColumnType::Any => Value::of_number(&digits),
        // In an INTEGER or REAL column, text that reads as a number is converted when the cell is read.
        JsonCell::Text(text) | JsonCell::Number(text) | JsonCell::Nested(text) => Value::Text(text),
    }
}

/// The lines of a file that are not blank.
struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
    location: RowLocation,
    end: u64,
    label: String,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self {
            file: BufReader::with_capacity(64 * 1024, file),
            line: Vec::new(),
            location: RowLocation::default(),
            end: 0,
            label: label(path),
        })
    }

    fn next(&mut self) -> Result<bool, String> {
        loop {
            self.line.clear();
            self.location = RowLocation {
                offset: self.end,
                length: 0,
                line: self.location.line + 1,
            };
            let limit = LINE_BYTES as u64 + 1;
            let read = (&mut self.file)
                .take(limit)
                .read_until(b'\n', &mut self.line);
            let read = read.map_err(|error| self.error(&error.to_string()))?;
            if read > LINE_BYTES {
                return Err(self.error("longer than 1 MiB"));
            }
            self.location.length = read as u64;
            self.end += read as u64;
            if read == 0 {
                return Ok(false);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    fn seek(&mut self, location: RowLocation) -> Result<(), String> {
        self.location = location;
        self.line.clear();
        self.line
            .resize(usize::try_from(location.length).unwrap_or(0), 0);
        let read = self
            .file
            .get_ref()
            .read_exact_at(&mut self.line, location.offset);
        read.map_err(|error| self.error(&error.to_string()))
    }

    fn object(&self) -> Result<Vec<(String, JsonCell)>, String> {
        let line = self
            .line
            .strip_prefix("\u{feff}".as_bytes())
            .unwrap_or(&self.line);
        let JsonObject(object) = JsonObject::parse(line).map_err(|reason| self.error(&reason))?;
        if object.len() > COLUMNS {
            return Err(self.error(&format!("more than {COLUMNS} columns")));
        }
        Ok(object)
    }

    fn error(&self, message: &str) -> String {
        format!("{}, line {}: {message}", self.label, self.location.line)
    }
}
