//! The progress of a synchronous batch, on stderr: a bar on a terminal, otherwise a line every 10 s.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use weft_statement::Progress;

use crate::output::stderr;

const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows the progress of one statement.
#[derive(Debug)]
pub struct Display {
    bar: Option<ProgressBar>,
    is_counting: bool,
    last_line: Option<Instant>,
    last_note: Option<String>,
}

impl Display {
    /// A display that shows nothing yet.
    pub fn new() -> Self {
        Self {
            bar: None,
            is_counting: false,
            last_line: None,
            last_note: None,
        }
    }

    /// Shows new progress.
    pub fn update(&mut self, progress: &Progress) {
        if stderr::is_quiet() {
            return;
        }
        if progress.note.is_some() && progress.note != self.last_note {
            self.last_note.clone_from(&progress.note);
            self.notice(progress.note.as_deref().unwrap_or_default());
        }
        if std::io::stderr().is_terminal() {
            self.draw(progress);
        } else {
            self.print(progress);
        }
    }

    /// Prints a notice without tearing the bar.
    pub fn notice(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| stderr::notice(message)),
            None => stderr::notice(message),
        }
    }

    /// Removes the bar.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn draw(&mut self, progress: &Progress) {
        let total = progress.total.filter(|_| progress.status != "GENERATE_IID");
        if self.bar.is_none() || self.is_counting != total.is_some() {
            self.finish();
            self.is_counting = total.is_some();
            self.bar = Some(bar(total));
        }
        let Some(bar) = &self.bar else { return };
        if let Some(total) = total {
            bar.set_length(total.unsigned_abs());
            bar.set_position(progress.done.unsigned_abs());
        }
        bar.set_message(sentence(progress, true));
    }

    fn print(&mut self, progress: &Progress) {
        let is_due = self
            .last_line
            .is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        let is_first = self.last_line.is_none();
        if is_first {
            // A batch that ends within the first 10 s needs no line.
            self.last_line = Some(Instant::now());
        } else if is_due {
            self.last_line = Some(Instant::now());
            stderr::notice(&sentence(progress, false));
        }
    }
}

fn bar(total: Option<i64>) -> ProgressBar {
    let bar =
        ProgressBar::with_draw_target(total.map(i64::unsigned_abs), ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{bar:30} {msg}",
        None => "{spinner} {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> ").tick_chars("|/-\\ "));
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// `IN_PROGRESS 1,200/10,000, 3 failed, 812.5 entities/s, 11s left`
fn sentence(progress: &Progress, is_short: bool) -> String {
    let count = |entities: i64| HumanCount(entities.unsigned_abs());
    let (status, done) = (&progress.status, count(progress.done));
    let mut parts = vec![match progress.total {
        Some(total) => format!("{status} {done}/{}", count(total)),
        None => format!("{status} {done} handled"),
    }];
    if progress.failed > 0 {
        parts.push(format!("{} failed", count(progress.failed)));
    }
    if progress.pace > 0.0 {
        parts.push(format!("{:.1} entities/s", progress.pace));
    }
    if let Some(left) = seconds_left(progress) {
        parts.push(format!("{} left", duration(left)));
    }
    if is_short {
        parts.join(", ")
    } else {
        format!("Batch {}: {}", progress.batch, parts.join(", "))
    }
}

fn seconds_left(progress: &Progress) -> Option<u64> {
    let left = progress
        .total?
        .checked_sub(progress.done)
        .filter(|left| *left > 0)?;
    if progress.pace <= 0.0 {
        return None;
    }
    // A float counts entities exactly. The estimate ends at a year.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate for people"
    )]
    let seconds = (left as f64 / progress.pace).ceil().min(31_536_000.0) as u64;
    Some(seconds)
}

fn duration(seconds: u64) -> String {
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: i64, total: Option<i64>, failed: i64, pace: f64) -> Progress {
        Progress {
            batch: "35408af6-0000-4000-8000-000000000000"
                .parse()
                .expect("a uuid"),
            status: "IN_PROGRESS".to_owned(),
            done,
            failed,
            total,
            pace,
            note: None,
        }
    }

    #[test]
    fn progress_reads_as_a_sentence() {
        let cases = [
            (
                progress(1_200, Some(10_000), 3, 812.5),
                "IN_PROGRESS 1,200/10,000, 3 failed, 812.5 entities/s, 11s left",
            ),
            (progress(0, None, 0, 0.0), "IN_PROGRESS 0 handled"),
            (
                progress(10, Some(10), 0, 1.0),
                "IN_PROGRESS 10/10, 1.0 entities/s",
            ),
            (
                progress(0, Some(100_000), 0, 10.0),
                "IN_PROGRESS 0/100,000, 10.0 entities/s, 2h46m left",
            ),
            (
                progress(0, Some(100), 0, 1.0),
                "IN_PROGRESS 0/100, 1.0 entities/s, 1m40s left",
            ),
        ];
        for (progress, expected) in cases {
            assert_eq!(sentence(&progress, true), expected);
        }
    }
}
