//! Compares the runs of a recurring job with the times of its schedule: missed, early, extra and overlapping runs.
//!
//! Pure functions over what was observed, named after Jepsen's checker for Chronos. The simulation uses them, and so do runs
//! on real clusters, where a script writes a line when it starts and when it ends.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use weft_model::clock::Timestamp;
use weft_model::schedule::policy::{Misfire, Overlap};

/// A period; its end does not belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

impl Period {
    fn contains(&self, moment: Timestamp) -> bool {
        self.from <= moment && moment < self.until
    }
}

/// One try of a run, as the job itself noted it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Try {
    /// When it started.
    pub start: Timestamp,
    /// When it ended; none if its process died before.
    pub end: Option<Timestamp>,
    /// The same for all tries of one run: the idempotency key.
    pub key: String,
}

/// A period in which a run may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The earliest start.
    pub from: Timestamp,
    /// The latest start.
    pub until: Timestamp,
    /// Whether it is a fault if no run starts in it.
    pub is_required: bool,
}

impl Window {
    /// A run must start at `due` or at most `epsilon` later.
    pub fn required(due: Timestamp, epsilon: Duration) -> Self {
        Self {
            from: due,
            until: due.plus(epsilon),
            is_required: true,
        }
    }

    fn optional(self) -> Self {
        Self {
            is_required: false,
            ..self
        }
    }

    fn admits(&self, start: Timestamp) -> bool {
        self.from <= start && start <= self.until
    }
}

/// What decides which times of a schedule must have a run.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The rule for times at which no node ran.
    pub misfire: Misfire,
    /// How late a run may be before [`Misfire::Skip`] passes over its time.
    pub misfire_grace: Duration,
    /// The rule for times that come during a run.
    pub overlap: Overlap,
    /// How late a run may start although nodes are up.
    pub epsilon: Duration,
    /// How long a run takes at most.
    pub longest_run: Duration,
}

/// The windows of the times of a schedule. During `outages`, which do not overlap, no node ran.
pub fn windows(
    times: &[Timestamp],
    rules: &Rules,
    outages: &[Period],
    tries: &[Try],
) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut left: Vec<Timestamp> = times.to_vec();
    for outage in outages {
        // A run that was due just before may have been cut off, or not even begun.
        let reach = Period {
            from: minus(outage.from, rules.epsilon),
            until: outage.until,
        };
        let (touched, rest) = left.into_iter().partition(|time| reach.contains(*time));
        left = rest;
        windows.extend(windows_of_outage(&touched, rules, *outage));
    }
    if rules.overlap != Overlap::Allow {
        for busy in busy_periods(tries) {
            let (during, rest) = left
                .into_iter()
                .partition::<Vec<_>, _>(|time| busy.contains(*time));
            left = rest;
            let Some(last) = during.last() else { continue };
            let at_end = Window::required(busy.until, rules.epsilon);
            // The run may have ended in its row before the time came.
            let is_at_end = busy.until.millis_since(*last) <= millis(rules.epsilon);
            match rules.overlap {
                Overlap::Queue => windows.push(at_end),
                Overlap::Skip | Overlap::Allow if is_at_end => windows.push(at_end.optional()),
                Overlap::Skip | Overlap::Allow => (),
            }
        }
    }
    let on_time = left
        .into_iter()
        .map(|time| Window::required(time, rules.epsilon));
    windows.extend(on_time);
    windows.sort_by_key(|window| (window.from, window.until));
    windows
}

/// From just after the start of each run until the end of its last try.
fn busy_periods(tries: &[Try]) -> Vec<Period> {
    let mut periods: BTreeMap<&str, Period> = BTreeMap::new();
    for one in tries {
        let from = Timestamp(one.start.0 + 1);
        let until = one.end.unwrap_or(from);
        let period = periods.entry(&one.key).or_insert(Period { from, until });
        period.from = period.from.min(from);
        period.until = period.until.max(until);
    }
    periods.into_values().collect()
}

