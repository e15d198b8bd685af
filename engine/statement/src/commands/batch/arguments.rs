//! The column `arguments` of a batch: the documented keys (as in Fabric), all of them texts, without secrets.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use weft_model::{BatchId, BatchSpec, EntitySource};

use crate::secret::{MASK, masked};

/// The environment of a session that names none.
pub(super) const DEFAULT_ENVIRONMENT: &str = "_dev";

/// A value of a session; the case of its name does not matter.
pub(super) fn session_value<'s>(
    scope: &'s BTreeMap<String, String>,
    name: &str,
) -> Option<&'s str> {
    let found = scope
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// The JSON text of `arguments`.
pub(super) fn arguments(
    id: BatchId,
    spec: &BatchSpec,
    command: &str,
    execution_id: &str,
    owner: &str,
) -> String {
    let (interface, query, instances) = match &spec.source {
        EntitySource::List { ids } => ("", "", ids.join(",")),
        EntitySource::Query { interface, sql, .. } => {
            (interface.as_str(), sql.as_str(), String::new())
        }
        EntitySource::Stored => ("fabric", "", String::new()),
    };
    let value = |name: &str, default: &str| {
        session_value(&spec.session_scope, name)
            .unwrap_or(default)
            .to_owned()
    };
    let scope: Map<String, Value> = spec
        .session_scope
        .iter()
        .map(|(name, text)| (name.clone(), Value::from(masked(name, text))))
        .collect();
    let id = id.to_string();
    json!({
        "AUTH_TOKEN": MASK,
        "AUTH_USER": owner,
        "FABRIC_COMMAND": spec.fabric_command,
        "JOB_UID": id,
        "session_scope": json!({ "scope": scope }).to_string(),
        "SRC_DB_INTERFACE_NAME": interface,
        "SRC_DB_QUERY": query,
        "INSTANCES_LIST": instances,
        "lu_name": spec.logical_unit,
        "COMMAND": command,
        "sync_mode": value("SYNC", "ON").to_ascii_uppercase(),
        "environment_name": value("ENVIRONMENT", DEFAULT_ENVIRONMENT),
        "ESTIMATED_ENTITIES_COUNT": spec.estimated_entities.unwrap_or(0).to_string(),
        "EXECUTION_ID": execution_id,
        "JOB_AFFINITY": spec.job_affinity.join(","),
        "IS_ASYNC": spec.asynchronous.to_string(),
        "ALLOW_MULTIPLE": spec.allow_multiple.to_string(),
        "bid": id,
    })
    .to_string()
}
