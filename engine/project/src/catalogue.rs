//! The projects of a node: the deployed one, and earlier ones that batches still use.

use std::collections::BTreeMap;
use std::fmt;
use std::future::ready;
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
use weft_store::SelfFence;
use weft_store::{
    Decided, Decision, Deploy, SharedStore, StoreError, StoreResult, decide_and_settle,
};

use super::bundle::{Bundle, BundleError};
use super::echo::EchoCommand;
use super::{Project, ProjectError, Validators};
use crate::command::{CommandError, CommandFactory, EntityCommand, ScriptCommands};
use crate::interface::{Environment, InterfaceContext};
use crate::source::IdStream;
use crate::sync::{SyncCommand, SyncMode};

/// The number of projects to keep open. A closed project is read again when a batch needs it.
const OPEN_PROJECTS: usize = 16;

/// Why a project cannot be deployed or used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The project has errors.
    #[error("the project has {} error{}", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    Invalid(Vec<ProjectError>),
    /// The bundle cannot be made, or the stored one is damaged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The store did not answer, or refused the request.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No project is deployed.
    #[error("no project is deployed")]
    NothingDeployed,
    /// The store has no bundle with this hash.
    #[error("the store has no project {0}")]
    UnknownProject(String),
    /// Too many concurrent deployments, or the self-fence ended before the store confirmed the outcome.
    #[error("it is not known whether the project was deployed; ask again")]
    Unsettled,
    /// No thread could be started to read files.
    #[error("no thread could be started")]
    NoThread,
}

/// The result of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployReport {
    /// The current deployment.
    pub deployment: Deployment,
    /// False if the same project was deployed already.
    pub changed: bool,
    /// The names of its interfaces.
    pub interfaces: Vec<String>,
}

/// Loads the projects of a node and binds commands to them.
pub struct ProjectCatalogue {
    store: SharedStore,
    clock: SharedClock,
    data: PathBuf,
    environment: Environment,
    validators: Validators,
    scripts: Option<Arc<dyn ScriptCommands>>,
    state: RwLock<State>,
    /// Held while a project is loaded, so that it is unpacked once.
    loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    current: Option<Deployment>,
    projects: BTreeMap<String, Arc<Project>>,
}

