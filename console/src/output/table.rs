//! Writes tables in every format as their rows arrive, with bounded memory.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::Format;
use super::cell::{escaped, shortened, text_of, width};

/// Rows that decide the widths of the columns.
const SAMPLE: usize = 1_000;

/// Writes the tables of one statement. Every method answers the text that comes next on stdout.
#[derive(Debug)]
pub struct TableWriter {
    format: Format,
    /// A wider table is written as `vertical`.
    max_width: Option<usize>,
    columns: Vec<String>,
    is_open: bool,
    waiting: Vec<Vec<Value>>,
    widths: Vec<usize>,
    is_vertical: bool,
    row_count: u64,
    object_count: u64,
}

impl TableWriter {
    /// A writer for the tables of one statement. A table wider than `max_width` is written as `vertical`.
    pub fn new(format: Format, max_width: Option<usize>) -> Self {
        Self {
            format,
            max_width,
            columns: Vec::new(),
            is_open: false,
            waiting: Vec::new(),
            widths: Vec::new(),
            is_vertical: false,
            row_count: 0,
            object_count: 0,
        }
    }

    /// Begins a table.
    pub fn columns(&mut self, columns: Vec<String>) -> String {
        let mut out = self.end_table();
        self.columns = columns;
        self.is_open = true;
        self.row_count = 0;
        match self.format {
            Format::Csv => out.push_str(&self.csv_line(self.columns.iter().map(String::as_str))),
            Format::Tsv => {
                let names: Vec<_> = self.columns.iter().map(|name| tsv_text(name)).collect();
                out.push_str(&names.join("\t"));
                out.push('\n');
            }
            Format::Md => {
                let names: Vec<_> = self.columns.iter().map(|name| md_text(name)).collect();
                // Writing to a string cannot fail.
                let _ = writeln!(out, "| {} |", names.join(" | "));
                let _ = writeln!(out, "|{}", " --- |".repeat(names.len()));
            }
            Format::Table | Format::Vertical | Format::Json | Format::Jsonl => (),
        }
        out
    }

    /// Adds a row to the table.
    pub fn row(&mut self, row: Vec<Value>) -> String {
        self.row_count += 1;
        match self.format {
            Format::Table => self.table_row(row),
            Format::Vertical => self.vertical_row(self.row_count, &row),
            Format::Json => self.json_row(row),
            Format::Jsonl => format!("{}\n", self.object(row)),
            Format::Csv => {
                let cells: Vec<_> = row.iter().map(csv_cell).collect();
                self.csv_line(cells.iter().map(AsRef::as_ref))
            }
            Format::Tsv => {
                let cells: Vec<_> = row.iter().map(|value| tsv_text(&csv_cell(value))).collect();
                format!("{}\n", cells.join("\t"))
            }
            Format::Md => {
                let cells: Vec<_> = row.iter().map(|value| md_text(&text_of(value))).collect();
                format!("| {} |\n", cells.join(" | "))
            }
        }
    }

    /// Ends the output of the statement.
    pub fn end(&mut self) -> String {
        let mut out = self.end_table();
        if self.format == Format::Json {
            out.push_str(if self.object_count == 0 {
                "[]\n"
            } else {
                "\n]\n"
            });
            self.object_count = 0;
        }
        out
    }

    fn end_table(&mut self) -> String {
        if !std::mem::take(&mut self.is_open) {
            return String::new();
        }
        let mut out = match self.format {
            Format::Table => self.flush(),
            _ => String::new(),
        };
        if matches!(self.format, Format::Table | Format::Vertical) {
            let noun = if self.row_count == 1 { "row" } else { "rows" };
            let _ = writeln!(out, "({} {noun})", self.row_count);
        }
        out
    }

    fn table_row(&mut self, row: Vec<Value>) -> String {
        if self.is_vertical {
            return self.vertical_row(self.row_count, &row);
        }
        if !self.widths.is_empty() {
            return line(&row, &self.widths);
        }
        self.waiting.push(row);
        if self.waiting.len() < SAMPLE {
            return String::new();
        }
        self.decide_widths()
    }

    /// Writes the rows that still wait at the end of the table.
    fn flush(&mut self) -> String {
        let out = if self.widths.is_empty() && !self.is_vertical {
            self.decide_widths()
        } else {
            String::new()
        };
        self.widths.clear();
        self.is_vertical = false;
        out
    }

