//! What is wrong with a project, all of it at once.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// One thing that is wrong with a project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProjectError {
    /// The file, relative to the project's folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The field, with dots: `tables.vehicle.query`. Empty where the file as such is meant.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// A name that is known and near to what was written.
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

/// Collects findings while a project is read.
#[derive(Debug, Default)]
pub struct Findings(Mutex<Vec<ProjectError>>);

impl Findings {
    /// One more.
    pub fn add(&self, at: &Spot, message: impl Into<String>) {
        self.add_near(at, message, None);
    }

    /// One more, with a known name that is near to what was written.
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

    /// All of them, by file and line.
    pub fn into_errors(self) -> Vec<ProjectError> {
        let mut errors = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        errors.sort();
        errors.dedup();
        errors
    }
}

/// A place in a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    /// The file, relative to the project's folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The field, with dots.
    pub field: String,
}

/// The known name that is nearest to `name`, if one is near.
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

/// Whether this is a name as interfaces, logical units, tables, instance groups, functions, flows and parsers have them.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
