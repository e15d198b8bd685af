//! The way in: a text of statements, run one after another.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weft_lang::{Span, Statement, split_statements};
use weft_model::{Principal, Session};

use crate::commands::{Execution, Lowering};
use crate::frame::{End, EndStatus, Frame};
use crate::inspect::Inspector;
use crate::output::Output;
use crate::permission::{Operation, Permit, authorize};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::services::Services;

/// Runs statements. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Statements {
    services: Services,
}

impl Statements {
    /// Runs statements with these services.
    pub fn new(services: Services) -> Self {
        Self { services }
    }

    /// The services that statements run with.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Answers permitted queries.
    pub fn inspector(&self) -> Inspector {
        Inspector::new(&self.services)
    }

    /// Asks the policy for permission to make a request.
    ///
    /// # Errors
    /// The principal lacks the permission.
    pub fn authorize<R: Operation>(
        &self,
        principal: &Principal,
        request: R,
    ) -> Result<Permit<R>, Refusal> {
        authorize(self.services.policy.as_ref(), principal, request)
    }

    /// Runs the statements of `text` in order, up to the first that fails. Sends their frames, and the end
    /// exactly once. When `stop` is cancelled or the receiver goes, it stops waiting, but not the work.
    pub async fn run(
        &self,
        principal: &Principal,
        text: &str,
        session: Session,
        frames: mpsc::Sender<Frame>,
        stop: CancellationToken,
    ) {
        let output = Output::new(frames);
        let mut session = session;
        let mut status = EndStatus::Ok;
        let mut error = None;
        for (number, span) in statement_spans(text).into_iter().enumerate() {
            let statement = span.of(text);
            // A command that has started continues; no further one starts for a caller that has disconnected.
            if number > 0 && (stop.is_cancelled() || output.is_gone()) {
                status = EndStatus::Failed;
                error = Some("error: stopped between two statements".to_owned());
                break;
            }
            let ran = self
                .run_one(principal, statement, &mut session, &output, &stop)
                .await;
            if let Err(refusal) = ran {
                status = refusal.status();
                error = Some(refusal.render(statement));
                break;
            }
        }
        let end = End {
            status,
            error,
            session,
        };
        output.send(Frame::End(end)).await;
    }

    async fn run_one(
        &self,
        principal: &Principal,
        text: &str,
        session: &mut Session,
        output: &Output,
        stop: &CancellationToken,
    ) -> Result<(), Refusal> {
        let services = &self.services;
        let statement = Statement::parse(text)?;
        let request = Request::lower(&statement, Lowering { session, services }).await?;
        let permit = self.authorize(principal, request)?;
        let _guard = services.traces.keep_session(session.trace_session);
        let execution = Execution {
            services,
            session,
            output,
            stop,
        };
        Request::carry_out(permit, execution).await
    }
}

/// The spans of the statements in a text. An empty text is one statement, which the parser rejects.
fn statement_spans(text: &str) -> Vec<Span> {
    let spans = split_statements(text);
    match spans.is_empty() {
        true => vec![Span::new(0, text.len())],
        false => spans,
    }
}
