//! What the formats of files have in common: typed columns, rows at a location, and limits.

use std::path::Path;

use rusqlite::types::ValueRef;
use weft_model::ColumnType;
use weft_model::number::{exact_integer, nearest_real, written_integer};

/// The longest line of a file.
pub(super) const LINE_BYTES: usize = 1024 * 1024;
/// The most columns of a file.
pub(super) const COLUMNS: usize = 1_000;

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: ColumnType,
}

/// The bytes of a row in its file, and the number of its first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RowLocation {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) line: u64,
}

/// Reads the rows of a file, one at a time.
pub(super) trait RowReader: Send {
    /// Moves to the next row; false at the end of the file.
    fn next(&mut self) -> Result<bool, String>;
    /// Moves to a row that was read before, by this reader or by another one of the same file.
    fn seek(&mut self, location: RowLocation) -> Result<(), String>;
    /// A cell of the current row.
    fn cell(&self, column: usize) -> Result<ValueRef<'_>, String>;
    /// The location of the current row.
    fn location(&self) -> RowLocation;
}

/// The name of a file for messages.
pub(super) fn label(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Converts a text cell to the type of its column. Text that does not fit stays text with all its characters: one that is no
/// number, an integer beyond 64 bits or with a fraction, a double beyond its range.
pub(super) fn typed(text: &[u8], kind: ColumnType) -> ValueRef<'_> {
    let utf8 = || std::str::from_utf8(text).ok();
    let number = match kind {
        ColumnType::Text => None,
        ColumnType::Blob => return ValueRef::Blob(text),
        _ if text.is_empty() => return ValueRef::Null,
        ColumnType::Integer => utf8()
            .and_then(|text| exact_integer(text.trim()))
            .map(ValueRef::Integer),
        ColumnType::Any => utf8().and_then(written_integer).map(ValueRef::Integer),
        ColumnType::Real => utf8()
            .and_then(|text| nearest_real(text.trim()))
            .map(ValueRef::Real),
    };
    number.unwrap_or(ValueRef::Text(text))
}
