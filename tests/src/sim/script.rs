//! The work of a simulated batch: when its ids come, how long its entities take, and which of them fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use weft_model::{BatchId, BatchSpec, EntitySource, Fence};
use weft_project::command::{
    ChunkContext, CommandError, CommandFactory, EntityCommand, EntityOutcome, PreparedChunk,
};
use weft_project::source::{IdPage, IdStream, SourceError};
use weft_store::Outage;

use super::control::Control;
use super::store::{SimStore, SourceList};

/// How long an entity takes that hangs.
const HANGS: Duration = Duration::from_secs(3_600);

/// A source and a command.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its pages, in order: milliseconds to wait, and ids.
    pub pages: Vec<(u64, Vec<String>)>,
    /// It fails after its last page.
    pub fails: bool,
    /// It ends the process of its node after its last page.
    pub aborts: bool,
    /// It has positions, so that a takeover can continue it.
    pub has_positions: bool,
    /// The shortest and longest entity, in milliseconds.
    pub entity_ms: (u64, u64),
    /// Percentage of entities that fail.
    pub failing_percent: u64,
    /// Entities that end the process of their node, always.
    pub aborting: BTreeSet<String>,
    /// Entities that take an hour; only for a batch that is cancelled.
    pub hanging: BTreeSet<String>,
}

impl Script {
    /// All ids at once, entities of equal length, nothing fails.
    pub fn plain(count: usize, entity_ms: u64) -> Self {
        Self {
            pages: vec![(0, (0..count).map(|number| format!("e{number}")).collect())],
            fails: false,
            aborts: false,
            has_positions: true,
            entity_ms: (entity_ms, entity_ms),
            failing_percent: 0,
            aborting: BTreeSet::new(),
            hanging: BTreeSet::new(),
        }
    }

    /// The ids, each once.
    pub fn ids(&self) -> BTreeSet<&str> {
        let ids = self.pages.iter().flat_map(|(_, ids)| ids);
        ids.map(String::as_str).collect()
    }

    /// What its batch must count.
    pub fn list(&self) -> SourceList {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let ids = count(self.ids().len());
        let given = self.pages.iter().map(|(_, ids)| count(ids.len()));
        SourceList {
            ids,
            duplicates: given.sum::<i64>() - ids,
        }
    }

    /// Whether the command fails for this id, always.
    pub fn fails_for(&self, id: &str) -> bool {
        weft_model::hash::stable(&["fails", id]) % 100 < self.failing_percent
    }

    fn takes(&self, id: &str) -> Duration {
        if self.hanging.contains(id) {
            return HANGS;
        }
        let (shortest, longest) = self.entity_ms;
        let span = longest - shortest + 1;
        Duration::from_millis(shortest + weft_model::hash::stable(&["takes", id]) % span)
    }
}

/// The scripts of a simulation, by the SQL that names them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Scripts(Arc<Mutex<BTreeMap<String, Arc<Script>>>>);

impl Scripts {
    /// Adds a script; answers the source that a batch names it by.
    pub fn add(&self, script: Script) -> EntitySource {
        let mut scripts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = format!("script {}", scripts.len());
        scripts.insert(sql.clone(), Arc::new(script));
        EntitySource::Query {
            interface: "scripts".to_owned(),
            sql,
            parameters: Vec::new(),
            instance_group: None,
        }
    }

    /// From now on the source of a batch gives what `script` says.
    pub fn replace(&self, spec: &BatchSpec, script: Script) {
        if let EntitySource::Query { sql, .. } = &spec.source {
            let mut scripts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            scripts.insert(sql.clone(), Arc::new(script));
        }
    }

    /// The script of a batch.
    pub fn of(&self, spec: &BatchSpec) -> Option<Arc<Script>> {
        let EntitySource::Query { sql, .. } = &spec.source else {
            return None;
        };
        let scripts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scripts.get(sql).cloned()
    }
}

/// An entity was begun: the effect of a command on the outside world, where no fence protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The node, and which process of it.
    pub process: String,
    /// The batch.
    pub batch: BatchId,
    /// The entity.
    pub id: String,
    /// The fence of its chunk.
    pub fence: Fence,
    /// When, in simulated milliseconds.
    pub at: u64,
}

/// All effects, in order. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    begun: Arc<Mutex<Vec<Effect>>>,
    running: Arc<Mutex<BTreeMap<String, usize>>>,
    aborts: Arc<AtomicU64>,
}

/// Counts an entity as running until it is dropped.
struct Running {
    effects: Effects,
    process: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(count) = self.effects.running().get_mut(&self.process) {
            *count -= 1;
        }
    }
}

