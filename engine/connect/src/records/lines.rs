//! Formats with one record per line: JSON lines, fixed width, lines that match a pattern.

use std::io;
use std::sync::Arc;

use regex::Regex;
use weft_model::JsonObject;

use super::{
    Field, Input, Item, NOT_UTF8, Pattern, Position, RECORD_BYTES, ReadFailure, Record, Records,
    Reject, TOO_LONG, object_fields,
};

/// How a line is split into fields.
pub(super) enum LineFormat {
    Json,
    Fixed(Vec<(Arc<str>, usize)>),
    Pattern(Regex, Vec<(usize, Arc<str>)>),
}

impl LineFormat {
    pub(super) fn fixed(columns: &[(String, usize)]) -> Self {
        let columns = columns.iter();
        Self::Fixed(
            columns
                .map(|(name, width)| (name.as_str().into(), *width))
                .collect(),
        )
    }

    pub(super) fn pattern(pattern: &Pattern) -> Self {
        let names = pattern.0.capture_names().enumerate();
        let names = names.filter_map(|(group, name)| Some((group, name?.into())));
        Self::Pattern(pattern.0.clone(), names.collect())
    }

    fn fields(&self, line: &str) -> Result<Vec<(Arc<str>, Field)>, String> {
        match self {
            Self::Json => JsonObject::parse(line.as_bytes()).map(object_fields),
            Self::Fixed(columns) => split_fixed(columns, line),
            Self::Pattern(regex, names) => {
                let Some(found) = regex.captures(line) else {
                    return Err("does not match the pattern".to_owned());
                };
                let field = |group| match found.get(group) {
                    Some(part) => Field::Text(part.as_str().to_owned()),
                    None => Field::Null,
                };
                let names = names.iter();
                Ok(names
                    .map(|(group, name)| (Arc::clone(name), field(*group)))
                    .collect())
            }
        }
    }
}

fn split_fixed(
    columns: &[(Arc<str>, usize)],
    line: &str,
) -> Result<Vec<(Arc<str>, Field)>, String> {
    let mut rest = line;
    let mut fields = Vec::with_capacity(columns.len());
    for (name, width) in columns {
        if rest.is_empty() {
            return Err(format!("the line ends before column `{name}`"));
        }
        let end = rest
            .char_indices()
            .nth(*width)
            .map_or(rest.len(), |(at, _)| at);
        let (field, behind) = rest.split_at(end);
        fields.push((Arc::clone(name), Field::Text(field.trim().to_owned())));
        rest = behind;
    }
    if !rest.trim_end().is_empty() {
        let width: usize = columns.iter().map(|(_, width)| width).sum();
        return Err(format!(
            "the line is longer than the {width} characters of its columns"
        ));
    }
    Ok(fields)
}

/// The next line of an input.
pub(super) enum Line {
    /// A line. Only the last one may lack a line break.
    Whole { terminated: bool },
    /// Too long; only its beginning is kept.
    TooLong,
    /// There are no more lines.
    End,
}

/// Reads the next line into `line`, without its line break.
pub(super) fn next_line(input: &mut Input, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    loop {
        let bytes = input.peek()?;
        if bytes.is_empty() {
            return Ok(match line.is_empty() {
                true => Line::End,
                false => Line::Whole { terminated: false },
            });
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if line.len() + part.len() > RECORD_BYTES {
            input.skip_line()?;
            return Ok(Line::TooLong);
        }
        line.extend_from_slice(part);
        let count = part.len() + usize::from(end.is_some());
        input.take(count);
        if end.is_some() {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Line::Whole { terminated: true });
        }
    }
}

/// Reads a record from each line.
pub(super) struct LineRecords {
    format: LineFormat,
    input: Input,
    line: Vec<u8>,
    position: Position,
}

impl LineRecords {
    pub(super) fn new(
        format: LineFormat,
        mut input: Input,
        from: Position,
    ) -> Result<Self, ReadFailure> {
        input.advance_to(from)?;
        Ok(Self {
            format,
            position: input.position(),
            input,
            line: Vec::new(),
        })
    }
}

impl Records for LineRecords {
    fn next(&mut self) -> Result<Option<Item>, ReadFailure> {
        loop {
            let number = self.input.line() + 1;
            let item = match next_line(&mut self.input, &mut self.line)? {
                Line::End => return Ok(None),
                Line::TooLong => Item::Reject(Reject::new(number, TOO_LONG, &self.line)),
                Line::Whole { terminated } => {
                    let item = item(&self.format, number, &self.line);
                    if !terminated {
                        return Ok(item);
                    }
                    match item {
                        Some(item) => item,
                        None => {
                            self.position = self.input.position();
                            continue;
                        }
                    }
                }
            };
            self.position = self.input.position();
            return Ok(Some(item));
        }
    }

    fn position(&self) -> Position {
        self.position
    }
}

/// None for a blank line.
fn item(format: &LineFormat, number: u64, line: &[u8]) -> Option<Item> {
    let reject = |reason: String| Item::Reject(Reject::new(number, reason, line));
    let Ok(text) = std::str::from_utf8(line) else {
        return Some(reject(NOT_UTF8.to_owned()));
    };
    if text.trim().is_empty() {
        return None;
    }
    Some(match format.fields(text) {
        Ok(fields) => Item::Record(Record {
            line: number,
            fields,
        }),
        Err(reason) => reject(reason),
    })
}
