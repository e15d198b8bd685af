//! Completion with the values that this node knows.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use weft_lang::{ValueKind, ValueSource, complete};
use weft_model::Principal;
use weft_statement::Statements;
use weft_statement::inspect::{BatchListQuery, NodeQuery, StatusFilter};
use weft_web::{Candidate, CompleteQuery, Completion, TextRange};

/// Batches that are offered, besides the active ones.
const RECENT_BATCHES: usize = 20;

/// A kind of value, and the logical unit it is asked for.
type Wish = (ValueKind, Option<String>);

/// Notes which values are wanted.
#[derive(Debug, Default)]
struct Wishes(RefCell<BTreeSet<Wish>>);

impl ValueSource for Wishes {
    fn values(&self, kind: ValueKind, lu: Option<&str>) -> Vec<String> {
        self.0.borrow_mut().insert((kind, lu.map(str::to_owned)));
        Vec::new()
    }
}

/// Values that were fetched.
#[derive(Debug, Default)]
struct Values(BTreeMap<Wish, Vec<String>>);

impl ValueSource for Values {
    fn values(&self, kind: ValueKind, lu: Option<&str>) -> Vec<String> {
        let found = self.0.get(&(kind, lu.map(str::to_owned)));
        found.cloned().unwrap_or_default()
    }
}

/// What may follow at a place of a text.
pub async fn answer(
    statements: &Statements,
    principal: &Principal,
    query: CompleteQuery,
) -> Completion {
    let cursor = query.cursor.unwrap_or(query.text.len());
    // The language asks without waiting, so it is asked twice: for what it wants, and with what was found.
    let wanted = wishes(&query.text, cursor);
    let mut values = Values::default();
    for (kind, lu) in wanted {
        let found = match kind {
            ValueKind::LogicalUnit | ValueKind::Interface | ValueKind::InstanceGroup => {
                of_project(statements, kind, lu.as_deref())
            }
            ValueKind::BatchId => batches(statements, principal).await,
            ValueKind::Node => nodes(statements, principal).await,
        };
        values.0.insert((kind, lu), found);
    }
    let found = complete(&query.text, cursor, &values);
    Completion {
        replace: TextRange {
            start: found.replace.start,
            end: found.replace.end,
        },
        candidates: found
            .candidates
            .into_iter()
            .map(|candidate| Candidate {
                text: candidate.text,
                about: candidate.about,
            })
            .collect(),
    }
}

fn wishes(text: &str, cursor: usize) -> BTreeSet<Wish> {
    let wishes = Wishes::default();
    complete(text, cursor, &wishes);
    wishes.0.into_inner()
}

/// Names of the deployed project; none where nothing is deployed.
fn of_project(statements: &Statements, kind: ValueKind, lu: Option<&str>) -> Vec<String> {
    let Ok(project) = statements.services().catalogue.current() else {
        return Vec::new();
    };
    match (kind, lu) {
        (ValueKind::Interface, _) => {
            let interfaces = project.interfaces();
            interfaces
                .map(|interface| interface.definition.name.clone())
                .collect()
        }
        (ValueKind::InstanceGroup, Some(lu)) => match project.logical_unit(lu) {
            Ok(unit) => unit.instance_groups.keys().cloned().collect(),
            Err(_) => Vec::new(),
        },
        (
            ValueKind::LogicalUnit
            | ValueKind::InstanceGroup
            | ValueKind::BatchId
            | ValueKind::Node,
            _,
        ) => project
            .logical_units()
            .map(|unit| unit.name.clone())
            .collect(),
    }
}

/// Ids of batches, newest first; none where the principal may not see them or the store does not answer.
async fn batches(statements: &Statements, principal: &Principal) -> Vec<String> {
    let request = BatchListQuery {
        status: StatusFilter::All,
        limit: RECENT_BATCHES,
        ..BatchListQuery::default()
    };
    let Ok(permit) = statements.authorize(principal, request) else {
        return Vec::new();
    };
    let page = statements
        .inspector()
        .batches(&permit)
        .await
        .unwrap_or_default();
    page.items
        .iter()
        .map(|item| item.batch.id.to_string())
        .collect()
}

/// What an affinity may name.
async fn nodes(statements: &Statements, principal: &Principal) -> Vec<String> {
    let Ok(permit) = statements.authorize(principal, NodeQuery) else {
        return Vec::new();
    };
    let nodes = statements
        .inspector()
        .nodes(&permit)
        .await
        .unwrap_or_default();
    let mut names = BTreeSet::new();
    for node in nodes {
        let row = node.row;
        let logical_ids = row.logical_ids.iter().filter_map(|id| id.split(':').next());
        names.extend(logical_ids.map(|id| id.trim().to_owned()));
        names.extend([row.guid.0, row.effective_ip, row.dc]);
    }
    names.into_iter().collect()
}
