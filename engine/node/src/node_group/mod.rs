//! Node groups: logical ids that the nodes of a data centre have by rules of the cluster, besides those of their own
//! `node.id` (Fabric's affinity management of 2025).
//!
//! The rules are one row (`affinity_rules`, written by SET_GLOBAL), and say how many nodes of a data centre each group has.
//! A job of type NODE_AFFINITY_COORDINATOR_JOB assigns the live nodes to groups and writes one row for each data centre.
//! Every node reads that row once per heartbeat and takes the logical ids of its group
//! ([`OwnAffinity`](crate::affinity::OwnAffinity)). Its own row in `nodes` then shows them to the other nodes.
//!
//! The groups follow from the rules, the live nodes and the previous groups ([`assignment`], pure). So two coordinators, or
//! one that was taken over, get the same result, and the next pass corrects a late write.

pub mod assignment;
pub mod rules;

use std::sync::Arc;

use tracing::{debug, info};

pub use assignment::{Assignment, Group};
pub use rules::{AffinityRules, RulesError};

use weft_model::{NodeId, Setting};
use weft_store::{Freshness, Store, StoreResult};

use crate::{Context, NodeConfig, NodeSession};

/// The setting with the rules; its value is their JSON as the user wrote it.
pub const RULES: &str = "affinity_rules";
/// A node with this logical id belongs to no group.
pub const IGNORE: &str = "IGNORE_AFFINITY_RULES";
/// The value of SET NODE_AFFINITY that removes all its logical ids.
pub const RESET: &str = "@Reset@";

/// The setting with the groups of a data centre, whose name may be in any case.
pub fn groups_setting(dc: &str) -> String {
    format!("node_groups:{}", dc.to_ascii_lowercase())
}

/// The setting with the logical ids that SET NODE_AFFINITY gave a node.
pub fn given_setting(node: &NodeId) -> String {
    format!("node_affinity:{node}")
}

/// Reads the groups of a data centre and the setting that has them. A row of a newer version reads as no groups.
///
/// # Errors
/// The error of the store.
pub async fn read_groups(
    store: &dyn Store,
    dc: &str,
) -> StoreResult<(Option<Setting>, Assignment)> {
    let setting = store
        .setting(&groups_setting(dc), Freshness::Committed)
        .await?;
    let groups = setting
        .as_ref()
        .map(Assignment::from_setting)
        .unwrap_or_default();
    Ok((setting, groups))
}

/// Reads the logical ids of this node from the store; answers whether they have changed. Called before the node takes any
/// work, and every third of `T_dead`.
///
/// # Errors
/// The error of the store.
pub async fn refresh(context: &Context) -> StoreResult<bool> {
    let NodeConfig { guid, dc, .. } = &context.config;
    let store = context.store.as_ref();
    // SET NODE_AFFINITY also changes this node directly; this covers a change whose answer was lost.
    let given = store
        .setting(&given_setting(guid), Freshness::Committed)
        .await?;
    let is_given = given.is_some_and(|given| context.affinity.set_given(&given));
    let (_, groups) = read_groups(store, dc).await?;
    let group = groups.group_of(guid);
    let is_moved = context.affinity.set_group(group.map(Group::node_ids));
    if is_given || is_moved {
        info!(
            "The logical ids of this node are {:?}, with node group {}",
            context.affinity.all(),
            group.map_or("none", |group| group.name.as_str())
        );
    }
    Ok(is_given || is_moved)
}

/// Refreshes the logical ids of the node every third of `T_dead`, until the node fences itself.
pub async fn run(session: NodeSession) {
    let context = Arc::clone(&session.context);
    while session
        .self_fence
        .wait(context.config.group_interval())
        .await
    {
        match refresh(&context).await {
            Ok(true) => {
                session.heartbeat.write_soon();
                context.wake.affinity_changed();
            }
            Ok(false) => (),
            Err(error) => debug!(error = %error, "Cannot read the node groups: {error}"),
        }
    }
}