fn windows_of_outage(touched: &[Timestamp], rules: &Rules, outage: Period) -> Vec<Window> {
    let back = outage.until;
    let (before, during): (Vec<Timestamp>, Vec<Timestamp>) =
        touched.iter().partition(|time| **time < outage.from);
    // Runs that make up for missed times follow one another.
    let turn = rules.epsilon + rules.longest_run;
    let in_turn = |from: Timestamp, place: usize| Window {
        from,
        until: back.plus(turn * u32::try_from(place + 1).unwrap_or(u32::MAX)),
        is_required: true,
    };
    let mut windows = Vec::new();
    match rules.misfire {
        Misfire::Once => {
            let has_later = !during.is_empty();
            for time in before {
                let window = in_turn(time, 0);
                windows.push(if has_later { window.optional() } else { window });
            }
            if has_later {
                windows.push(in_turn(back, 0));
            }
        }
        Misfire::Skip => {
            windows.extend(before.iter().map(|time| in_turn(*time, 0).optional()));
            let in_grace = |time: &&Timestamp| time.plus(rules.misfire_grace) >= back;
            let late = during.iter().filter(in_grace);
            windows.extend(late.map(|_| in_turn(back, 0).optional()));
        }
        Misfire::All { cap } => {
            let cap = usize::try_from(cap).unwrap_or(0);
            let given_up = touched.len().saturating_sub(cap);
            for (place, time) in touched.iter().enumerate() {
                let is_before = *time < outage.from;
                let from = if is_before { *time } else { back };
                let window = in_turn(from, place);
                match place >= given_up {
                    true => windows.push(window),
                    // It may have begun before the outage.
                    false if is_before => windows.push(window.optional()),
                    false => (),
                }
            }
        }
    }
    windows
}

/// What is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Windows without a run.
    pub missed: Vec<Window>,
    /// Runs that started before a window that has no run otherwise, with that window.
    pub early: Vec<(Try, Window)>,
    /// Runs that belong to no window.
    pub extra: Vec<Try>,
    /// Tries of one job that ran at the same time.
    pub overlapping: Vec<(Try, Try)>,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        let Self {
            missed,
            early,
            extra,
            overlapping,
        } = self;
        missed.is_empty() && early.is_empty() && extra.is_empty() && overlapping.is_empty()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            missed,
            early,
            extra,
            overlapping,
        } = self;
        writeln!(
            f,
            "{} missed, {} early, {} extra, {} overlapping",
            missed.len(),
            early.len(),
            extra.len(),
            overlapping.len()
        )?;
        for window in missed {
            writeln!(f, "  missed: {} to {}", window.from, window.until)?;
        }
        for (run, window) in early {
            writeln!(f, "  early: {} for {}", run.start, window.from)?;
        }
        for run in extra {
            writeln!(f, "  extra: {} ({})", run.start, run.key)?;
        }
        for (one, other) in overlapping {
            writeln!(f, "  overlapping: {} and {}", one.start, other.start)?;
        }
        Ok(())
    }
}

/// Compares the runs of one job with its windows. A run counts for a missed window if it started at most `lead` before it.
/// Tries with one key are one run, which starts with the first of them. `may_overlap`: OVERLAP=ALLOW.
pub fn compare(windows: &[Window], tries: &[Try], lead: Duration, may_overlap: bool) -> Findings {
    let mut tries = tries.to_vec();
    tries.sort();
    let runs = first_tries(&tries);
    let matched = match_runs(windows, &runs);
    let mut findings = Findings {
        overlapping: if may_overlap {
            Vec::new()
        } else {
            overlapping(&tries)
        },
        ..Findings::default()
    };
    let is_missed =
        |(number, window): &(usize, &Window)| window.is_required && matched[*number].is_none();
    findings.missed = windows
        .iter()
        .enumerate()
        .filter(is_missed)
        .map(|(_, window)| *window)
        .collect();
    for (number, run) in runs.into_iter().enumerate() {
        if matched.contains(&Some(number)) {
            continue;
        }
        let is_before = |window: &Window| {
            window.from > run.start && window.from.millis_since(run.start) <= millis(lead)
        };
        match findings.missed.iter().position(is_before) {
            Some(place) => findings.early.push((run, findings.missed.remove(place))),
            None => findings.extra.push(run),
        }
    }
    findings
}

/// The first try of each run, in the order of their starts. `tries` are in order.
fn first_tries(tries: &[Try]) -> Vec<Try> {
    let mut first: BTreeMap<&str, &Try> = BTreeMap::new();
    for one in tries {
        first.entry(&one.key).or_insert(one);
    }
    let mut runs: Vec<Try> = first.into_values().cloned().collect();
    runs.sort();
    runs
}

