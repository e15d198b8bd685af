//! Checks the functions of a project at deployment.

use async_trait::async_trait;
use weft_project::{Findings, Project, Spot, Validator};

use super::Function;

/// Checks the functions of a project at deployment.
#[derive(Clone, Copy, Debug)]
pub struct FunctionFiles;

#[async_trait]
impl Validator for FunctionFiles {
    async fn check(&self, project: &Project, findings: &Findings) {
        for logical_unit in project.logical_units() {
            for (name, file) in &logical_unit.functions {
                let read = Function::read(&file.path, name, file.text.as_bytes()).await;
                if let Err(finding) = read {
                    let spot = Spot {
                        line: finding.line,
                        ..file.spot()
                    };
                    findings.add(&spot, finding.message);
                }
            }
        }
    }
}
