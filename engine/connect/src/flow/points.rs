//! Recovery points: the outputs of finished stages, written down so that a restart does not repeat them.
//!
//! A scope is a small ledger: `flow` says which run its points are of, `stage/<path>` what a stage gave (in parts where it
//! is long), and `end` what the flow answered. A scope is used again and again, by one run after the other; points of
//! another run, of another version of the flow or of other inputs do not count.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::warn;
use uuid::Uuid;
use weft_engine::flow::{FlowFailure, Recovery};
use weft_engine::job::{CheckpointError, CheckpointStore, Checkpoints, FailureKind};
use weft_engine::node::NodeConfig;

/// What is written at once, well below what a ledger takes.
const PART_BYTES: usize = 192 * 1024;
/// Longer outputs are not written down: their stage is repeated.
const STAGE_BYTES: usize = 8 * 1024 * 1024;
/// What one write removes.
const REMOVED_AT_ONCE: usize = 900;
const HEAD: &str = "flow";
const END: &str = "end";

/// What a run has finished, and where that is written.
#[derive(Debug)]
pub(crate) struct Points {
    ledger: Option<Checkpoints>,
    finished: BTreeMap<String, Map<String, Value>>,
    /// What stands in the ledger besides its head.
    written: Vec<String>,
    end: Option<Map<String, Value>>,
    keeps_end: bool,
}

/// The item that says whose points these are.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// The run, the flow and its inputs.
    of: Uuid,
    /// When the first try began, in milliseconds.
    since: i64,
    /// Tries so far.
    tries: u64,
}

/// A stage that has finished.
#[derive(Debug, Serialize, Deserialize)]
enum Finished {
    /// What it gave.
    #[serde(rename = "outputs")]
    Outputs(Map<String, Value>),
    /// In how many parts that is written.
    #[serde(rename = "parts")]
    Parts(usize),
}

impl Points {
    /// Nothing is written down.
    pub(crate) fn none() -> Self {
        Self {
            ledger: None,
            finished: BTreeMap::new(),
            written: Vec::new(),
            end: None,
            keeps_end: false,
        }
    }

    /// Takes the scope and reads what an earlier try at the same run has finished; `of` names that run.
    ///
    /// # Errors
    /// A later try has it, or the store does not answer.
    pub(crate) async fn take(
        store: &CheckpointStore,
        config: &NodeConfig,
        recovery: &Recovery,
        of: Uuid,
    ) -> Result<Self, FlowFailure> {
        let ledger = store.take(&recovery.scope, &recovery.holder).await;
        let mut ledger = ledger.map_err(|error| lost(&error))?;
        let now = store.now().0;
        let mut found = BTreeMap::new();
        for checkpoint in ledger.all().await.map_err(|error| lost(&error))? {
            found.insert(checkpoint.item, checkpoint.value);
        }
        let max_tries = recovery.max_tries.unwrap_or(config.recovery_max_tries);
        let time_to_live = recovery
            .time_to_live
            .unwrap_or(config.recovery_time_to_live);
        let head: Option<Head> = found
            .get(HEAD)
            .and_then(|head| serde_json::from_str(head).ok());
        let counts = head.filter(|head| {
            let age = u128::try_from(now.saturating_sub(head.since)).unwrap_or(0);
            let may_go_on = head.tries < max_tries && age < time_to_live.as_millis();
            // What has ended is answered again, however long ago it was.
            head.of == of && (may_go_on || found.contains_key(END))
        });
        let head = match counts {
            Some(head) => Head {
                tries: head.tries + 1,
                ..head
            },
            None => {
                if !found.is_empty() {
                    ledger.forget().await.map_err(|error| lost(&error))?;
                    found.clear();
                }
                Head {
                    of,
                    since: now,
                    tries: 1,
                }
            }
        };
        let head = serde_json::to_string(&head).map_err(|error| not_json(&error))?;
        let saved = ledger.put(HEAD, head).await;
        saved.map_err(|error| lost(&error))?;
        found.remove(HEAD);
        let end = found.remove(END);
        Ok(Self {
            finished: finished(&found),
            written: found.into_keys().collect(),
            end: end.and_then(|end| serde_json::from_str(&end).ok()),
            ledger: Some(ledger),
            keeps_end: recovery.keeps_end,
        })
    }

