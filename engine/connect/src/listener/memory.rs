//! What is remembered of files that were handled, and what that says of those that are there.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use weft_model::Checkpoint;
use weft_model::clock::Timestamp;
use weft_model::schedule::JobPolicy;
use weft_node::job::{CheckpointError, Checkpoints, RunFailure};

use super::place::Stamp;

/// What is read at once.
const PAGE: usize = 200;
/// What is kept of an error, in characters.
const ERROR_CHARS: usize = 2_000;
/// The item of the counts: before all others.
const COUNTS: &str = "all";

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Its flow ended well.
    Handled,
    /// Its flow failed and is tried again.
    ToTryAgain,
    /// Its flow failed as often as it may.
    GivenUp,
}

/// What is remembered of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// What it was when it was handled last.
    pub(super) stamp: Stamp,
    pub(super) outcome: Outcome,
    /// Tries that failed.
    #[serde(default)]
    pub(super) tries: i32,
    /// Why the last one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// How a file that is there stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing was looked up yet.
    Unknown,
    /// It is to be handled.
    New,
    /// It failed so often, and is to be handled from this moment on.
    ToTryAgain { tries: i32, due: Timestamp },
    /// Nothing is left to do.
    Done,
    /// It was handled and has changed since, and stays as it is.
    Changed,
}

/// All that a listener has done, whatever runs that took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) handled: u64,
    pub(super) given_up: u64,
}

impl Standing {
    pub(super) fn of(
        remembered: Option<&(Remembered, Timestamp)>,
        stamp: &Stamp,
        handles_changed: bool,
        policy: &JobPolicy,
    ) -> Self {
        let Some((remembered, at)) = remembered else {
            return Self::New;
        };
        let is_same = remembered.stamp == *stamp;
        match (remembered.outcome, is_same) {
            (Outcome::Handled | Outcome::GivenUp, true) => Self::Done,
            (Outcome::ToTryAgain, true) => Self::ToTryAgain {
                tries: remembered.tries,
                due: at.plus(policy.retry_delay(remembered.tries)),
            },
            (Outcome::Handled, false) if !handles_changed => Self::Changed,
            // Somebody has mended it, or wants it handled again.
            (Outcome::Handled | Outcome::GivenUp | Outcome::ToTryAgain, false) => Self::New,
        }
    }
}

impl Remembered {
    pub(super) fn new(stamp: Stamp, outcome: Outcome, tries: i32, error: Option<&str>) -> Self {
        Self {
            stamp,
            outcome,
            tries,
            error: error.map(|error| error.chars().take(ERROR_CHARS).collect()),
        }
    }
}

/// The item of a file. Names have no control characters, so nothing stands between a name and its item.
fn item_of(name: &str) -> String {
    format!("{} ", before(name))
}

fn before(name: &str) -> String {
    format!("file/{name}")
}

/// What is remembered of files: those of `names`, which are in order, and not of a million others.
pub(super) async fn recall(
    checkpoints: &Checkpoints,
    names: &[String],
) -> Result<Vec<Option<(Remembered, Timestamp)>>, RunFailure> {
    let mut page: VecDeque<Checkpoint> = VecDeque::new();
    let mut is_over = false;
    let mut recalled = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let item = item_of(name);
        while page.front().is_some_and(|next| next.item < item) {
            page.pop_front();
        }
        if page.is_empty() && !is_over {
            let limit = (names.len() - at).min(PAGE);
            let found = checkpoints.items(Some(&before(name)), limit).await?;
            page = found.into();
            is_over = page.len() < limit;
        }
        let found = page.pop_front_if(|next| next.item == item);
        recalled.push(found.map(read).transpose()?);
    }
    Ok(recalled)
}

fn read(checkpoint: Checkpoint) -> Result<(Remembered, Timestamp), RunFailure> {
    let remembered = serde_json::from_str(&checkpoint.value).map_err(|error| {
        let item = checkpoint.item.trim_end();
        RunFailure::new(
            "Store",
            format!("what is remembered of {item} cannot be read: {error}"),
        )
    })?;
    Ok((remembered, checkpoint.updated_at))
}

/// Writes down what became of a file, and the counts.
pub(super) async fn remember(
    checkpoints: &mut Checkpoints,
    name: &str,
    remembered: &Remembered,
    counts: &Counts,
) -> Result<(), CheckpointError> {
    let puts = vec![
        (COUNTS.to_owned(), text(counts)),
        (item_of(name), text(remembered)),
    ];
    checkpoints.save(puts, Vec::new()).await
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are valid JSON")
}

/// The counts among the first items of a scope.
pub(super) fn counts(first: &[Checkpoint]) -> Counts {
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

    fn stamp(size: u64) -> Stamp {
        Stamp {
            modified: None,
            size: Some(size),
        }
    }

    #[test]
    fn what_is_remembered_decides_and_a_change_makes_anew_what_was_not_handled() {
        let policy = JobPolicy {
            retry_delay_ms: 1_000,
            retry_factor: 2.0,
            ..JobPolicy::default()
        };
        let check = |outcome, size, handles_changed, expected| {
            let remembered = (Remembered::new(stamp(1), outcome, 2, None), Timestamp(10));
            let found = Standing::of(Some(&remembered), &stamp(size), handles_changed, &policy);
            assert_eq!(found, expected, "{outcome:?} {size} {handles_changed}");
        };
        let due = Timestamp(2_010);
        check(Outcome::Handled, 1, true, Standing::Done);
        check(Outcome::Handled, 2, false, Standing::Changed);
        check(Outcome::Handled, 2, true, Standing::New);
        check(Outcome::GivenUp, 1, true, Standing::Done);
        check(Outcome::GivenUp, 2, false, Standing::New);
        check(
            Outcome::ToTryAgain,
            1,
            false,
            Standing::ToTryAgain { tries: 2, due },
        );
        check(Outcome::ToTryAgain, 2, false, Standing::New);
        assert_eq!(Standing::of(None, &stamp(1), false, &policy), Standing::New);
    }

    #[tokio::test]
    async fn only_names_that_are_asked_for_are_recalled() {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let store = folder.path().join("store");
        let store = SqliteStore::open(store, Options::new(Arc::clone(&clock))).unwrap();
        let place = CheckpointStore::new(Arc::new(store), Ids::seeded(1), clock);
        let holder = CheckpointHolder {
            job: "j".to_owned(),
            created: Timestamp(1),
            fence: 1,
            node: "n".to_owned(),
        };
        let mut held = place.take("s", &holder).await.unwrap();
        assert_eq!(
            counts(&held.items(None, 1).await.unwrap()),
            Counts::default()
        );
        // Names of which one begins with another, blanks, and many between two that are asked for.
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
            let remembered = Remembered::new(stamp(size), Outcome::Handled, 0, None);
            remember(&mut held, name, &remembered, &counted)
                .await
                .unwrap();
        }
        assert_eq!(counts(&held.items(None, 1).await.unwrap()), counted);
        let check = async |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            names.sort();
            let recalled = recall(&held, &names).await.unwrap();
            assert_eq!(recalled.len(), names.len());
            for (name, found) in names.iter().zip(recalled) {
                let found = found.map(|(remembered, _)| remembered.stamp);
                let expected = known.contains(name).then(|| stamp(name.len() as u64));
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
