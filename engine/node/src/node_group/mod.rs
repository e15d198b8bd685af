//! Node groups: which logical ids the nodes of a data centre carry by rules of the cluster, besides those of their own
//! `node.id` (Fabric's affinity management of 2025).
//!
//! The rules are one row (`affinity_rules`, written by SET_GLOBAL), and say how many nodes of a data centre each group has.
//! A job of type NODE_AFFINITY_COORDINATOR_JOB ([`Coordinator`]) looks at who lives and writes down who is in which group:
//! one row for each data centre. Every node reads that row once a heartbeat and carries what its group says
//! ([`OwnAffinity`]); its own row in `nodes` then says so to the others, as it does of its node.id.
//!
//! Who is in which group follows from the rules, the live nodes and the groups before ([`assignment`], pure). So a
//! coordinator that is taken over, or two of them, come to the same, and a late write is put right by the next look.

pub mod assignment;
pub mod rules;

use std::sync::Arc;

use tracing::{debug, info};

pub use assignment::{Assignment, Group};
pub use rules::{AffinityRules, RulesError};

use weft_model::{NodeId, Setting};
use weft_store::{Freshness, Store, StoreResult};

use crate::{Context, NodeConfig, NodeSession};

/// The setting with the rules; its value is their JSON as typed.
pub const RULES: &str = "affinity_rules";
/// A node with this logical id belongs to no group.
pub const IGNORE: &str = "IGNORE_AFFINITY_RULES";
/// What SET NODE_AFFINITY forgets everything by.
pub const RESET: &str = "@Reset@";

/// The setting with the groups of a data centre, whose name may be written in any case.
pub fn groups_of(dc: &str) -> String {
    format!("node_groups:{}", dc.to_ascii_lowercase())
}

/// The setting with what SET NODE_AFFINITY gave a node.
pub fn given_to(node: &NodeId) -> String {
    format!("node_affinity:{node}")
}

/// The groups of a data centre as they stand; none where nobody has made any.
///
/// # Errors
/// What the store said. A row of a newer program reads as no groups.
pub async fn stored_groups(
    store: &dyn Store,
    dc: &str,
) -> StoreResult<(Option<Setting>, Assignment)> {
    let setting = store.setting(&groups_of(dc), Freshness::Committed).await?;
    let groups = setting.as_ref().map(Assignment::of).unwrap_or_default();
    Ok((setting, groups))
}

/// What this node carries as the store has it now; answers whether that is new. It is read before the node takes any work,
/// and once a heartbeat.
///
/// # Errors
/// What the store said.
pub async fn recall(context: &Context) -> StoreResult<bool> {
    let NodeConfig { guid, dc, .. } = &context.config;
    let store = context.store.as_ref();
    // SET NODE_AFFINITY tells this node itself; this is for one whose answer was lost.
    let given = store.setting(&given_to(guid), Freshness::Committed).await?;
    let is_given = given.is_some_and(|given| context.affinity.give(&given));
    let (_, groups) = stored_groups(store, dc).await?;
    let group = groups.of_node(guid);
    let is_moved = context.affinity.join(group.map(Group::carried));
    if is_given || is_moved {
        info!(
            "This node carries {:?} now, by node group {}",
            context.affinity.all(),
            group.map_or("none", |group| group.name.as_str())
        );
    }
    Ok(is_given || is_moved)
}

/// Looks for what the node carries once a heartbeat, until the node session ends.
pub async fn run(session: NodeSession) {
    let context = Arc::clone(&session.context);
    while session
        .self_fence
        .wait(context.config.heartbeat_interval)
        .await
    {
        match recall(&context).await {
            Ok(true) => {
                session.heartbeat.beat_now();
                context.wake.affinity_changed();
            }
            Ok(false) => (),
            Err(error) => debug!(error = %error, "Cannot see the node groups: {error}"),
        }
    }
}
