//! Recovery of flows: the outputs of finished stages are saved as checkpoints, so that another try does not repeat the
//! stages.
//!
//! In the checkpoint scope, `flow` says which run the checkpoints belong to, `stage/<path>` has the outputs of a stage
//! (long outputs are split into `part/<path>/<number>`), and `end` has the outputs of the flow. Successive runs share a
//! scope; the checkpoints of another run, another version of the flow or other inputs are discarded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::warn;
use uuid::Uuid;
use weft_node::NodeConfig;
use weft_node::flow::{FlowFailure, Recovery};
use weft_node::job::{CheckpointError, CheckpointStore, Checkpoints, FailureKind};

/// The most bytes in one write, well below the limit of checkpoints.
const PART_BYTES: usize = 192 * 1024;
/// Longer outputs are not saved; their stage is repeated.
const STAGE_BYTES: usize = 8 * 1024 * 1024;
/// The most items that one write removes.
const REMOVED_AT_ONCE: usize = 900;
const HEAD: &str = "flow";
const END: &str = "end";

/// The finished stages of a run, and the checkpoints that keep them.
#[derive(Debug)]
pub(crate) struct FlowCheckpoints {
    /// None if the run does not recover.
    checkpoints: Option<Checkpoints>,
    finished: BTreeMap<String, Map<String, Value>>,
    /// The items in the scope, the head aside.
    written: Vec<String>,
    end: Option<Map<String, Value>>,
    keeps_end: bool,
}

/// The item that says which run the checkpoints belong to.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// Identifies the run, the version of the flow and the inputs.
    #[serde(rename = "of")]
    run: Uuid,
    /// Start of the first try, in milliseconds.
    since: i64,
    tries: u64,
}

/// The item of a finished stage.
#[derive(Debug, Serialize, Deserialize)]
enum FinishedStage {
    #[serde(rename = "outputs")]
    Outputs(Map<String, Value>),
    /// The number of items that the outputs are split into.
    #[serde(rename = "parts")]
    Parts(usize),
}

impl FlowCheckpoints {
    /// Saves nothing.
    pub(crate) fn disabled() -> Self {
        Self {
            checkpoints: None,
            finished: BTreeMap::new(),
            written: Vec::new(),
            end: None,
            keeps_end: false,
        }
    }

    /// Takes the scope and reads what an earlier try at the same run has finished.
    ///
    /// # Errors
    /// A later try holds the scope, or the store does not answer.
    pub(crate) async fn take(
        store: &CheckpointStore,
        config: &NodeConfig,
        recovery: &Recovery,
        run: Uuid,
    ) -> Result<Self, FlowFailure> {
        let checkpoints = store.take(&recovery.scope, &recovery.holder).await;
        let mut checkpoints = checkpoints.map_err(|error| failed(&error))?;
        let now = store.now().0;
        let mut items = BTreeMap::new();
        for checkpoint in checkpoints.all().await.map_err(|error| failed(&error))? {
            items.insert(checkpoint.item, checkpoint.value);
        }
        let max_tries = recovery.max_tries.unwrap_or(config.recovery_max_tries);
        let time_to_live = recovery
            .time_to_live
            .unwrap_or(config.recovery_time_to_live);
        let head: Option<Head> = items
            .get(HEAD)
            .and_then(|head| serde_json::from_str(head).ok());
        let head = head.filter(|head| {
            let age = u128::try_from(now.saturating_sub(head.since)).unwrap_or(0);
            let may_continue = head.tries < max_tries && age < time_to_live.as_millis();
            // A run that has ended returns its outputs again, whatever its age.
            head.run == run && (may_continue || items.contains_key(END))
        });
        let head = match head {
            Some(head) => Head {
                tries: head.tries + 1,
                ..head
            },
            None => {
                if !items.is_empty() {
                    checkpoints.forget().await.map_err(|error| failed(&error))?;
                    items.clear();
                }
                Head {
                    run,
                    since: now,
                    tries: 1,
                }
            }
        };
        let head = serde_json::to_string(&head).map_err(|error| not_json(&error))?;
        let saved = checkpoints.put(HEAD, head).await;
        saved.map_err(|error| failed(&error))?;
        items.remove(HEAD);
        let end = items.remove(END);
        Ok(Self {
            finished: finished_stages(&items),
            written: items.into_keys().collect(),
            end: end.and_then(|end| serde_json::from_str(&end).ok()),
            checkpoints: Some(checkpoints),
            keeps_end: recovery.keeps_end,
        })
    }

