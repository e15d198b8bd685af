//! A project that was read: its interfaces and logical units by name.

use std::collections::BTreeMap;

use crate::interface::InterfaceDefinition;
use crate::logical_unit::{LogicalUnit, SourceQuery};
use crate::name_lookup::{UnknownProjectName, lookup};
use crate::source::SharedInterface;

/// A project that was read.
#[derive(Debug)]
pub struct Project {
    pub(crate) hash: String,
    pub(crate) interfaces: BTreeMap<String, ProjectInterface>,
    pub(crate) logical_units: BTreeMap<String, LogicalUnit>,
}

/// An interface of a project.
#[derive(Debug)]
pub struct ProjectInterface {
    /// What its file states.
    pub definition: InterfaceDefinition,
    /// The interface, or why this node cannot open it.
    pub(crate) opened: Result<SharedInterface, String>,
}

impl Project {
    /// The SHA-256 of its bundle, in hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Its logical units, ordered by name.
    pub fn logical_units(&self) -> impl Iterator<Item = &LogicalUnit> {
        self.logical_units.values()
    }

    /// Its interfaces, ordered by name.
    pub fn interfaces(&self) -> impl Iterator<Item = &ProjectInterface> {
        self.interfaces.values()
    }

    /// Finds a logical unit by its name in any case.
    ///
    /// # Errors
    /// The project has no such logical unit.
    pub fn logical_unit(&self, name: &str) -> Result<&LogicalUnit, UnknownProjectName> {
        lookup(&self.logical_units, "logical unit", name)
    }

    /// Finds an instance group of a logical unit by its name in any case.
    ///
    /// # Errors
    /// The project has no such logical unit, or the logical unit no such group.
    pub fn instance_group(
        &self,
        logical_unit: &str,
        name: &str,
    ) -> Result<&SourceQuery, UnknownProjectName> {
        let groups = &self.logical_unit(logical_unit)?.instance_groups;
        lookup(groups, "instance group", name)
    }

    /// Finds the definition of an interface by its name in any case.
    ///
    /// # Errors
    /// The project has no such interface.
    pub fn interface_definition(
        &self,
        name: &str,
    ) -> Result<&InterfaceDefinition, UnknownProjectName> {
        lookup(&self.interfaces, "interface", name).map(|interface| &interface.definition)
    }

    /// Finds an interface by its name in any case, ready for queries.
    ///
    /// # Errors
    /// A sentence: the project has no such interface, or this node lacks something that its definition refers to.
    pub fn interface(&self, name: &str) -> Result<SharedInterface, String> {
        let interface =
            lookup(&self.interfaces, "interface", name).map_err(|error| error.to_string())?;
        interface
            .opened
            .clone()
            .map_err(|reason| format!("interface {}: {reason}", interface.definition.name))
    }
}
