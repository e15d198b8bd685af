//! The table of many runs, and which marks of this stage hold.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use crate::run::{Kind, Run};

/// The engine reaches at least this share of the bare loop.
const LEAST_SHARE: f64 = 0.25;
/// Peak memory of the largest run is within this factor of the smallest one's.
const MOST_GROWTH: f64 = 1.10;

/// Store, work and ids: what is compared.
type Case = (String, String, usize);

/// Prints everything to stdout.
pub fn print(path: &Path) -> Result<()> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let runs = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<Run>, _>>()
        .with_context(|| format!("{} has a line that is no run", path.display()))?;
    let mut cases: BTreeMap<Case, Vec<&Run>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.kind != Kind::Latency) {
        let case = (run.store.clone(), run.work.clone(), run.ids);
        cases.entry(case).or_default().push(run);
    }
    let cases: BTreeMap<&Case, Summary> = cases
        .iter()
        .map(|(case, runs)| (case, Summary::of(runs)))
        .collect();
    say(&table(&cases));
    let latencies: Vec<&Run> = runs.iter().filter(|run| run.latency.is_some()).collect();
    say(&latency_table(&latencies));
    say(&marks(&cases));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is the data of this program")]
fn say(text: &str) {
    println!("{text}");
}

/// Medians of one case.
struct Summary {
    runs: usize,
    engine: Side,
    bare: Side,
    /// Engine through bare, of the runs that followed each other.
    share: Option<f64>,
    lwt: Option<(f64, f64)>,
    lwt_holds: Option<bool>,
    calls_per_chunk: Option<f64>,
    others: f64,
}

#[derive(Default)]
struct Side {
    rate: Option<f64>,
    best: Option<f64>,
    cpu_us: Option<f64>,
    server_cpu_us: Option<f64>,
    peak_mib: Option<f64>,
}

impl Side {
    fn of(runs: &[&Run]) -> Self {
        let each = |figure: &dyn Fn(&Run) -> f64| median(runs.iter().map(|run| figure(run)));
        Self {
            rate: each(&|run| run.rate),
            best: runs.iter().map(|run| run.rate).max_by(f64::total_cmp),
            cpu_us: each(&|run| run.cpu_us),
            server_cpu_us: median(runs.iter().filter_map(|run| run.server_cpu_us)),
            peak_mib: each(&|run| whole(run.peak_kib) / 1024.0),
        }
    }
}

