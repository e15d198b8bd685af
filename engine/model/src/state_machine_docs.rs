//! Writes `docs/state-machines.md` from the transition functions that the engine runs. A test compares the two.

use std::fmt::Write;

use super::{BatchEvent, BatchStatus, ChunkState, JobEvent, JobStatus};

/// The content of `docs/state-machines.md`.
pub fn state_machines() -> String {
    let mut page = String::from(INTRODUCTION);
    let _ = writeln!(page, "\n## Jobs\n");
    table(
        &mut page,
        JobStatus::ALL,
        JobEvent::ALL,
        |status, event| status.next(event).ok(),
        JobStatus::as_str,
        JobEvent::as_str,
    );
    let _ = writeln!(page, "\n## Batches\n");
    table(
        &mut page,
        BatchStatus::ALL,
        BatchEvent::ALL,
        |status, event| status.next(event).ok(),
        BatchStatus::as_str,
        BatchEvent::as_str,
    );
    let _ = writeln!(page, "\n## Chunks\n\n{CHUNKS}");
    for state in ChunkState::ALL {
        debug_assert!(
            page.contains(state.as_str()),
            "the page names every chunk state"
        );
    }
    page
}

fn table<S: Copy, E: Copy>(
    page: &mut String,
    states: &[S],
    events: &[E],
    next: impl Fn(S, E) -> Option<S>,
    state_name: impl Fn(S) -> &'static str,
    event_name: impl Fn(E) -> &'static str,
) {
    page.push_str("| event \\ from |");
    for state in states {
        let _ = write!(page, " {} |", state_name(*state));
    }
    page.push_str("\n|---|");
    for _ in states {
        page.push_str("---|");
    }
    page.push('\n');
    for event in events {
        let _ = write!(page, "| {} |", event_name(*event));
        for state in states {
            let _ = write!(page, " {} |", next(*state, *event).map_or("–", &state_name));
        }
        page.push('\n');
    }
}

const INTRODUCTION: &str = "\
# State machines

Each table has a column for every state and a row for every event. The cell is the state after the event; `–` means
that the move does not exist and is refused. The tables are generated from the transition functions
(`JobStatus::next`, `BatchStatus::next` in `engine/model/src/status.rs`): the test
`the_page_of_state_machines_is_true` compares every cell, and `UPDATE_DOCS=1` rewrites the page.

A state in the store changes only by a compare-and-set that names the state it comes from.
";

const CHUNKS: &str = "\
A chunk is the unit of ownership: a partition of at most 1,000 ids with one holder and one fence.

| from | to | by | condition |
|---|---|---|---|
| (no row) | NEW | the generator fills a number it reserved | `c_state = null` |
| (no row) | IN_PROGRESS | the first chunk is born claimed by its generator | `c_state = null` |
| (no row) | VOID | a new owner seals what the old generator reserved and did not fill | `c_state = null` |
| NEW | IN_PROGRESS | a worker claims it | `c_fence = f`, sets f + 1 |
| IN_PROGRESS | IN_PROGRESS | a flush | `c_fence = f`, the worker and `c_seq = n - 1`, sets n |
| IN_PROGRESS | IN_PROGRESS | a worker takes it over from a dead node session | `c_fence = f`, sets f + 1 |
| IN_PROGRESS | DONE | the last flush | `c_fence = f`, the worker and `c_seq = n - 1`, sets n |
| IN_PROGRESS | NEW | its worker hands it back | `c_fence = f`, sets f + 1 |
| NEW, IN_PROGRESS | CLOSED | a cancel, or the failure of the batch | `c_fence = f`, sets f + 1 |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_state_machines_is_true() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/state-machines.md");
        let expected = state_machines();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &expected).expect("write the page");
        }
        let found = std::fs::read_to_string(path).expect("docs/state-machines.md");
        // Cell by cell, so that a failure names the state and the event.
        for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "docs/state-machines.md, line {}", line + 1);
        }
        assert_eq!(
            found.lines().count(),
            expected.lines().count(),
            "length of the page"
        );
    }

    #[test]
    fn an_ended_job_moves_only_when_it_is_resumed() {
        for status in JobStatus::ALL.iter().filter(|status| status.is_ended()) {
            for event in JobEvent::ALL {
                let moves = status.next(*event).is_ok();
                let resumes = matches!(event, JobEvent::Resumed | JobEvent::ResumedScheduled);
                assert_eq!(moves, resumes, "{status} and {event}");
            }
        }
    }

    #[test]
    fn an_ended_batch_moves_only_when_it_is_retried() {
        for status in BatchStatus::ALL.iter().filter(|status| status.is_final()) {
            for event in BatchEvent::ALL {
                let moves = status.next(*event).is_ok();
                let retries = matches!(event, BatchEvent::RetryFailures | BatchEvent::Resumed);
                assert!(!moves || retries, "{status} and {event}");
            }
        }
    }

    #[test]
    fn every_state_but_the_first_is_reached() {
        let mut reached = vec![BatchStatus::WaitingForJob];
        let mut jobs = vec![JobStatus::Waiting, JobStatus::Scheduled];
        for _ in 0..BatchStatus::ALL.len() {
            for event in BatchEvent::ALL {
                let next: Vec<_> = reached.iter().filter_map(|s| s.next(*event).ok()).collect();
                reached.extend(next);
                reached.sort();
                reached.dedup();
            }
            for event in JobEvent::ALL {
                let next: Vec<_> = jobs.iter().filter_map(|s| s.next(*event).ok()).collect();
                jobs.extend(next);
                jobs.sort();
                jobs.dedup();
            }
        }
        assert_eq!(reached.len(), BatchStatus::ALL.len(), "{reached:?}");
        assert_eq!(jobs.len(), JobStatus::ALL.len(), "{jobs:?}");
    }

    #[test]
    fn names_are_read_back_and_the_documented_aliases_too() {
        for status in BatchStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
            assert_eq!(status.as_str().to_lowercase().parse(), Ok(*status));
        }
        assert_eq!("GENERATE_IID_LIST".parse(), Ok(BatchStatus::GenerateIid));
        assert!("GENERATED".parse::<BatchStatus>().is_err());
        assert_eq!("IN_PROGRESS".parse(), Ok(JobStatus::InProcess));
    }
}