/// The run of each window. As many required windows as possible have one, then as many others as possible: each window in
/// turn looks for a run, and for one that another window can exchange.
fn match_runs(windows: &[Window], runs: &[Try]) -> Vec<Option<usize>> {
    let mut window_of: Vec<Option<usize>> = vec![None; runs.len()];
    let (required, optional): (Vec<usize>, Vec<usize>) =
        (0..windows.len()).partition(|number| windows[*number].is_required);
    for number in required.into_iter().chain(optional) {
        let mut tried = vec![false; runs.len()];
        find_run(number, windows, runs, &mut window_of, &mut tried);
    }
    let mut matched = vec![None; windows.len()];
    for (run, window) in window_of.into_iter().enumerate() {
        if let Some(window) = window {
            matched[window] = Some(run);
        }
    }
    matched
}

fn find_run(
    window: usize,
    windows: &[Window],
    runs: &[Try],
    window_of: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    let first = runs.partition_point(|run| run.start < windows[window].from);
    for number in first..runs.len() {
        if !windows[window].admits(runs[number].start) {
            return false;
        }
        if std::mem::replace(&mut tried[number], true) {
            continue;
        }
        let is_free =
            window_of[number].is_none_or(|other| find_run(other, windows, runs, window_of, tried));
        if is_free {
            window_of[number] = Some(window);
            return true;
        }
    }
    false
}

