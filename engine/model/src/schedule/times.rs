//! The times of a job: the times of its schedule within the bounds of its policy, each delayed by its jitter.
//!
//! The jitter of a time ends before the next time, so that times keep their order and none is lost or doubled.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Schedule;
use super::policy::{JobPolicy, Misfire, Overlap};
use super::run::{FirstRun, ScheduledRun};
use crate::clock::Timestamp;

/// The times of a job.
pub(super) struct Times<'a> {
    schedule: &'a Schedule,
    policy: &'a JobPolicy,
    seed: u64,
}

impl<'a> Times<'a> {
    pub(super) fn new(schedule: &'a Schedule, policy: &'a JobPolicy, seed: u64) -> Self {
        Self {
            schedule,
            policy,
            seed,
        }
    }

    /// The first run of a schedule that starts at once.
    pub(super) fn first_run(&self, start: Option<Timestamp>, max_jitter: Duration) -> FirstRun {
        match start {
            None => FirstRun::Now,
            Some(start) if self.is_within(start) => FirstRun::At(self.delayed(start, max_jitter)),
            Some(_) => FirstRun::Never("its end lies before its start".to_owned()),
        }
    }

    pub(super) fn after_pause(&self, ended: Timestamp, pause: Duration) -> Option<Timestamp> {
        let next = ended.plus(pause);
        let next = self.policy.start_at.map_or(next, |start| next.max(start));
        self.is_within(next)
            .then(|| self.delayed(next, self.max_jitter()))
    }

    pub(super) fn after_run(&self, run: &ScheduledRun) -> Option<Timestamp> {
        // A node whose clock is behind may end a run before its scheduled time.
        let ended = run
            .planned
            .map_or(run.ended, |planned| run.ended.max(planned));
        let overlapped = match (self.policy.misfire, self.policy.overlap) {
            // The times that passed during the run had parallel runs.
            (_, Overlap::Allow) => false,

            (Misfire::All { cap }, Overlap::Skip | Overlap::Queue) => {
                let since = run.planned.unwrap_or(run.started);
                // A run that began after the next time had come has made up for its own time: it is one of `cap`.
                let made_up = self.after(since).is_some_and(|next| next <= run.started);
                return self.oldest_missed(since, ended, cap - i64::from(made_up));
            }
            (Misfire::Once | Misfire::Skip, Overlap::Skip) => false,
            (Misfire::Once | Misfire::Skip, Overlap::Queue) => {
                let covered = run
                    .planned
                    .map_or(run.started, |planned| run.started.max(planned));
                self.after(covered).is_some_and(|next| next <= ended)
            }
        };
        if overlapped {
            return Some(ended);
        }
        self.after(ended)
    }

    /// The first time after `since`. If there are more than `cap` times until `ended`, the first of the last `cap`; with none,
    /// the first after `ended`.
    pub(super) fn oldest_missed(
        &self,
        since: Timestamp,
        ended: Timestamp,
        cap: i64,
    ) -> Option<Timestamp> {
        if cap <= 0 {
            return self.after(ended);
        }
        let next = self.after(since)?;
        let mut last = next;
        for _ in 0..cap {
            match self.after(last) {
                Some(later) if last <= ended => last = later,
                Some(_) | None => return Some(next),
            }
        }
        if last > ended {
            return Some(next);
        }
        let mut oldest = ended.plus(Duration::from_millis(1));
        for _ in 0..cap {
            oldest = self.until(before(oldest), since)?;
        }
        Some(oldest)
    }

