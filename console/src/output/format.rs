//! The output formats of tables.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ValueEnum::from_str(text.trim(), true).map_err(|_| {
            let names: Vec<_> = Self::value_variants().iter().map(Self::to_string).collect();
            format!("unknown output `{text}`, there are {}", names.join(", "))
        })
    }
}
