//! The name of one instance.

use weft_lang::Instance;

use crate::commands::Lowering;
use crate::commands::batch::definition::entity_id;
use crate::permission::{Access, Operation, Permission};
use crate::refusal::Refusal;

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceName {
    /// The logical unit, as deployed.
    pub(crate) logical_unit: String,
    pub(crate) id: String,
}

impl InstanceName {
    /// Looks the logical unit up in the deployed project.
    pub(crate) async fn lower(instance: &Instance, context: Lowering<'_>) -> Result<Self, Refusal> {
        let project = context.services.project().await?;
        let logical_unit = project.logical_unit(&instance.lu.value);
        let logical_unit =
            logical_unit.map_err(|error| Refusal::from(error).at(instance.lu.span))?;
        Ok(Self {
            logical_unit: logical_unit.name.clone(),
            id: entity_id(&instance.id, context.services.config.max_id_bytes)?,
        })
    }
}

/// SYNC_INSTANCE of this instance.
impl Operation for InstanceName {
    fn access(&self) -> Access {
        Access::on(Permission::Write, [self.logical_unit.as_str()])
    }
}
