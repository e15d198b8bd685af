//! The projects that a node has: the deployed one, and earlier ones that batches still run with.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tracing::info;
use weft_lang::EntityTemplate;
use weft_model::Value;
use weft_model::clock::SharedClock;
use weft_model::ids::Ids;
use weft_model::{BatchSpec, Deployment, EntitySource};
use weft_store::Trust;
use weft_store::{Deploy, Settled, SharedStore, StoreError, settle};

use super::bundle::{Bundle, BundleError};
use super::echo::EchoCommand;
use super::{Project, ProjectError, Validators};
use crate::command::{CommandFactory, EntityCommand};
use crate::interface::{Environment, Surroundings};
use crate::source::IdStream;
use crate::sync::{SyncCommand, SyncMode};

/// Projects that are kept open; older ones are read again when a batch needs them.
const OPEN_PROJECTS: usize = 16;
/// How often somebody else may deploy in between before a deployment gives up.
const ATTEMPTS: usize = 8;

/// Why a project cannot be deployed or used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The project has errors.
    #[error("the project has {} error{}", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    Invalid(Vec<ProjectError>),
    /// The bundle cannot be made, or what is stored is damaged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The store did not answer, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing is deployed.
    #[error("no project is deployed")]
    NothingDeployed,
    /// The store does not have the bundle.
    #[error("the store has no project {0}")]
    UnknownProject(String),
    /// Too many others deployed at the same time, or trust ran out.
    #[error("it is not known whether the project was deployed; ask again")]
    Unsettled,
    /// No thread to read files on.
    #[error("no thread could be started")]
    NoThread,
}

/// What a deployment did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployReport {
    /// What is deployed now.
    pub deployment: Deployment,
    /// False where the same project was deployed already.
    pub changed: bool,
    /// Its interfaces.
    pub interfaces: Vec<String>,
}

/// Holds the projects of a node and binds commands to them.
pub struct ProjectCatalogue {
    store: SharedStore,
    clock: SharedClock,
    data: PathBuf,
    environment: Environment,
    validators: Validators,
    state: RwLock<State>,
    /// One at a time, so that a project is unpacked once.
    loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    current: Option<Deployment>,
    projects: BTreeMap<String, Arc<Project>>,
}

impl ProjectCatalogue {
    /// Keeps projects under `data`: `projects/<hash>/`, and lookup indexes under `scratch/`.
    pub fn new(
        store: SharedStore,
        clock: SharedClock,
        data: impl Into<PathBuf>,
        environment: Environment,
    ) -> Self {
        Self {
            store,
            clock,
            data: data.into(),
            environment,
            validators: Validators::default(),
            state: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
        }
    }

    /// The same; what is deployed is checked by these as well.
    #[must_use]
    pub fn with_validators(self, validators: Validators) -> Self {
        Self { validators, ..self }
    }

