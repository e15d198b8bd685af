//! SET_GLOBAL AFFINITY_RULES, LIST AFFINITY_RULES and SET NODE_AFFINITY.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::info;
use weft_model::{Job, NodeId, Setting, job_type};
use weft_node::Member;
use weft_node::affinity::merged;
use weft_node::node_group::rules::GroupRule;
use weft_node::node_group::{AffinityRules, Assignment, RULES, given_to, stored_groups};
use weft_store::Trust;
use weft_store::{Freshness, ListJobs, PutSetting, Settled, each_job, settle};

use super::output::Output;
use super::permit::{Access, Operation, Permission, Permit};
use super::{EndStatus, Refusal, Services};
use crate::dc_of;

const RULE_COLUMNS: [&str; 7] = [
    "DC",
    "Node Group",
    "Count",
    "Affinity",
    "Recommended",
    "Max",
    "Nodes",
];
/// How long a statement waits for the store.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often somebody else may be faster.
const TRIES: usize = 10;
/// Coordinators that are looked at; there is one for each data centre.
const COORDINATORS: usize = 1_000;

/// The affinity rules of the cluster become these, as JSON; empty = none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAffinityRules(pub String);

/// LIST AFFINITY_RULES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListAffinityRules;

/// SET NODE_AFFINITY: what this node carries besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetNodeAffinity {
    /// These, and what was given before.
    Give(Vec<String>),
    /// Nothing any more.
    Forget,
}

impl Operation for SetAffinityRules {
    fn access(&self) -> Access {
        Access::to(Permission::Batch)
    }
}

impl Operation for ListAffinityRules {
    fn access(&self) -> Access {
        Access::to(Permission::BatchRead)
    }
}

impl Operation for SetNodeAffinity {
    fn access(&self) -> Access {
        Access::to(Permission::Batch)
    }
}

/// Sets the rules, or takes them away, and shows what stands then.
///
/// # Errors
/// What the store said.
pub(super) async fn set_rules(
    services: &Services,
    permit: Permit<SetAffinityRules>,
    output: &Output,
) -> Result<(), Refusal> {
    let SetAffinityRules(text) = permit.request();
    change(services, RULES, &permit.principal().name, |_| text.clone()).await?;
    show(services, output).await
}

/// Shows the rules and who is in which group.
///
/// # Errors
/// What the store said.
pub(super) async fn list_rules(
    services: &Services,
    _permit: Permit<ListAffinityRules>,
    output: &Output,
) -> Result<(), Refusal> {
    show(services, output).await
}

/// Gives this node logical ids, or takes them away.
///
/// # Errors
/// There is no node here, or what the store said.
pub(super) async fn set_node_affinity(
    services: &Services,
    permit: Permit<SetNodeAffinity>,
    output: &Output,
) -> Result<(), Refusal> {
    let Some(node) = services.nodes.own() else {
        return Err(Refusal::failed(
            "SET NODE_AFFINITY is about the node of the console, which has none",
        ));
    };
    let name = given_to(&services.config.guid);
    let by = &permit.principal().name;
    let stored = change(services, &name, by, |before| match permit.request() {
        SetNodeAffinity::Forget => String::new(),
        SetNodeAffinity::Give(ids) => {
            let before: Vec<String> = before.split(',').map(str::to_owned).collect();
            let kept = before.iter().filter(|id| !id.is_empty());
            merged(ids.iter().chain(kept)).join(",")
        }
    })
    .await?;
    let affinity = &node.context().affinity;
    if affinity.give(&stored) {
        node.beat_now();
        services.wake.carries_others();
    }
    let row = vec![
        json!(services.config.guid),
        json!(affinity.given().join(",")),
        json!(affinity.all().join(",")),
    ];
    output
        .one_row(&["Node Id", "Given", "Logical Ids"], row)
        .await;
    Ok(())
}

