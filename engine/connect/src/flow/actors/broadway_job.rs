//! BroadwayJob: starts a job that runs a flow.

use async_trait::async_trait;
use serde_json::{Map, json};
use weft_node::flow::FlowFailure;
use weft_statement::{AffinityList, JobDraft};

use crate::flow::actor::{Actor, ActorResult, ActorRun, ActorSpec, CheckContext, WrittenInputs};
use crate::flow::input::{InputKind, Inputs, optional, required};

#[derive(Debug)]
pub(super) struct BroadwayJob;

const SPEC: ActorSpec = ActorSpec {
    name: "BroadwayJob",
    aliases: &[],
    summary: "starts a job of type BROADWAY_JOB and does not wait for it; without `uid`, a repeated stage finds the job that it started before",
    inputs: &[
        required(
            "flow",
            InputKind::Fixed,
            "the flow, of this logical unit or as `LU.flow`",
        ),
        optional("args", InputKind::Map, "its inputs"),
        optional("uid", InputKind::Text, "UID"),
        optional(
            "exec_interval",
            InputKind::Text,
            "EXEC_INTERVAL: a time, an interval or a cron expression",
        ),
        optional("affinity", InputKind::Text, "AFFINITY"),
    ],
    outputs: &[
        ("type", "the type of the job"),
        ("name", "its name"),
        ("uid", "its uid"),
        ("status", "its status"),
    ],
};

#[async_trait]
impl Actor for BroadwayJob {
    fn spec(&self) -> &'static ActorSpec {
        &SPEC
    }

    async fn check(&self, inputs: WrittenInputs<'_>, context: CheckContext<'_>) {
        if let Some((flow, spot)) = inputs.text("flow") {
            context.resolve_flow(flow, spot);
        }
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let refused = |message: String| FlowFailure::new("Refused", message);
        let name = run.resolve_flow(inputs.text("flow"));
        let name = name.map_err(|error| refused(error.to_string()))?;
        let text = |name: &str| inputs.optional_text(name).map(str::to_owned);
        let uid = text("uid");
        let draft = JobDraft {
            job_type: crate::broadway_job::TYPE.to_owned(),
            name: name.to_string(),
            uid: uid.clone(),
            affinity: text("affinity")
                .map(|text| AffinityList::read(&text).members)
                .into(),
            arguments: inputs.value("args").as_object().cloned().into(),
            exec_interval: text("exec_interval").into(),
            ..JobDraft::default()
        };
        let statements = run.tools.statements()?;
        let key = run.key.to_string();
        let key = uid.is_none().then_some(key.as_str());
        let started = statements.start_job(run.principal, &draft, key).await;
        let started = started.map_err(|refusal| refused(refusal.to_string()))?;
        let job = started.item.job;
        Ok(Map::from_iter([
            ("type".to_owned(), json!(job.key.job_type)),
            ("name".to_owned(), json!(job.key.name)),
            ("uid".to_owned(), json!(job.key.uid)),
            ("status".to_owned(), json!(job.status.as_str())),
        ]))
    }
}
