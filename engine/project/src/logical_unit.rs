//! A logical unit: what its instances are made of, and which groups of instances have a name.

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
    /// Its name as deployed.
    pub name: String,
    /// The table that decides whether an instance exists.
    pub root: String,
    /// The ids of all its instances, where it says how to find them.
    pub ids: Option<SourceQuery>,
    /// Its tables; a parent comes before its children, the root first.
    pub tables: Vec<Table>,
    /// Instance groups, by name.
    pub instance_groups: BTreeMap<String, SourceQuery>,
    /// The jobs that it brings along.
    pub jobs: Vec<ProjectJob>,
    /// User functions, by name: `functions/<name>.js`.
    pub functions: BTreeMap<String, ProjectFile>,
    /// Flows, by name: `flows/<name>.yaml`.
    pub flows: BTreeMap<String, ProjectFile>,
    /// Parsers, by name: `parsers/<name>.yaml`.
    pub parsers: BTreeMap<String, ProjectFile>,
    /// The tables that its parsers fill, by the parser's name.
    pub parsed_tables: BTreeMap<String, ParsedTable>,
}

impl LogicalUnit {
    /// A table by its name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// A user function by its name in any case: its name as deployed, and its file.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn function(&self, name: &str) -> Result<(&str, &ProjectFile), UnknownProjectName> {
        lookup_named(&self.functions, "function", name)
    }

    /// A flow by its name in any case: its name as deployed, and its file.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn flow(&self, name: &str) -> Result<(&str, &ProjectFile), UnknownProjectName> {
        lookup_named(&self.flows, "flow", name)
    }

    /// A parser by its name in any case: its name as deployed, and its file.
    ///
    /// # Errors
    /// There is none of that name.
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
    /// Where it stands.
    pub spot: Spot,
}

/// A table of a logical unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Where its rows come from.
    pub query: SourceQuery,
    /// What the query's parameter stands for.
    pub parameter: QueryParameter,
    /// How its rows find their instance.
    pub link: TableLink,
    /// The key; rows are kept in its order. Empty = rows have no key.
    pub key: Vec<String>,
    /// Its columns, in order.
    pub columns: Vec<TableColumn>,
    /// When it is read again.
    pub sync: SyncMethod,
    /// Where it stands.
    pub spot: Spot,
}

/// What a table's query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryParameter {
    /// `in (:ids)`: it is run once for a whole chunk.
    Set,
    /// `= :id`: it is run for each instance.
    Single,
}

impl QueryParameter {
    /// Its name in the query, without the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "ids",
            Self::Single => "id",
        }
    }
}

/// How the rows of a table find their instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableLink {
    /// By the instance id in this column of the query.
    Instance {
        /// The column.
        column: String,
    },
    /// By a column of another table, whose rows were read before.
    Parent {
        /// The other table.
        parent: String,
        /// Its column.
        parent_column: String,
        /// The column of the query that has the same value.
        column: String,
    },
}

impl TableLink {
    /// The column of the query that links a row.
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
    /// Its type; values of another type are refused.
    pub kind: ColumnType,
    /// Whether it must have a value.
    pub not_null: bool,
}

/// When a table is read again from its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMethod {
    /// With every sync.
    Always,
    /// When so much time has passed since it was read.
    Interval(Duration),
    /// Never, once it was read.
    None,
}

impl SyncMethod {
    /// Reads `D.HH:MM:SS` or `HH:MM:SS`; zero means always.
    pub fn interval(text: &str) -> Option<Self> {
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
            assert_eq!(SyncMethod::interval(text), expected, "{text}");
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