    /// Checks the project in a folder and deploys it as one bundle.
    ///
    /// # Errors
    /// Everything that is wrong with the project, or why the store did not take it.
    pub async fn deploy(
        &self,
        folder: &Path,
        by: &str,
        ids: &Ids,
        trust: &Trust,
    ) -> Result<DeployReport, CatalogueError> {
        // Packed once: what is checked is what is deployed, even if somebody edits the folder meanwhile.
        let packed = folder.to_path_buf();
        let bundle = on_thread(move || Bundle::pack(&packed)).await??;
        let project = Project::load_bundle(&bundle, &self.surroundings(folder), &self.validators)
            .await
            .map_err(CatalogueError::Invalid)?;
        let logical_units: Vec<String> = project
            .logical_units()
            .map(|logical_unit| logical_unit.name.clone())
            .collect();
        let hash = bundle.hash();
        self.store.put_bundle(&hash, &bundle.to_bytes()).await?;
        self.store.ensure_logical_units(&logical_units).await?;
        let parsed = project.logical_units();
        let parsed = parsed.flat_map(|logical_unit| logical_unit.parsed_tables.values());
        let parsed: Vec<_> = parsed.cloned().collect();
        self.store.ensure_parsed_tables(&parsed).await?;
        let mut report = DeployReport {
            deployment: Deployment {
                seq: 0,
                hash: hash.clone(),
                deployed_at: self.clock.now(),
                deployed_by: by.to_owned(),
                logical_units,
            },
            changed: true,
            interfaces: project
                .interfaces()
                .map(|interface| interface.definition.name.clone())
                .collect(),
        };
        for _ in 0..ATTEMPTS {
            let current = self.store.deployment().await?;
            if let Some(current) = current.as_ref().filter(|current| current.hash == hash) {
                report.deployment = current.clone();
                report.changed = false;
                break;
            }
            let seq = current.map_or(1, |current| current.seq + 1);
            let deploy = Deploy {
                deployment: Deployment {
                    seq,
                    ..report.deployment.clone()
                },
                token: ids.token(),
            };
            match settle(self.store.as_ref(), ids, trust, &deploy).await? {
                Settled::Applied => {
                    report.deployment = deploy.deployment;
                    break;
                }
                // Somebody else deployed in between: the one who asked last wins.
                Settled::Lost(_) => {}
                Settled::StillUnknown => return Err(CatalogueError::Unsettled),
            }
        }
        if report.deployment.seq == 0 {
            return Err(CatalogueError::Unsettled);
        }
        self.refresh().await?;
        let seq = report.deployment.seq;
        info!(project.hash = %hash, project.seq = seq, "Deployed project {hash}");
        Ok(report)
    }

    /// Looks up what is deployed, and makes it ready where it is new.
    ///
    /// # Errors
    /// The store does not answer, or what it has cannot be read.
    pub async fn refresh(&self) -> Result<Option<Deployment>, CatalogueError> {
        let Some(deployment) = self.store.deployment().await? else {
            return Ok(None);
        };
        self.project(&deployment.hash).await?;
        self.state
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .current = Some(deployment.clone());
        Ok(Some(deployment))
    }

    /// What was deployed when this node last looked.
    pub fn deployment(&self) -> Option<Deployment> {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .current
            .clone()
    }

    /// The project that was deployed when this node last looked.
    ///
    /// # Errors
    /// Nothing is deployed.
    pub fn current(&self) -> Result<Arc<Project>, CatalogueError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let current = state
            .current
            .as_ref()
            .and_then(|current| state.projects.get(&current.hash));
        current.cloned().ok_or(CatalogueError::NothingDeployed)
    }

    /// The project that is deployed now. While the store does not answer, what was deployed when this node last looked.
    ///
    /// # Errors
    /// Nothing is deployed, or what the store has cannot be read.
    pub async fn current_project(&self) -> Result<Arc<Project>, CatalogueError> {
        let deployment = match self.refresh().await {
            Ok(deployment) => deployment,
            Err(CatalogueError::Store(error)) if error.is_transient() => match self.deployment() {
                Some(deployment) => Some(deployment),
                None => return Err(CatalogueError::Store(error)),
            },
            Err(error) => return Err(error),
        };
        let deployment = deployment.ok_or(CatalogueError::NothingDeployed)?;
        self.project(&deployment.hash).await
    }

    /// The folder in which that project is unpacked.
    ///
    /// # Errors
    /// As [`current_project`](Self::current_project).
    pub async fn current_folder(&self) -> Result<PathBuf, CatalogueError> {
        let project = self.current_project().await?;
        Ok(self.projects().join(project.hash()))
    }

    /// The project with this hash, fetched from the store if this node does not have it open.
    ///
    /// # Errors
    /// The store does not have it or does not answer, or it cannot be read.
    pub async fn project(&self, hash: &str) -> Result<Arc<Project>, CatalogueError> {
        if let Some(project) = self.open_project(hash) {
            return Ok(project);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(project) = self.open_project(hash) {
            return Ok(project);
        }
        let bytes = self.store.bundle(hash).await?;
        let bytes = bytes.ok_or_else(|| CatalogueError::UnknownProject(hash.to_owned()))?;
        let surroundings = self.surroundings(&self.data);
        let projects = self.projects();
        let expected = hash.to_owned();
        let project = on_thread(move || {
            let bundle = Bundle::from_bytes(&bytes, &expected)?;
            let base = bundle.unpack_to(&projects)?;
            let surroundings = Surroundings {
                base,
                ..surroundings
            };
            Project::from_bundle(&bundle, &surroundings).map_err(CatalogueError::Invalid)
        });
        let project = Arc::new(project.await??);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.make_room();
        state.projects.insert(hash.to_owned(), Arc::clone(&project));
        Ok(project)
    }

    fn open_project(&self, hash: &str) -> Option<Arc<Project>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.projects.get(hash).cloned()
    }

    fn projects(&self) -> PathBuf {
        self.data.join("projects")
    }

    fn surroundings(&self, base: &Path) -> Surroundings {
        Surroundings {
            clock: Arc::clone(&self.clock),
            base: base.to_path_buf(),
            scratch: self.data.join("scratch"),
            environment: self.environment.clone(),
            store: Some(Arc::clone(&self.store)),
        }
    }

    /// The project that a batch runs with.
    async fn project_of(&self, spec: &BatchSpec) -> Result<Arc<Project>, String> {
        let project = match &spec.project {
            Some(hash) => self.project(hash).await,
            None => self.current(),
        };
        project.map_err(|error| error.to_string())
    }
}

