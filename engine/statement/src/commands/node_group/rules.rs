//! SET_GLOBAL AFFINITY_RULES and LIST AFFINITY_RULES.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde_json::{Value, json};
use weft_lang::{Spanned, Text};
use weft_model::{Job, job_type};
use weft_node::Member;
use weft_node::node_group::rules::GroupRule;
use weft_node::node_group::{AffinityRules, Assignment, RULES, read_groups};
use weft_store::{Freshness, ListJobs, each_job};

use super::data_centre::dc_of;
use super::setting::change;
use crate::commands::Execution;
use crate::commands::literal::literal;
use crate::output::Output;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;
use crate::services::Services;

const RULE_COLUMNS: [&str; 7] = [
    "DC",
    "Node Group",
    "Count",
    "Affinity",
    "Recommended",
    "Max",
    "Nodes",
];
/// How many coordinators are read at most; there is one for each data centre.
const COORDINATORS: usize = 1_000;

/// The new affinity rules of the cluster, as JSON; empty = none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetAffinityRules(String);

/// LIST AFFINITY_RULES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListAffinityRules;

needs!(Batch: SetAffinityRules);

needs!(BatchRead: ListAffinityRules);

/// SET_GLOBAL AFFINITY_RULES and RESET_AFFINITY_RULES.
///
/// # Errors
/// The rules cannot be read.
pub(crate) fn lower(rules: Option<&Spanned<Text>>) -> Result<SetAffinityRules, Refusal> {
    let Some(written) = rules else {
        return Ok(SetAffinityRules(String::new()));
    };
    let text = literal(written)?;
    AffinityRules::parse(text).map_err(|error| {
        Refusal::usage(error.to_string())
            .at(written.span)
            .hint(error.hint)
    })?;
    Ok(SetAffinityRules(text.trim().to_owned()))
}

/// Sets the rules, or removes them, and shows the result.
///
/// # Errors
/// The store failed.
pub(crate) async fn set(
    execution: Execution<'_>,
    permit: Permit<SetAffinityRules>,
) -> Result<(), Refusal> {
    let services = execution.services;
    let SetAffinityRules(text) = permit.request();
    change(services, RULES, &permit.principal().name, |_| text.clone()).await?;
    show(services, execution.output).await
}

/// Shows the rules and which nodes are in which group.
///
/// # Errors
/// The store failed.
pub(crate) async fn list(
    execution: Execution<'_>,
    _permit: Permit<ListAffinityRules>,
) -> Result<(), Refusal> {
    show(execution.services, execution.output).await
}

async fn show(services: &Services, output: &Output) -> Result<(), Refusal> {
    let store = services.store.as_ref();
    let setting = store.setting(RULES, Freshness::Serial).await?;
    let text = setting.map(|setting| setting.value).unwrap_or_default();
    let rules = AffinityRules::parse(&text).map_err(|error| Refusal::failed(error.to_string()))?;
    let members = services.nodes.members().await?;
    let coordinated = coordinated(services, &members).await?;
    let mut by_dc = Vec::new();
    for dc in data_centres(&rules, &members) {
        let (_, groups) = read_groups(store, &dc).await?;
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
        let has_groups = !rules.groups(&dc).is_empty()
            || rules.default_group.is_some()
            || !groups.groups.is_empty();
        let is_coordinated = coordinated
            .iter()
            .any(|known| known.eq_ignore_ascii_case(&dc));
        if has_groups && !is_coordinated {
            output.notice(no_coordinator(&dc, &members)).await;
        }
    }
    Ok(())
}

/// Data centres of the rules and of the nodes. In any case it is one data centre; the rules say how it is written.
fn data_centres(rules: &AffinityRules, members: &[Member]) -> Vec<String> {
    let named = rules.data_centres.iter().map(|(dc, _)| dc.clone());
    let of_nodes = members.iter().map(|member| member.row.dc.clone());
    let mut dcs: BTreeMap<String, String> = BTreeMap::new();
    for dc in named.chain(of_nodes) {
        dcs.entry(dc.to_ascii_lowercase()).or_insert(dc);
    }
    dcs.into_values().collect()
}

fn no_coordinator(dc: &str, members: &[Member]) -> String {
    let job = job_type::NODE_AFFINITY_COORDINATOR;
    let has_nodes = members
        .iter()
        .any(|member| member.row.dc.eq_ignore_ascii_case(dc));
    let hint = match has_nodes {
        true => format!("STARTJOB {job} NAME='{dc}' UID='{dc}' AFFINITY='{dc}' starts one"),
        false => format!("{dc} has no nodes"),
    };
    format!("no job assigns the nodes of {dc} to groups; {hint}")
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

/// The data centres with a coordinator job that is active.
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
