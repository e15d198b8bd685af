//! One batch through the engine: a whole node in this process, with all that it always does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use weft_model::clock::{SharedClock, SystemClock};
use weft_model::ids::Ids;
use weft_model::{Batch, BatchId, NodeId};
use weft_node::job::JobKinds;
use weft_node::{Context, Node, NodeConfig, NodeHandle, Wake};
use weft_project::command::CommandFactory;
use weft_store::{Attempt, Freshness, SharedStore, StoreStatistics, SubmitBatch};

use crate::Measured;
use crate::gauge::{Gauge, peak_kib};
use crate::run::{Kind, Run, StoreCost};
use crate::work::{self, NoopFactory, Work};

/// How often the end of the batch is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Behind the batch's end: its job ends, figures are written.
const AFTERMATH: Duration = Duration::from_millis(300);

/// A node that serves.
pub struct Serving {
    pub node: NodeHandle,
    pub context: Arc<Context>,
}

impl Serving {
    pub async fn start(
        store: SharedStore,
        clock: SharedClock,
        factory: Arc<dyn CommandFactory>,
        data: &Path,
    ) -> Self {
        let config = NodeConfig::with_defaults(NodeId("bench".to_owned()), data.to_owned());
        let context = Arc::new(Context::new(
            store,
            clock,
            Ids::from_system(),
            config,
            factory,
            JobKinds::default(),
            Wake::default(),
        ));
        let node = Node::start(Arc::clone(&context));
        node.serving().await;
        Self { node, context }
    }

    pub fn submission(&self, work: Work, ids: usize) -> SubmitBatch {
        work::submission(work.spec(ids), &self.context.ids, self.context.clock.now())
    }

    /// Submits as a statement does.
    pub async fn submit(&self, submit: &SubmitBatch) -> Result<()> {
        let answer = self.context.store.submit_batch(submit).await?;
        anyhow::ensure!(matches!(answer, Attempt::Applied), "{answer:?}");
        self.context.wake.jobs();
        Ok(())
    }

    /// Waits for the batch's end; answers it and how many reads that took.
    pub async fn end_of(&self, batch: BatchId) -> Result<(Batch, u64)> {
        let mut reads = 0;
        // No bound of its own: the loop ends with the batch, and the user of weft-bench ends a batch that hangs.
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            reads += 1;
            let read = self.context.store.batch(batch, Freshness::Committed).await;
            let row = read?.context("the batch is there")?;
            if row.status.is_final() {
                return Ok((row, reads));
            }
        }
    }

    pub async fn end(self) -> Result<()> {
        self.node.drain();
        self.node.ended().await.map_err(|error| anyhow!(error))
    }
}

pub async fn measure(measured: &Measured) -> Result<Run> {
    let place = measured.place.place()?;
    let clock: SharedClock = Arc::new(SystemClock);
    let store = place.open().await?;
    let factory: Arc<dyn CommandFactory> = match measured.work {
        Work::Noop => Arc::new(NoopFactory::new(measured.ids)),
        Work::Sync => {
            let project = measured.project.as_deref();
            work::deployed(&store, &clock, &place.folder, project).await?
        }
    };
    let serving = Serving::start(Arc::clone(&store), clock, factory, &place.folder).await;
    let submit = serving.submission(measured.work, measured.ids);
    let before = store.statistics();
    let gauge = Gauge::start(measured.place.server)?;
    serving.submit(&submit).await?;
    let (batch, reads) = serving.end_of(submit.batch.id).await?;
    let reading = gauge.read()?;
    tokio::time::sleep(AFTERMATH).await;
    let cost = store_cost(&before, &store.statistics(), reads);
    work::check_done(&batch, measured.ids)?;
    serving.end().await?;
    let peak_kib = peak_kib()?;
    drop(store);
    place.remove().await?;
    Ok(Run {
        cost: Some(cost),
        peak_kib,
        ..Run::of(Kind::Engine, &place, measured.work, measured.ids, &reading)
    })
}

/// The difference, without the reads of the measurement itself.
fn store_cost(before: &StoreStatistics, after: &StoreStatistics, reads: u64) -> StoreCost {
    let difference = |before: &std::collections::BTreeMap<&'static str, u64>,
                      after: &std::collections::BTreeMap<&'static str, u64>| {
        after
            .iter()
            .map(|(verb, count)| {
                let earlier = before.get(verb).copied().unwrap_or(0);
                ((*verb).to_owned(), count - earlier)
            })
            .filter(|(_, count)| *count > 0)
            .collect::<std::collections::BTreeMap<String, u64>>()
    };
    let by_verb = difference(&before.compare_and_sets, &after.compare_and_sets);
    let mut calls = difference(&before.calls, &after.calls);
    if let Some(count) = calls.get_mut("batch") {
        *count = count.saturating_sub(reads);
    }
    StoreCost {
        chunks: by_verb.get("open_chunk").copied().unwrap_or(0),
        compare_and_sets: by_verb.values().sum(),
        calls: calls.values().sum(),
        compare_and_sets_by_verb: by_verb,
        calls_by_verb: calls,
    }
}