    /// Decides the widths of the columns, then writes the header and the rows that waited.
    fn decide_widths(&mut self) -> String {
        let rows = std::mem::take(&mut self.waiting);
        let widths = widths(&self.columns, &rows);
        let total = widths.iter().sum::<usize>() + widths.len() + 1;
        self.is_vertical = !rows.is_empty() && self.max_width.is_some_and(|max| total > max);
        if self.is_vertical {
            let numbered = (1..).zip(&rows);
            return numbered
                .map(|(number, row)| self.vertical_row(number, row))
                .collect();
        }
        let mut out = header(&self.columns, &widths);
        for row in &rows {
            out.push_str(&line(row, &widths));
        }
        self.widths = widths;
        out
    }

    fn vertical_row(&self, number: u64, row: &[Value]) -> String {
        let name_width = self.columns.iter().map(|name| width(name)).max();
        let mut out = format!("-[ row {number} ]-\n");
        for (name, value) in self.columns.iter().zip(row) {
            let pad = " ".repeat(name_width.unwrap_or(0).saturating_sub(width(name)));
            let text = shortened(value);
            let _ = writeln!(out, "{}{pad} | {}", escaped(name), escaped(&text));
        }
        out
    }

    fn json_row(&mut self, row: Vec<Value>) -> String {
        let before = if self.object_count == 0 {
            "[\n  "
        } else {
            ",\n  "
        };
        self.object_count += 1;
        format!("{before}{}", self.object(row))
    }

    fn object(&self, row: Vec<Value>) -> Value {
        let mut object = Map::new();
        for (name, value) in self.columns.iter().zip(row) {
            let mut name = name.clone();
            while object.contains_key(&name) {
                name.push('_');
            }
            object.insert(name, value);
        }
        Value::Object(object)
    }

    fn csv_line<'a>(&self, cells: impl Iterator<Item = &'a str>) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let written = writer.write_record(cells);
        let bytes = written.ok().and_then(|()| writer.into_inner().ok());
        String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }
}

/// A value for formats without null, which becomes an empty text.
fn csv_cell(value: &Value) -> std::borrow::Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        _ => text_of(value),
    }
}

fn tsv_text(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

fn md_text(text: &str) -> String {
    escaped(text).replace('\\', "\\\\").replace('|', "\\|")
}

fn widths(columns: &[String], rows: &[Vec<Value>]) -> Vec<usize> {
    let mut widths: Vec<_> = columns.iter().map(|name| width(&escaped(name))).collect();
    for row in rows {
        for (widest, value) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(&escaped(&shortened(value))));
        }
    }
    widths
}

fn header(columns: &[String], widths: &[usize]) -> String {
    let mut out = String::new();
    for (name, width) in columns.iter().zip(widths) {
        cell(&mut out, name, *width);
    }
    out.push_str("|\n");
    for width in widths {
        out.push('+');
        out.push_str(&"-".repeat(*width));
    }
    out.push_str("+\n");
    out
}

fn line(row: &[Value], widths: &[usize]) -> String {
    let mut out = String::new();
    for (value, width) in row.iter().zip(widths) {
        cell(&mut out, &shortened(value), *width);
    }
    out.push_str("|\n");
    out
}

