//! Batches that have ended: what lists cost beside them, what it costs to find one entity of a large batch, and how fast
//! the clean-up removes batches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weft_model::clock::{SharedClock, SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{
    Batch, BatchId, BatchStatistics, BatchStatus, ChunkState, EntityRow, EntityStatus,
    FilledChunks, Holder, Incarnation, Job, JobKey, JobStatus, NodeId, NodeShare, Principal,
};
use weft_node::cleanup::Cleanup;
use weft_node::flow::NoFlows;
use weft_node::job::{JobKind, JobKinds, Run, RunEnd, Slot};
use weft_node::reconcile::{Reconciler, Search};
use weft_node::scheduler::submission_of;
use weft_node::trace::Traces;
use weft_node::{NodeConfig, Wake};
use weft_project::ProjectCatalogue;
use weft_project::interface::Environment;
use weft_statement::inspect::{BatchListQuery, EntityQuery, Inspector, StatusFilter, StoredNodes};
use weft_statement::{LocalTokenPolicy, Operation, Permit, Services, authorize};
use weft_store::{
    Conditional, FlushChunk, OpenChunk, SelfFence, Settled, SharedStore, StoreStatistics, settle,
};

use crate::PlaceArguments;
use crate::engine::Serving;
use crate::work::{self, NOOP_RESULT, NoopFactory, Work, check_done};

/// Batches stored at once.
const WRITES_AT_ONCE: usize = 256;
/// How often each query is asked.
const QUERIES: usize = 50;
/// Between two batches: a million of them a day.
const SPACING_MS: i64 = 86;
/// How long an operation is sent again while its outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 86_400_000;
/// The ages of the batches that each pass removes, in days.
const FIRST_AGE: i64 = 20;
const SECOND_AGE: i64 = 10;
const THIRD_AGE: i64 = 3;
/// The rest of a pass of a node.
const NODE_REST: Duration = Duration::from_secs(1);
/// A pass that rests removes one of so many batches, because it takes long.
const RESTING_PART: usize = 20;

/// One measurement: a line of JSON.
#[derive(Debug, Serialize)]
pub struct Measured {
    store: &'static str,
    what: &'static str,
    /// Stored when the measurement began, or removed.
    batches: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<usize>,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Figures {
    /// One of several queries.
    Query {
        p50_ms: f64,
        p95_ms: f64,
        max_ms: f64,
        calls_per_query: f64,
    },
    /// A pass of the clean-up.
    Rate {
        seconds: f64,
        batches_per_s: f64,
        lwt_per_batch: f64,
        calls_per_batch: f64,
        calls_by_verb: BTreeMap<&'static str, u64>,
    },
}

/// A store with many batches.
struct Filled {
    store: SharedStore,
    clock: SharedClock,
    ids: Ids,
    holder: Holder,
}

/// Runs a large batch, stores many small ones, asks for them, and removes them.
pub async fn measure(
    arguments: &PlaceArguments,
    batches: usize,
    ids: usize,
) -> Result<Vec<Measured>> {
    let place = arguments.place()?;
    let store = place.open().await?;
    let filled = Filled::new(&store);
    let large = filled.large_batch(&place.folder, ids).await?;
    let resting = (batches / RESTING_PART).max(1);
    let mut measured = Vec::new();
    filled.store_ended(FIRST_AGE, resting).await?;
    filled.store_ended(SECOND_AGE, resting).await?;
    filled.store_ended(THIRD_AGE, batches).await?;
    filled.reconcile().await?;
    let queries = Queries::new(&filled, &place.folder);
    measured.push(
        queries
            .list("active batches", StatusFilter::Active, batches)
            .await?,
    );
    measured.push(
        queries
            .list(
                "100 ended batches",
                StatusFilter::Is(BatchStatus::Done),
                batches,
            )
            .await?,
    );
    measured.push(queries.entity(large, ids, batches).await?);
    filled.store_ended(0, batches).await?;
    measured.push(
        queries
            .list(
                "active batches, as many ended just now",
                StatusFilter::Active,
                2 * batches,
            )
            .await?,
    );
    for (what, age, rest, count) in [
        (
            "clean-up, rests of a node",
            FIRST_AGE,
            Some(NODE_REST),
            resting,
        ),
        ("clean-up, rests of a job", SECOND_AGE, None, resting),
        (
            "clean-up, no rests",
            THIRD_AGE,
            Some(Duration::ZERO),
            batches,
        ),
    ] {
        let figures = filled.clean_up(age, rest, count).await?;
        measured.push(filled.line(what, count, figures));
    }
    drop(filled);
    drop(store);
    place.remove().await?;
    Ok(measured)
}

impl Filled {
    fn new(store: &SharedStore) -> Self {
        Self {
            store: Arc::clone(store),
            clock: Arc::new(SystemClock),
            ids: Ids::from_system(),
            holder: Holder {
                node: NodeId("bench".to_owned()),
                incarnation: Incarnation(Uuid::from_u128(1)),
            },
        }
    }

    fn line(&self, what: &'static str, batches: usize, figures: Figures) -> Measured {
        Measured {
            store: self.store.kind(),
            what,
            batches,
            ids: None,
            figures,
        }
    }

