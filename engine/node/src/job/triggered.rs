//! What the end of one job makes of another that waits for it: pure functions.
//!
//! The row of the job that ended names what its followers have not been told of yet; whoever ended it tells them at once,
//! and who looks at the row later tells them again, should that node have died in between. A follower keeps the end that
//! it was told of last by each of its conditions, so that the same end counts once.

use std::collections::BTreeSet;
use std::time::Duration;

use weft_model::clock::Timestamp;
use weft_model::schedule::{Condition, JobPolicy};
use weft_model::{IllegalMove, Job, JobDesired, JobEnd, JobEvent, JobKey, JobStatus, TriggerState};
use weft_store::JobDefinition;

use super::after::schedule_of;
use super::change::Step;

/// Jobs whose last end is kept by each condition that names no uid.
const TOLD: usize = 64;

/// What to do with the row of `follower`, which is told how a run of the job `key` ended.
///
/// # Errors
/// The stored status has no such move.
pub fn told(
    follower: &Job,
    key: &JobKey,
    ended: &JobEnd,
    now: Timestamp,
) -> Result<Step, IllegalMove> {
    if follower.status.is_ended() {
        return Ok(Step::Leave(format!("it is {}", follower.status)));
    }
    let mut state = follower.triggers.clone();
    let triggers = &follower.policy.after;
    state.prune(triggers);
    let mut fires_at: Option<Timestamp> = None;
    let mut is_news = false;
    let about_it: BTreeSet<String> = triggers
        .iter()
        .flat_map(|trigger| &trigger.conditions)
        .filter(|condition| condition.is_met_by(key, ended.outcome))
        .map(ToString::to_string)
        .filter(|condition| {
            let mut told = state.known_ends.get(condition).into_iter().flatten();
            !told.any(|told| ended.mark.is_covered_by(told))
        })
        .collect();
    for condition in &about_it {
        let told = state.known_ends.entry(condition.clone()).or_default();
        told.retain(|mark| mark.uid != ended.mark.uid);
        if told.len() == TOLD {
            told.remove(0);
        }
        told.push(ended.mark.clone());
        is_news = true;
    }
    if !is_news {
        return Ok(Step::Leave(
            "it waits for nothing of the kind, or knows".to_owned(),
        ));
    }
    // What is switched off, or paused, hears and does nothing.
    for trigger in triggers
        .iter()
        .filter(|trigger| trigger.enabled && !follower.policy.paused)
    {
        let text = trigger.to_string();
        let conditions: Vec<String> = trigger.conditions.iter().map(ToString::to_string).collect();
        if !conditions
            .iter()
            .any(|condition| about_it.contains(condition))
        {
            continue;
        }
        for condition in conditions
            .iter()
            .filter(|condition| about_it.contains(*condition))
        {
            state.met.insert((text.clone(), condition.clone()));
        }
        let is_met = |condition: &String| state.met.contains(&(text.clone(), condition.clone()));
        if conditions.iter().all(is_met) {
            state.met.retain(|(trigger, _)| *trigger != text);
            let delay = Duration::from_secs(trigger.delay_s.unsigned_abs());
            let at = now.plus(delay);
            fires_at = Some(fires_at.map_or(at, |earlier| earlier.min(at)));
        }
    }
    let fires_at = fires_at.filter(|at| !is_over(&follower.policy, follower.runs, *at));
    changed(follower, state, fires_at, now)
}

/// Whether a job that has had so many runs is to begin none at this moment any more.
fn is_over(policy: &JobPolicy, runs: i64, at: Timestamp) -> bool {
    let has_had_all = policy.max_runs.is_some_and(|most| runs >= most);
    has_had_all || policy.end_at.is_some_and(|end| at > end)
}

/// When a run is due that was triggered while the last one was going on; `runs` is how many the job has had now.
pub fn triggered_run(job: &Job, runs: i64) -> Option<Timestamp> {
    let fired_for = job.triggers.fired_for?;
    (!is_over(&job.policy, runs, fired_for)).then_some(fired_for)
}

/// Whether a job that has had so many runs lives on for the sake of its triggers, or of schedules that are switched off,
/// with no time to run at.
pub fn lives_on(job: &Job, runs: i64, now: Timestamp) -> bool {
    let waits = !job.policy.after.is_empty() || schedule_of(job).is_some_and(|it| it.is_off());
    waits && !is_over(&job.policy, runs, now)
}

