//! A logical unit: the tables of its instances, its instance groups, jobs, functions, flows and parsers.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_model::ColumnType;
use weft_model::ParsedTable;

use super::finding::Spot;
use super::job_table::ProjectJob;
use super::name_lookup::{UnknownProjectName, lookup_named};
use super::project_file::ProjectFile;

/// A logical unit.
#[derive(Clone, Debug, PartialEq)]
pub struct LogicalUnit {
    /// The name as deployed.
    pub name: String,
    /// The table that decides whether an instance exists.
    pub root: String,
    /// The query for the ids of all instances, if it has one.
    pub ids: Option<SourceQuery>,
    /// The tables, the root first and each parent before its children.
    pub tables: Vec<Table>,
    /// The queries of its instance groups, by name.
    pub instance_groups: BTreeMap<String, SourceQuery>,
    /// The jobs that a deployment starts.
    pub jobs: Vec<ProjectJob>,
    /// The user functions by name: `functions/<name>.js`.
    pub functions: BTreeMap<String, ProjectFile>,
    /// The flows by name: `flows/<name>.yaml`.
    pub flows: BTreeMap<String, ProjectFile>,
    /// The parsers by name: `parsers/<name>.yaml`.
    pub parsers: BTreeMap<String, ProjectFile>,
    /// The tables that its parsers fill, by the name of the parser.
    pub parsed_tables: BTreeMap<String, ParsedTable>,
}

impl LogicalUnit {
    /// Finds a table by its exact name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Finds a user function by its name in any case. Returns the name as deployed, and the file.
    ///
    /// # Errors
    /// There is no such name.
    pub fn function(&self, name: &str) -> Result<(&str, &ProjectFile), UnknownProjectName> {
        lookup_named(&self.functions, "function", name)
    }

    /// Finds a flow by its name in any case. Returns the name as deployed, and the file.
    ///
    /// # Errors
    /// There is no such name.
    pub fn flow(&self, name: &str) -> Result<(&str, &ProjectFile), UnknownProjectName> {
        lookup_named(&self.flows, "flow", name)
    }

    /// Finds a parser by its name in any case. Returns the name as deployed, and the file.
    ///
    /// # Errors
    /// There is no such name.
    pub fn parser(&self, name: &str) -> Result<(&str, &ProjectFile), UnknownProjectName> {
        lookup_named(&self.parsers, "parser", name)
    }
}

/// A query on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceQuery {
    /// The interface.
    pub interface: String,
    /// The SQL.
    pub sql: String,
    /// The location in the project.
    pub spot: Spot,
}

/// A table of a logical unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The query for its rows.
    pub query: SourceQuery,
    /// The parameter of its query.
    pub parameter: QueryParameter,
    /// How a row is assigned to an instance.
    pub link: TableLink,
    /// The columns of the primary key, which order the rows; empty = no key.
    pub key: Vec<String>,
    /// The columns in order.
    pub columns: Vec<TableColumn>,
    /// When it is read again from its source.
    pub sync: SyncMethod,
    /// The location in the project.
    pub spot: Spot,
}

/// The parameter of the query of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryParameter {
    /// `in (:ids)`: the query runs once for a whole chunk.
    Set,
    /// `= :id`: the query runs for each instance.
    Single,
}

impl QueryParameter {
    /// The name in the query, without the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "ids",
            Self::Single => "id",
        }
    }
}

/// How the rows of a table are assigned to instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableLink {
    /// By a column that has the instance id.
    Instance {
        /// The column of the query.
        column: String,
    },
    /// By a column of the parent table, which is read first.
    Parent {
        /// The name of the parent table.
        parent: String,
        /// The column of the parent table.
        parent_column: String,
        /// The column of the query with the same value.
        column: String,
    },
}

impl TableLink {
    /// The column of the query that assigns a row.
    pub fn column(&self) -> &str {
        match self {
            Self::Instance { column } | Self::Parent { column, .. } => column,
        }
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// The type. A value that cannot be converted to it is an error.
    pub kind: ColumnType,
    /// Whether NULL is an error.
    pub not_null: bool,
}

/// When a table is read again from its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMethod {
    /// With every sync.
    Always,
    /// When this time has passed since the last read.
    Interval(Duration),
    /// Never after the first read.
    None,
}

impl SyncMethod {
    /// Parses `D.HH:MM:SS` or `HH:MM:SS`. Zero means always.
    pub fn parse_interval(text: &str) -> Option<Self> {
        let (days, time) = text.split_once('.').unwrap_or(("0", text));
        let days: u64 = days.parse().ok().filter(|days| *days <= 36_500)?;
        let mut parts = time.split(':');
        let mut part = |limit: u64| {
            let digits = parts.next().filter(|digits| digits.len() == 2)?;
            digits.parse().ok().filter(|number: &u64| *number < limit)
        };
        let seconds = ((days * 24 + part(24)?) * 60 + part(60)?) * 60 + part(60)?;
        if parts.next().is_some() {
            return None;
        }
        Some(match seconds {
            0 => Self::Always,
            seconds => Self::Interval(Duration::from_secs(seconds)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_days_and_a_time() {
        let check = |text: &str, seconds: Option<u64>| {
            let expected = seconds.map(|seconds| match seconds {
                0 => SyncMethod::Always,
                seconds => SyncMethod::Interval(Duration::from_secs(seconds)),
            });
            assert_eq!(SyncMethod::parse_interval(text), expected, "{text}");
        };
        check("1.00:00:00", Some(86_400));
        check("00:10:00", Some(600));
        check("2.03:04:05", Some(183_845));
        check("0.00:00:00", Some(0));
        check("00:00:00", Some(0));
        for wrong in [
            "",
            "1",
            "1.0:0:0",
            "24:00:00",
            "00:60:00",
            "00:00:60",
            "00:00",
            "1.2.00:00:00",
            "00:00:00:00",
            "-1.00:00:00",
            "99999999999.00:00:00",
        ] {
            check(wrong, None);
        }
    }
}
