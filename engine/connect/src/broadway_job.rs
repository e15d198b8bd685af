//! BROADWAY_JOB: a flow of a logical unit.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use weft_model::Job;
use weft_model::{Principal, Session};
use weft_node::flow::{FlowCall, FlowEnd, FlowName, Flows, Recovery};
use weft_node::job::{Check, CheckpointHolder, JobKind, Run, RunEnd, RunFailure, RunOutput};

use crate::arguments;

/// As the column `type` has it.
pub(crate) const TYPE: &str = "BROADWAY_JOB";

/// Runs flows.
#[derive(Debug)]
pub struct BroadwayJob {
    flows: Arc<dyn Flows>,
}

impl BroadwayJob {
    /// Runs these.
    pub fn new(flows: Arc<dyn Flows>) -> Self {
        Self { flows }
    }
}

/// `LU.flow`, as jobs of flows are called.
pub(crate) fn name_of(job: &Job) -> Result<FlowName, Check> {
    let name = job.key.name.split_once('.');
    let name = name.filter(|(unit, flow)| !unit.is_empty() && !flow.is_empty());
    let (unit, flow) = name.ok_or_else(|| Check {
        message: format!("`{}` does not name a flow", job.key.name),
        hint: Some("write NAME='<LU>.<flow>'".to_owned()),
    })?;
    Ok(FlowName {
        logical_unit: unit.to_owned(),
        flow: flow.to_owned(),
    })
}

/// Fabric: a list of one map with all external outputs.
fn output(end: FlowEnd) -> RunOutput {
    let text = Value::Array(vec![Value::Object(end.outputs)]).to_string();
    RunOutput {
        text: Some(text),
        exit_code: None,
    }
}

#[async_trait]
impl JobKind for BroadwayJob {
    fn uses_project(&self) -> bool {
        true
    }

    fn job_type(&self) -> &'static str {
        TYPE
    }

    async fn check(&self, job: &Job) -> Result<(), Check> {
        let name = name_of(job)?;
        let inputs = arguments::of(job)?;
        let checked = self.flows.check(&name, &inputs).await;
        checked.map(drop).map_err(|refusal| Check {
            message: refusal.message,
            hint: refusal.hint,
        })
    }

    async fn run(&self, run: Run) -> RunEnd {
        let not_as_defined =
            |check: Check| RunEnd::Failed(RunFailure::new("Arguments", check.message));
        let name = match name_of(&run.job) {
            Ok(name) => name,
            Err(check) => return not_as_defined(check),
        };
        let inputs = match arguments::of(&run.job) {
            Ok(inputs) => inputs,
            Err(check) => return not_as_defined(check),
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
                // One for all runs of a job: each finds out whether what stands there is its own.
                scope: format!("job/{}/{}/{}", key.job_type, key.name, key.uid),
                holder: CheckpointHolder::of(&run.job),
                max_tries: None,
                time_to_live: None,
                keeps_end: true,
            }),
            stop: run.stop.clone(),
            slot: run.slot.clone(),
        };
        match self.flows.run(call).await {
            Ok(end) => RunEnd::Succeeded(output(end)),
            Err(failure) => {
                RunEnd::Failed(RunFailure::new(&failure.exception_type, failure.message))
            }
        }
    }
}
