//! What the end of one job does to another job that waits for it: pure functions.
//!
//! The row of the ended job lists the ends that its followers have not been notified of yet. The node that ends the job
//! notifies them at once. If that node dies first, the next node that reads the row notifies them again. A follower
//! remembers the last end that it was notified of for each condition, so a repeated notification changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use weft_model::clock::Timestamp;
use weft_model::schedule::{Condition, Trigger};
use weft_model::{IllegalMove, Job, JobEnd, JobKey, JobStatus, TriggerState};
use weft_store::JobDefinition;

use super::next_run::{NextRun, is_over};
use super::step::Step;

/// How many jobs a condition without a uid remembers the last end of.
const KNOWN_JOBS: usize = 64;

/// What to do with the row of `follower` when a run of the job `key` has ended.
///
/// # Errors
/// The stored status has no such move.
pub fn on_upstream_end(
    follower: &Job,
    key: &JobKey,
    end: &JobEnd,
    now: Timestamp,
) -> Result<Step, IllegalMove> {
    if follower.status.is_ended() {
        return Ok(Step::Leave(format!("it is {}", follower.status)));
    }
    let mut state = follower.triggers.clone();
    let triggers = &follower.policy.after;
    state.prune(triggers);
    let met_now = record_end(&mut state, triggers, key, end);
    if met_now.is_empty() {
        return Ok(Step::Leave(
            "it does not wait for this end, or knows it already".to_owned(),
        ));
    }
    // A disabled trigger, and a paused job, remember the end and do not fire.
    let enabled = triggers.iter().filter(|trigger| trigger.enabled);
    let fires_at = enabled
        .filter(|_| !follower.policy.paused)
        .filter_map(|trigger| fire(&mut state, trigger, &met_now, now))
        .min()
        .filter(|at| !is_over(&follower.policy, follower.runs, *at));
    apply(follower, state, fires_at, now)
}

/// Remembers the end for each condition that it meets; answers those for which it is new.
fn record_end(
    state: &mut TriggerState,
    triggers: &[Trigger],
    key: &JobKey,
    end: &JobEnd,
) -> BTreeSet<String> {
    let conditions = triggers.iter().flat_map(|trigger| &trigger.conditions);
    let met_now: BTreeSet<String> = conditions
        .filter(|condition| condition.is_met_by(key, end.outcome))
        .map(ToString::to_string)
        .filter(|condition| {
            let mut known = state.known_ends.get(condition).into_iter().flatten();
            !known.any(|known| end.mark.is_covered_by(known))
        })
        .collect();
    for condition in &met_now {
        let known = state.known_ends.entry(condition.clone()).or_default();
        known.retain(|mark| mark.uid != end.mark.uid);
        if known.len() == KNOWN_JOBS {
            known.remove(0);
        }
        known.push(end.mark.clone());
    }
    met_now
}

/// Marks the conditions of a trigger that are met now; answers when it fires, if all of them are.
fn fire(
    state: &mut TriggerState,
    trigger: &Trigger,
    met_now: &BTreeSet<String>,
    now: Timestamp,
) -> Option<Timestamp> {
    let text = trigger.to_string();
    let conditions: Vec<String> = trigger.conditions.iter().map(ToString::to_string).collect();
    let is_new = |condition: &&String| met_now.contains(*condition);
    for condition in conditions.iter().filter(is_new) {
        state.met.insert((text.clone(), condition.clone()));
    }
    let mut pairs = conditions
        .iter()
        .map(|condition| (text.clone(), condition.clone()));
    if !conditions.iter().any(|condition| is_new(&condition))
        || !pairs.all(|pair| state.met.contains(&pair))
    {
        return None;
    }
    state.met.retain(|(trigger, _)| *trigger != text);
    Some(now.plus(Duration::from_secs(trigger.delay_s.unsigned_abs())))
}

/// The conditions that a job still waits for, in words; `None` if it has no enabled trigger.
pub fn describe_awaited(job: &Job) -> Option<String> {
    let triggers = job.policy.after.iter().filter(|trigger| trigger.enabled);
    let texts: Vec<String> = triggers
        .map(|trigger| {
            let text = trigger.to_string();
            let open = trigger.conditions.iter().filter(|condition| {
                let met = (text.clone(), condition.to_string());
                !job.triggers.met.contains(&met)
            });
            let open: Vec<String> = open.map(Condition::in_words).collect();
            open.join(" and ")
        })
        .collect();
    (!texts.is_empty()).then(|| format!("waits until {}", texts.join(", or ")))
}

