//! The errors of a project, collected so that a check reports all of them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// An error in a project file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProjectError {
    /// The path relative to the project folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The path of the field: `tables.vehicle.query`. Empty for an error of the whole file.
    pub field: String,
    /// The rest of a sentence about the field or the file: `is missing`.
    pub message: String,
    /// The known name that is most similar to the one in the file, if one is similar enough.
    pub nearest: Option<String>,
}

impl fmt::Display for ProjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ProjectError {}

/// Collects the errors of a project while it is read.
#[derive(Debug, Default)]
pub struct Findings(Mutex<Vec<ProjectError>>);

impl Findings {
    /// Adds an error.
    pub fn add(&self, at: &Spot, message: impl Into<String>) {
        self.add_near(at, message, None);
    }

    /// Adds an error with the known name that is most similar to the one in the file.
    pub fn add_near(&self, at: &Spot, message: impl Into<String>, nearest: Option<String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(ProjectError {
                file: at.file.clone(),
                line: at.line,
                field: at.field.clone(),
                message: message.into(),
                nearest,
            });
    }

    /// All errors, ordered by file and line, each once.
    pub fn into_errors(self) -> Vec<ProjectError> {
        let mut errors = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        errors.sort();
        errors.dedup();
        errors
    }

    /// The value that was read, unless there are errors.
    pub(crate) fn into_result<T>(self, value: T) -> Result<T, Vec<ProjectError>> {
        let errors = self.into_errors();
        if errors.is_empty() {
            Ok(value)
        } else {
            Err(errors)
        }
    }
}

/// A location in a project file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    /// The path relative to the project folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The field as in [`ProjectError::field`].
    pub field: String,
}

impl Spot {
    /// The first line of a file.
    pub fn start_of(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 1,
            field: String::new(),
        }
    }
}

/// The known name that is most similar to `name`: at most a third of its characters differ, and two always may.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let wanted = name.to_lowercase();
    let limit = (name.chars().count() / 3).max(2);
    known
        .into_iter()
        .map(|known| {
            (
                strsim::damerau_levenshtein(&wanted, &known.to_lowercase()),
                known,
            )
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known.to_owned())
}

/// Whether an interface, logical unit, table, instance group, function, flow or parser can have this name.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Checks a name that a file or folder gives, also against the other names of its kind.
pub(crate) fn check_file_name(
    name: &str,
    others: &BTreeSet<String>,
    spot: &Spot,
    findings: &Findings,
) {
    if !is_name(name) {
        findings.add(
            spot,
            format!(
                "`{name}` is not a name: it starts with a letter and has only letters, digits and _"
            ),
        );
    }
    if let Some(other) = others.iter().find(|other| other.eq_ignore_ascii_case(name)) {
        findings.add(
            spot,
            format!("`{name}` and `{other}` differ only in upper and lower case"),
        );
    }
}