impl Effects {
    /// The effects so far.
    pub fn all(&self) -> Vec<Effect> {
        self.begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many processes an entity has ended.
    pub fn aborts(&self) -> u64 {
        self.aborts.load(Ordering::Relaxed)
    }

    /// How many entities run in this process.
    pub fn running_in(&self, process: &str) -> usize {
        self.running().get(process).copied().unwrap_or(0)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, process: &str) -> Running {
        *self.running().entry(process.to_owned()).or_default() += 1;
        Running {
            effects: self.clone(),
            process: process.to_owned(),
        }
    }

    fn note(&self, effect: Effect) {
        self.begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(effect);
    }
}

/// Runs scripts in one process.
#[derive(Clone, Debug)]
pub struct ScriptFactory {
    /// The scripts.
    pub scripts: Scripts,
    /// Where effects go.
    pub effects: Effects,
    /// The process.
    pub control: Arc<Control>,
    /// Its name: node and number.
    pub process: String,
    /// For the trace and the time.
    pub store: SimStore,
}

#[async_trait]
impl CommandFactory for ScriptFactory {
    async fn bind(&self, spec: &BatchSpec) -> Result<Arc<dyn EntityCommand>, CommandError> {
        let script = self.scripts.of(spec).ok_or_else(no_script)?;
        Ok(Arc::new(ScriptCommand {
            script,
            factory: self.clone(),
        }))
    }

    async fn ids(&self, spec: &BatchSpec, after: Option<String>) -> Result<IdStream, CommandError> {
        let script = self.scripts.of(spec).ok_or_else(no_script)?;
        let (sender, receiver) = mpsc::channel(4);
        let control = Arc::clone(&self.control);
        let from: usize = after.and_then(|text| text.parse().ok()).unwrap_or(0);
        tokio::spawn(async move {
            for (number, (wait_ms, ids)) in script.pages.iter().enumerate().skip(from) {
                tokio::time::sleep(Duration::from_millis(*wait_ms)).await;
                control.running().await;
                let page = IdPage {
                    ids: ids.clone(),
                    position: script.has_positions.then(|| (number + 1).to_string()),
                };
                if sender.send(Ok(page)).await.is_err() {
                    return;
                }
            }
            if script.aborts {
                control.die();
                control.running().await;
            }
            if script.fails {
                let error = SourceError::Unavailable {
                    interface: "scripts".to_owned(),
                    message: "the script says so".to_owned(),
                };
                let _ = sender.send(Err(error)).await;
            }
        });
        Ok(receiver)
    }
}

fn no_script() -> CommandError {
    CommandError::Refused("no such script".to_owned())
}

#[derive(Debug)]
struct ScriptCommand {
    script: Arc<Script>,
    factory: ScriptFactory,
}

#[async_trait]
impl EntityCommand for ScriptCommand {
    fn writes(&self) -> Option<&str> {
        None
    }

    async fn prepare(
        &self,
        context: &ChunkContext,
        _ids: &[String],
    ) -> Result<Box<dyn PreparedChunk>, Outage> {
        Ok(Box::new(ScriptChunk {
            script: Arc::clone(&self.script),
            factory: self.factory.clone(),
            batch: context.batch,
            fence: context.fence,
        }))
    }
}

struct ScriptChunk {
    script: Arc<Script>,
    factory: ScriptFactory,
    batch: BatchId,
    fence: Fence,
}

impl ScriptFactory {
    /// The node of the process.
    fn node(&self) -> String {
        let node = self.process.split('.').next();
        node.unwrap_or_default().to_owned()
    }
}

impl ScriptChunk {
    fn begin(&self, id: &str) {
        let factory = &self.factory;
        let at = factory.store.now();
        let detail = format!("{id} fence {}", self.fence);
        let mut inner = factory.store.inner();
        inner.trace.note(at, &factory.process, "effect", &detail);
        factory.effects.note(Effect {
            process: factory.process.clone(),
            batch: self.batch,
            id: id.to_owned(),
            fence: self.fence,
            at,
        });
    }
}

#[async_trait]
impl PreparedChunk for ScriptChunk {
    async fn run(&mut self, id: &str) -> EntityOutcome {
        let factory = &self.factory;
        factory.control.running().await;
        self.begin(id);
        let _running = factory.effects.enter(&factory.process);
        if self.script.aborting.contains(id) {
            factory.effects.aborts.fetch_add(1, Ordering::Relaxed);
            factory.control.die();
        }
        let takes = self.script.takes(id);
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        factory.control.running().await;
        if !factory.control.was_frozen() {
            factory.store.inner().check_has_not_left(&factory.node());
        }
        if self.script.fails_for(id) {
            return EntityOutcome::Failed("the script says so".to_owned());
        }
        EntityOutcome::Completed {
            result: r#"{"Added":1}"#.to_owned(),
            instance: None,
        }
    }
}
