//! Worlds drawn from seeds, and the invariants that hold in all of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use weft_tests::sim::seed::{Report, run};
use weft_tests::sim::store::PlantedBug;

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What a number of seeds came to.
#[derive(Default)]
struct Totals {
    seeds: u64,
    simulated_ms: u64,
    unknowns: u64,
    zombies: u64,
    extra_effects: u64,
    broken: Vec<Report>,
}

impl Totals {
    fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.simulated_ms += report.took_ms;
        self.unknowns += report.unknowns;
        self.zombies += report.zombies;
        self.extra_effects += report.extra_effects;
        if !report.violations.is_empty() {
            self.broken.push(report);
        }
    }
}

/// Runs seeds on all cores until so many broke something; answers those, in order.
fn run_seeds(first: u64, count: u64, bug: Option<PlantedBug>, enough: usize) -> Vec<Report> {
    let next = AtomicU64::new(first);
    let totals = Mutex::new(Totals::default());
    let lock = || totals.lock().unwrap_or_else(PoisonError::into_inner);
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || lock().broken.len() >= enough {
                        return;
                    }
                    let report = run(seed, bug, false);
                    lock().add(report);
                }
            });
        }
    });
    let mut totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    eprintln!(
        "{} seeds: {} simulated seconds, {} answers of Unknown, {} late arrivals that took effect, {} \
         entities run again",
        totals.seeds,
        totals.simulated_ms / 1_000,
        totals.unknowns,
        totals.zombies,
        totals.extra_effects
    );
    totals.broken.sort_by_key(|report| report.seed);
    totals.broken
}

fn describe(broken: &[Report]) -> String {
    let mut text = String::new();
    for report in broken {
        text += &format!("\nseed {}:\n", report.seed);
        for violation in report.violations.iter().take(8) {
            text += &format!("  {violation}\n");
        }
        text += &format!(
            "  again: WEFT_SIM_SEED={} cargo test -p weft-tests --test main one_seed -- --nocapture\n",
            report.seed
        );
    }
    text
}

#[test]
fn three_hundred_seeds_hold_the_invariants() {
    let first = setting("WEFT_SIM_FIRST", 0);
    let count = setting("WEFT_SIM_SEEDS", 300);
    let broken = run_seeds(first, count, None, usize::MAX);
    assert!(
        broken.is_empty(),
        "{} of {count} seeds broke something:{}",
        broken.len(),
        describe(&broken)
    );
}

/// With WEFT_SIM_SEED set, runs that seed and prints its trace.
#[test]
fn one_seed() {
    let Ok(seed) = std::env::var("WEFT_SIM_SEED") else {
        return;
    };
    if std::env::var_os("WEFT_SIM_LOG").is_some() {
        tracing_subscriber::fmt()
            .without_time()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(std::io::stderr)
            .init();
    }
    let seed = seed.parse().expect("WEFT_SIM_SEED is a number");
    let report = run(seed, None, true);
    for line in &report.lines {
        eprintln!("{line}");
    }
    eprintln!(
        "{} steps in {} simulated ms, {} entities run again",
        report.steps, report.took_ms, report.extra_effects
    );
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 1_000..1_000 + setting("WEFT_SIM_TWICE", 20) {
        let (first, second) = (run(seed, None, true), run(seed, None, true));
        let differs = first.lines.iter().zip(&second.lines).find(|(a, b)| a != b);
        assert_eq!(
            first.hash, second.hash,
            "seed {seed} differs at {differs:?}"
        );
        assert_eq!(first.steps, second.steps);
    }
}

#[test]
fn a_flush_without_fence_is_caught() {
    let broken = run_seeds(0, 300, Some(PlantedBug::FlushWithoutFence), 1);
    assert!(!broken.is_empty(), "the planted bug went unnoticed");
}

#[test]
fn an_unknown_that_is_taken_for_a_failure_is_caught() {
    let broken = run_seeds(0, 300, Some(PlantedBug::UnknownIsFailure), 1);
    eprintln!("{}", describe(&broken));
    assert!(!broken.is_empty(), "the planted bug went unnoticed");
}
