//! BATCH and MIGRATE as typed, read into the specification of a batch.

use weft_lang::{Batch, EntitySource as Source, EntityTemplate, Family, Spanned, Statement, Text};
use weft_model::{BatchSpec, EntitySource, RetryPolicy, check_id};
use weft_project::command::CommandFactory;
use weft_project::{LogicalUnit, Project, SourceQuery};

use super::bind;
use super::submit::SubmitRequest;
use crate::affinity::AffinityList;
use crate::commands::Lowering;
use crate::commands::literal::literal;
use crate::refusal::Refusal;
use crate::secret::without_secrets;

/// Checks the batch against the deployed project, fills in defaults and applies limits.
///
/// # Errors
/// The place that is wrong.
pub(crate) async fn lower(
    command: &Batch,
    statement: &Statement,
    context: Lowering<'_>,
) -> Result<SubmitRequest, Refusal> {
    if command.function.is_some() {
        return Err(Refusal::not_available(statement.keyword()));
    }
    let fabric_command = literal(&command.fabric_command)?.to_owned();
    let project = context.services.project().await?;
    let logical_unit = project.logical_unit(&command.lu.value);
    let logical_unit = logical_unit.map_err(|error| Refusal::from(error).at(command.lu.span))?;
    if let Some(named) = command.template.as_ref().and_then(|template| template.lu()) {
        let known = project.logical_unit(&named.value);
        known.map_err(|error| Refusal::from(error).at(command.fabric_command.span))?;
    }
    let mut reading = Reading {
        command,
        project: &project,
        logical_unit,
        context,
        notices: Vec::new(),
    };
    let spec = reading.spec(fabric_command)?;
    context
        .services
        .catalogue
        .bind(&spec)
        .await
        .map_err(|error| Refusal::failed(error.to_string()).at(command.fabric_command.span))?;
    Ok(SubmitRequest {
        is_sync_instance: is_sync(command),
        command: statement.source.clone(),
        notices: reading.notices,
        spec,
    })
}

fn is_sync(command: &Batch) -> bool {
    command.family == Family::Migrate
        || matches!(command.template, Some(EntityTemplate::SyncInstance { .. }))
}

struct Reading<'a> {
    command: &'a Batch,
    project: &'a Project,
    logical_unit: &'a LogicalUnit,
    context: Lowering<'a>,
    notices: Vec<String>,
}

