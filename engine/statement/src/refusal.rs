//! Why a statement was refused or failed: a status for programs, a sentence and a place for people.

use std::fmt;

use tracing::warn;
use weft_lang::names::nearest;
use weft_lang::{Diagnostic, Span};
use weft_model::IllegalMove;
use weft_model::schedule::PolicyOptionError;
use weft_project::command::CommandError;
use weft_project::{CatalogueError, UnknownProjectName};
use weft_store::StoreError;

use crate::frame::EndStatus;

/// A statement that was refused, or that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: EndStatus,
    // Boxed: it is large, and refusals are rare.
    diagnostic: Box<Diagnostic>,
    has_place: bool,
    fault: Fault,
    option: Option<&'static str>,
}

/// Where the cause of a failure lies, for callers that tell apart what [`EndStatus::Failed`] does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is impossible, now and later.
    Request,
    /// The present state does not allow it: the object runs, has ended, or is another one.
    State,
    /// The store or the node.
    Node,
}

impl Refusal {
    /// A refusal without a place in the text.
    pub fn new(status: EndStatus, message: impl Into<String>) -> Self {
        Self {
            status,
            diagnostic: Box::new(Diagnostic::new(message, Span::default())),
            has_place: false,
            fault: Fault::Request,
            option: None,
        }
    }

    /// The command cannot be carried out.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(EndStatus::Failed, message)
    }

    /// The command cannot be carried out in the present state.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self {
            fault: Fault::State,
            ..Self::failed(message)
        }
    }

    /// This node cannot carry the command out.
    pub(crate) fn node_failed(message: impl Into<String>) -> Self {
        Self {
            fault: Fault::Node,
            ..Self::failed(message)
        }
    }

    /// The text has no meaning.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(EndStatus::Usage, message)
    }

    /// The named object does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(EndStatus::NotFound, message)
    }

    /// A command, or a part of one, that is known by name only.
    pub(crate) fn not_available(what: &str) -> Self {
        Self::failed(format!("{what} is known but not available in this version"))
            .hint("HELP shows which commands there are")
    }

    /// There is no batch with this id.
    pub(crate) fn no_such_batch(id: impl fmt::Display) -> Self {
        Self::not_found(format!("there is no batch {id}"))
            .hint("BATCH_LIST STATUS='ALL' shows the batches that there are")
    }

    /// There is no job with this identity.
    pub(crate) fn no_such_job(job_type: &str, name: &str, uid: Option<&str>) -> Self {
        let uid = uid.map_or_else(String::new, |uid| format!(" with UID '{uid}'"));
        Self::not_found(format!("there is no job {job_type} '{name}'{uid}"))
            .hint(format!("JOBSTATUS {job_type} shows those of the type"))
    }

    /// Adds the place in the statement.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.diagnostic.span = span;
        self.has_place = true;
        self
    }

    /// Adds the option of the command, e.g. `START_AT`. The caller knows its position.
    #[must_use]
    pub fn about(mut self, option: &'static str) -> Self {
        self.option = Some(option);
        self
    }

    /// Adds a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.diagnostic.hint = Some(hint.into());
        self
    }

    /// Adds the known name that was probably meant, if one is close.
    #[must_use]
    pub fn near<'n>(self, name: &str, known: impl IntoIterator<Item = &'n str>) -> Self {
        match nearest(name, known) {
            Some(meant) => self.hint(format!("did you mean `{meant}`?")),
            None => self,
        }
    }

    /// How the statement ends.
    pub fn status(&self) -> EndStatus {
        self.status
    }

    /// Where the cause lies.
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

    /// The next step, if one is known.
    pub fn advice(&self) -> Option<&str> {
        self.diagnostic.hint.as_deref()
    }

    /// The refusal as people read it, with the line of `statement` that it is about.
    pub fn render(&self, statement: &str) -> String {
        self.diagnostic
            .render(if self.has_place { statement } else { "" })
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
            has_place: true,
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

impl From<PolicyOptionError> for Refusal {
    fn from(error: PolicyOptionError) -> Self {
        let refusal = Self::usage(error.message).about(error.option);
        match error.hint {
            Some(hint) => refusal.hint(hint),
            None => refusal,
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

impl From<CatalogueError> for Refusal {
    fn from(error: CatalogueError) -> Self {
        match &error {
            CatalogueError::NothingDeployed => {
                Self::not_found(error.to_string()).hint("DEPLOY '<folder>' deploys one")
            }
            CatalogueError::Store(store) if store.is_transient() => {
                Self::new(EndStatus::Unreachable, error.to_string())
            }
            CatalogueError::Invalid(_)
            | CatalogueError::Bundle(_)
            | CatalogueError::Store(_)
            | CatalogueError::UnknownProject(_)
            | CatalogueError::Unsettled
            | CatalogueError::NoThread => Self::failed(error.to_string()),
        }
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Refused(reason) | CommandError::NotNow(reason) => Self::failed(reason),
            CommandError::Store(error) => error.into(),
        }
    }
}

impl From<UnknownProjectName> for Refusal {
    fn from(error: UnknownProjectName) -> Self {
        let refusal = Self::not_found(format!("there is no {} `{}`", error.what, error.name));
        refusal.hint(match &error.nearest {
            Some(near) => format!("did you mean `{near}`?"),
            None => match error.what {
                "interface" => "LIST INTERFACES shows the interfaces",
                "instance group" => "LIST INSTANCE_GROUPS shows the instance groups",
                _ => "LIST LU shows the logical units",
            }
            .to_owned(),
        })
    }
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
