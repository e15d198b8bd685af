//! Instances become lines of JSON, on a thread of its own, in blocks that say how far they reach.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use serde_json::json;
use tokio::sync::mpsc;
use weft_model::Instance;
use weft_model::Value;
use weft_project::sync::Contents;

use super::order::Order;
use super::progress::{Inside, Progress};

/// Blocks that are ready and not handed over.
const READY: usize = 2;
/// Instances that wait to become lines.
const WAITING: usize = 2;
/// A block goes out behind so many instances, whatever they have, so that the way through many empty ones is written down.
const INSTANCES: u64 = 10_000;

/// An instance that was asked for.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) id: String,
    /// None where it is not stored.
    pub(super) instance: Option<Instance>,
}

/// Whole lines, and where one is behind them.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) lines: String,
    pub(super) behind: Progress,
    /// There is nothing more.
    pub(super) is_last: bool,
}

/// How large a block grows: a line more than needed, at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) lines: u64,
    pub(super) bytes: usize,
}

/// Both ends of the thread.
pub(super) struct Ends {
    /// Where instances go in, in their order; closed, the last block follows.
    pub(super) instances: mpsc::Sender<Fetched>,
    /// Blocks, or why there are no more.
    pub(super) blocks: mpsc::Receiver<Result<Block, String>>,
}

/// Starts the thread; it ends when either end is dropped.
///
/// # Errors
/// A sentence: there is no thread.
pub(super) fn start(order: &Order, from: Progress, size: Size) -> Result<Ends, String> {
    let (instances, mut fetched) = mpsc::channel::<Fetched>(WAITING);
    let (sender, blocks) = mpsc::channel(READY);
    let mut writer = Writer {
        heads: heads(order),
        order: order.clone(),
        size,
        progress: from,
        lines: String::new(),
        count: 0,
        since: 0,
        blocks: sender,
    };
    let started = std::thread::Builder::new()
        .name("weft-republish".to_owned())
        .spawn(move || {
            while let Some(fetched) = fetched.blocking_recv() {
                match writer.instance(&fetched) {
                    Ok(ControlFlow::Continue(())) => (),
                    Ok(ControlFlow::Break(())) => return,
                    Err(error) => {
                        // Whoever asked may be gone.
                        let _ = writer.blocks.blocking_send(Err(error));
                        return;
                    }
                }
            }
            let _ = writer.hand_over(true);
        });
    started.map_err(|error| format!("no thread could be started: {error}"))?;
    Ok(Ends { instances, blocks })
}

struct Writer {
    order: Order,
    /// How the lines of each table go on behind the instance's id.
    heads: Vec<String>,
    size: Size,
    progress: Progress,
    lines: String,
    /// Lines in the block.
    count: u64,
    /// Instances in the block.
    since: u64,
    blocks: mpsc::Sender<Result<Block, String>>,
}

fn heads(order: &Order) -> Vec<String> {
    let types = match order.types.is_empty() {
        true => String::new(),
        false => format!(",\"types\":{}", json!(order.types)),
    };
    let tables = order.tables.iter();
    tables
        .map(|table| format!(",\"table\":{}{types},\"operation\":", json!(table)))
        .collect()
}

impl Writer {
    fn instance(&mut self, fetched: &Fetched) -> Result<ControlFlow<()>, String> {
        match &fetched.instance {
            None => self.progress.miss(&fetched.id),
            Some(instance) => {
                if self.lines_of(instance)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                self.progress.instances += 1;
                self.progress.pass(&fetched.id);
            }
        }
        self.since += 1;
        match self.since >= INSTANCES {
            true => Ok(self.hand_over(false)),
            false => Ok(ControlFlow::Continue(())),
        }
    }