    /// The outputs of the flow, if an earlier try has ended it.
    pub(crate) fn take_end(&mut self) -> Option<Map<String, Value>> {
        self.end.take()
    }

    /// The outputs of a stage, if an earlier try has finished it.
    pub(crate) fn take_stage(&mut self, path: &str) -> Option<Map<String, Value>> {
        self.finished.remove(path)
    }

    /// Saves the outputs of a stage.
    ///
    /// # Errors
    /// A later try has taken over, or the store does not answer: this run must not continue.
    pub(crate) async fn save_stage(
        &mut self,
        path: &str,
        outputs: &Map<String, Value>,
    ) -> Result<(), FlowFailure> {
        let Some(checkpoints) = &mut self.checkpoints else {
            return Ok(());
        };
        let text = serde_json::to_string(outputs).map_err(|error| not_json(&error))?;
        if text.len() > STAGE_BYTES {
            warn!(
                stage = path,
                "The outputs of stage {path} have {} bytes and are not saved: another try repeats the stage",
                text.len()
            );
            return Ok(());
        }
        let mut puts = Vec::new();
        if text.len() <= PART_BYTES {
            puts.push((stage_item(path), format!("{{\"outputs\":{text}}}")));
        } else {
            // The item of the stage is written last. Without it the parts do not count.
            let parts = split(&text);
            let count = parts.len();
            for (number, part) in parts.into_iter().enumerate() {
                let item = part_item(path, number);
                self.written.push(item.clone());
                let saved = checkpoints.put(&item, part.to_owned()).await;
                saved.map_err(|error| failed(&error))?;
            }
            puts.push((stage_item(path), format!("{{\"parts\":{count}}}")));
        }
        self.written.push(stage_item(path));
        let saved = checkpoints.save(puts, Vec::new()).await;
        saved.map_err(|error| failed(&error))
    }

    /// Removes the checkpoints of a flow that has succeeded; keeps its outputs if the caller may ask for them again.
    ///
    /// # Errors
    /// As [`save_stage`](Self::save_stage).
    pub(crate) async fn close(mut self, outputs: &Map<String, Value>) -> Result<(), FlowFailure> {
        let Some(mut checkpoints) = self.checkpoints.take() else {
            return Ok(());
        };
        if !self.keeps_end {
            return checkpoints.forget().await.map_err(|error| failed(&error));
        }
        let text = serde_json::to_string(outputs).map_err(|error| not_json(&error))?;
        if text.len() > PART_BYTES {
            // Another try finds the finished stages and computes the outputs from them.
            return Ok(());
        }
        // The outputs are written together with the first removals, so a crash leaves only items that no longer count.
        let mut removes = self.written.chunks(REMOVED_AT_ONCE).map(<[_]>::to_vec);
        let first = removes.next().unwrap_or_default();
        let saved = checkpoints.save(vec![(END.to_owned(), text)], first).await;
        saved.map_err(|error| failed(&error))?;
        for removes in removes {
            let saved = checkpoints.save(Vec::new(), removes).await;
            saved.map_err(|error| failed(&error))?;
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

fn finished_stages(items: &BTreeMap<String, String>) -> BTreeMap<String, Map<String, Value>> {
    let mut stages = BTreeMap::new();
    for (item, value) in items {
        let Some(path) = item.strip_prefix("stage/") else {
            continue;
        };
        let outputs = match serde_json::from_str(value) {
            Ok(FinishedStage::Outputs(outputs)) => Some(outputs),
            Ok(FinishedStage::Parts(count)) => {
                let parts: Option<String> = (0..count)
                    .map(|number| items.get(&part_item(path, number)).map(String::as_str))
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

/// Splits a text into parts without splitting a character.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
        parts.push(part);
        rest = behind;
    }
    parts
}

fn failed(error: &CheckpointError) -> FlowFailure {
    let message = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    FlowFailure::new(FailureKind::Recovery, message)
}

fn not_json(error: &serde_json::Error) -> FlowFailure {
    FlowFailure::new(
        FailureKind::Recovery,
        format!("outputs cannot be saved: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_checkpoints_keep_their_keys() {
        let text = r#"{"of":"00000000-0000-0000-0000-000000000001","since":5,"tries":2}"#;
        let head: Head = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&head).unwrap(), text);
        for text in [r#"{"outputs":{"a":1}}"#, r#"{"parts":3}"#] {
            let stage: FinishedStage = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&stage).unwrap(), text);
        }
    }
}