/// The group of every node that is in one.
///
/// # Errors
/// What the store said.
pub(super) async fn groups(services: &Services) -> Result<BTreeMap<NodeId, String>, Refusal> {
    let members = services.nodes.members().await?;
    let dcs: BTreeSet<String> = members.into_iter().map(|member| member.row.dc).collect();
    let mut groups = BTreeMap::new();
    for dc in dcs {
        let (_, assignment) = stored_groups(services.store.as_ref(), &dc).await?;
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

/// Gives a setting its next value, after whatever others made of it meanwhile; answers it as it is then.
async fn change(
    services: &Services,
    name: &str,
    by: &str,
    next: impl Fn(&str) -> String,
) -> Result<Setting, Refusal> {
    let store = services.store.as_ref();
    let trust = Trust::for_duration(services.clock.clone(), PATIENCE);
    for _ in 0..TRIES {
        let before = store.setting(name, Freshness::Serial).await?;
        let before = before.unwrap_or_else(|| Setting {
            name: name.to_owned(),
            seq: 0,
            value: String::new(),
            changed_at: services.clock.now(),
            changed_by: String::new(),
        });
        let value = next(&before.value);
        if value == before.value {
            return Ok(before);
        }
        let put = PutSetting {
            setting: Setting {
                seq: before.seq + 1,
                value,
                changed_at: services.clock.now(),
                changed_by: by.to_owned(),
                ..before
            },
            token: services.ids.token(),
        };
        match settle(store, &services.ids, &trust, &put).await? {
            Settled::Applied => {
                info!("{by} set {name} to {:?}", put.setting.value);
                return Ok(put.setting);
            }
            Settled::Lost(_) => (),
            Settled::StillUnknown => {
                return Err(Refusal::new(
                    EndStatus::Unreachable,
                    "the store does not answer: nobody knows whether this was set",
                )
                .hint("look with LIST AFFINITY_RULES or CLUSTERSTATUS NODE_AFFINITY_STATUS before you repeat it"));
            }
        }
    }
    Err(Refusal::conflict("others set this all the time; try again"))
}

async fn show(services: &Services, output: &Output) -> Result<(), Refusal> {
    let store = services.store.as_ref();
    let setting = store.setting(RULES, Freshness::Serial).await?;
    let text = setting.map(|setting| setting.value).unwrap_or_default();
    let rules = AffinityRules::parse(&text).map_err(|error| Refusal::failed(error.to_string()))?;
    let members = services.nodes.members().await?;
    let named = rules.data_centres.iter().map(|(dc, _)| dc.clone());
    let living = members.iter().map(|member| member.row.dc.clone());
    // In any case it is one data centre; the rules say how it is written.
    let mut dcs: BTreeMap<String, String> = BTreeMap::new();
    for dc in named.chain(living) {
        dcs.entry(dc.to_ascii_lowercase()).or_insert(dc);
    }
    let coordinated = coordinated(services, &members).await?;
    let mut by_dc = Vec::new();
    for dc in dcs.values() {
        let (_, groups) = stored_groups(store, dc).await?;
        by_dc.push((dc, groups));
    }
    output.columns(&RULE_COLUMNS).await;
    for (dc, groups) in &by_dc {
        for rule in rules.groups(dc).iter().chain(&rules.default_group) {
            for row in rows(dc, rule, groups) {
                output.row(row).await;
            }
        }
    }
    if !text.is_empty() {
        let quoted = text.replace('\'', "''");
        output
            .notice(format!(
                "to set these rules again: SET_GLOBAL AFFINITY_RULES='{quoted}'"
            ))
            .await;
    }
    for (dc, groups) in by_dc {
        let is_open = !rules.groups(dc).is_empty()
            || rules.default_group.is_some()
            || !groups.groups.is_empty();
        if is_open
            && !coordinated
                .iter()
                .any(|known| known.eq_ignore_ascii_case(dc))
        {
            let job = job_type::NODE_AFFINITY_COORDINATOR;
            let lives = members
                .iter()
                .any(|member| member.row.dc.eq_ignore_ascii_case(dc));
            let hint = match lives {
                true => format!("STARTJOB {job} NAME='{dc}' UID='{dc}' AFFINITY='{dc}' does"),
                false => "there is no node of it either".to_owned(),
            };
            output
                .notice(format!("no job puts the nodes of {dc} into groups; {hint}"))
                .await;
        }
    }
    Ok(())
}

/// A row for each logical id of a group.
fn rows(dc: &str, rule: &GroupRule, groups: &Assignment) -> Vec<Vec<Value>> {
    let nodes: Vec<&str> = groups
        .nodes_of(&rule.name)
        .iter()
        .map(|node| node.0.as_str())
        .collect();
    let count = match rule.count {
        usize::MAX => Value::Null,
        count => json!(count),
    };
    let row = |affinity: Value, recommended: Value, max: Value| {
        let nodes = json!(nodes.join(","));
        vec![
            json!(dc),
            json!(rule.name),
            count.clone(),
            affinity,
            recommended,
            max,
            nodes,
        ]
    };
    if rule.affinities.is_empty() {
        return vec![row(Value::Null, Value::Null, Value::Null)];
    }
    let affinities = rule.affinities.iter();
    affinities
        .map(|rule| {
            row(
                json!(rule.affinity),
                json!(rule.recommended),
                json!(rule.max),
            )
        })
        .collect()
}

/// The data centres whose groups somebody looks after, or will.
async fn coordinated(services: &Services, members: &[Member]) -> Result<Vec<String>, Refusal> {
    let list = ListJobs {
        job_type: Some(job_type::NODE_AFFINITY_COORDINATOR.to_owned()),
        active_only: true,
        limit: COORDINATORS,
        ..ListJobs::default()
    };
    let mut found = Vec::new();
    each_job(services.store.as_ref(), &list, |job| {
        found.extend(dcs_of(&job, members));
        ControlFlow::Continue(())
    })
    .await?;
    Ok(found)
}

fn dcs_of(job: &Job, members: &[Member]) -> Vec<String> {
    if let Ok(Some(dc)) = dc_of(job) {
        return vec![dc];
    }
    let holder = job.holder();
    let at = members.iter().filter(|member| {
        holder
            .as_ref()
            .is_some_and(|holder| holder.node == member.row.guid)
    });
    let at = at.map(|member| member.row.dc.clone());
    at.chain(job.affinity.iter().cloned()).collect()
}