impl Reading<'_> {
    fn spec(&mut self, fabric_command: String) -> Result<BatchSpec, Refusal> {
        let options = &self.command.options;
        let is = |option: &Option<Spanned<bool>>| option.as_ref().is_some_and(|value| value.value);
        let number =
            |option: &Option<Spanned<u64>>| option.as_ref().map(|value| whole(value.value));
        let retry = RetryPolicy::default();
        Ok(BatchSpec {
            logical_unit: self.logical_unit.name.clone(),
            source: self.source()?,
            fabric_command,
            affinity: self.affinity()?,
            job_affinity: self.nodes("JOB_AFFINITY", options.job_affinity.as_ref()),
            asynchronous: is(&options.run_async),
            generate_entities_first: is(&options.generate_entities_first),
            allow_multiple: is(&options.allow_multiple),
            max_nodes: number(&options.max_nodes),
            max_workers_per_node: self.max_workers()?,
            estimated_entities: number(&options.estimated_entities_count),
            retry: RetryPolicy {
                max_attempts: number(&options.max_attempts)
                    .and_then(|attempts| i32::try_from(attempts).ok())
                    .unwrap_or(retry.max_attempts),
                delay_ms: number(&options.retry_delay_ms).unwrap_or(retry.delay_ms),
            },
            entity_timeout_ms: number(&options.entity_timeout_ms),
            session_scope: without_secrets(&self.context.session.scope),
            project: Some(self.project.hash().to_owned()),
        })
    }

    fn source(&self) -> Result<EntitySource, Refusal> {
        let lu = self.logical_unit;
        match &self.command.source {
            Source::LogicalUnit => match &lu.ids {
                Some(query) => Ok(project_query(query, None)),
                None => Err(Refusal::failed(format!(
                    "{} does not say where all its ids are",
                    lu.name
                ))
                .at(self.command.lu.span)
                .hint("add `ids` to its lu.yaml, or write FROM <interface> USING ('…')")),
            },
            Source::InstanceGroup(group) => {
                let query = self.project.instance_group(&lu.name, &group.value);
                let query = query.map_err(|error| Refusal::from(error).at(group.span))?;
                let known = lu.instance_groups.keys();
                let name = known
                    .into_iter()
                    .find(|name| name.eq_ignore_ascii_case(&group.value));
                Ok(project_query(query, name.cloned()))
            }
            Source::Ids(ids) => {
                let limit = self.context.services.config.max_id_bytes;
                let ids = ids.value.iter().map(|id| entity_id(id, limit));
                let ids = ids.collect::<Result<_, _>>()?;
                Ok(EntitySource::List { ids })
            }
            Source::Query { interface, query } => {
                let known = self.project.interface_definition(&interface.value);
                let known = known.map_err(|error| Refusal::from(error).at(interface.span))?;
                let sql = Spanned::new(literal(query)?.to_owned(), query.span);
                Ok(EntitySource::Query {
                    interface: known.name.clone(),
                    parameters: bind::values(&self.command.options, &sql)?,
                    sql: sql.value,
                    instance_group: None,
                })
            }
            Source::Fabric => Ok(EntitySource::Stored),
            Source::FabricQuery { query } => {
                Err(Refusal::not_available("FROM fabric USING a query").at(query.span))
            }
            Source::FabricFlow { command } => {
                Err(Refusal::not_available("FROM fabric USING a BROADWAY flow").at(command.span))
            }
        }
    }

    /// AFFINITY, or the data centre behind `@`.
    fn affinity(&mut self) -> Result<Vec<String>, Refusal> {
        let written = self.command.options.affinity.as_ref();
        match (&self.command.dc, written) {
            (Some(dc), Some(affinity)) => Err(Refusal::usage(
                "@<DC> and AFFINITY both say where entities run",
            )
            .at(dc.span)
            .hint(format!(
                "write only AFFINITY='{}' or @{}",
                affinity.value, dc.value
            ))),
            (Some(dc), None) => Ok(vec![dc.value.clone()]),
            (None, written) => Ok(self.nodes("AFFINITY", written)),
        }
    }

    fn nodes(&mut self, option: &str, written: Option<&Spanned<String>>) -> Vec<String> {
        let Some(written) = written else {
            return Vec::new();
        };
        let list = AffinityList::read(&written.value);
        if list.had_quotes {
            let members = list.members.join(",");
            self.notices.push(format!(
                "{option} was read as '{members}': quotes are not part of names"
            ));
        }
        list.members
    }

    /// Never above what the node is configured for.
    fn max_workers(&mut self) -> Result<Option<i64>, Refusal> {
        let Some(wanted) = &self.command.options.max_workers_per_node else {
            return Ok(None);
        };
        if wanted.value == 0 {
            return Err(Refusal::usage("MAX_WORKERS_PER_NODE is at least 1").at(wanted.span));
        }
        let wanted = whole(wanted.value);
        let configured = i64::try_from(self.context.services.config.max_workers_per_node);
        match configured {
            // 0 keeps this node out of batch work; it is no limit for other nodes.
            Ok(configured) if configured > 0 && wanted > configured => {
                self.notices.push(format!(
                    "MAX_WORKERS_PER_NODE={wanted} was lowered to {configured}, which is what nodes are configured for"
                ));
                Ok(Some(configured))
            }
            Ok(_) | Err(_) => Ok(Some(wanted)),
        }
    }
}

fn project_query(query: &SourceQuery, instance_group: Option<String>) -> EntitySource {
    EntitySource::Query {
        interface: query.interface.clone(),
        sql: query.sql.clone(),
        parameters: Vec::new(),
        instance_group,
    }
}

/// An id as typed, of at most `limit` bytes.
///
/// # Errors
/// It has no meaning as an id; the refusal has its place.
pub(crate) fn entity_id(id: &Spanned<Text>, limit: usize) -> Result<String, Refusal> {
    let text = literal(id)?;
    match check_id(text, limit) {
        Ok(()) => Ok(text.to_owned()),
        Err(unfit) => Err(Refusal::usage(unfit.to_string()).at(id.span)),
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use weft_lang::BatchOptions;

    use super::*;

    #[test]
    fn the_defaults_of_the_language_are_those_of_the_model() {
        let default = |option| BatchOptions::spec(option).unwrap().default.unwrap();
        let retry = RetryPolicy::default();
        assert_eq!(default("MAX_ATTEMPTS"), retry.max_attempts.to_string());
        assert_eq!(default("RETRY_DELAY_MS"), retry.delay_ms.to_string());
        let spec = BatchSpec::new("LU", EntitySource::Stored, "ECHO ?");
        let is = |option| default(option) == "true";
        assert_eq!(is("ASYNC"), spec.asynchronous);
        assert_eq!(is("GENERATE_ENTITIES_FIRST"), spec.generate_entities_first);
        assert_eq!(is("ALLOW_MULTIPLE"), spec.allow_multiple);
        for (option, limit) in [
            ("MAX_NODES", spec.max_nodes),
            ("ENTITY_TIMEOUT_MS", spec.entity_timeout_ms),
        ] {
            assert_eq!((default(option), limit), ("no limit", None));
        }
    }
}
