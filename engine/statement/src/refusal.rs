//! Why a statement was not carried out: a status for programs, a sentence and a place for people.

use std::fmt;

use tracing::warn;
use weft_lang::names::nearest;
use weft_lang::{Diagnostic, Span};
use weft_model::IllegalMove;
use weft_store::StoreError;

use super::EndStatus;
use crate::inspect::InspectError;

/// A statement that was refused, or that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: EndStatus,
    // Large, and only ever on the way out.
    diagnostic: Box<Diagnostic>,
    is_placed: bool,
    fault: Fault,
    option: Option<&'static str>,
}

/// Where the cause of a failure is, for who has more words for it than [`EndStatus::Failed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What is asked for cannot be, now or later.
    Request,
    /// It cannot be as things stand: what it is about runs, has ended, or is another thing.
    State,
    /// The store or the node.
    Node,
}

impl Refusal {
    /// A refusal of this kind, without a place in the text.
    pub fn new(status: EndStatus, message: impl Into<String>) -> Self {
        Self {
            status,
            diagnostic: Box::new(Diagnostic::new(message, Span::default())),
            is_placed: false,
            fault: Fault::Request,
            option: None,
        }
    }

    /// The command cannot be carried out.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(EndStatus::Failed, message)
    }

    /// The command cannot be carried out as things stand.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self {
            fault: Fault::State,
            ..Self::failed(message)
        }
    }

    /// This node cannot carry the command out.
    pub(super) fn of_node(message: impl Into<String>) -> Self {
        Self {
            fault: Fault::Node,
            ..Self::failed(message)
        }
    }

    /// The text cannot mean anything.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(EndStatus::Usage, message)
    }

    /// What was named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(EndStatus::NotFound, message)
    }

    /// The same refusal about a place of the statement.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.diagnostic.span = span;
        self.is_placed = true;
        self
    }

    /// The same refusal about an option of the command, e.g. `START_AT`; whoever asked knows where it stands.
    #[must_use]
    pub fn about(mut self, option: &'static str) -> Self {
        self.option = Some(option);
        self
    }

    /// The same refusal with a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.diagnostic.hint = Some(hint.into());
        self
    }

    /// The same refusal with the known name that was probably meant, if one is near.
    #[must_use]
    pub fn near<'n>(self, name: &str, known: impl IntoIterator<Item = &'n str>) -> Self {
        match nearest(name, known) {
            Some(meant) => self.hint(format!("did you mean `{meant}`?")),
            None => self,
        }
    }

    /// What kind of end this is.
    pub fn status(&self) -> EndStatus {
        self.status
    }

    /// Where the cause is.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The option that it is about, where it is about one.
    pub fn option(&self) -> Option<&'static str> {
        self.option
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.diagnostic.message
    }

    /// What to do about it, if that is known.
    pub fn advice(&self) -> Option<&str> {
        self.diagnostic.hint.as_deref()
    }

    /// The refusal as people read it, with the line of `statement` it is about.
    pub fn render(&self, statement: &str) -> String {
        self.diagnostic
            .render(if self.is_placed { statement } else { "" })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Refusal {}

impl From<Diagnostic> for Refusal {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            status: EndStatus::Usage,
            diagnostic: Box::new(diagnostic),
            is_placed: true,
            fault: Fault::Request,
            option: None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = if error.is_transient() {
            EndStatus::Unreachable
        } else {
            EndStatus::Failed
        };
        Self {
            fault: Fault::Node,
            ..Self::new(status, error.to_string())
        }
    }
}

impl From<IllegalMove> for Refusal {
    fn from(illegal: IllegalMove) -> Self {
        // No command offers such a move: the row was written by hand, or by another version.
        warn!("Left a row alone: {illegal}");
        Self::conflict(illegal.to_string())
    }
}

impl From<InspectError> for Refusal {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::NoSuchBatch(_) => Self::not_found(error.to_string())
                .hint("BATCH_LIST STATUS='ALL' shows the batches that there are"),
            InspectError::NoSuchJob(key) => no_such_job(&key.job_type, &key.name, Some(&key.uid)),
            InspectError::Store(error) => error.into(),
        }
    }
}

/// There is no job of this identity.
pub(super) fn no_such_job(job_type: &str, name: &str, uid: Option<&str>) -> Refusal {
    let uid = uid.map_or_else(String::new, |uid| format!(" with UID '{uid}'"));
    Refusal::not_found(format!("there is no job {job_type} '{name}'{uid}"))
        .hint(format!("JOBSTATUS {job_type} shows those of the type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_marked_and_a_hint_follows() {
        let refusal = Refusal::not_found("there is no logical unit `Custmer`")
            .at(Span::new(6, 13))
            .near("Custmer", ["Customer", "CRM"]);
        assert_eq!(
            refusal.render("BATCH Custmer;"),
            "error: there is no logical unit `Custmer`\n  BATCH Custmer;\n        ^^^^^^^\nhint: did you mean `Customer`?"
        );
    }

    #[test]
    fn without_a_place_the_statement_is_not_shown() {
        let refusal = Refusal::failed("no").hint("yes");
        assert_eq!(refusal.render("BATCH X;"), "error: no\nhint: yes");
    }
}
