//! Plants one fault after the other, and runs seeds of the simulation until a rule is broken.
//!
//! Usage: weft-bugs [NAME…]. `WEFT_BUG_SEEDS` is the most seeds for each fault, 2,000 by default. Prints a line for each
//! fault: name, the rule that was broken, seed. Exit code 1 if one was not caught, 2 if this build has no faults.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use weft_model::Bug;
use weft_model::bug::plant;
use weft_tests::sim::seed::{Report, run};

fn main() -> ExitCode {
    if !Bug::IN_BUILD {
        eprintln!(
            "error: this build has no planted faults\nhint: scripts/full bugs builds one that has"
        );
        return ExitCode::from(2);
    }
    let names: Vec<String> = std::env::args().skip(1).collect();
    let unknown = names.iter().find(|name| Bug::named(name).is_none());
    if let Some(name) = unknown {
        eprintln!("error: unknown fault {name}");
        return ExitCode::from(2);
    }
    let most = std::env::var("WEFT_BUG_SEEDS").ok();
    let most = most.and_then(|text| text.parse().ok()).unwrap_or(2_000);
    let chosen = |bug: &&Bug| names.is_empty() || names.contains(&format!("{bug:?}"));
    let mut uncaught = 0;
    for bug in Bug::ALL.iter().filter(chosen) {
        match first_broken(*bug, most) {
            Some(report) => {
                let rule = report.violations.first().map_or("", String::as_str);
                let rule: String = rule.chars().take(160).collect();
                print_line(&format!("{bug:?}\tseed {}\t{rule}", report.seed));
            }
            None => {
                uncaught += 1;
                let meaning = bug.meaning();
                print_line(&format!("{bug:?}\tNOT CAUGHT in {most} seeds: {meaning}"));
            }
        }
    }
    match uncaught {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

#[expect(clippy::print_stdout, reason = "the result of a program")]
fn print_line(line: &str) {
    println!("{line}");
}

/// The first seed that breaks a rule with this fault, on all cores.
fn first_broken(bug: Bug, most: u64) -> Option<Report> {
    let next = AtomicU64::new(0);
    let found: Mutex<Option<Report>> = Mutex::new(None);
    let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                plant(Some(bug));
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= most || lock().is_some() {
                        return;
                    }
                    let report = run(seed, None, false);
                    if !report.violations.is_empty() {
                        lock().get_or_insert(report);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}