    fn lines_of(&mut self, instance: &Instance) -> Result<ControlFlow<()>, String> {
        let id = &instance.head.id;
        let damaged = |error| format!("instance {}.{id}: {error}", self.order.logical_unit);
        let contents = Contents::open(instance).map_err(damaged)?;
        let content = hex(&instance.head.content_hash);
        // Another content begins anew.
        let mut skipped = match self.progress.inside.take() {
            Some(inside) if inside.id == *id && inside.content == content => inside.lines,
            Some(_) | None => 0,
        };
        self.progress.inside = Some(Inside {
            id: id.clone(),
            content,
            lines: skipped,
        });
        let start = format!(
            "{{\"logical_unit\":{},\"instance\":{}",
            json!(self.order.logical_unit),
            json!(id)
        );
        for at in 0..self.order.tables.len() {
            if self.order.truncate {
                let flow = match skipped {
                    0 => self.line(&start, at, None),
                    _ => {
                        skipped -= 1;
                        ControlFlow::Continue(())
                    }
                };
                if flow.is_break() {
                    return Ok(flow);
                }
            }
            let table = self.order.tables[at].clone();
            let flow = contents.each_row(&table, |columns, cells| match skipped {
                0 => self.line(&start, at, Some((columns, cells))),
                _ => {
                    skipped -= 1;
                    ControlFlow::Continue(())
                }
            });
            let flow = flow.map_err(|error| {
                let unit = &self.order.logical_unit;
                format!("instance {unit}.{id}, table {table}: {error}")
            })?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// One line; the block goes out before it where that is full.
    fn line(
        &mut self,
        start: &str,
        at: usize,
        row: Option<(&[String], &[Value])>,
    ) -> ControlFlow<()> {
        if self.count >= self.size.lines || self.lines.len() >= self.size.bytes {
            self.hand_over(false)?;
        }
        let before = self.lines.len();
        self.lines.push_str(start);
        self.lines.push_str(&self.heads[at]);
        match row {
            None => self.lines.push_str("\"TRUNCATE\"}\n"),
            Some((columns, cells)) => {
                self.lines.push_str("\"UPSERT\",\"values\":{");
                for (at, (column, cell)) in columns.iter().zip(cells).enumerate() {
                    if at > 0 {
                        self.lines.push(',');
                    }
                    push_text(&mut self.lines, column);
                    self.lines.push(':');
                    push_value(&mut self.lines, cell);
                }
                self.lines.push_str("}}\n");
                self.progress.rows += 1;
            }
        }
        self.count += 1;
        self.progress.bytes += (self.lines.len() - before) as u64;
        if let Some(inside) = &mut self.progress.inside {
            inside.lines += 1;
        }
        ControlFlow::Continue(())
    }

    fn hand_over(&mut self, is_last: bool) -> ControlFlow<()> {
        self.count = 0;
        self.since = 0;
        let block = Block {
            lines: std::mem::take(&mut self.lines),
            behind: self.progress.clone(),
            is_last,
        };
        match self.blocks.blocking_send(Ok(block)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

fn push_text(line: &mut String, text: &str) {
    // Writing to a text does not fail.
    let _ = write!(line, "{}", serde_json::Value::from(text));
}

fn push_value(line: &mut String, value: &Value) {
    let _ = match value {
        Value::Null => write!(line, "null"),
        Value::Integer(number) => write!(line, "{number}"),
        // JSON knows no infinity; SQLite writes it so, and most readers take it for one.
        Value::Real(number) if *number == f64::INFINITY => write!(line, "9e999"),
        Value::Real(number) if *number == f64::NEG_INFINITY => write!(line, "-9e999"),
        Value::Real(number) => write!(line, "{}", json!(number)),
        Value::Text(text) => write!(line, "{}", json!(text)),
        Value::Blob(bytes) => write!(line, "\"x'{}'\"", hex(bytes)),
    };
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_that_keeps_them() {
        let check = |value: Value, expected: &str| {
            let mut line = String::new();
            push_value(&mut line, &value);
            assert_eq!(line, expected);
        };
        check(Value::Null, "null");
        check(Value::Integer(i64::MIN), "-9223372036854775808");
        check(Value::Real(0.1), "0.1");
        check(Value::Real(3.0), "3.0");
        check(Value::Real(f64::INFINITY), "9e999");
        check(Value::Real(f64::NEG_INFINITY), "-9e999");
        check(
            Value::Text("a\"\n\u{2028}ü".to_owned()),
            "\"a\\\"\\n\u{2028}ü\"",
        );
        check(Value::Blob(vec![0, 255]), "\"x'00ff'\"");
    }
}
