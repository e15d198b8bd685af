//! How the records of a file are written.

use regex::Regex;

/// A format with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Delimited text.
    Csv(CsvFormat),
    /// A JSON object on each line.
    JsonLines,
    /// JSON with an array of objects.
    Json {
        /// The keys that lead to the array; none where the document is the array.
        path: Vec<String>,
    },
    /// XML with an element that repeats.
    Xml {
        /// The names of the last elements on the way to it, itself last.
        element: Vec<String>,
    },
    /// Lines of columns, each so many characters wide.
    Fixed(Vec<(String, usize)>),
    /// Lines that a pattern takes apart.
    Lines(Pattern),
}

impl Format {
    /// Each record ends with a line break, so that what is written behind a file later can be read on its own.
    pub fn may_grow(&self) -> bool {
        match self {
            Self::Csv(_) | Self::JsonLines | Self::Fixed(_) | Self::Lines(_) => true,
            Self::Json { .. } | Self::Xml { .. } => false,
        }
    }
}

/// What a delimited file looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvFormat {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields that contain delimiters or line breaks; none where quotes are text.
    pub quote: Option<u8>,
    /// The first record names the columns.
    pub header: bool,
    /// The names of the columns, where there is no header; empty = `column_1` and so on.
    pub columns: Vec<String>,
}

impl Default for CsvFormat {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            header: true,
            columns: Vec::new(),
        }
    }
}

/// A regular expression with named groups, which are the fields.
#[derive(Clone, Debug)]
pub struct Pattern(pub(super) Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// What is wrong with a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(String);

impl Pattern {
    /// Reads a regular expression. It is matched in time that grows with the line alone.
    ///
    /// # Errors
    /// It is none, or has no named group.
    pub fn new(text: &str) -> Result<Self, FormatError> {
        let regex = Regex::new(text).map_err(|error| FormatError(error.to_string()))?;
        if regex.capture_names().flatten().next().is_none() {
            return Err(FormatError(
                "the pattern names no group; write (?<name>…) around what a field is".to_owned(),
            ));
        }
        Ok(Self(regex))
    }

    /// The names of its groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.capture_names().flatten()
    }
}
