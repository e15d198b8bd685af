//! The project that is deployed on the cluster, as kinds of job see it.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use weft_node::job::DefinitionError;
use weft_project::{CatalogueError, Project, ProjectCatalogue};

use crate::retry::retry_transient;

/// Finds the project that is deployed now.
#[async_trait]
pub trait DeployedProject: std::fmt::Debug + Send + Sync {
    /// The folder into which the deployed project is unpacked; none if no project is deployed.
    ///
    /// # Errors
    /// The store does not answer, or the project cannot be unpacked.
    async fn folder(&self) -> Result<Option<PathBuf>, CatalogueError>;

    /// The deployed project; none if no project is deployed.
    ///
    /// # Errors
    /// The store does not answer, or the project cannot be read.
    async fn project(&self) -> Result<Option<Arc<Project>>, CatalogueError>;
}

#[async_trait]
impl DeployedProject for ProjectCatalogue {
    async fn folder(&self) -> Result<Option<PathBuf>, CatalogueError> {
        if_deployed(self.current_folder().await)
    }

    async fn project(&self) -> Result<Option<Arc<Project>>, CatalogueError> {
        if_deployed(self.current_project().await)
    }
}

fn if_deployed<T>(found: Result<T, CatalogueError>) -> Result<Option<T>, CatalogueError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(CatalogueError::NothingDeployed) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until the store has answered what is deployed, or until a stop is requested. From then on the project is open on
/// this node, so that an outage of the store does not fail a run because its definition cannot be read.
pub(crate) async fn wait_until_readable(projects: &dyn DeployedProject, stop: &CancellationToken) {
    let read = || async {
        match projects.project().await {
            Err(CatalogueError::Store(error)) => Err(error),
            // The run reads it again and reports what is wrong.
            Ok(_) | Err(_) => Ok(()),
        }
    };
    // What a stop or the store says for good is reported by the run too.
    let _ = retry_transient(stop, read).await;
}

/// Fails if no project is deployed.
pub(crate) fn must_be_deployed<T>(
    found: Result<Option<T>, CatalogueError>,
) -> Result<T, DefinitionError> {
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(DefinitionError {
            message: "no project is deployed".to_owned(),
            hint: Some("DEPLOY '<folder>' deploys one".to_owned()),
        }),
        Err(error) => Err(DefinitionError {
            message: error.to_string(),
            hint: None,
        }),
    }
}
