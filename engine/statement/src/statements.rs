//! The way in: a text of statements, run one after another.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weft_lang::{Statement, split_statements};
use weft_model::Principal;
use weft_model::Session;

use super::execute::execute;
use super::output::Output;
use super::permit::{Operation, Permit, authorize};
use super::{End, EndStatus, Frame, Refusal, Services, lower};
use crate::inspect::Inspector;

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

    /// What they run with.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Answers questions that were permitted.
    pub fn inspector(&self) -> Inspector {
        Inspector::new(&self.services)
    }

    /// Asks for permission to make a request.
    ///
    /// # Errors
    /// The principal may not.
    pub fn authorize<R: Operation>(
        &self,
        principal: &Principal,
        request: R,
    ) -> Result<Permit<R>, Refusal> {
        authorize(self.services.policy.as_ref(), principal, request)
    }

    /// Runs the statements of `text` in order, up to the first that fails. Sends their frames, and the end
    /// exactly once. When `stop` is cancelled or nobody receives any more, it stops waiting, never the work.
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
        for (number, span) in statements(text).into_iter().enumerate() {
            let statement = span.of(text);
            // What was begun goes on; nothing more is begun for somebody who has gone.
            if number > 0 && (stop.is_cancelled() || output.is_gone()) {
                status = EndStatus::Failed;
                error = Some("error: stopped between two statements".to_owned());
                break;
            }
            let ran = self
                .one(principal, statement, &mut session, &output, &stop)
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

    async fn one(
        &self,
        principal: &Principal,
        text: &str,
        session: &mut Session,
        output: &Output,
        stop: &CancellationToken,
    ) -> Result<(), Refusal> {
        let services = &self.services;
        let statement = Statement::parse(text)?;
        let request = lower(
            &statement,
            session,
            &services.catalogue,
            &services.config,
            &services.kinds,
            services.flows.as_ref(),
        )
        .await?;
        let permit = self.authorize(principal, request)?;
        let _heard = services.traces.hear(session.trace_session);
        execute(services, session, permit, output, stop).await
    }
}

/// The places of the statements. A text without any is one statement, which the parser refuses.
fn statements(text: &str) -> Vec<weft_lang::Span> {
    let spans = split_statements(text);
    match spans.is_empty() {
        true => vec![weft_lang::Span::new(0, text.len())],
        false => spans,
    }
}
