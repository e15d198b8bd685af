//! The checkpoints of files, and what they mean for a file that exists.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use weft_model::Checkpoint;
use weft_model::clock::Timestamp;
use weft_model::schedule::JobPolicy;
use weft_node::job::{CheckpointError, Checkpoints, RunFailure};

use super::source::FileVersion;

/// The checkpoints of one page.
const PAGE: usize = 200;
/// The characters of an error that are kept.
const ERROR_CHARS: usize = 2_000;
/// The item of the counts, the first one of the scope.
const COUNTS: &str = "all";

/// The result of handling a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Its flow succeeded.
    Handled,
    /// Its flow failed and will be tried again.
    ToTryAgain,
    /// Its flow failed in all tries.
    GivenUp,
}

/// The checkpoint of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileCheckpoint {
    /// The version that was handled last.
    #[serde(rename = "stamp")]
    pub(super) version: FileVersion,
    pub(super) outcome: Outcome,
    /// The number of failed tries.
    #[serde(default)]
    pub(super) tries: i32,
    /// The error of the last try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// The state of a file that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    /// Its checkpoint has not been read.
    Unknown,
    /// It is to be handled.
    New,
    /// It failed this many times, and is to be handled again when it is due.
    ToTryAgain { tries: i32, due: Timestamp },
    /// It needs no more handling.
    Done,
    /// It has changed since it was handled, and is not handled again.
    Changed,
}

/// The counts of all runs of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) handled: u64,
    pub(super) given_up: u64,
}

impl FileState {
    /// Decides from the checkpoint of a file, with the time of its last update, and the current version.
    pub(super) fn decide(
        checkpoint: Option<&(FileCheckpoint, Timestamp)>,
        version: &FileVersion,
        handles_changed: bool,
        policy: &JobPolicy,
    ) -> Self {
        let Some((checkpoint, updated_at)) = checkpoint else {
            return Self::New;
        };
        let is_same = checkpoint.version == *version;
        match (checkpoint.outcome, is_same) {
            (Outcome::Handled | Outcome::GivenUp, true) => Self::Done,
            (Outcome::ToTryAgain, true) => Self::ToTryAgain {
                tries: checkpoint.tries,
                due: updated_at.plus(policy.retry_delay(checkpoint.tries)),
            },
            (Outcome::Handled, false) if !handles_changed => Self::Changed,
            // The file was replaced after a failure, or the listener handles changed files.
            (Outcome::Handled | Outcome::GivenUp | Outcome::ToTryAgain, false) => Self::New,
        }
    }
}

impl FileCheckpoint {
    pub(super) fn new(
        version: FileVersion,
        outcome: Outcome,
        tries: i32,
        error: Option<&str>,
    ) -> Self {
        Self {
            version,
            outcome,
            tries,
            error: error.map(|error| error.chars().take(ERROR_CHARS).collect()),
        }
    }
}

/// The item of a file. It ends with a blank so that [`item_before`] precedes it.
fn item_of(name: &str) -> String {
    format!("{} ", item_before(name))
}

/// A text directly before the item of a file: names have no control characters, so no other item is between the two.
fn item_before(name: &str) -> String {
    format!("file/{name}")
}

/// Reads the checkpoints of the files `names`, which are in order. Skips those of other files.
pub(super) async fn read_files(
    checkpoints: &Checkpoints,
    names: &[String],
) -> Result<Vec<Option<(FileCheckpoint, Timestamp)>>, RunFailure> {
    let mut page: VecDeque<Checkpoint> = VecDeque::new();
    let mut is_at_end = false;
    let mut found = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let item = item_of(name);
        while page.front().is_some_and(|next| next.item < item) {
            page.pop_front();
        }
        if page.is_empty() && !is_at_end {
            let limit = (names.len() - at).min(PAGE);
            let items = checkpoints.items(Some(&item_before(name)), limit).await?;
            page = items.into();
            is_at_end = page.len() < limit;
        }
        let checkpoint = page.pop_front_if(|next| next.item == item);
        found.push(checkpoint.map(parse).transpose()?);
    }
    Ok(found)
}

fn parse(checkpoint: Checkpoint) -> Result<(FileCheckpoint, Timestamp), RunFailure> {
    let parsed = serde_json::from_str(&checkpoint.value).map_err(|error| {
        let item = checkpoint.item.trim_end();
        RunFailure::new(
            "Store",
            format!("the checkpoint of {item} cannot be read: {error}"),
        )
    })?;
    Ok((parsed, checkpoint.updated_at))
}

