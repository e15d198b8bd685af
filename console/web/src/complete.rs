//! Completion: the continuations of a text at a cursor, with values that this node knows.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weft_lang::{ValueKind, ValueSource};
use weft_statement::Statements;
use weft_statement::inspect::{BatchListQuery, NodeQuery, StatusFilter};

use crate::extract::{Node, Parameters, check_length};
use crate::problem::Problem;

const MAX_TEXT_CHARS: usize = 8 * 1_024;
/// How many ended batches are offered, besides the active ones.
const RECENT_BATCHES: usize = 20;

/// The parameters of `GET /api/v1/complete`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CompleteQuery {
    /// The text typed so far, at most 8192 characters.
    #[param(max_length = 8192)]
    pub text: String,
    /// The position of the cursor in the text, as a byte offset in UTF-8; the end by default.
    #[param(minimum = 0, nullable = false)]
    pub cursor: Option<usize>,
}

/// A possible continuation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// The text to insert.
    pub text: String,
    /// A short description of the candidate.
    pub about: String,
}

/// A range of the text, in byte offsets of UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextRange {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

/// The possible continuations of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Completion {
    /// The range that the chosen candidate replaces.
    pub replace: TextRange,
    /// The candidates.
    pub candidates: Vec<Candidate>,
}

/// A kind of value, and the logical unit that it belongs to.
type Wanted = (ValueKind, Option<String>);

/// Records which values the language needs at a place.
#[derive(Default)]
struct Recorder(RefCell<BTreeSet<Wanted>>);

impl ValueSource for Recorder {
    fn values(&self, kind: ValueKind, lu: Option<&str>) -> Vec<String> {
        self.0.borrow_mut().insert((kind, lu.map(str::to_owned)));
        Vec::new()
    }
}

/// Values that were fetched.
#[derive(Default)]
struct Fetched(BTreeMap<Wanted, Vec<String>>);

impl ValueSource for Fetched {
    fn values(&self, kind: ValueKind, lu: Option<&str>) -> Vec<String> {
        let fetched = self.0.get(&(kind, lu.map(str::to_owned)));
        fetched.cloned().unwrap_or_default()
    }
}

impl From<weft_lang::Completions> for Completion {
    fn from(completions: weft_lang::Completions) -> Self {
        let candidates = completions.candidates.into_iter();
        Self {
            replace: TextRange {
                start: completions.replace.start,
                end: completions.replace.end,
            },
            candidates: candidates
                .map(|candidate| Candidate {
                    text: candidate.text,
                    about: candidate.about,
                })
                .collect(),
        }
    }
}

/// Complete a statement at a cursor
#[utoipa::path(get, path = "/api/v1/complete", tag = "statements", params(CompleteQuery),
    responses((status = 200, body = Completion), (status = 422, body = Problem)))]
pub(crate) async fn complete(
    Parameters(query): Parameters<CompleteQuery>,
    node: Node,
) -> Result<Json<Completion>, Problem> {
    check_length("text", Some(&query.text), MAX_TEXT_CHARS)?;
    let cursor = query.cursor.unwrap_or(query.text.len());
    if !query.text.is_char_boundary(cursor) {
        return Err(Problem::parameter(
            "cursor",
            "not at the start of a character",
        ));
    }
    // The language takes values synchronously: the first pass finds out which, the second one has them.
    let recorder = Recorder::default();
    weft_lang::complete(&query.text, cursor, &recorder);
    let mut fetched = Fetched::default();
    for (kind, lu) in recorder.0.into_inner() {
        let values = match kind {
            ValueKind::LogicalUnit | ValueKind::Interface | ValueKind::InstanceGroup => {
                project_names(&node.statements, kind, lu.as_deref())
            }
            ValueKind::BatchId => batch_ids(&node).await,
            ValueKind::Node => node_names(&node).await,
        };
        fetched.0.insert((kind, lu), values);
    }
    let completions = weft_lang::complete(&query.text, cursor, &fetched);
    Ok(Json(completions.into()))
}

/// Names in the deployed project; none without a project.
fn project_names(statements: &Statements, kind: ValueKind, lu: Option<&str>) -> Vec<String> {
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
        _ => {
            let units = project.logical_units();
            units.map(|unit| unit.name.clone()).collect()
        }
    }
}

/// Ids of batches, newest first; none when the caller may not see them or the store does not answer.
async fn batch_ids(node: &Node) -> Vec<String> {
    let request = BatchListQuery {
        status: StatusFilter::All,
        limit: RECENT_BATCHES,
        ..BatchListQuery::default()
    };
    let Ok(permit) = node.permit(request) else {
        return Vec::new();
    };
    let page = node.inspector().batches(&permit).await.unwrap_or_default();
    let ids = page.items.iter().map(|item| item.batch.id.to_string());
    ids.collect()
}

/// Names that an affinity may hold; none when the caller may not see them or the store does not answer.
async fn node_names(node: &Node) -> Vec<String> {
    let Ok(permit) = node.permit(NodeQuery) else {
        return Vec::new();
    };
    let nodes = node.inspector().nodes(&permit).await.unwrap_or_default();
    let mut names = BTreeSet::new();
    for node in nodes {
        let row = node.row;
        let logical_ids = row.logical_ids.iter().filter_map(|id| id.split(':').next());
        names.extend(logical_ids.map(|id| id.trim().to_owned()));
        names.extend([row.guid.0, row.effective_ip, row.dc]);
    }
    names.into_iter().collect()
}
