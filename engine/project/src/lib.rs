//! A project: interfaces and logical units in a folder of plain files, deployed as one bundle.

mod bundle;
mod catalogue;
pub mod command;
mod echo;
mod fields;
mod finding;
pub mod interface;
mod interface_file;
mod job_table;
mod logical_unit;
mod logical_unit_file;
mod name_lookup;
mod parsed_table;
mod project;
mod project_check;
mod project_file;
mod project_reader;
pub mod source;
mod sqlite_value;
pub mod sync;
mod table_draft;
#[cfg(test)]
mod tests;
mod validator;
pub mod yaml;

pub use bundle::{BUNDLE_BYTES, Bundle, BundleError};
pub use catalogue::{CatalogueError, DeployReport, ProjectCatalogue};
pub use fields::Fields;
pub use finding::{Findings, ProjectError, Spot, is_name, nearest};
pub use job_table::ProjectJob;
pub use logical_unit::{
    LogicalUnit, QueryParameter, SourceQuery, SyncMethod, Table, TableColumn, TableLink,
};
pub use name_lookup::UnknownProjectName;
pub use project::{Project, ProjectInterface};
pub use project_file::ProjectFile;
pub use validator::{Validator, Validators};