fn apply(
    follower: &Job,
    mut state: TriggerState,
    fires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Step, IllegalMove> {
    if follower.holder().is_some() {
        // The current run may have begun before this end. One run follows it, however many ends it covers.
        state.fired_for = state.fired_for.into_iter().chain(fires_at).min();
        let definition = JobDefinition {
            triggers: state,
            ..JobDefinition::of(follower)
        };
        return Ok(Step::redefine(follower, definition));
    }
    let notified = Job {
        triggers: state,
        ..follower.clone()
    };
    let Some(at) = fires_at else {
        return Ok(Step::write(notified));
    };
    if follower.status == JobStatus::Waiting {
        // It waits already, perhaps for another try: the earlier time counts.
        let next_run = follower.next_run.map(|next_run| next_run.min(at));
        return Ok(Step::write(Job {
            next_run: next_run.filter(|next_run| *next_run > now),
            ..notified
        }));
    }
    let at = notified
        .triggers
        .fired_for
        .map_or(at, |fired| fired.min(at));
    let next = NextRun::earliest(follower.next_run, Some(at));
    Ok(Step::write(Job {
        status: follower.status.next(next.event())?,
        next_run: next.next_run.filter(|next_run| *next_run > now),
        planned_run: next.planned_run,
        notes: None,
        triggers: TriggerState {
            fired_for: next.fired_for,
            ..notified.triggers
        },
        ..notified
    }))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use std::collections::BTreeMap;

    use weft_model::EndMark;
    use weft_model::schedule::{JobPolicy, RunOutcome};

    use super::*;
    use weft_model::{Incarnation, JobDesired, NodeId};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn key(name: &str) -> JobKey {
        JobKey {
            job_type: "PROCESS".to_owned(),
            name: name.to_owned(),
            uid: "1".to_owned(),
        }
    }

    fn follower(after: &str) -> Job {
        Job {
            status: JobStatus::Scheduled,
            fence: 3,
            policy: JobPolicy {
                after: Trigger::parse_all(after).unwrap(),
                ..JobPolicy::default()
            },
            ..Job::waiting(key("follower.sh"), Timestamp(0))
        }
    }

    fn end(run: i64, outcome: RunOutcome) -> JobEnd {
        let mark = EndMark {
            uid: "1".to_owned(),
            created: Timestamp(5),
            run,
        };
        JobEnd { mark, outcome }
    }

    fn written(step: Step) -> Job {
        match step {
            Step::Write(job) => *job,
            other => panic!("not written: {other:?}"),
        }
    }

    #[test]
    fn an_end_starts_a_run_and_the_same_end_does_not_start_another() {
        let job = follower("PROCESS a.sh SUCCEEDED");
        let fired = written(
            on_upstream_end(&job, &key("a.sh"), &end(1, RunOutcome::Succeeded), NOW).unwrap(),
        );
        assert_eq!(
            (fired.status, fired.next_run, fired.fence),
            (JobStatus::Waiting, None, 4)
        );
        let rested = Job {
            status: JobStatus::Scheduled,
            ..fired
        };
        let again =
            on_upstream_end(&rested, &key("a.sh"), &end(1, RunOutcome::Succeeded), NOW).unwrap();
        assert!(matches!(again, Step::Leave(_)), "{again:?}");
        let next =
            on_upstream_end(&rested, &key("a.sh"), &end(2, RunOutcome::Succeeded), NOW).unwrap();
        assert_eq!(written(next.clone()).status, JobStatus::Waiting);
        let before = on_upstream_end(
            &written(next),
            &key("a.sh"),
            &end(1, RunOutcome::Succeeded),
            NOW,
        )
        .unwrap();
        assert!(matches!(before, Step::Leave(_)), "{before:?}");
    }

    #[test]
    fn another_outcome_and_another_job_start_nothing() {
        let job = follower("PROCESS a.sh SUCCEEDED");
        for (name, outcome) in [
            ("a.sh", RunOutcome::Failed),
            ("b.sh", RunOutcome::Succeeded),
        ] {
            let step = on_upstream_end(&job, &key(name), &end(1, outcome), NOW).unwrap();
            assert!(matches!(step, Step::Leave(_)), "{name} {step:?}");
        }
    }

    #[test]
    fn several_conditions_wait_for_each_other() {
        let job = follower("PROCESS a.sh SUCCEEDED AND PROCESS b.sh ENDED +00:01:00");
        let half =
            written(on_upstream_end(&job, &key("b.sh"), &end(7, RunOutcome::Failed), NOW).unwrap());
        assert_eq!(
            (half.status, half.triggers.met.len()),
            (JobStatus::Scheduled, 1)
        );
        let whole = written(
            on_upstream_end(&half, &key("a.sh"), &end(1, RunOutcome::Succeeded), NOW).unwrap(),
        );
        assert_eq!(
            (whole.status, whole.next_run),
            (JobStatus::Waiting, Some(Timestamp(NOW.0 + 60_000)))
        );
        assert!(whole.triggers.met.is_empty());
        // Both conditions are needed again for the next run.
        let rested = Job {
            status: JobStatus::Scheduled,
            ..whole
        };
        let half = written(
            on_upstream_end(&rested, &key("a.sh"), &end(2, RunOutcome::Succeeded), NOW).unwrap(),
        );
        assert_eq!(half.status, JobStatus::Scheduled);
    }

    #[test]
    fn a_disabled_trigger_and_a_paused_job_do_not_fire() {
        let off = follower("PROCESS a.sh ENDED OFF");
        let step = on_upstream_end(&off, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap();
        assert_eq!(written(step).status, JobStatus::Scheduled);
        let mut paused = follower("PROCESS a.sh ENDED");
        paused.policy.paused = true;
        let step =
            on_upstream_end(&paused, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap();
        assert_eq!(written(step).status, JobStatus::Scheduled);
        let mut over = follower("PROCESS a.sh ENDED");
        over.policy.max_runs = Some(2);
        over.runs = 2;
        let step = on_upstream_end(&over, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap();
        assert_eq!(written(step).status, JobStatus::Scheduled);
    }

    #[test]
    fn an_end_during_a_run_starts_one_more_run_after_it() {
        let running = Job {
            status: JobStatus::InProcess,
            worker: Some(NodeId("n1".to_owned())),
            owner_incarnation: Some(Incarnation(Uuid::from_u128(1))),
            ..follower("PROCESS a.sh ENDED; PROCESS b.sh ENDED +00:01:00")
        };
        let Step::Request {
            desired,
            definition,
            ..
        } = on_upstream_end(&running, &key("b.sh"), &end(1, RunOutcome::Failed), NOW).unwrap()
        else {
            panic!("a node runs it");
        };
        assert_eq!(desired, JobDesired::Run);
        let later = Job {
            triggers: definition.unwrap().triggers,
            ..running
        };
        assert_eq!(later.triggers.fired_for, Some(Timestamp(NOW.0 + 60_000)));
        let Step::Request { definition, .. } =
            on_upstream_end(&later, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap()
        else {
            panic!("a node runs it");
        };
        assert_eq!(definition.unwrap().triggers.fired_for, Some(NOW));
    }

    #[test]
    fn a_waiting_job_runs_once_and_no_later() {
        let waiting = |next_run| Job {
            status: JobStatus::Waiting,
            next_run,
            ..follower("PROCESS a.sh ENDED +00:01:00; PROCESS b.sh ENDED")
        };
        let fired = |job: &Job, name: &str| {
            written(on_upstream_end(job, &key(name), &end(1, RunOutcome::Failed), NOW).unwrap())
                .next_run
        };
        let soon = Some(Timestamp(NOW.0 + 5));
        assert_eq!(fired(&waiting(None), "a.sh"), None);
        assert_eq!(fired(&waiting(soon), "a.sh"), soon);
        assert_eq!(fired(&waiting(soon), "b.sh"), None);
    }

    #[test]
    fn removed_conditions_are_forgotten() {
        let mut job = follower("PROCESS a.sh ENDED");
        job.triggers.met = BTreeSet::from([("x".to_owned(), "y".to_owned())]);
        let mark = end(1, RunOutcome::Failed).mark;
        job.triggers.known_ends = BTreeMap::from([("z".to_owned(), vec![mark])]);
        let job =
            written(on_upstream_end(&job, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap());
        assert!(job.triggers.met.is_empty());
        assert_eq!(job.triggers.known_ends.len(), 1);
    }

    #[test]
    fn ends_of_several_jobs_of_one_name_are_each_remembered() {
        let mut job = follower("PROCESS a.sh ENDED");
        for uid in ["1", "2", "1", "2"] {
            let mut ended = end(1, RunOutcome::Failed);
            ended.mark.uid = uid.to_owned();
            let rested = Job {
                status: JobStatus::Scheduled,
                ..job.clone()
            };
            match on_upstream_end(&rested, &key("a.sh"), &ended, NOW).unwrap() {
                Step::Write(notified) => job = *notified,
                other => assert!(job.fence == 5, "{uid}: {other:?}"),
            }
        }
        assert_eq!(job.fence, 5, "two of the four ends were new");
    }

    #[test]
    fn a_later_trigger_leaves_the_scheduled_time() {
        let minute = |minutes: i64| Some(Timestamp(NOW.0 + minutes * 60_000));
        let scheduled = Job {
            next_run: minute(1),
            planned_run: minute(1),
            ..follower("PROCESS a.sh ENDED +00:05:00")
        };
        let fired = written(
            on_upstream_end(&scheduled, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap(),
        );
        assert_eq!(
            (fired.status, fired.next_run),
            (JobStatus::Scheduled, minute(1))
        );
        assert_eq!(fired.triggers.fired_for, minute(5));
    }
}