impl ProjectCatalogue {
    /// A catalogue that keeps projects in `data`: under `projects/<hash>/`, and lookup indexes under `scratch/`.
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
            scripts: None,
            state: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
        }
    }

    /// Adds validators that check every project before it is deployed.
    #[must_use]
    pub fn with_validators(self, validators: Validators) -> Self {
        Self { validators, ..self }
    }

    /// Lets batches run scripts of the project.
    #[must_use]
    pub fn with_scripts(self, scripts: Arc<dyn ScriptCommands>) -> Self {
        Self {
            scripts: Some(scripts),
            ..self
        }
    }

    /// Checks the project in a folder and deploys it as one bundle.
    ///
    /// # Errors
    /// The errors of the project, or why the store did not accept it.
    pub async fn deploy(
        &self,
        folder: &Path,
        by: &str,
        ids: &Ids,
        self_fence: &SelfFence,
    ) -> Result<DeployReport, CatalogueError> {
        // Packed once: the checked files are the deployed files, even if the folder is edited meanwhile.
        let packed = folder.to_path_buf();
        let bundle = run_on_thread(move || Bundle::pack(&packed)).await??;
        let project =
            Project::load_bundle(&bundle, &self.interface_context(folder), &self.validators)
                .await
                .map_err(CatalogueError::Invalid)?;
        let hash = bundle.hash();
        self.store_parts(&hash, &bundle, &project).await?;
        let proposed = Deployment {
            seq: 0,
            hash,
            deployed_at: self.clock.now(),
            deployed_by: by.to_owned(),
            logical_units: logical_unit_names(&project),
        };
        let (deployment, changed) = self.make_current(proposed, ids, self_fence).await?;
        self.refresh().await?;
        let (hash, seq) = (&deployment.hash, deployment.seq);
        info!(project.hash = %hash, project.seq = seq, "Deployed project {hash}");
        let interfaces = project.interfaces();
        let interfaces = interfaces.map(|interface| interface.definition.name.clone());
        Ok(DeployReport {
            deployment,
            changed,
            interfaces: interfaces.collect(),
        })
    }

    /// Stores the bundle and creates the tables of a project, which nothing uses before it is deployed.
    async fn store_parts(
        &self,
        hash: &str,
        bundle: &Bundle,
        project: &Project,
    ) -> Result<(), StoreError> {
        self.store.put_bundle(hash, &bundle.to_bytes()).await?;
        let logical_units = logical_unit_names(project);
        self.store.ensure_logical_units(&logical_units).await?;
        let parsed = project.logical_units();
        let parsed = parsed.flat_map(|logical_unit| logical_unit.parsed_tables.values());
        let parsed: Vec<_> = parsed.cloned().collect();
        self.store.ensure_parsed_tables(&parsed).await
    }

    /// Replaces the current deployment by `proposed`, unless it is the same project. Returns the current deployment and
    /// whether it changed.
    async fn make_current(
        &self,
        proposed: Deployment,
        ids: &Ids,
        self_fence: &SelfFence,
    ) -> Result<(Deployment, bool), CatalogueError> {
        let decide = |current: Option<Deployment>| {
            ready(StoreResult::Ok(match current {
                Some(current) if current.hash == proposed.hash => Decision::Stop(current),
                // Of two deployments at the same time the later one wins.
                current => Decision::Settle(Deploy {
                    deployment: Deployment {
                        seq: current.map_or(1, |current| current.seq + 1),
                        ..proposed.clone()
                    },
                    token: ids.token(),
                }),
            }))
        };
        let store = self.store.as_ref();
        match decide_and_settle(store, ids, self_fence, store.deployment(), decide).await? {
            Decided::Applied { operation, .. } => Ok((operation.deployment, true)),
            Decided::Stopped(current) => Ok((current, false)),
            Decided::StillUnknown(_) | Decided::MovedTooFast(_) => Err(CatalogueError::Unsettled),
        }
    }

    /// Reads the current deployment from the store, and loads its project.
    ///
    /// # Errors
    /// The store does not answer, or the stored project cannot be read.
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

    /// The deployment of the last refresh.
    pub fn deployment(&self) -> Option<Deployment> {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .current
            .clone()
    }

    /// The project of the last refresh.
    ///
    /// # Errors
    /// No project is deployed.
    pub fn current(&self) -> Result<Arc<Project>, CatalogueError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let current = state
            .current
            .as_ref()
            .and_then(|current| state.projects.get(&current.hash));
        current.cloned().ok_or(CatalogueError::NothingDeployed)
    }

    /// The project that is deployed now, or the project of the last refresh while the store does not answer.
    ///
    /// # Errors
    /// No project is deployed, or the stored project cannot be read.
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

    /// The folder with the unpacked files of the current project.
    ///
    /// # Errors
    /// The same as of [`current_project`](Self::current_project).
    pub async fn current_folder(&self) -> Result<PathBuf, CatalogueError> {
        let project = self.current_project().await?;
        Ok(self.projects().join(project.hash()))
    }

    /// The project with this hash, which is loaded from the store if it is not open.
    ///
    /// # Errors
    /// The store does not have the project or does not answer, or the project cannot be read.
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
        let context = self.interface_context(&self.data);
        let projects = self.projects();
        let expected = hash.to_owned();
        let project = run_on_thread(move || {
            let bundle = Bundle::from_bytes(&bytes, &expected)?;
            let base = bundle.unpack_to(&projects)?;
            let context = InterfaceContext { base, ..context };
            Project::from_bundle(&bundle, &context).map_err(CatalogueError::Invalid)
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

    fn interface_context(&self, base: &Path) -> InterfaceContext {
        InterfaceContext {
            clock: Arc::clone(&self.clock),
            base: base.to_path_buf(),
            scratch: self.data.join("scratch"),
            environment: self.environment.clone(),
            store: Some(Arc::clone(&self.store)),
        }
    }

    /// The project of a batch.
    async fn batch_project(&self, spec: &BatchSpec) -> Result<Arc<Project>, CommandError> {
        let project = match &spec.project {
            Some(hash) => self.project(hash).await,
            None => self.current(),
        };
        project.map_err(|error| match error {
            CatalogueError::Store(error) => CommandError::Store(error),
            CatalogueError::NoThread | CatalogueError::Bundle(BundleError::File { .. }) => {
                CommandError::NotNow(format!("the project cannot be loaded now: {error}"))
            }
            other => CommandError::Refused(other.to_string()),
        })
    }
}

impl State {
    /// Closes an unused project if too many are open.
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
    async fn bind(&self, spec: &BatchSpec) -> Result<Arc<dyn EntityCommand>, CommandError> {
        let template = EntityTemplate::parse(&spec.fabric_command)
            .map_err(|error| format!("FABRIC_COMMAND \"{}\": {error}", spec.fabric_command))?;
        match template {
            EntityTemplate::SyncInstance { lu, id } => {
                let project = self.batch_project(spec).await?;
                let mode = SyncMode::from_session_scope(&spec.session_scope)?;
                let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
                let command = SyncCommand::new(&project, &lu.value, id.value, mode, store, clock)?;
                Ok(Arc::new(command))
            }
            EntityTemplate::Echo { delay_ms, .. } => {
                let delay = Duration::from_millis(delay_ms.map_or(0, |delay| delay.value));
                Ok(Arc::new(EchoCommand { delay }))
            }
            EntityTemplate::Process { script, arguments } => {
                let Some(scripts) = &self.scripts else {
                    return Err("this node runs no scripts".to_owned().into());
                };
                let project = self.batch_project(spec).await?;
                let folder = self.projects().join(project.hash());
                let arguments = arguments.into_iter().map(|argument| argument.value);
                scripts.bind(&folder, &script.value, arguments.collect())
            }
            EntityTemplate::Broadway { .. }
            | EntityTemplate::CdcRepublish { .. }
            | EntityTemplate::Get { .. } => Err(CommandError::Refused(format!(
                "{} is not supported as FABRIC_COMMAND yet",
                template.keyword()
            ))),
        }
    }

    async fn ids(&self, spec: &BatchSpec, after: Option<String>) -> Result<IdStream, CommandError> {
        match &spec.source {
            EntitySource::Query {
                interface,
                sql,
                parameters,
                ..
            } => {
                let project = self.batch_project(spec).await?;
                let interface = project.interface(interface)?;
                let parameters = parameters.iter().cloned().map(Value::Text).collect();
                let ids = interface.ids(sql, parameters, after).await;
                ids.map_err(|error| match error.into_outage() {
                    Ok(outage) => CommandError::Store(outage.into()),
                    Err(error) => CommandError::Refused(error.to_string()),
                })
            }
            EntitySource::List { .. } | EntitySource::Stored => Err(CommandError::Refused(
                "these ids do not come from an interface".to_owned(),
            )),
        }
    }
}

fn logical_unit_names(project: &Project) -> Vec<String> {
    let logical_units = project.logical_units();
    logical_units
        .map(|logical_unit| logical_unit.name.clone())
        .collect()
}

/// Runs blocking work on a new thread.
async fn run_on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CatalogueError> {
    let (sender, receiver) = oneshot::channel();
    let started = std::thread::Builder::new()
        .name("weft-project".to_owned())
        .spawn(move || {
            // The caller may have been dropped.
            let _ = sender.send(work());
        });
    started.map_err(|_| CatalogueError::NoThread)?;
    receiver.await.map_err(|_| CatalogueError::NoThread)
}