    /// A batch that a node has run.
    async fn large_batch(&self, folder: &Path, ids: usize) -> Result<BatchId> {
        let factory = Arc::new(NoopFactory::new(ids));
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let serving = Serving::start(store, clock, factory, folder).await;
        let submit = serving.submission(Work::Noop, ids);
        serving.submit(&submit).await?;
        let (batch, _) = serving.end_of(submit.batch.id).await?;
        check_done(&batch, ids)?;
        serving.end().await?;
        Ok(batch.id)
    }

    /// Stores batches of one chunk with one entity, which ended so many days ago.
    async fn store_ended(&self, age_days: i64, count: usize) -> Result<()> {
        let newest = self.clock.now().0 - age_days * (DAY_MS + DAY_MS / 8);
        futures::stream::iter(0..i64::try_from(count)?)
            .map(|number| self.store_one(Timestamp(newest - number * SPACING_MS)))
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect::<()>()
            .await
    }

    async fn store_one(&self, at: Timestamp) -> Result<()> {
        let share = NodeShare {
            succeeded: 1,
            first_start: Some(at),
            last_end: Some(at),
            ..NodeShare::default()
        };
        let shares = BTreeMap::from([(self.holder.node.clone(), share)]);
        let id = BatchId(self.ids.uuid());
        let batch = Batch {
            status: BatchStatus::Done,
            start_time: Some(at),
            end_time: Some(at),
            // A node reserves 64 numbers at once.
            chunks: 64,
            total_entities: Some(1),
            filled: Some(FilledChunks {
                chunks: 1,
                entities: 1,
            }),
            statistics: Some(BatchStatistics {
                nodes: shares.clone(),
                ..BatchStatistics::default()
            }),
            command: format!("BATCH {} FABRIC_COMMAND='echo ?'", work::LOGICAL_UNIT),
            owner: "bench".to_owned(),
            execution_id: id.to_string(),
            ..Batch::waiting(id, Work::Noop.spec(1), at)
        };
        let mut submit = submission_of(batch, self.ids.token());
        submit.job.status = JobStatus::Processed;
        submit.job.archived = true;
        self.apply(&submit).await?;
        self.store_chunk(id, at, shares).await
    }

    async fn store_chunk(
        &self,
        batch: BatchId,
        at: Timestamp,
        shares: BTreeMap<NodeId, NodeShare>,
    ) -> Result<()> {
        self.apply(&OpenChunk {
            batch,
            number: 0,
            state: ChunkState::InProgress,
            holder: Some(self.holder.clone()),
            ids: vec![work::id(0)],
            source_position: None,
            source_read: Some(1),
            token: self.ids.token(),
        })
        .await?;
        self.apply(&FlushChunk {
            batch,
            number: 0,
            holder: self.holder.clone(),
            fence: 1,
            seq: 1,
            rows: vec![EntityRow {
                id: work::id(0),
                status: EntityStatus::Completed,
                result: Some(NOOP_RESULT.to_owned()),
                error: None,
                node: self.holder.node.clone(),
                start_time: at,
                end_time: at,
                duration_us: 1,
                attempt: 1,
                fence: 1,
            }],
            ok: 1,
            failed: 0,
            shares,
            crashes: 0,
            done: true,
            logical_unit: work::LOGICAL_UNIT.to_owned(),
            instances: Vec::new(),
            token: self.ids.token(),
        })
        .await
    }

    async fn apply<C: Conditional>(&self, operation: &C) -> Result<()> {
        let self_fence = SelfFence::for_duration(Arc::clone(&self.clock), PATIENCE);
        match settle(self.store.as_ref(), &self.ids, &self_fence, operation).await? {
            Settled::Applied => Ok(()),
            Settled::Lost(_) => bail!("{} was refused", operation.verb()),
            Settled::StillUnknown => bail!("{} has no answer", operation.verb()),
        }
    }

    /// One pass of the reconciliation, which notes where lists of active batches begin.
    async fn reconcile(&self) -> Result<()> {
        let reconciler = Reconciler {
            store: self.store.as_ref(),
            clock: &self.clock,
            ids: &self.ids,
            self_fence: &SelfFence::for_duration(Arc::clone(&self.clock), PATIENCE),
            dead_after: Duration::from_secs(15),
        };
        reconciler.batches(Search::Everything).await?;
        Ok(())
    }

    /// A run of the job kind CLEANUP that removes the batches of this age; `rest` replaces its own rest.
    async fn clean_up(
        &self,
        age_days: i64,
        rest: Option<Duration>,
        count: usize,
    ) -> Result<Figures> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let kind = Cleanup::new(store, clock, self.ids.clone());
        let kind = match rest {
            Some(rest) => kind.with_rest(rest),
            None => kind,
        };
        let key = JobKey {
            job_type: "CLEANUP".to_owned(),
            name: "bench".to_owned(),
            uid: "1".to_owned(),
        };
        let run = Run {
            job: Job {
                arguments: format!(r#"{{"batches_older_than_days":{age_days}}}"#),
                ..Job::waiting(key, self.clock.now())
            },
            stop: CancellationToken::new(),
            slot: Slot::default(),
        };
        let (began, before) = (Instant::now(), self.store.statistics());
        let output = match kind.run(run).await {
            RunEnd::Succeeded(output) => output.text.context("the counts")?,
            end => bail!("the clean-up ended with {end:?}"),
        };
        let figures = rate(began, &before, &self.store.statistics(), count);
        let counts: Value = serde_json::from_str(&output)?;
        ensure!(counts["batches"] == count, "{output}, and not {count}");
        Ok(figures)
    }
}

/// What users ask.
struct Queries<'a> {
    filled: &'a Filled,
    inspector: Inspector,
}

