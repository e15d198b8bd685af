//! BROADWAY_JOB: runs a flow of a logical unit.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use weft_model::Job;
use weft_model::{Principal, Session};
use weft_node::flow::{FlowCall, FlowEnd, FlowName, Flows, Recovery};
use weft_node::job::{
    CheckpointHolder, DefinitionError, JobKind, Run, RunEnd, RunFailure, RunOutput,
};

use crate::arguments::{self, refused};

/// The value of the column `type`.
pub(crate) const TYPE: &str = "BROADWAY_JOB";

/// Runs flows.
#[derive(Debug)]
pub struct BroadwayJob {
    flows: Arc<dyn Flows>,
}

impl BroadwayJob {
    /// Runs flows of this runner.
    pub fn new(flows: Arc<dyn Flows>) -> Self {
        Self { flows }
    }
}

/// The flow that a job names as `LU.flow`.
pub(crate) fn flow_of(job: &Job) -> Result<FlowName, DefinitionError> {
    let name = job.key.name.split_once('.');
    let name = name.filter(|(unit, flow)| !unit.is_empty() && !flow.is_empty());
    let (unit, flow) = name.ok_or_else(|| {
        let message = format!("`{}` does not name a flow", job.key.name);
        refused(message, "write NAME='<LU>.<flow>'")
    })?;
    Ok(FlowName {
        logical_unit: unit.to_owned(),
        flow: flow.to_owned(),
    })
}

/// A list of one map with all external outputs (Fabric B.1).
fn output(end: FlowEnd) -> RunOutput {
    let text = Value::Array(vec![Value::Object(end.outputs)]).to_string();
    RunOutput::from_text(text)
}

#[async_trait]
impl JobKind for BroadwayJob {
    fn uses_project(&self) -> bool {
        true
    }

    fn job_type(&self) -> &'static str {
        TYPE
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        let name = flow_of(job)?;
        let inputs = arguments::read(job)?;
        let checked = self.flows.check(&name, &inputs).await;
        checked.map(drop).map_err(|refusal| DefinitionError {
            message: refusal.message,
            hint: refusal.hint,
        })
    }

    async fn run(&self, run: Run) -> RunEnd {
        let refused =
            |error: DefinitionError| RunEnd::Failed(RunFailure::new("Arguments", error.message));
        let name = match flow_of(&run.job) {
            Ok(name) => name,
            Err(error) => return refused(error),
        };
        let inputs = match arguments::read(&run.job) {
            Ok(inputs) => inputs,
            Err(error) => return refused(error),
        };
        let key = &run.job.key;
        let call = FlowCall {
            name,
            inputs,
            principal: Principal {
                name: run.job.created_by.clone(),
            },
            session: Session::for_job(&run.job),
            run_id: run.idempotency_key(),
            recovery: Some(Recovery {
                // All runs of a job share it; each discards the checkpoints of another run.
                scope: format!("job/{}/{}/{}", key.job_type, key.name, key.uid),
                holder: CheckpointHolder::of_run(&run.job),
                max_tries: None,
                time_to_live: None,
                keeps_end: true,
            }),
            stop: run.stop.clone(),
            slot: run.slot.clone(),
        };
        match self.flows.run(call).await {
            Ok(end) => RunEnd::Succeeded(output(end)),
            Err(failure) => RunEnd::Failed(RunFailure::new(failure.kind, failure.message)),
        }
    }
}
