//! What looks at a project besides the engine when it is deployed: the parts of a node that run functions, flows and
//! parsers know what is right in their files.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Findings, Project};

/// Checks some files of a project.
#[async_trait]
pub trait Validator: fmt::Debug + Send + Sync {
    /// Adds what is wrong, each with its place.
    async fn check(&self, project: &Project, findings: &Findings);
}

/// All of them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Validators(Arc<[Arc<dyn Validator>]>);

impl Validators {
    /// These.
    pub fn new(validators: impl IntoIterator<Item = Arc<dyn Validator>>) -> Self {
        Self(validators.into_iter().collect())
    }

    pub(super) async fn check(&self, project: &Project, findings: &Findings) {
        for validator in self.0.iter() {
            validator.check(project, findings).await;
        }
    }
}