impl<'a> Queries<'a> {
    fn new(filled: &'a Filled, folder: &Path) -> Self {
        let (store, clock) = (Arc::clone(&filled.store), Arc::clone(&filled.clock));
        let environment = Environment::from_process();
        let catalogue = ProjectCatalogue::new(store, Arc::clone(&clock), folder, environment);
        let config = NodeConfig::with_defaults(filled.holder.node.clone(), folder.to_owned());
        let inspector = Inspector::new(&Services {
            store: Arc::clone(&filled.store),
            clock: Arc::clone(&clock),
            ids: filled.ids.clone(),
            config: Arc::new(config),
            cluster_id: None,
            catalogue: Arc::new(catalogue),
            wake: Wake::default(),
            kinds: JobKinds::default(),
            flows: Arc::new(NoFlows),
            nodes: Arc::new(StoredNodes(Arc::clone(&filled.store))),
            traces: Traces::new(folder, clock),
            policy: Arc::new(policy()),
        });
        Self { filled, inspector }
    }

    /// BATCH_LIST.
    async fn list(
        &self,
        what: &'static str,
        status: StatusFilter,
        batches: usize,
    ) -> Result<Measured> {
        let least = usize::from(status != StatusFilter::Active);
        let figures = self
            .ask(async |_| {
                let query = BatchListQuery {
                    status,
                    limit: 100,
                    ..BatchListQuery::default()
                };
                let page = self.inspector.batches(&permit(query)?).await?;
                ensure!(page.items.len() >= least, "the list is empty");
                Ok(())
            })
            .await?;
        Ok(self.filled.line(what, batches, figures))
    }

    /// BATCH_DETAILS of one id, each time another one.
    async fn entity(&self, batch: BatchId, ids: usize, batches: usize) -> Result<Measured> {
        let figures = self
            .ask(async |nth| {
                let id = work::id(ids * nth / QUERIES);
                let query = EntityQuery {
                    batch,
                    status: None,
                    entities: Some(BTreeSet::from([id])),
                    affinity: Vec::new(),
                    limit: Some(10_000),
                    after: None,
                    slowest: false,
                };
                let page = self.inspector.entity_page(&permit(query)?).await?;
                ensure!(page.items.len() == 1, "{} entities", page.items.len());
                Ok(())
            })
            .await?;
        Ok(Measured {
            ids: Some(ids),
            ..self.filled.line("details of one entity", batches, figures)
        })
    }

    async fn ask(&self, query: impl AsyncFn(usize) -> Result<()>) -> Result<Figures> {
        let store = &self.filled.store;
        let before = store.statistics();
        let mut millis = Vec::with_capacity(QUERIES);
        for nth in 0..QUERIES {
            let began = Instant::now();
            query(nth).await?;
            millis.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let calls = store.statistics().call_total() - before.call_total();
        millis.sort_by(f64::total_cmp);
        let at = |percent: usize| round(millis[(QUERIES * percent / 100).min(QUERIES - 1)]);
        Ok(Figures::Query {
            p50_ms: at(50),
            p95_ms: at(95),
            max_ms: at(100),
            calls_per_query: ratio(calls, QUERIES),
        })
    }
}

fn policy() -> LocalTokenPolicy {
    LocalTokenPolicy::new("bench")
}

fn permit<R: Operation>(request: R) -> Result<Permit<R>> {
    let principal = Principal {
        name: "bench".to_owned(),
    };
    authorize(&policy(), &principal, request).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

fn rate(
    began: Instant,
    before: &StoreStatistics,
    after: &StoreStatistics,
    batches: usize,
) -> Figures {
    let seconds = began.elapsed().as_secs_f64();
    let compare_and_sets = after.compare_and_set_total() - before.compare_and_set_total();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let batches_per_s = batches as f64 / seconds;
    let calls = after.calls.iter().map(|(verb, count)| {
        let earlier = before.calls.get(verb).copied().unwrap_or(0);
        (*verb, count - earlier)
    });
    Figures::Rate {
        seconds: round(seconds),
        batches_per_s: round(batches_per_s),
        lwt_per_batch: ratio(compare_and_sets, batches),
        calls_per_batch: ratio(after.call_total() - before.call_total(), batches),
        calls_by_verb: calls.filter(|(_, count)| *count > 0).collect(),
    }
}

fn ratio(count: u64, of: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let ratio = count as f64 / of as f64;
    round(ratio)
}

fn round(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}