impl Summary {
    fn of(runs: &[&Run]) -> Self {
        let of = |kind| -> Vec<&Run> {
            runs.iter()
                .copied()
                .filter(|run| run.kind == kind)
                .collect()
        };
        let (engine, bare) = (of(Kind::Engine), of(Kind::Bare));
        let shares = engine
            .iter()
            .zip(&bare)
            .map(|(engine, bare)| engine.rate / bare.rate);
        let costs: Vec<_> = engine.iter().filter_map(|run| run.cost.as_ref()).collect();
        let lwt = median(costs.iter().map(|cost| whole(cost.compare_and_sets)))
            .zip(median(costs.iter().map(|cost| whole(cost.bound()))));
        let per_chunk = costs
            .iter()
            .map(|cost| whole(cost.calls + cost.compare_and_sets) / whole(cost.chunks.max(1)));
        Self {
            runs: engine.len().max(bare.len()),
            share: median(shares),
            lwt,
            lwt_holds: (!costs.is_empty()).then(|| {
                costs
                    .iter()
                    .all(|cost| cost.compare_and_sets <= cost.bound())
            }),
            calls_per_chunk: median(per_chunk),
            others: median(runs.iter().map(|run| run.others_cpu_frac)).unwrap_or(0.0),
            engine: Side::of(&engine),
            bare: Side::of(&bare),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn whole(number: u64) -> f64 {
    number as f64
}

fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = *figures.get(middle)?;
    Some(if figures.len().is_multiple_of(2) {
        f64::midpoint(figures[middle - 1], upper)
    } else {
        upper
    })
}

fn table(cases: &BTreeMap<&Case, Summary>) -> String {
    let head = [
        "store",
        "work",
        "ids",
        "runs",
        "engine/s",
        "best/s",
        "bare/s",
        "engine/bare",
        "CPU µs",
        "bare µs",
        "server µs",
        "bare server",
        "peak MiB",
        "LWT / bound",
        "calls/chunk",
        "others",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for ((store, work, ids), summary) in cases {
        let lwt = summary
            .lwt
            .map(|(lwt, bound)| format!("{lwt:.0} / {bound:.0}"));
        rows.push(vec![
            store.clone(),
            work.clone(),
            ids.to_string(),
            summary.runs.to_string(),
            text(summary.engine.rate, 0),
            text(summary.engine.best, 0),
            text(summary.bare.rate, 0),
            summary.share.map_or_else(none, percent),
            text(summary.engine.cpu_us, 2),
            text(summary.bare.cpu_us, 2),
            text(summary.engine.server_cpu_us, 2),
            text(summary.bare.server_cpu_us, 2),
            text(summary.engine.peak_mib, 1),
            lwt.unwrap_or_else(none),
            text(summary.calls_per_chunk, 1),
            percent(summary.others),
        ]);
    }
    aligned(&rows)
}

fn latency_table(runs: &[&Run]) -> String {
    let head = [
        "store",
        "batches",
        "submit→start p50 ms",
        "p99 ms",
        "max ms",
        "others",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for run in runs {
        let Some(latency) = run.latency else { continue };
        rows.push(vec![
            run.store.clone(),
            latency.batches.to_string(),
            format!("{:.2}", latency.p50_ms),
            format!("{:.2}", latency.p99_ms),
            format!("{:.2}", latency.max_ms),
            percent(run.others_cpu_frac),
        ]);
    }
    aligned(&rows)
}

fn marks(cases: &BTreeMap<&Case, Summary>) -> String {
    let mut lines = vec!["Marks of this stage:".to_owned()];
    let mut mark = |holds: bool, what: String| {
        let verdict = if holds { "holds" } else { "DOES NOT HOLD" };
        lines.push(format!("  {verdict:<14} {what}"));
    };
    for ((store, work, ids), summary) in cases {
        if let Some(share) = summary.share {
            let what = format!(
                "{store} {work} {ids}: engine ≥ 25 % of the bare loop ({})",
                percent(share)
            );
            mark(share >= LEAST_SHARE, what);
        }
        if let (Some(holds), Some((lwt, bound))) = (summary.lwt_holds, summary.lwt) {
            let what =
                format!("{store} {work} {ids}: LWT ≤ 12 + 8 × chunks ({lwt:.0} of {bound:.0})");
            mark(holds, what);
        }
    }
    // A case is sorted by ids, so the last of a kind is the largest.
    let mut sizes: BTreeMap<(&str, &str), Vec<(usize, f64)>> = BTreeMap::new();
    for ((store, work, ids), summary) in cases {
        if let Some(peak) = summary.engine.peak_mib {
            sizes.entry((store, work)).or_default().push((*ids, peak));
        }
    }
    for ((store, work), peaks) in sizes {
        if let [(few, before), .., (many, after)] = peaks[..] {
            let what = format!(
                "{store} {work}: peak memory of {many} ids within 10 % of {few} ids ({after:.1} / {before:.1} MiB = {:.2})",
                after / before
            );
            mark(after / before <= MOST_GROWTH, what);
        }
    }
    lines.join("\n")
}

fn none() -> String {
    "–".to_owned()
}

fn text(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(none, |figure| format!("{figure:.digits$}"))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A Markdown table whose columns line up.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            rows.iter()
                .map(|row| row[at].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, &width)| format!("{cell:>width$}"));
            format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
        })
        .collect();
    if !lines.is_empty() {
        let rule: Vec<String> = widths
            .iter()
            .map(|width| format!("{}:", "-".repeat(width + 1)))
            .collect();
        lines.insert(1, format!("|{}|", rule.join("|")));
    }
    lines.push(String::new());
    lines.join("\n")
}
