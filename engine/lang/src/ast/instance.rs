//! Commands about instances.

use super::{Assignment, Text};
use crate::span::Spanned;

/// `LU.id`
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The logical unit.
    pub lu: Spanned<String>,
    /// The instance id.
    pub id: Spanned<Text>,
}

/// GET and USE.
#[derive(Clone, Debug, PartialEq)]
pub struct Get {
    /// Which of the two.
    pub verb: GetVerb,
    /// At most one instance of each logical unit.
    pub instances: Vec<Instance>,
    /// Whether the first error ends the command.
    pub stop_on_error: Option<Spanned<bool>>,
    /// Whether instances are fetched in parallel.
    pub parallel: Option<Spanned<bool>>,
}

/// GET or USE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetVerb {
    /// GET.
    Get,
    /// USE.
    Use,
}

/// CDC_REPUBLISH_INSTANCE.
#[derive(Clone, Debug, PartialEq)]
pub struct CdcRepublish {
    /// The instance.
    pub instance: Instance,
    /// Tables, separated by commas.
    pub tables: Option<Spanned<String>>,
    /// Types, separated by commas.
    pub types: Option<Spanned<String>>,
    /// Whether the target is emptied first.
    pub truncate: Option<Spanned<bool>>,
}

/// BROADWAY.
#[derive(Clone, Debug, PartialEq)]
pub struct Broadway {
    /// The logical unit.
    pub lu: Spanned<String>,
    /// The flow.
    pub flow: Spanned<String>,
    /// The inputs of the flow and the settings of the run, in the order given.
    pub parameters: Vec<Assignment>,
}
