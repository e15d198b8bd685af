//! A file of a project whose content the engine does not read.

use super::finding::Spot;

/// A file of a logical unit whose content the engine does not read. The part of a node that runs it also checks it (see
/// [`Validator`](super::Validator)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectFile {
    /// The path relative to the project folder.
    pub path: String,
    /// The content.
    pub text: String,
}

impl ProjectFile {
    /// Its first line, as the location of errors.
    pub fn spot(&self) -> Spot {
        Spot::start_of(self.path.as_str())
    }
}