/// What stands in the way of a job that waits for others, for people; none where it has no trigger that is switched on.
pub fn awaited(job: &Job) -> Option<String> {
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

fn changed(
    follower: &Job,
    mut state: TriggerState,
    fires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Step, IllegalMove> {
    if follower.holder().is_some() {
        // The run that goes on may have begun before: another one follows it, one for all that happens meanwhile.
        state.fired_for = match (state.fired_for, fires_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        return Ok(Step::Wish {
            desired: follower.desired,
            status: follower.status,
            definition: Some(Box::new(JobDefinition {
                triggers: state,
                ..JobDefinition::of(follower)
            })),
        });
    }
    let told = Job {
        triggers: state,
        desired: JobDesired::Run,
        fence: follower.fence + 1,
        ..follower.clone()
    };
    let Some(at) = fires_at else {
        return Ok(Step::Write(Box::new(told)));
    };
    if follower.status == JobStatus::Waiting {
        // It waits already, perhaps for another try: whatever comes first.
        let next_run = follower.next_run.map(|next_run| next_run.min(at));
        return Ok(Step::Write(Box::new(Job {
            next_run: next_run.filter(|next_run| *next_run > now),
            ..told
        })));
    }
    let at = told.triggers.fired_for.map_or(at, |fired| fired.min(at));
    let next = NextRun::of(follower.next_run, Some(at));
    Ok(Step::Write(Box::new(Job {
        status: follower.status.next(next.event())?,
        next_run: next.next_run.filter(|next_run| *next_run > now),
        planned_run: next.planned_run,
        notes: None,
        triggers: TriggerState {
            fired_for: next.fired_for,
            ..told.triggers
        },
        ..told
    })))
}

/// When a job that nobody runs is due, by its schedule and by a trigger that has fired: whatever comes first, and the other
/// is kept for then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextRun {
    /// It is due by a trigger and not by its schedule.
    pub is_triggered: bool,
    /// When it is due.
    pub next_run: Option<Timestamp>,
    /// The scheduled time that is to come. As after a start by hand, a run by a trigger leaves it (Fabric R75).
    pub planned_run: Option<Timestamp>,
    /// The trigger's time, where it comes later.
    pub fired_for: Option<Timestamp>,
}

impl NextRun {
    /// The next of these.
    pub fn of(scheduled: Option<Timestamp>, fired_for: Option<Timestamp>) -> Self {
        match (scheduled, fired_for) {
            (Some(planned), fired) if fired.is_none_or(|fired| planned <= fired) => Self {
                is_triggered: false,
                next_run: scheduled,
                planned_run: scheduled,
                fired_for,
            },
            (planned_run, Some(fired)) => Self {
                is_triggered: true,
                next_run: Some(fired),
                planned_run,
                fired_for: None,
            },
            (_, None) => Self {
                is_triggered: false,
                next_run: None,
                planned_run: None,
                fired_for: None,
            },
        }
    }

    /// What this makes of a row that no node holds.
    pub fn event(&self) -> JobEvent {
        match self.is_triggered {
            true => JobEvent::Due,
            false => JobEvent::Rescheduled,
        }
    }

    /// What this makes of a row whose run has ended.
    pub fn event_after_run(&self) -> JobEvent {
        match self.is_triggered {
            true => JobEvent::NextTriggered,
            false => JobEvent::NextScheduled,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use std::collections::BTreeMap;

    use weft_model::EndMark;
    use weft_model::schedule::{RunOutcome, Trigger};

    use super::*;
    use weft_model::{Incarnation, NodeId};

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
        let fired = written(told(&job, &key("a.sh"), &end(1, RunOutcome::Succeeded), NOW).unwrap());
        assert_eq!(
            (fired.status, fired.next_run, fired.fence),
            (JobStatus::Waiting, None, 4)
        );
        let rested = Job {
            status: JobStatus::Scheduled,
            ..fired
        };
        let again = told(&rested, &key("a.sh"), &end(1, RunOutcome::Succeeded), NOW).unwrap();
        assert!(matches!(again, Step::Leave(_)), "{again:?}");
        let next = told(&rested, &key("a.sh"), &end(2, RunOutcome::Succeeded), NOW).unwrap();
        assert_eq!(written(next.clone()).status, JobStatus::Waiting);
        let before = told(
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
            let step = told(&job, &key(name), &end(1, outcome), NOW).unwrap();
            assert!(matches!(step, Step::Leave(_)), "{name} {step:?}");
        }
    }

    #[test]
    fn several_conditions_wait_for_each_other() {
        let job = follower("PROCESS a.sh SUCCEEDED AND PROCESS b.sh ENDED +00:01:00");
        let half = written(told(&job, &key("b.sh"), &end(7, RunOutcome::Failed), NOW).unwrap());
        assert_eq!(
            (half.status, half.triggers.met.len()),
            (JobStatus::Scheduled, 1)
        );
        let whole =
            written(told(&half, &key("a.sh"), &end(1, RunOutcome::Succeeded), NOW).unwrap());
        assert_eq!(
            (whole.status, whole.next_run),
            (JobStatus::Waiting, Some(Timestamp(NOW.0 + 60_000)))
        );
        assert!(whole.triggers.met.is_empty());
        // Both are needed again for the next run.
        let rested = Job {
            status: JobStatus::Scheduled,
            ..whole
        };
        let half =
            written(told(&rested, &key("a.sh"), &end(2, RunOutcome::Succeeded), NOW).unwrap());
        assert_eq!(half.status, JobStatus::Scheduled);
    }

    #[test]
    fn what_is_switched_off_or_paused_hears_and_does_nothing() {
        let off = follower("PROCESS a.sh ENDED OFF");
        let step = told(&off, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap();
        assert_eq!(written(step).status, JobStatus::Scheduled);
        let mut paused = follower("PROCESS a.sh ENDED");
        paused.policy.paused = true;
        let step = told(&paused, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap();
        assert_eq!(written(step).status, JobStatus::Scheduled);
        let mut over = follower("PROCESS a.sh ENDED");
        over.policy.max_runs = Some(2);
        over.runs = 2;
        let step = told(&over, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap();
        assert_eq!(written(step).status, JobStatus::Scheduled);
    }

    #[test]
    fn while_a_run_goes_on_one_more_is_kept_for_later() {
        let running = Job {
            status: JobStatus::InProcess,
            worker: Some(NodeId("n1".to_owned())),
            owner_incarnation: Some(Incarnation(Uuid::from_u128(1))),
            ..follower("PROCESS a.sh ENDED; PROCESS b.sh ENDED +00:01:00")
        };
        let Step::Wish {
            desired,
            definition,
            ..
        } = told(&running, &key("b.sh"), &end(1, RunOutcome::Failed), NOW).unwrap()
        else {
            panic!("a node holds it");
        };
        assert_eq!(desired, JobDesired::Run);
        let later = Job {
            triggers: definition.unwrap().triggers,
            ..running
        };
        assert_eq!(later.triggers.fired_for, Some(Timestamp(NOW.0 + 60_000)));
        let Step::Wish { definition, .. } =
            told(&later, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap()
        else {
            panic!("a node holds it");
        };
        assert_eq!(definition.unwrap().triggers.fired_for, Some(NOW));
    }

    #[test]
    fn a_job_that_waits_already_runs_once_and_no_later() {
        let waiting = |next_run| Job {
            status: JobStatus::Waiting,
            next_run,
            ..follower("PROCESS a.sh ENDED +00:01:00; PROCESS b.sh ENDED")
        };
        let fired = |job: &Job, name: &str| {
            written(told(job, &key(name), &end(1, RunOutcome::Failed), NOW).unwrap()).next_run
        };
        let soon = Some(Timestamp(NOW.0 + 5));
        assert_eq!(fired(&waiting(None), "a.sh"), None);
        assert_eq!(fired(&waiting(soon), "a.sh"), soon);
        assert_eq!(fired(&waiting(soon), "b.sh"), None);
    }

    #[test]
    fn what_the_job_does_not_wait_for_any_more_is_forgotten() {
        let mut job = follower("PROCESS a.sh ENDED");
        job.triggers.met = BTreeSet::from([("x".to_owned(), "y".to_owned())]);
        let mark = end(1, RunOutcome::Failed).mark;
        job.triggers.known_ends = BTreeMap::from([("z".to_owned(), vec![mark])]);
        let job = written(told(&job, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap());
        assert!(job.triggers.met.is_empty());
        assert_eq!(job.triggers.known_ends.len(), 1);
    }

    #[test]
    fn ends_of_several_jobs_of_a_name_are_each_known() {
        let mut job = follower("PROCESS a.sh ENDED");
        for uid in ["1", "2", "1", "2"] {
            let mut ended = end(1, RunOutcome::Failed);
            ended.mark.uid = uid.to_owned();
            let rested = Job {
                status: JobStatus::Scheduled,
                ..job.clone()
            };
            match told(&rested, &key("a.sh"), &ended, NOW).unwrap() {
                Step::Write(told) => job = *told,
                other => assert!(job.fence == 5, "{uid}: {other:?}"),
            }
        }
        assert_eq!(job.fence, 5, "two of the four were news");
    }

    #[test]
    fn a_late_trigger_leaves_the_times_before_it() {
        let minute = |minutes: i64| Some(Timestamp(NOW.0 + minutes * 60_000));
        let scheduled = Job {
            next_run: minute(1),
            planned_run: minute(1),
            ..follower("PROCESS a.sh ENDED +00:05:00")
        };
        let fired =
            written(told(&scheduled, &key("a.sh"), &end(1, RunOutcome::Failed), NOW).unwrap());
        assert_eq!(
            (fired.status, fired.next_run),
            (JobStatus::Scheduled, minute(1))
        );
        assert_eq!(fired.triggers.fired_for, minute(5));
        let check = |scheduled, fired, is_triggered, next_run, fired_for| {
            let next = NextRun::of(scheduled, fired);
            assert_eq!(
                (next.is_triggered, next.next_run, next.fired_for),
                (is_triggered, next_run, fired_for)
            );
            assert_eq!(next.planned_run, scheduled);
        };
        check(minute(4), minute(5), false, minute(4), minute(5));
        check(minute(6), minute(5), true, minute(5), None);
        check(None, minute(5), true, minute(5), None);
        check(minute(6), None, false, minute(6), None);
        check(None, None, false, None, None);
    }
}