    /// The first time after `moment`.
    pub(super) fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        // The jitter may delay a time before `moment` to after it.
        self.occurrence_until(moment, earlier(moment, self.max_jitter()))
            .map(|occurrence| self.jittered(occurrence))
            .filter(|time| *time > moment)
            .or_else(|| Some(self.jittered(self.occurrence_after(moment)?)))
    }

    /// The last time in `(since, moment]`.
    fn until(&self, moment: Timestamp, since: Timestamp) -> Option<Timestamp> {
        let since = earlier(since, self.max_jitter());
        let last = self.occurrence_until(moment, since)?;
        let time = self.jittered(last);
        if time <= moment {
            return Some(time);
        }
        let last = self.occurrence_until(before(last), since)?;
        Some(self.jittered(last))
    }

    /// The first calendar time after `moment`, within the bounds and without jitter.
    fn occurrence_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let start = self
            .policy
            .start_at
            .map_or(moment, |start| moment.max(before(start)));
        self.schedule
            .calendar_after(start)
            .filter(|next| self.policy.end_at.is_none_or(|end| *next <= end))
    }

    /// The last calendar time in `(since, moment]`, without jitter.
    ///
    /// A calendar can only be searched forwards. The search doubles its distance before `moment` until it finds a time,
    /// and then halves the interval until no other time follows.
    fn occurrence_until(&self, moment: Timestamp, since: Timestamp) -> Option<Timestamp> {
        let first_after = |start| self.occurrence_after(start).filter(|next| *next <= moment);
        let (mut low, mut high) = (moment, moment);
        let mut window = Duration::from_secs(1);
        while first_after(low).is_none() {
            if low <= since {
                return None;
            }
            high = low;
            low = earlier(moment, window).max(since);
            window = window.saturating_mul(2);
        }
        loop {
            let found = first_after(low)?;
            if first_after(found).is_none() {
                return Some(found);
            }
            low = found;
            let half = Timestamp(low.0.midpoint(high.0));
            match first_after(half) {
                Some(_) => low = half,
                None => high = half,
            }
        }
    }

    /// A calendar time with its jitter, which ends before the next calendar time.
    fn jittered(&self, occurrence: Timestamp) -> Timestamp {
        let most = self.max_jitter();
        if most.is_zero() {
            return occurrence;
        }
        let limit = self
            .schedule
            .calendar_after(occurrence)
            .map_or(most, |next| {
                let gap_ms = next.millis_since(occurrence).saturating_sub(1);
                Duration::from_millis(gap_ms.unsigned_abs()).min(most)
            });
        self.delayed(occurrence, limit)
    }

    /// A time with a delay of at most `most`, which is the same on every node and never passes the end of the policy.
    fn delayed(&self, time: Timestamp, most: Duration) -> Timestamp {
        let most_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        let chance = xxh3_64_with_seed(&time.0.to_le_bytes(), self.seed);
        let delayed = time.plus(Duration::from_millis(chance % most_ms.saturating_add(1)));
        self.policy.end_at.map_or(delayed, |end| delayed.min(end))
    }

    pub(super) fn max_jitter(&self) -> Duration {
        Duration::from_millis(self.policy.jitter_ms.max(0).unsigned_abs())
    }

    pub(super) fn is_within(&self, time: Timestamp) -> bool {
        self.policy.start_at.is_none_or(|start| start <= time)
            && self.policy.end_at.is_none_or(|end| time <= end)
    }
}

fn before(moment: Timestamp) -> Timestamp {
    earlier(moment, Duration::from_millis(1))
}

fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp(moment.0.saturating_sub(by_ms))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use chrono_tz::Tz;

    use super::*;

    const MINUTE_MS: i64 = 60_000;
    const SEED: u64 = 7;

    fn schedule(text: &str) -> Schedule {
        Schedule::parse(text, Tz::UTC).unwrap()
    }

    /// `06-01 12:00:00` or the like, of 2026.
    fn at(text: &str) -> Timestamp {
        let moment = DateTime::parse_from_rfc3339(&format!("2026-{text}Z")).unwrap();
        Timestamp(moment.timestamp_millis())
    }

    #[test]
    fn jitter_loses_no_time_and_doubles_none() {
        // More jitter than there is between two times.
        let policy = JobPolicy {
            jitter_ms: 5 * MINUTE_MS,
            ..JobPolicy::default()
        };
        let minutely = schedule("* * * * *");
        let times = Times::new(&minutely, &policy, SEED);
        let mut time = times.after(at("06-01 12:00:00")).unwrap();
        for _ in 0..500 {
            let next = times.after(time).unwrap();
            let minutes = next.0.div_euclid(MINUTE_MS) - time.0.div_euclid(MINUTE_MS);
            assert_eq!(minutes, 1, "{time} {next}");
            assert_eq!(times.after(Timestamp(next.0 - 1)), Some(next));
            assert_eq!(times.until(Timestamp(next.0 - 1), Timestamp(0)), Some(time));
            assert_eq!(times.until(next, Timestamp(0)), Some(next));
            time = next;
        }
    }

    #[test]
    fn the_last_time_before_a_moment_is_found_in_any_calendar() {
        let policy = JobPolicy::default();
        let check = |text: &str, expected: Option<&str>| {
            let schedule = schedule(text);
            let times = Times::new(&schedule, &policy, SEED);
            let found = times.occurrence_until(at("06-01 12:00:30"), at("01-01 00:00:00"));
            assert_eq!(found, expected.map(at), "{text}");
        };
        check("* * * * * ?", Some("06-01 12:00:30"));
        check("* * * * *", Some("06-01 12:00:00"));
        check("0 0 L * *", Some("05-31 00:00:00"));
        check("0 0 29 1 *", Some("01-29 00:00:00"));
        check("0 0 1 1 *", None);
        check("0 0 29 2 *", None);
        check("0,1 0 3,4 2 *", Some("02-04 00:01:00"));
    }
}
