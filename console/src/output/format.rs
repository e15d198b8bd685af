//! The output formats of tables.

use std::fmt;
use std::str::FromStr;

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Fabric's table: |column|, +------+, (n rows)
    Table,
    /// One line per value
    Vertical,
    /// One array of objects per statement
    Json,
    /// One object per line, as it arrives
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// Tab-separated values with a header
    Tsv,
    /// A table for Markdown
    Md,
}

const ALL: [(Format, &str); 7] = [
    (Format::Table, "table"),
    (Format::Vertical, "vertical"),
    (Format::Json, "json"),
    (Format::Jsonl, "jsonl"),
    (Format::Csv, "csv"),
    (Format::Tsv, "tsv"),
    (Format::Md, "md"),
];

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(format, _)| format == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ALL
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text.trim()));
        found.map(|(format, _)| *format).ok_or_else(|| {
            let names = ALL.map(|(_, name)| name).join(", ");
            format!("unknown output `{text}`, there are {names}")
        })
    }
}