impl State {
    /// Closes a project that nobody uses when there are too many.
    fn make_room(&mut self) {
        if self.projects.len() < OPEN_PROJECTS {
            return;
        }
        let current = self.current.as_ref().map(|current| current.hash.as_str());
        let unused = self.projects.iter().find(|(hash, project)| {
            Some(hash.as_str()) != current && Arc::strong_count(project) == 1
        });
        if let Some(hash) = unused.map(|(hash, _)| hash.clone()) {
            self.projects.remove(&hash);
        }
    }
}

impl fmt::Debug for ProjectCatalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectCatalogue")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl CommandFactory for ProjectCatalogue {
    async fn bind(&self, spec: &BatchSpec) -> Result<Arc<dyn EntityCommand>, String> {
        let template = EntityTemplate::parse(&spec.fabric_command)
            .map_err(|error| format!("FABRIC_COMMAND \"{}\": {error}", spec.fabric_command))?;
        match template {
            EntityTemplate::SyncInstance { lu, id } => {
                let project = self.project_of(spec).await?;
                let mode = SyncMode::of_session(&spec.session_scope)?;
                let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
                let command = SyncCommand::new(&project, &lu.value, id.value, mode, store, clock)?;
                Ok(Arc::new(command))
            }
            EntityTemplate::Echo { delay_ms, .. } => {
                let delay = Duration::from_millis(delay_ms.map_or(0, |delay| delay.value));
                Ok(Arc::new(EchoCommand { delay }))
            }
            EntityTemplate::Broadway { .. }
            | EntityTemplate::CdcRepublish { .. }
            | EntityTemplate::Get { .. } => Err(format!(
                "{} is not supported as FABRIC_COMMAND yet",
                template.keyword()
            )),
        }
    }

    async fn ids(&self, spec: &BatchSpec, after: Option<String>) -> Result<IdStream, String> {
        match &spec.source {
            EntitySource::Query {
                interface,
                sql,
                parameters,
                ..
            } => {
                let project = self.project_of(spec).await?;
                let interface = project.interface(interface)?;
                let parameters = parameters.iter().cloned().map(Value::Text).collect();
                let ids = interface.ids(sql, parameters, after).await;
                ids.map_err(|error| error.to_string())
            }
            EntitySource::List { .. } | EntitySource::Stored => {
                Err("these ids do not come from an interface".to_owned())
            }
        }
    }
}

/// Runs blocking work on a thread of its own.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CatalogueError> {
    let (sender, receiver) = oneshot::channel();
    let started = std::thread::Builder::new()
        .name("weft-project".to_owned())
        .spawn(move || {
            // Who asked may be gone.
            let _ = sender.send(work());
        });
    started.map_err(|_| CatalogueError::NoThread)?;
    receiver.await.map_err(|_| CatalogueError::NoThread)
}
