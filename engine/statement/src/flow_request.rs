//! BROADWAY: a flow run by a statement, and its outputs as a table.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::Session;
use weft_node::flow::{FlowCall, FlowName, Recovery};
use weft_node::job::{CheckpointHolder, Slot};

use super::output::Output;
use super::permit::{Access, Operation, Permission};
use super::{EndStatus, Permit, Refusal, Services};

/// A flow that shall run: its call was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowRequest {
    /// Which, as deployed.
    pub name: FlowName,
    /// Its inputs, as texts.
    pub inputs: Map<String, Value>,
    /// How its outputs are shown.
    pub structure: ResultStructure,
    /// How it goes on from an earlier try.
    pub recovery: Option<RecoveryRequest>,
}

/// recoveryId and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryRequest {
    /// Statements of one principal with the same id, for the same flow, share what they have finished.
    pub id: String,
    /// recoveryTtl.
    pub time_to_live: Option<Duration>,
    /// recoveryMaxTries.
    pub max_tries: Option<u64>,
}

/// How the outputs of a flow become a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResultStructure {
    /// One row, a column for each output.
    #[default]
    Column,
    /// A row for each output: its name and its value.
    Row,
    /// The first output is the table.
    Cursor,
}

impl ResultStructure {
    pub(super) const ALL: [Self; 3] = [Self::Column, Self::Row, Self::Cursor];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Column => "COLUMN",
            Self::Row => "ROW",
            Self::Cursor => "CURSOR",
        }
    }
}

impl Operation for FlowRequest {
    fn access(&self) -> Access {
        // A flow may change what it likes; each of its statements is asked for again.
        Access::on(Permission::Write, [self.name.logical_unit.as_str()])
    }
}

/// Runs the flow and shows its outputs.
///
/// # Errors
/// The flow failed, or was stopped because nobody waits any more.
pub(super) async fn run(
    services: &Services,
    session: &Session,
    permit: Permit<FlowRequest>,
    output: &Output,
    stop: &CancellationToken,
) -> Result<(), Refusal> {
    let request = permit.request();
    let name = request.name.clone();
    let principal = permit.principal();
    let recovery = request.recovery.as_ref().map(|recovery| Recovery {
        scope: format!("flow/{name}/{}/{}", principal.name, recovery.id),
        holder: CheckpointHolder {
            job: format!("BROADWAY {name} {}", principal.name),
            created: services.clock.now(),
            fence: 0,
            node: services.config.guid.0.clone(),
        },
        max_tries: recovery.max_tries,
        time_to_live: recovery.time_to_live,
        // What has ended is over: the same statement runs it again.
        keeps_end: false,
    });
    let run_id = match &recovery {
        Some(recovery) => Uuid::new_v5(&Uuid::NAMESPACE_OID, recovery.scope.as_bytes()),
        None => services.ids.uuid(),
    };
    let told = stop.child_token();
    let running = services.flows.run(FlowCall {
        name: name.clone(),
        inputs: request.inputs.clone(),
        principal: principal.clone(),
        session: session.clone(),
        run_id,
        recovery,
        stop: told.clone(),
        slot: Slot::default(),
    });
    tokio::pin!(running);
    let ended = tokio::select! {
        biased;
        ended = &mut running => ended,
        () = output.gone() => {
            // Nobody reads any more: it ends between two stages.
            told.cancel();
            running.await
        }
    };
    let end = ended.map_err(|failure| {
        Refusal::new(
            EndStatus::Failed,
            format!("flow {name}: {}", failure.message),
        )
    })?;
    if end.outputs.is_empty() {
        let message = format!("Flow {name} has ended; it has no outputs");
        output.notice(message).await;
        return Ok(());
    }
    match request.structure {
        ResultStructure::Column => {
            let columns: Vec<&String> = end.outputs.keys().collect();
            output.columns(&columns).await;
            output.row(end.outputs.into_values().collect()).await;
        }
        ResultStructure::Row => {
            output.columns(&["Name", "Value"]).await;
            for (name, value) in end.outputs {
                output.row(vec![json!(name), value]).await;
            }
        }
        ResultStructure::Cursor => {
            if let Some((name, value)) = end.outputs.into_iter().next() {
                cursor(&name, value, output).await?;
            }
        }
    }
    Ok(())
}

/// A list of objects has a column for each of their keys; any other list has one column.
async fn cursor(name: &str, value: Value, output: &Output) -> Result<(), Refusal> {
    let Value::Array(rows) = value else {
        let message = format!("its first output `{name}` is no list of rows");
        return Err(
            Refusal::failed(message).hint("RESULT_STRUCTURE='COLUMN' shows outputs as they are")
        );
    };
    if !rows.iter().all(Value::is_object) || rows.is_empty() {
        output.columns(&[name]).await;
        for row in rows {
            output.row(vec![row]).await;
        }
        return Ok(());
    }
    let mut columns: Vec<String> = Vec::new();
    let mut known = BTreeSet::new();
    for key in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if known.insert(key.as_str()) {
            columns.push(key.clone());
        }
    }
    output.columns(&columns).await;
    for row in &rows {
        let cells = columns
            .iter()
            .map(|column| row.get(column).cloned().unwrap_or(Value::Null));
        output.row(cells.collect()).await;
    }
    Ok(())
}
