//! Checks the flows of a project at deployment.

use async_trait::async_trait;
use weft_project::{Findings, Project, Validator};

use super::definition::FlowDefinition;

/// Checks the flows of a project at deployment.
#[derive(Debug)]
pub(crate) struct FlowValidator;

#[async_trait]
impl Validator for FlowValidator {
    async fn check(&self, project: &Project, findings: &Findings) {
        for unit in project.logical_units() {
            for (name, file) in &unit.flows {
                if let Some(definition) = FlowDefinition::read(file, findings) {
                    definition.check(project, unit, name, findings).await;
                }
            }
        }
    }
}