/// Saves the checkpoint of a file, and the counts.
pub(super) async fn save_file(
    checkpoints: &mut Checkpoints,
    name: &str,
    checkpoint: &FileCheckpoint,
    counts: &Counts,
) -> Result<(), CheckpointError> {
    let puts = vec![
        (COUNTS.to_owned(), to_json(counts)),
        (item_of(name), to_json(checkpoint)),
    ];
    checkpoints.save(puts, Vec::new()).await
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are valid JSON")
}

/// The counts, read from the first item of a scope.
pub(super) fn read_counts(first: &[Checkpoint]) -> Counts {
    first
        .first()
        .filter(|first| first.item == COUNTS)
        .and_then(|first| serde_json::from_str(&first.value).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weft_model::clock::{SharedClock, SystemClock};
    use weft_model::ids::Ids;
    use weft_node::job::{CheckpointHolder, CheckpointStore};
    use weft_sqlite::{Options, SqliteStore};

    use super::*;

    fn version(size: u64) -> FileVersion {
        FileVersion {
            modified: None,
            size: Some(size),
        }
    }

    #[test]
    fn a_checkpoint_decides_and_a_change_restarts_a_file_that_was_not_handled() {
        let policy = JobPolicy {
            retry_delay_ms: 1_000,
            retry_factor: 2.0,
            ..JobPolicy::default()
        };
        let check = |outcome, size, handles_changed, expected| {
            let checkpoint = FileCheckpoint::new(version(1), outcome, 2, None);
            let checkpoint = (checkpoint, Timestamp(10));
            let found =
                FileState::decide(Some(&checkpoint), &version(size), handles_changed, &policy);
            assert_eq!(found, expected, "{outcome:?} {size} {handles_changed}");
        };
        let due = Timestamp(2_010);
        check(Outcome::Handled, 1, true, FileState::Done);
        check(Outcome::Handled, 2, false, FileState::Changed);
        check(Outcome::Handled, 2, true, FileState::New);
        check(Outcome::GivenUp, 1, true, FileState::Done);
        check(Outcome::GivenUp, 2, false, FileState::New);
        check(
            Outcome::ToTryAgain,
            1,
            false,
            FileState::ToTryAgain { tries: 2, due },
        );
        check(Outcome::ToTryAgain, 2, false, FileState::New);
        assert_eq!(
            FileState::decide(None, &version(1), false, &policy),
            FileState::New
        );
    }

    #[test]
    fn stored_checkpoints_keep_their_keys() {
        let text = r#"{"stamp":{"modified":"1.5","size":3},"outcome":"to_try_again","tries":2,"error":"no"}"#;
        let checkpoint: FileCheckpoint = serde_json::from_str(text).unwrap();
        assert_eq!(to_json(&checkpoint), text);
    }

    #[tokio::test]
    async fn only_requested_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let store = folder.path().join("store");
        let store = SqliteStore::open(store, Options::new(Arc::clone(&clock))).unwrap();
        let checkpoints = CheckpointStore::new(Arc::new(store), Ids::seeded(1), clock);
        let holder = CheckpointHolder {
            job: "j".to_owned(),
            created: Timestamp(1),
            fence: 1,
            node: "n".to_owned(),
        };
        let mut held = checkpoints.take("s", &holder).await.unwrap();
        assert_eq!(
            read_counts(&held.items(None, 1).await.unwrap()),
            Counts::default()
        );
        // Names that begin with another name, blanks, and many names between two requested ones.
        let mut known: Vec<String> = ["a", "a ", "a  b", "a.csv", "a!", "é.csv", "z"]
            .map(str::to_owned)
            .into();
        known.extend((0..1_000).map(|number| format!("m{number:04}")));
        let counted = Counts {
            handled: 7,
            given_up: 1,
        };
        for name in &known {
            let size = name.len() as u64;
            let checkpoint = FileCheckpoint::new(version(size), Outcome::Handled, 0, None);
            save_file(&mut held, name, &checkpoint, &counted)
                .await
                .unwrap();
        }
        assert_eq!(read_counts(&held.items(None, 1).await.unwrap()), counted);
        let check = async |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            names.sort();
            let read = read_files(&held, &names).await.unwrap();
            assert_eq!(read.len(), names.len());
            for (name, found) in names.iter().zip(read) {
                let found = found.map(|(checkpoint, _)| checkpoint.version);
                let expected = known.contains(name).then(|| version(name.len() as u64));
                assert_eq!(found, expected, "{name:?}");
            }
        };
        check(&[]).await;
        check(&["a"]).await;
        check(&["none"]).await;
        check(&[
            "a", "a ", "a b", "a  b", "a.csv", "a.cs", "m0000", "m0999", "m1", "z", "zz", "é.csv",
        ])
        .await;
        let all: Vec<&str> = known.iter().map(String::as_str).collect();
        check(&all).await;
        let sparse: Vec<&str> = all.iter().step_by(300).copied().collect();
        check(&sparse).await;
    }
}
