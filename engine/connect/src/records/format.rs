//! The formats of records.

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
        /// The keys that lead to the array; empty if the document is the array.
        path: Vec<String>,
    },
    /// XML with a repeated element.
    Xml {
        /// Names of enclosing elements, and of the element itself at the end.
        element: Vec<String>,
    },
    /// Lines of columns with fixed widths in characters.
    Fixed(Vec<(String, usize)>),
    /// Lines that a pattern splits into fields.
    Lines(Pattern),
}

impl Format {
    /// Whether records can be appended to a file and read on their own: each ends with a line break.
    pub fn may_grow(&self) -> bool {
        match self {
            Self::Csv(_) | Self::JsonLines | Self::Fixed(_) | Self::Lines(_) => true,
            Self::Json { .. } | Self::Xml { .. } => false,
        }
    }
}

/// The options of delimited text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvFormat {
    /// The byte between fields.
    pub delimiter: u8,
    /// The byte around fields that contain delimiters or line breaks; none if quotes are plain text.
    pub quote: Option<u8>,
    /// The first record names the columns.
    pub header: bool,
    /// The names of the columns if there is no header; empty for `column_1` and so on.
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

/// A regular expression whose named groups are the fields.
#[derive(Clone, Debug)]
pub struct Pattern(pub(super) Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// An error in a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(String);

impl Pattern {
    /// Parses a regular expression. Matching takes time linear in the length of the line.
    ///
    /// # Errors
    /// It cannot be parsed, or has no named group.
    pub fn new(text: &str) -> Result<Self, FormatError> {
        let regex = Regex::new(text).map_err(|error| FormatError(error.to_string()))?;
        if regex.capture_names().flatten().next().is_none() {
            return Err(FormatError(
                "the pattern has no named group; write (?<name>…) around each field".to_owned(),
            ));
        }
        Ok(Self(regex))
    }

    /// The names of the groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.capture_names().flatten()
    }
}
