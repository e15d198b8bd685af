//! Validators: the parts of a node that run functions, flows and parsers check the files of these before a project is
//! deployed.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Findings, Project};

/// Checks files of a project that the engine does not read.
#[async_trait]
pub trait Validator: fmt::Debug + Send + Sync {
    /// Adds the errors, each with its location.
    async fn check(&self, project: &Project, findings: &Findings);
}

/// A list of validators. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Validators(Arc<[Arc<dyn Validator>]>);

impl Validators {
    /// A list of these validators.
    pub fn new(validators: impl IntoIterator<Item = Arc<dyn Validator>>) -> Self {
        Self(validators.into_iter().collect())
    }

    pub(super) async fn check(&self, project: &Project, findings: &Findings) {
        for validator in self.0.iter() {
            validator.check(project, findings).await;
        }
    }
}
