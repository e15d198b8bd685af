//! Looks at the flows of a project when it is deployed.

use async_trait::async_trait;
use weft_project::{Findings, Project, Validator};

use super::definition::FlowDefinition;

/// Says everything that is wrong with the flows of a project.
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
