//! Looking at batches and changing them.

use super::cursor::Cursor;
use super::options::Options;
use crate::ast::{BatchDetails, BatchList, CancelSpelling, Command, Family, Text};
use crate::diagnostic::Diagnostic;
use crate::keywords::{CommandKind, CommandSpec};
use crate::span::Spanned;

const BATCH_ID: &str = "a batch id";

fn family(spec: &CommandSpec) -> Family {
    match spec.kind {
        CommandKind::MigrateList
        | CommandKind::MigrateSummary
        | CommandKind::MigrateDetails
        | CommandKind::MigrateInProcess
        | CommandKind::MigrateResume => Family::Migrate,
        _ => Family::Batch,
    }
}

/// A batch id, unless the statement ends or an option begins.
fn optional_batch_id(cursor: &mut Cursor<'_>) -> Result<Option<Spanned<Text>>, Diagnostic> {
    if cursor.at_end()? || cursor.is_option()? {
        Ok(None)
    } else {
        cursor.value(BATCH_ID).map(Some)
    }
}

fn batch_id(cursor: &mut Cursor<'_>) -> Result<Spanned<Text>, Diagnostic> {
    match optional_batch_id(cursor)? {
        Some(batch_id) => Ok(batch_id),
        None => Err(cursor
            .unexpected(&[BATCH_ID])?
            .hint("BATCH_LIST shows the ids of batches")),
    }
}

pub(super) fn list(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let options = Options::parse(cursor, spec)?;
    Ok(Command::BatchList(BatchList {
        family: family(spec),
        status: options.text("STATUS"),
        from_date: options.text("FROM_DATE"),
        to_date: options.text("TO_DATE"),
        filter: options.text("FILTER"),
    }))
}

pub(super) fn info(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let batch_id = batch_id(cursor)?;
    Ok(Command::BatchInfo { batch_id })
}

pub(super) fn summary(cursor: &mut Cursor<'_>, spec: &CommandSpec) -> Result<Command, Diagnostic> {
    let batch_id = batch_id(cursor)?;
    Ok(Command::BatchSummary {
        family: family(spec),
        batch_id,
    })
}

pub(super) fn details(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let batch_id = batch_id(cursor)?;
    let options = Options::parse(cursor, spec)?;
    Ok(Command::BatchDetails(BatchDetails {
        family: family(spec),
        batch_id,
        status: options.text("STATUS"),
        entities: options.text("ENTITIES"),
        affinity: options.text("AFFINITY"),
        limit: options.integer("LIMIT"),
        sort_by_process_time: options.boolean("SORT_BY_PROCESS_TIME"),
    }))
}

pub(super) fn in_process(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let options = Options::parse(cursor, spec)?;
    Ok(Command::BatchInProcess {
        family: family(spec),
        filter: options.text("FILTER"),
    })
}

pub(super) fn cancel(cursor: &mut Cursor<'_>, spec: &CommandSpec) -> Result<Command, Diagnostic> {
    let spelling = match spec.kind {
        CommandKind::CancelBatch => CancelSpelling::CancelBatch,
        _ => CancelSpelling::BatchCancel,
    };
    let batch_id = optional_batch_id(cursor)?;
    Ok(Command::BatchCancel { spelling, batch_id })
}

/// KILL of a batch has one value, KILL of a task has two.
pub(super) fn kill(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let first = batch_id(cursor)?;
    if cursor.at_end()? {
        return Ok(Command::BatchCancel {
            spelling: CancelSpelling::Kill,
            batch_id: Some(first),
        });
    }
    cursor.accept_symbol(',')?;
    let task = cursor.value("a task id")?;
    Ok(Command::KillTask { node: first, task })
}

pub(super) fn pause(cursor: &mut Cursor<'_>) -> Result<Command, Diagnostic> {
    let batch_id = optional_batch_id(cursor)?;
    Ok(Command::BatchPause { batch_id })
}

pub(super) fn retry(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let batch_id = optional_batch_id(cursor)?;
    let options = Options::parse(cursor, spec)?;
    Ok(Command::BatchRetry {
        family: family(spec),
        batch_id,
        allow_cancelled: options.boolean("ALLOW_CANCELLED"),
    })
}

pub(super) fn edit(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Command, Diagnostic> {
    let batch_id = optional_batch_id(cursor)?;
    let options = Options::parse(cursor, spec)?;
    match options.count("MAX_WORKERS_PER_NODE") {
        Some(max_workers_per_node) => Ok(Command::BatchEdit {
            batch_id,
            max_workers_per_node,
        }),
        None => Err(cursor.unexpected(&["MAX_WORKERS_PER_NODE"])?),
    }
}