/// `tries` are in the order of their starts. A try whose process died has no known end, and overlaps none.
fn overlapping(tries: &[Try]) -> Vec<(Try, Try)> {
    let mut found = Vec::new();
    let mut active: Option<&Try> = None;
    for one in tries {
        if let Some(earlier) = active
            && earlier.end.is_some_and(|end| one.start < end)
        {
            found.push((earlier.clone(), one.clone()));
        }
        if active.is_none_or(|earlier| earlier.end < one.end) {
            active = Some(one);
        }
    }
    found
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn minus(moment: Timestamp, duration: Duration) -> Timestamp {
    Timestamp(moment.0.saturating_sub(millis(duration)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    fn run(start: i64, end: i64) -> Try {
        Try {
            start: at(start),
            end: Some(at(end)),
            key: format!("run at {start}"),
        }
    }

    const NOTHING: [Vec<i64>; 4] = [const { Vec::new() }; 4];

    fn due(times: &[i64]) -> Vec<Window> {
        let window = |time: &i64| Window::required(at(*time), 2 * SECOND);
        times.iter().map(window).collect()
    }

    /// Missed windows, early, extra and overlapping runs by their seconds.
    fn compared(windows: &[Window], tries: &[Try]) -> [Vec<i64>; 4] {
        let found = compare(windows, tries, 4 * SECOND, false);
        let seconds = |moment: Timestamp| moment.0 / 1_000;
        [
            found.missed.iter().map(|it| seconds(it.from)).collect(),
            found.early.iter().map(|it| seconds(it.0.start)).collect(),
            found.extra.iter().map(|it| seconds(it.start)).collect(),
            found
                .overlapping
                .iter()
                .map(|it| seconds(it.1.start))
                .collect(),
        ]
    }

    #[test]
    fn runs_at_their_times_are_right() {
        let found = compared(
            &due(&[10, 20, 30]),
            &[run(10, 11), run(22, 23), run(31, 32)],
        );
        assert_eq!(found, NOTHING);
        assert_eq!(compared(&[], &[]), NOTHING);
    }

    #[test]
    fn a_time_without_a_run_is_missed() {
        let found = compared(&due(&[10, 20, 30]), &[run(10, 11), run(30, 31)]);
        assert_eq!(found, [vec![20], vec![], vec![], vec![]]);
    }

    #[test]
    fn a_late_run_is_extra_and_its_time_missed() {
        let found = compared(&due(&[10]), &[run(13, 14)]);
        assert_eq!(found, [vec![10], vec![], vec![13], vec![]]);
    }

    #[test]
    fn a_run_before_its_time_is_early_and_not_missed() {
        let found = compared(&due(&[10, 20]), &[run(9, 10), run(20, 21)]);
        assert_eq!(found, [vec![], vec![9], vec![], vec![]]);
        // Too early to belong to it.
        let found = compared(&due(&[10]), &[run(5, 6)]);
        assert_eq!(found, [vec![10], vec![], vec![5], vec![]]);
    }

    #[test]
    fn a_second_run_of_one_time_is_extra() {
        let found = compared(&due(&[10, 20]), &[run(10, 11), run(12, 13), run(20, 21)]);
        assert_eq!(found, [vec![], vec![], vec![12], vec![]]);
    }

    #[test]
    fn tries_of_one_run_count_once() {
        let again = Try {
            key: "run at 10".to_owned(),
            ..run(15, 16)
        };
        let cut_short = Try {
            end: None,
            ..run(10, 0)
        };
        let found = compared(&due(&[10]), &[cut_short, again]);
        assert_eq!(found, NOTHING);
    }

    #[test]
    fn runs_at_the_same_time_overlap() {
        let found = compared(&due(&[10, 12]), &[run(10, 13), run(12, 14)]);
        assert_eq!(found, [vec![], vec![], vec![], vec![12]]);
        // A long run overlaps more than the next one, and one that ends as another starts overlaps none.
        let tries = [run(10, 30), run(20, 21), run(25, 26), run(30, 31)];
        let found = compared(&due(&[10, 20, 25, 30]), &tries);
        assert_eq!(found, [vec![], vec![], vec![], vec![20, 25]]);
        let allowed = compare(&due(&[10, 12]), &[run(10, 13), run(12, 14)], SECOND, true);
        assert!(allowed.is_empty(), "{allowed}");
    }

    #[test]
    fn windows_exchange_runs_so_that_none_is_missed_that_has_one() {
        let wide = Window::required(at(10), 20 * SECOND);
        let narrow = Window::required(at(12), SECOND);
        for windows in [[wide, narrow], [narrow, wide]] {
            let found = compared(&windows, &[run(12, 13), run(28, 29)]);
            assert_eq!(found, NOTHING);
        }
        // A run counts for the window that needs one.
        let found = compared(&[wide.optional(), narrow], &[run(12, 13)]);
        assert_eq!(found, NOTHING);
    }

    fn rules(misfire: Misfire, overlap: Overlap) -> Rules {
        Rules {
            misfire,
            misfire_grace: 5 * SECOND,
            overlap,
            epsilon: 2 * SECOND,
            longest_run: SECOND,
        }
    }

    /// From, until (in seconds), and whether a run is required.
    fn drawn(windows: Vec<Window>) -> Vec<(i64, i64, bool)> {
        let plain = |it: Window| (it.from.0 / 1_000, it.until.0 / 1_000, it.is_required);
        windows.into_iter().map(plain).collect()
    }

    #[test]
    fn an_outage_leaves_what_the_misfire_rule_says() {
        let times: Vec<Timestamp> = [10, 20, 30, 40, 50].map(at).into();
        let outage = Period {
            from: at(15),
            until: at(45),
        };
        let check = |misfire, expected: &[(i64, i64, bool)]| {
            let rules = rules(misfire, Overlap::Skip);
            assert_eq!(drawn(windows(&times, &rules, &[outage], &[])), expected);
        };
        let (first, last) = ((10, 12, true), (50, 52, true));
        check(Misfire::Once, &[first, (45, 48, true), last]);
        check(Misfire::Skip, &[first, (45, 48, false), last]);
        let two = [first, (45, 51, true), (45, 54, true), last];
        check(Misfire::All { cap: 2 }, &two);
    }

    #[test]
    fn a_time_just_before_an_outage_may_have_its_run_after_it() {
        let outage = Period {
            from: at(11),
            until: at(25),
        };
        let check = |misfire, times: &[i64], expected: &[(i64, i64, bool)]| {
            let times: Vec<Timestamp> = times.iter().map(|time| at(*time)).collect();
            let rules = rules(misfire, Overlap::Skip);
            assert_eq!(drawn(windows(&times, &rules, &[outage], &[])), expected);
        };
        check(Misfire::Once, &[10], &[(10, 28, true)]);
        check(Misfire::Once, &[10, 15], &[(10, 28, false), (25, 28, true)]);
        check(Misfire::Skip, &[10, 15], &[(10, 28, false)]);
        let all = [(10, 28, true), (25, 31, true)];
        check(Misfire::All { cap: 9 }, &[10, 15], &all);
    }

    #[test]
    fn times_that_come_during_a_run_follow_the_overlap_rule() {
        let times: Vec<Timestamp> = [10, 20, 30, 40].map(at).into();
        let check = |overlap, expected: &[(i64, i64, bool)]| {
            let rules = rules(Misfire::Once, overlap);
            let tries = [run(10, 35)];
            assert_eq!(drawn(windows(&times, &rules, &[], &tries)), expected);
        };
        let (first, last) = ((10, 12, true), (40, 42, true));
        check(Overlap::Skip, &[first, last]);
        check(Overlap::Queue, &[first, (35, 37, true), last]);
        let each = [first, (20, 22, true), (30, 32, true), last];
        check(Overlap::Allow, &each);
    }
}