fn cell(out: &mut String, text: &str, padded_width: usize) {
    let text = escaped(text);
    out.push('|');
    out.push_str(&text);
    out.push_str(&" ".repeat(padded_width.saturating_sub(width(&text))));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(format: Format, max_width: Option<usize>, columns: &[&str], rows: &[Value]) -> String {
        let mut writer = TableWriter::new(format, max_width);
        let mut out = writer.columns(columns.iter().map(|name| (*name).to_owned()).collect());
        for row in rows {
            out.push_str(&writer.row(row.as_array().expect("a row is an array").clone()));
        }
        out.push_str(&writer.end());
        out
    }

    #[test]
    fn a_long_cell_is_cut_for_people_and_whole_for_machines() {
        let long = "ü".repeat(5_000);
        let mark = "… 4000 more characters, whole with --output json";
        for format in [Format::Table, Format::Vertical] {
            let out = write(format, None, &["Output"], &[json!([long])]);
            assert!(
                out.contains(&format!("{}{mark}", "ü".repeat(1_000))),
                "{out}"
            );
            assert!(!out.contains(&"ü".repeat(1_001)));
        }
        for format in [
            Format::Json,
            Format::Jsonl,
            Format::Csv,
            Format::Tsv,
            Format::Md,
        ] {
            assert!(write(format, None, &["Output"], &[json!([long])]).contains(&long));
        }
        let fits = "x".repeat(1_000);
        let out = write(Format::Table, None, &["Output"], &[json!([fits])]);
        assert!(out.contains(&fits) && !out.contains('…'));
    }

    #[test]
    fn a_table_looks_like_fabrics() {
        let columns = ["Type", "Name", "UID", "Status", "Notes"];
        let rows = [
            json!([
                "USER_JOB",
                "Customer.numberOfIDs",
                "checkNumberIDs",
                "TERMINATED",
                ""
            ]),
            json!([
                "USER_JOB",
                "Customer.numberOfIDs",
                "checkNumberIDs",
                "WAITING",
                null
            ]),
        ];
        assert_eq!(
            write(Format::Table, None, &columns, &rows),
            "|Type    |Name                |UID           |Status    |Notes|\n\
             +--------+--------------------+--------------+----------+-----+\n\
             |USER_JOB|Customer.numberOfIDs|checkNumberIDs|TERMINATED|     |\n\
             |USER_JOB|Customer.numberOfIDs|checkNumberIDs|WAITING   |null |\n\
             (2 rows)\n"
        );
    }

    #[test]
    fn every_format_is_written() {
        let columns = ["id", "note"];
        let rows = [
            json!([1, "a|b"]),
            json!([2, null]),
            json!(["漢", "x\ty\n\"z\","]),
        ];
        let cases = [
            (
                Format::Table,
                "|id|note      |\n+--+----------+\n|1 |a|b       |\n|2 |null      |\n|漢|x\\ty\\n\"z\",|\n(3 rows)\n",
            ),
            (
                Format::Vertical,
                "-[ row 1 ]-\nid   | 1\nnote | a|b\n-[ row 2 ]-\nid   | 2\nnote | null\n-[ row 3 ]-\nid   | 漢\nnote | x\\ty\\n\"z\",\n(3 rows)\n",
            ),
            (
                Format::Json,
                "[\n  {\"id\":1,\"note\":\"a|b\"},\n  {\"id\":2,\"note\":null},\n  {\"id\":\"漢\",\"note\":\"x\\ty\\n\\\"z\\\",\"}\n]\n",
            ),
            (
                Format::Jsonl,
                "{\"id\":1,\"note\":\"a|b\"}\n{\"id\":2,\"note\":null}\n{\"id\":\"漢\",\"note\":\"x\\ty\\n\\\"z\\\",\"}\n",
            ),
            (Format::Csv, "id,note\n1,a|b\n2,\n漢,\"x\ty\n\"\"z\"\",\"\n"),
            (Format::Tsv, "id\tnote\n1\ta|b\n2\t\n漢\tx\\ty\\n\"z\",\n"),
            (
                Format::Md,
                "| id | note |\n| --- | --- |\n| 1 | a\\|b |\n| 2 | null |\n| 漢 | x\\\\ty\\\\n\"z\", |\n",
            ),
        ];
        for (format, expected) in cases {
            assert_eq!(write(format, None, &columns, &rows), expected, "{format}");
        }
    }

    #[test]
    fn an_empty_table_has_its_header() {
        assert_eq!(
            write(Format::Table, Some(1), &["a"], &[]),
            "|a|\n+-+\n(0 rows)\n"
        );
        assert_eq!(write(Format::Json, None, &["a"], &[]), "[]\n");
        assert_eq!(TableWriter::new(Format::Json, None).end(), "[]\n");
        assert_eq!(TableWriter::new(Format::Table, None).end(), "");
    }

    #[test]
    fn a_table_too_wide_is_vertical() {
        let rows = [json!(["abcdef", "ghi"])];
        assert_eq!(
            write(Format::Table, Some(10), &["a", "b"], &rows),
            "-[ row 1 ]-\na | abcdef\nb | ghi\n(1 row)\n"
        );
        assert!(write(Format::Table, Some(12), &["a", "b"], &rows).starts_with("|a "));
    }

    #[test]
    fn long_tables_stream_and_lose_nothing() {
        let rows: Vec<_> = (0..2_500).map(|number| json!([number])).collect();
        let text = write(Format::Table, None, &["number"], &rows);
        assert_eq!(text.lines().count(), 2_503);
        assert!(text.ends_with("|2499  |\n(2500 rows)\n"));
        let vertical = write(Format::Table, Some(4), &["number"], &rows);
        assert_eq!(vertical.lines().count(), 5_001);
        assert!(vertical.contains("-[ row 2500 ]-\n"));
    }

    #[test]
    fn nothing_in_a_cell_reaches_the_terminal_as_a_command() {
        let text = write(
            Format::Table,
            None,
            &["a"],
            &[json!(["\u{1b}[2J\u{202e}x"])],
        );
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{text:?}"
        );
    }
}
