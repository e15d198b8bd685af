//! BroadwayJob: starts a job that runs a flow.

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use weft_statement::{AffinityList, JobDraft};

use crate::flow::actor::{
    Actor, ActorError, ActorRun, ActorSpec, Checking, InputKind, Inputs, WrittenInputs, optional,
    required,
};
use crate::flow::runner::target;

#[derive(Debug)]
pub(super) struct BroadwayJob;

const SPEC: ActorSpec = ActorSpec {
    name: "BroadwayJob",
    aliases: &[],
    summary: "starts a job of type BROADWAY_JOB and does not wait for it; without `uid`, a repeated run of the stage finds the job that it started before",
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
        ("status", "where it stands"),
    ],
};

#[async_trait]
impl Actor for BroadwayJob {
    fn spec(&self) -> &'static ActorSpec {
        &SPEC
    }

    async fn check(&self, inputs: WrittenInputs<'_>, at: Checking<'_>) {
        if let Some((flow, spot)) = inputs.text("flow")
            && let Err(unknown) = target(at.project, at.logical_unit, flow)
        {
            let message = format!("there is no {} `{}`", unknown.what, unknown.name);
            at.findings.add_near(spot, message, unknown.nearest);
        }
    }

    async fn act(
        &self,
        inputs: Inputs,
        run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let failed = |message: String| ActorError::new("Refused", message);
        let unit = run.project.logical_unit(&run.flow.logical_unit);
        let unit = unit.map_err(|error| failed(error.to_string()))?;
        let (_, name) = target(run.project, unit, inputs.text("flow"))
            .map_err(|error| failed(error.to_string()))?;
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
        let statements = run.runner.tools.serving()?;
        let key = run.key.to_string();
        let key = uid.is_none().then_some(key.as_str());
        let started = statements.start_job(run.principal, &draft, key).await;
        let started = started.map_err(|refusal| failed(refusal.to_string()))?;
        let job = started.item.job;
        Ok(Map::from_iter([
            ("type".to_owned(), json!(job.key.job_type)),
            ("name".to_owned(), json!(job.key.name)),
            ("uid".to_owned(), json!(job.key.uid)),
            ("status".to_owned(), json!(job.status.as_str())),
        ]))
    }
}
