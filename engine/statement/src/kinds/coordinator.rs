//! NODE_AFFINITY_COORDINATOR_JOB: assigns the nodes of a data centre to groups for as long as it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weft_model::clock::SharedClock;
use weft_model::ids::Ids;
use weft_model::{Incarnation, Job, NodeId, NodeRow, NodeState, Setting, job_type};
use weft_node::NodeConfig;
use weft_node::job::{DefinitionError, FailureKind, JobKind, Run, RunEnd, RunFailure, RunOutput};
use weft_node::node_group::assignment::{Assignment, assign};
use weft_node::node_group::rules::AffinityRules;
use weft_node::node_group::{RULES, groups_setting, read_groups};
use weft_store::SelfFence;
use weft_store::{Freshness, PutSetting, Settled, SharedStore, StoreError, settle};

use crate::commands::node_group::data_centre::dc_of;
use crate::late::LateStatements;

/// How long to re-send a write. The next round finds out what became of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The kind NODE_AFFINITY_COORDINATOR_JOB. Its name is free; it runs until it is stopped.
#[derive(Debug)]
pub struct Coordinator {
    store: SharedStore,
    clock: SharedClock,
    ids: Ids,
    dc: String,
    interval: Duration,
    /// Knows which nodes are alive.
    late: LateStatements,
}

impl Coordinator {
    /// Writes the groups to this store.
    pub fn new(
        store: SharedStore,
        clock: SharedClock,
        ids: Ids,
        config: &NodeConfig,
        late: LateStatements,
    ) -> Self {
        Self {
            store,
            clock,
            ids,
            dc: config.dc.clone(),
            interval: config.group_interval(),
            late,
        }
    }

    /// Coordinates every third of `T_dead` until it is stopped. Returns the last groups.
    async fn coordinate(&self, dc: &str, by: &str, stop: &CancellationToken) -> Option<Assignment> {
        let mut last = None;
        let mut is_failing = false;
        let mut heartbeats = Heartbeats::default();
        loop {
            match self.assign_once(dc, by, &mut heartbeats).await {
                Ok(groups) => {
                    last = Some(groups);
                    is_failing = false;
                }
                Err(AssignError(why)) if !is_failing => {
                    warn!("Node groups of {dc} stay as they are: {why}");
                    is_failing = true;
                }
                Err(_) => (),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return last,
                () = tokio::time::sleep(self.interval) => (),
            }
        }
    }

    /// Assigns the live nodes to groups, and writes the groups where they changed.
    async fn assign_once(
        &self,
        dc: &str,
        by: &str,
        heartbeats: &mut Heartbeats,
    ) -> Result<Assignment, AssignError> {
        let statements = self.late.get();
        let statements = statements.map_err(|refusal| AssignError(refusal.to_string()))?;
        let members = statements.services().nodes.members().await?;
        let setting = self.store.setting(RULES, Freshness::Committed).await?;
        let seq = setting.as_ref().map_or(0, |setting| setting.seq);
        let text = setting.map(|setting| setting.value).unwrap_or_default();
        let rules = AffinityRules::parse(&text).map_err(|error| AssignError(error.to_string()))?;
        let (row, before) = read_groups(self.store.as_ref(), dc).await?;
        let live: Vec<NodeRow> = members
            .into_iter()
            .filter(|member| member.alive && member.row.state == NodeState::Alive)
            .map(|member| member.row)
            .filter(|row| heartbeats.have_advanced(row) || before.group_of(&row.guid).is_some())
            .collect();
        let after = assign(&rules, seq, dc, &live, &before);
        if after == before {
            return Ok(after);
        }
        let put = PutSetting {
            setting: Setting {
                name: groups_setting(dc),
                seq: row.map_or(0, |row| row.seq) + 1,
                value: serde_json::to_string(&after)
                    .map_err(|error| AssignError(error.to_string()))?,
                changed_at: self.clock.now(),
                changed_by: by.to_owned(),
            },
            token: self.ids.token(),
        };
        let self_fence = SelfFence::for_duration(self.clock.clone(), PATIENCE);
        let settled = settle(self.store.as_ref(), &self.ids, &self_fence, &put).await?;
        if settled != Settled::Applied {
            // Another job coordinates the same data centre, or the outcome is unknown. The next round reads what is stored.
            return Ok(before);
        }
        for group in &after.groups {
            let nodes: Vec<&str> = group.nodes.iter().map(|node| node.0.as_str()).collect();
            info!("Node group {} of {dc}: {}", group.name, nodes.join(", "));
        }
        Ok(after)
    }
}

/// Which nodes have sent a heartbeat since the run began. A node that has just started believes every listed node to be
/// alive, and would put long dead ones into groups.
#[derive(Debug, Default)]
struct Heartbeats {
    first: BTreeMap<NodeId, (Incarnation, i64)>,
    advanced: BTreeSet<NodeId>,
}

impl Heartbeats {
    fn have_advanced(&mut self, row: &NodeRow) -> bool {
        let heartbeat = (row.incarnation, row.hb_seq);
        if *self.first.entry(row.guid.clone()).or_insert(heartbeat) != heartbeat {
            self.advanced.insert(row.guid.clone());
        }
        self.advanced.contains(&row.guid)
    }
}

/// Why the groups could not be assigned.
struct AssignError(String);

impl From<StoreError> for AssignError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

#[async_trait]
impl JobKind for Coordinator {
    fn job_type(&self) -> &'static str {
        job_type::NODE_AFFINITY_COORDINATOR
    }

    /// It waits nearly all the time.
    fn takes_slot(&self) -> bool {
        false
    }

    fn runs_until_stopped(&self) -> bool {
        true
    }

    async fn check(&self, job: &Job) -> Result<(), DefinitionError> {
        if job.execution_interval.is_some() {
            return Err(DefinitionError {
                message: format!(
                    "{} runs until it is stopped, so it has no schedule",
                    job.key.job_type
                ),
                hint: Some("leave EXEC_INTERVAL out".to_owned()),
            });
        }
        dc_of(job).map(drop)
    }

    async fn run(&self, run: Run) -> RunEnd {
        let dc = match dc_of(&run.job) {
            Ok(dc) => dc,
            Err(check) => {
                return RunEnd::Failed(RunFailure::new("Arguments", check.message).without_retry());
            }
        };
        let dc = dc.unwrap_or_else(|| self.dc.clone());
        let last = self.coordinate(&dc, &run.job.key.name, &run.stop).await;
        RunEnd::Failed(RunFailure {
            output: RunOutput {
                text: last.and_then(|last| serde_json::to_string(&last).ok()),
                exit_code: None,
            },
            ..RunFailure::new(
                FailureKind::Stopped,
                "it was stopped; the nodes stay in their groups",
            )
        })
    }
}
