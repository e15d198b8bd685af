//! Converts instances to blocks of JSON lines, on its own thread.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use serde_json::json;
use tokio::sync::mpsc;
use weft_model::Instance;
use weft_model::Value;
use weft_project::sync::Contents;

use super::definition::Selection;
use super::progress::{PartialInstance, Progress};
use crate::hex::hex;

/// Finished blocks that wait for the sink.
const READY: usize = 2;
/// Instances that wait for conversion.
const WAITING: usize = 2;
/// A block ends after this many instances even if it has no lines, so that progress through empty instances is saved.
const INSTANCES: u64 = 10_000;

/// An instance that was read.
#[derive(Debug)]
pub(super) struct FetchedInstance {
    pub(super) id: String,
    /// None if it is not stored.
    pub(super) instance: Option<Instance>,
}

/// Complete lines, and the progress after them.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) lines: String,
    pub(super) progress: Progress,
    /// No block follows.
    pub(super) is_last: bool,
}

/// The size at which a block ends. The last line may exceed it.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSize {
    pub(super) lines: u64,
    pub(super) bytes: usize,
}

/// The channels of the thread.
pub(super) struct LineThread {
    /// Receives instances in their order. After it is closed, the last block follows.
    pub(super) instances: mpsc::Sender<FetchedInstance>,
    /// Sends blocks, or the error that ended the thread.
    pub(super) blocks: mpsc::Receiver<Result<Block, String>>,
}

/// Starts the thread. It ends when one of its channels is closed.
///
/// # Errors
/// A sentence: the thread cannot be started.
pub(super) fn start(
    selection: &Selection,
    from: Progress,
    size: BlockSize,
) -> Result<LineThread, String> {
    let (instances, mut fetched) = mpsc::channel::<FetchedInstance>(WAITING);
    let (sender, blocks) = mpsc::channel(READY);
    let mut writer = Writer {
        heads: heads(selection),
        selection: selection.clone(),
        size,
        progress: from,
        lines: String::new(),
        count: 0,
        instance_count: 0,
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
                        // The receiver may be gone.
                        let _ = writer.blocks.blocking_send(Err(error));
                        return;
                    }
                }
            }
            let _ = writer.send(true);
        });
    started.map_err(|error| format!("cannot start a thread: {error}"))?;
    Ok(LineThread { instances, blocks })
}

struct Writer {
    selection: Selection,
    /// For each table, the part of its lines after the id of the instance.
    heads: Vec<String>,
    size: BlockSize,
    progress: Progress,
    lines: String,
    /// Lines in the current block.
    count: u64,
    /// Instances in the current block.
    instance_count: u64,
    blocks: mpsc::Sender<Result<Block, String>>,
}

fn heads(selection: &Selection) -> Vec<String> {
    let types = match selection.types.is_empty() {
        true => String::new(),
        false => format!(",\"types\":{}", json!(selection.types)),
    };
    let tables = selection.tables.iter();
    tables
        .map(|table| format!(",\"table\":{}{types},\"operation\":", json!(table)))
        .collect()
}

impl Writer {
    fn instance(&mut self, fetched: &FetchedInstance) -> Result<ControlFlow<()>, String> {
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
        self.instance_count += 1;
        match self.instance_count >= INSTANCES {
            true => Ok(self.send(false)),
            false => Ok(ControlFlow::Continue(())),
        }
    }

    /// Converts an instance; skips lines that an earlier try has published.
    fn lines_of(&mut self, instance: &Instance) -> Result<ControlFlow<()>, String> {
        let id = &instance.head.id;
        let damaged = |error| format!("instance {}.{id}: {error}", self.selection.logical_unit);
        let contents = Contents::open(instance).map_err(damaged)?;
        let content = hex(&instance.head.content_hash);
        // If the content has changed, the instance starts over.
        let mut skipped = match self.progress.partial.take() {
            Some(partial) if partial.id == *id && partial.content == content => partial.lines,
            Some(_) | None => 0,
        };
        self.progress.partial = Some(PartialInstance {
            id: id.clone(),
            content,
            lines: skipped,
        });
        let start = format!(
            "{{\"logical_unit\":{},\"instance\":{}",
            json!(self.selection.logical_unit),
            json!(id)
        );
        for at in 0..self.selection.tables.len() {
            if self.selection.truncate {
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
            let table = self.selection.tables[at].clone();
            let flow = contents.each_row(&table, |columns, cells| match skipped {
                0 => self.line(&start, at, Some((columns, cells))),
                _ => {
                    skipped -= 1;
                    ControlFlow::Continue(())
                }
            });
            let flow = flow.map_err(|error| {
                let unit = &self.selection.logical_unit;
                format!("instance {unit}.{id}, table {table}: {error}")
            })?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Adds a line: a row, or TRUNCATE. A full block is sent first.
    fn line(
        &mut self,
        start: &str,
        at: usize,
        row: Option<(&[String], &[Value])>,
    ) -> ControlFlow<()> {
        if self.count >= self.size.lines || self.lines.len() >= self.size.bytes {
            self.send(false)?;
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
        if let Some(partial) = &mut self.progress.partial {
            partial.lines += 1;
        }
        ControlFlow::Continue(())
    }

    /// Sends the current block. Break if the receiver is gone.
    fn send(&mut self, is_last: bool) -> ControlFlow<()> {
        self.count = 0;
        self.instance_count = 0;
        let block = Block {
            lines: std::mem::take(&mut self.lines),
            progress: self.progress.clone(),
            is_last,
        };
        match self.blocks.blocking_send(Ok(block)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

fn push_text(line: &mut String, text: &str) {
    // Writing to a String does not fail.
    let _ = write!(line, "{}", serde_json::Value::from(text));
}

fn push_value(line: &mut String, value: &Value) {
    let _ = match value {
        Value::Null => write!(line, "null"),
        Value::Integer(number) => write!(line, "{number}"),
        // JSON has no infinity. SQLite writes it like this, and most parsers read it as infinity.
        Value::Real(number) if *number == f64::INFINITY => write!(line, "9e999"),
        Value::Real(number) if *number == f64::NEG_INFINITY => write!(line, "-9e999"),
        Value::Real(number) => write!(line, "{}", json!(number)),
        Value::Text(text) => write!(line, "{}", json!(text)),
        Value::Blob(bytes) => write!(line, "\"x'{}'\"", hex(bytes)),
    };
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