    /// What the flow answered in an earlier try at this run, if it did.
    pub(crate) fn end(&mut self) -> Option<Map<String, Value>> {
        self.end.take()
    }

    /// What a stage gave in an earlier try at this run, if it finished.
    pub(crate) fn of_stage(&mut self, path: &str) -> Option<Map<String, Value>> {
        self.finished.remove(path)
    }

    /// Writes down what a stage gave.
    ///
    /// # Errors
    /// A later try has taken over, or the store does not answer: this run must not go on.
    pub(crate) async fn finish(
        &mut self,
        path: &str,
        outputs: &Map<String, Value>,
    ) -> Result<(), FlowFailure> {
        let Some(ledger) = &mut self.ledger else {
            return Ok(());
        };
        let text = serde_json::to_string(outputs).map_err(|error| not_json(&error))?;
        if text.len() > STAGE_BYTES {
            warn!(
                stage = path,
                "The outputs of stage {path} have {} bytes and are not written down: a restart repeats the stage",
                text.len()
            );
            return Ok(());
        }
        let mut puts = Vec::new();
        if text.len() <= PART_BYTES {
            puts.push((stage_item(path), format!("{{\"outputs\":{text}}}")));
        } else {
            // The item that counts comes last: without it the parts mean nothing.
            let parts = parts(&text);
            let count = parts.len();
            for (number, part) in parts.into_iter().enumerate() {
                let item = part_item(path, number);
                self.written.push(item.clone());
                let saved = ledger.put(&item, part.to_owned()).await;
                saved.map_err(|error| lost(&error))?;
            }
            puts.push((stage_item(path), format!("{{\"parts\":{count}}}")));
        }
        self.written.push(stage_item(path));
        let saved = ledger.save(puts, Vec::new()).await;
        saved.map_err(|error| lost(&error))
    }

    /// The flow has ended well: its points are of no use any more.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub(crate) async fn close(mut self, outputs: &Map<String, Value>) -> Result<(), FlowFailure> {
        let Some(mut ledger) = self.ledger.take() else {
            return Ok(());
        };
        if !self.keeps_end {
            return ledger.forget().await.map_err(|error| lost(&error));
        }
        let text = serde_json::to_string(outputs).map_err(|error| not_json(&error))?;
        if text.len() > PART_BYTES {
            // Another try finds its finished stages and answers from them.
            return Ok(());
        }
        // First the answer, in the same write as the first removals; what is left by a crash in between is only old.
        let mut removes = self.written.chunks(REMOVED_AT_ONCE).map(<[_]>::to_vec);
        let first = removes.next().unwrap_or_default();
        let saved = ledger.save(vec![(END.to_owned(), text)], first).await;
        saved.map_err(|error| lost(&error))?;
        for removes in removes {
            let saved = ledger.save(Vec::new(), removes).await;
            saved.map_err(|error| lost(&error))?;
        }
        Ok(())
    }
}

fn stage_item(path: &str) -> String {
    format!("stage/{path}")
}

fn part_item(path: &str, number: usize) -> String {
    format!("part/{path}/{number:05}")
}

fn finished(found: &BTreeMap<String, String>) -> BTreeMap<String, Map<String, Value>> {
    let mut stages = BTreeMap::new();
    for (item, value) in found {
        let Some(path) = item.strip_prefix("stage/") else {
            continue;
        };
        let outputs = match serde_json::from_str(value) {
            Ok(Finished::Outputs(outputs)) => Some(outputs),
            Ok(Finished::Parts(count)) => {
                let parts: Option<String> = (0..count)
                    .map(|number| found.get(&part_item(path, number)).map(String::as_str))
                    .collect();
                parts.and_then(|text| serde_json::from_str(&text).ok())
            }
            // A newer version wrote it: the stage is repeated.
            Err(_) => None,
        };
        stages.extend(outputs.map(|outputs| (path.to_owned(), outputs)));
    }
    stages
}

/// Cuts a text between characters.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
        parts.push(part);
        rest = behind;
    }
    parts
}

fn lost(error: &CheckpointError) -> FlowFailure {
    let message = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    FlowFailure::new(FailureKind::Recovery, message)
}

fn not_json(error: &serde_json::Error) -> FlowFailure {
    FlowFailure::new(
        FailureKind::Recovery,
        format!("outputs cannot be written down: {error}"),
    )
}
