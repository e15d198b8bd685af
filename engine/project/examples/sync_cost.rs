//! What a sync costs: `cargo run --release -p weft-project --example sync_cost -- <project> <LU> <interface> <sql>`.
//!
//! Deploys the project into a new store in a temporary folder and syncs all ids of the query twice.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, not a part of the engine"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_model::clock::{SharedClock, SystemClock};
use weft_model::ids::Ids;
use weft_model::{BatchId, BatchSpec, EntitySource, NodeId};
use weft_project::command::{ChunkContext, CommandFactory, EntityOutcome};
use weft_project::interface::Environment;
use weft_project::{CatalogueError, ProjectCatalogue};
use weft_sqlite::{Options, SqliteStore};
use weft_store::SelfFence;
use weft_store::SharedStore;

const CHUNK: usize = 1_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [project, logical_unit, interface, sql] = arguments.as_slice() else {
        return Err("usage: sync_cost <project> <LU> <interface> <sql>".into());
    };
    let folder = std::env::temp_dir().join(format!("weft-sync-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let store = SqliteStore::open(folder.join("store.sqlite"), Options::new(clock.clone()))?;
    let store: SharedStore = Arc::new(store);
    let catalogue = ProjectCatalogue::new(
        store.clone(),
        clock.clone(),
        &folder,
        Environment::from_process(),
    );
    let self_fence = SelfFence::for_duration(clock, Duration::from_secs(60));
    let deployed = catalogue
        .deploy(Path::new(project), "me", &Ids::from_system(), &self_fence)
        .await;
    if let Err(CatalogueError::Invalid(errors)) = &deployed {
        errors.iter().for_each(|error| println!("{error}"));
    }
    deployed?;
    let spec = spec(logical_unit, interface, sql);

    let start = Instant::now();
    let ids = all_ids(&catalogue, &spec).await?;
    println!("{} ids in {:?}", ids.len(), start.elapsed());
    for round in ["first", "second"] {
        sync(&catalogue, &store, &spec, &ids, round).await?;
    }
    Ok(std::fs::remove_dir_all(&folder)?)
}

async fn all_ids(
    catalogue: &ProjectCatalogue,
    spec: &BatchSpec,
) -> Result<Vec<String>, Box<dyn Error>> {
    let mut stream = catalogue.ids(spec, None).await?;
    let mut ids = Vec::new();
    while let Some(page) = stream.recv().await {
        ids.extend(page?.ids);
    }
    Ok(ids)
}

async fn sync(
    catalogue: &ProjectCatalogue,
    store: &SharedStore,
    spec: &BatchSpec,
    ids: &[String],
    round: &str,
) -> Result<(), Box<dyn Error>> {
    let command = catalogue.bind(spec).await?;
    let context = ChunkContext {
        batch: BatchId(uuid::Uuid::nil()),
        spec: Arc::new(spec.clone()),
        execution_id: String::new(),
        fence: 1,
        node: NodeId("me".into()),
    };
    // Processor time, because a machine that does other things too says little about time that passes.
    let (mut prepare, mut run, mut bytes) = (Duration::ZERO, Duration::ZERO, 0);
    let mut results: BTreeMap<String, usize> = BTreeMap::new();
    for ids in ids.chunks(CHUNK) {
        let start = processor_time();
        let mut chunk = command.prepare(&context, ids).await?;
        prepare += processor_time() - start;
        let start = processor_time();
        let mut instances = Vec::new();
        for id in ids {
            let text = match chunk.run(id).await {
                EntityOutcome::Completed { result, instance } => {
                    instances.extend(instance);
                    result
                }
                EntityOutcome::Failed(reason) => reason,
            };
            *results.entry(text).or_default() += 1;
        }
        run += processor_time() - start;
        bytes += instances
            .iter()
            .map(|instance| instance.image.len())
            .sum::<usize>();
        store.save_instances(&spec.logical_unit, &instances).await?;
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / ids.len() as f64;
    println!(
        "{round}: read ahead {:.1} µs, run {:.1} µs of processor time per entity; {} bytes per image",
        each(prepare),
        each(run),
        bytes / ids.len()
    );
    results
        .iter()
        .for_each(|(result, count)| println!("  {count} × {result}"));
    Ok(())
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

fn spec(logical_unit: &str, interface: &str, sql: &str) -> BatchSpec {
    BatchSpec {
        asynchronous: true,
        allow_multiple: true,
        ..BatchSpec::new(
            logical_unit,
            EntitySource::Query {
                interface: interface.into(),
                sql: sql.into(),
                parameters: Vec::new(),
                instance_group: None,
            },
            format!("sync_instance {logical_unit}.?"),
        )
    }
}
