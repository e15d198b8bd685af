//! The project of a node: deployed from a folder at its start, kept up to date afterwards.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weft_model::Principal;
use weft_model::clock::SharedClock;
use weft_project::interface::Environment;
use weft_project::{CatalogueError, DeployReport, ProjectCatalogue};
use weft_statement::{Services, apply_deployment};
use weft_store::SelfFence;
use weft_store::SharedStore;

use crate::exit::{Failure, USAGE};
use crate::output::stderr;

/// How often a node checks for deployments of other nodes.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// How long a deployment may take.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(60);

/// The projects of a node with this data folder. Functions, flows and parsers are checked when they are deployed.
pub fn catalogue(store: &SharedStore, clock: &SharedClock, data: &Path) -> ProjectCatalogue {
    let environment = Environment::from_process();
    let scripts = weft_connect::EntityScripts::new(data, environment.clone());
    ProjectCatalogue::new(Arc::clone(store), Arc::clone(clock), data, environment)
        .with_validators(weft_connect::validators())
        .with_scripts(Arc::new(scripts))
}

/// Checks for deployments of other nodes until the process ends. A repeated error is logged once.
pub fn keep_fresh(catalogue: Arc<ProjectCatalogue>) {
    tokio::spawn(async move {
        let mut last = None;
        loop {
            let failed = catalogue
                .refresh()
                .await
                .err()
                .map(|error| error.to_string());
            if let Some(error) = failed.as_ref().filter(|_| failed != last) {
                tracing::warn!("The deployed project cannot be read: {error}");
            }
            last = failed;
            tokio::time::sleep(REFRESH_INTERVAL).await;
        }
    });
}

/// Deploys a folder at the start of a node, as the principal `by`.
pub async fn deploy(services: &Services, folder: &Path, by: &str) -> anyhow::Result<DeployReport> {
    let self_fence = SelfFence::for_duration(Arc::clone(&services.clock), DEPLOY_TIMEOUT);
    let catalogue = &services.catalogue;
    match catalogue
        .deploy(folder, by, &services.ids, &self_fence)
        .await
    {
        Ok(report) => {
            let principal = Principal {
                name: by.to_owned(),
            };
            for note in apply_deployment(services, &principal, &report).await {
                stderr::notice(&note);
            }
            Ok(report)
        }
        Err(CatalogueError::Invalid(errors)) => {
            for error in &errors {
                stderr::error(&error.to_string());
            }
            let folder = folder.display();
            Err(Failure::new(USAGE, format!("the project in {folder} cannot be deployed")).into())
        }
        Err(error) => Err(error.into()),
    }
}
