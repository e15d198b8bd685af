//! The statements of the files in `schema/`.

use std::collections::BTreeMap;
use std::time::Duration;

use scylla::statement::Statement;

use crate::keyspaces::Keyspaces;

/// Time limit of a statement that changes the schema.
const SCHEMA_CHANGE: Duration = Duration::from_secs(60);

/// The statements of a schema file, in order, for the keyspaces of a cluster and, if given, of a logical unit.
pub(crate) fn schema_changes(
    file: &str,
    keyspaces: &Keyspaces,
    unit: Option<&str>,
    replication_factor: u8,
) -> Vec<Statement> {
    let mut placeholders = BTreeMap::from([
        ("system", keyspaces.system.as_str()),
        ("batch", keyspaces.batch.as_str()),
    ]);
    if let Some(unit) = unit {
        placeholders.insert("unit", unit);
    }
    without_comments(file)
        .split(';')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| schema_change(fill(text, keyspaces, &placeholders, replication_factor)))
        .collect()
}

/// A statement that changes the schema. The driver may send it twice.
pub(crate) fn schema_change(text: String) -> Statement {
    let mut statement = Statement::new(text);
    statement.set_is_idempotent(true);
    statement.set_request_timeout(Some(SCHEMA_CHANGE));
    statement
}

fn without_comments(file: &str) -> String {
    file.lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

fn fill(
    text: &str,
    keyspaces: &Keyspaces,
    placeholders: &BTreeMap<&str, &str>,
    replication_factor: u8,
) -> String {
    let mut filled = text.replace(
        "{replication}",
        &format!(
            "{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication_factor}}}"
        ),
    );
    for (placeholder, keyspace) in placeholders {
        let marker = format!("{{id:{placeholder}.");
        while let Some((before, after)) = filled.split_once(&marker) {
            let (table, after) = after.split_once('}').unwrap_or((after, ""));
            let id = keyspaces.table_id(keyspace, table);
            filled = format!("{before}{id}{after}");
        }
        filled = filled.replace(&format!("{{{placeholder}}}"), keyspace);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left_in_a_schema_file() {
        let keyspaces = Keyspaces::new("t1").expect("a good cluster id");
        for (file, unit) in [
            (include_str!("../../schema/0000_lock.cql"), None),
            (include_str!("../../schema/0001_tables.cql"), None),
            (include_str!("../../schema/0003_checkpoints.cql"), None),
            (
                include_str!("../../schema/logical_unit.cql"),
                Some("k2view_customer_t1"),
            ),
        ] {
            let changes = schema_changes(file, &keyspaces, unit, 3);
            assert!(!changes.is_empty());
            for change in changes {
                let text = &change.contents;
                assert!(text.contains("IF NOT EXISTS"), "{text}");
                assert!(!text.contains("{id:"), "{text}");
                for placeholder in ["{system}", "{batch}", "{unit}", "{replication}"] {
                    assert!(!text.contains(placeholder), "{text}");
                }
                assert!(
                    text.contains("KEYSPACE") || text.contains(" id = "),
                    "{text}"
                );
            }
        }
    }
}
