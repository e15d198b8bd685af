//! FABRIC_COMMAND: the text of the command that a batch runs for each entity.

use super::COMMANDS;
use super::statement::parse;
use crate::ast::{EntityTemplate, Statement};
use crate::cursor::Placeholders;
use crate::diagnostic::Diagnostic;
use crate::span::Span;

const HINT: &str = "put `?` where the entity id goes, as in `sync_instance Customer.?`";

impl EntityTemplate {
    /// Parses the value of a FABRIC_COMMAND. Spans and errors refer to `text`.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        let start = text.len() - text.trim_start().len();
        let whole = Span::new(start, text.trim_end().len().max(start));
        if text.trim().is_empty() {
            return Err(Diagnostic::new("the entity command is empty", whole).hint(HINT));
        }
        let command = parse(text, Placeholders::EntityId)?;
        let name = command.keyword();
        let Some(template) = Self::from_command(command) else {
            let message = format!("{name} cannot be run for each entity");
            let possible = COMMANDS.iter().filter(|spec| spec.for_each_entity);
            return Err(Diagnostic::new(message, whole)
                .expecting(possible.map(|spec| spec.name.to_lowercase())));
        };
        match template.has_id() {
            true => Ok(template),
            false => Err(Diagnostic::new("the entity command has no `?`", whole).hint(HINT)),
        }
    }

    /// The statement for one entity, with its printed form as source.
    pub fn bind_statement(&self, id: &str) -> Statement {
        Statement::from(self.bind(id))
    }
}
