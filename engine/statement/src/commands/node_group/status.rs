//! CLUSTERSTATUS NODE_AFFINITY_STATUS: the logical ids of each node, how many jobs it runs for them, and how many it should
//! and may run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use weft_model::{Job, NodeId};
use weft_node::affinity::{Identity, name_of};
use weft_node::node_group::read_groups;

use crate::commands::Execution;
use crate::commands::job::running::running_jobs;
use crate::inspect::NodeQuery;
use crate::permission::{Access, Operation, Permit};
use crate::refusal::Refusal;
use crate::services::Services;

const AFFINITY_STATUS: [&str; 8] = [
    "Status",
    "Node Id",
    "DC",
    "Affinity",
    "Recommended",
    "Max",
    "Running Jobs",
    "Node Group",
];

/// All nodes with their logical ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AffinityStatus(NodeQuery);

impl Operation for AffinityStatus {
    fn access(&self) -> Access {
        self.0.access()
    }
}

pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<AffinityStatus>,
) -> Result<(), Refusal> {
    let (grant, AffinityStatus(query)) = permit.open();
    let running = running_jobs(execution.services).await?;
    let groups = groups(execution.services).await?;
    let nodes = execution.inspector().nodes(&grant.permit(query)).await?;
    let output = execution.output;
    output.columns(&AFFINITY_STATUS).await;
    for node in nodes {
        let identity = Identity::from(&node.row);
        for written in &node.row.logical_ids {
            let name = name_of(written);
            // Without a number there is no limit.
            let size = |size: usize| match size {
                usize::MAX => Value::Null,
                size => json!(size),
            };
            let sizes = identity.sizes_of(name);
            let names_it = |job: &&Job| {
                let is_here = job
                    .holder()
                    .is_some_and(|holder| holder.node == node.row.guid);
                let mut members = job.affinity.iter();
                is_here && members.any(|member| member.eq_ignore_ascii_case(name))
            };
            let row = vec![
                json!(node.status),
                json!(node.row.guid),
                json!(node.row.dc),
                json!(name),
                sizes.map_or(Value::Null, |sizes| size(sizes.recommended)),
                sizes.map_or(Value::Null, |sizes| size(sizes.maximum)),
                json!(running.iter().filter(names_it).count()),
                json!(groups.get(&node.row.guid)),
            ];
            output.row(row).await;
        }
    }
    Ok(())
}

/// The group of every node that is in one.
async fn groups(services: &Services) -> Result<BTreeMap<NodeId, String>, Refusal> {
    let members = services.nodes.members().await?;
    let dcs: BTreeSet<String> = members.into_iter().map(|member| member.row.dc).collect();
    let mut groups = BTreeMap::new();
    for dc in dcs {
        let (_, assignment) = read_groups(services.store.as_ref(), &dc).await?;
        for group in assignment.groups {
            let names = group
                .nodes
                .into_iter()
                .map(|node| (node, group.name.clone()));
            groups.extend(names);
        }
    }
    Ok(groups)
}
