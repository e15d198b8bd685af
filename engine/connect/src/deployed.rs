//! The project that is deployed on the cluster, as kinds of job see it.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use weft_node::job::DefinitionError;
use weft_project::{CatalogueError, Project, ProjectCatalogue};

/// Finds the project that is deployed now.
#[async_trait]
pub trait DeployedProject: std::fmt::Debug + Send + Sync {
    /// The folder into which the deployed project is unpacked; none if no project is deployed.
    ///
    /// # Errors
    /// A sentence: the store does not answer, or the project cannot be unpacked.
    async fn folder(&self) -> Result<Option<PathBuf>, String>;

    /// The deployed project; none if no project is deployed.
    ///
    /// # Errors
    /// A sentence: the store does not answer, or the project cannot be read.
    async fn project(&self) -> Result<Option<Arc<Project>>, String>;
}

#[async_trait]
impl DeployedProject for ProjectCatalogue {
    async fn folder(&self) -> Result<Option<PathBuf>, String> {
        if_deployed(self.current_folder().await)
    }

    async fn project(&self) -> Result<Option<Arc<Project>>, String> {
        if_deployed(self.current_project().await)
    }
}

fn if_deployed<T>(found: Result<T, CatalogueError>) -> Result<Option<T>, String> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(CatalogueError::NothingDeployed) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Fails if no project is deployed.
pub(crate) fn must_be_deployed<T>(found: Result<Option<T>, String>) -> Result<T, DefinitionError> {
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(DefinitionError {
            message: "no project is deployed".to_owned(),
            hint: Some("DEPLOY '<folder>' deploys one".to_owned()),
        }),
        Err(message) => Err(DefinitionError {
            message,
            hint: None,
        }),
    }
}
