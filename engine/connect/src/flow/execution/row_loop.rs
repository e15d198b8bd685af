//! Loops: the body of a stage runs once for each row, several rows at once.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Map, Value};

use super::{Execution, Location, StageFailure};
use crate::flow::actor::OUTPUT_BYTES;
use crate::flow::definition::{RowLoop, RowSource, Stage};
use crate::flow::scope::Scope;
use crate::flow::sql::parameters_of;
use crate::flow::value::{json_bytes, kind_of};

/// What the rows of a loop have collected.
#[derive(Default)]
struct Collected {
    /// Rows that have ended.
    count: u64,
    bytes: usize,
    /// The number of the row, and a value for each list.
    values: Vec<(usize, Vec<Value>)>,
}

impl Collected {
    /// Adds a row.
    ///
    /// # Errors
    /// The lists are too long.
    fn add(&mut self, number: usize, values: Vec<Value>) -> Result<(), String> {
        self.count += 1;
        if values.is_empty() {
            return Ok(());
        }
        let bytes = self.bytes + values.iter().map(json_bytes).sum::<usize>();
        if bytes > OUTPUT_BYTES {
            let limit = OUTPUT_BYTES / 1024 / 1024;
            return Err(format!("what it collects has more than {limit} MiB"));
        }
        self.bytes = bytes;
        self.values.push((number, values));
        Ok(())
    }

    /// The outputs of the loop: the number of rows, and the lists in the order of the rows.
    fn into_outputs(mut self, repeat: &RowLoop) -> Map<String, Value> {
        self.values.sort_by_key(|(number, _)| *number);
        let mut outputs = Map::new();
        outputs.insert("count".to_owned(), Value::from(self.count));
        for (at, (name, _)) in repeat.collect.iter().enumerate() {
            let values = self.values.iter_mut();
            let values = values.map(|(_, values)| values[at].take()).collect();
            outputs.insert(name.clone(), Value::Array(values));
        }
        outputs
    }
}

impl Execution<'_> {
    /// Runs the body once for each row. After a failure no further row starts.
    pub(super) async fn row_loop(
        &self,
        stage: &Stage,
        repeat: &RowLoop,
        scope: &Scope<'_>,
        location: &Location,
    ) -> Result<Map<String, Value>, StageFailure> {
        let rows = self.rows(stage, repeat, scope).await?;
        let has_failed = &AtomicBool::new(false);
        let stop = &self.call.stop;
        let continues = move |_: &_| {
            let continues = !has_failed.load(Ordering::Relaxed) && !stop.is_cancelled();
            std::future::ready(continues)
        };
        let mut passes = rows
            .take_while(continues)
            .enumerate()
            .map(|(number, row)| -> BoxFuture<'_, _> {
                Box::pin(async move {
                    let passed = match row {
                        Ok(row) => {
                            self.row(stage, repeat, (number, row), scope, location)
                                .await
                        }
                        Err(error) => Err(StageFailure::within(stage, "Rows", error)),
                    };
                    has_failed.fetch_or(passed.is_err(), Ordering::Relaxed);
                    passed.map(|values| (number, values))
                })
            })
            .buffer_unordered(repeat.parallel);
        let mut failed: Option<StageFailure> = None;
        let mut collected = Collected::default();
        while let Some(passed) = passes.next().await {
            let added = passed.and_then(|(number, values)| {
                let added = collected.add(number, values);
                added.map_err(|message| StageFailure::within(stage, "Memory", message))
            });
            if let Err(other) = added {
                has_failed.store(true, Ordering::Relaxed);
                // A failure that ends the flow takes precedence; otherwise the first counts.
                match other.failure.kind.can_be_handled() {
                    false => failed = Some(other),
                    true => _ = failed.get_or_insert(other),
                }
            }
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        if stop.is_cancelled() {
            let count = collected.count;
            let message = format!("it was stopped after {count} rows of stage {}", stage.name);
            return Err(StageFailure::stopped(stage, message));
        }
        let outputs = Value::Object(collected.into_outputs(repeat));
        Ok(Map::from_iter([(stage.name.clone(), outputs)]))
    }

    /// Runs the body for one row; returns the values to collect.
    async fn row(
        &self,
        stage: &Stage,
        repeat: &RowLoop,
        (number, row): (usize, Value),
        scope: &Scope<'_>,
        location: &Location,
    ) -> Result<Vec<Value>, StageFailure> {
        let too_large = |error: String| {
            StageFailure::within(stage, "Memory", format!("row {}: {error}", number + 1))
        };
        let mut inner = Scope::within(scope);
        inner.keep(&repeat.variable, row).map_err(too_large)?;
        let location = location.inside(&format!("{}[{number}]", stage.name), false);
        let outputs = self.pass(stage, &inner, &location).await?;
        let mut visible = Scope::within(&inner);
        visible.keep_all(outputs).map_err(too_large)?;
        let collected = repeat.collect.iter().map(|(name, value)| {
            let value = value.value(&visible);
            value.map_err(|error| {
                StageFailure::within(stage, "Collect", format!("collect.{name}: {error}"))
            })
        });
        collected.collect()
    }

    async fn rows<'s>(
        &self,
        stage: &Stage,
        repeat: &'s RowLoop,
        scope: &Scope<'_>,
    ) -> Result<BoxStream<'s, Result<Value, String>>, StageFailure> {
        let failed = |error: String| StageFailure::within(stage, "Rows", error);
        match &repeat.rows {
            RowSource::List(expression) => match expression.value(scope).map_err(failed)? {
                Value::Array(rows) => Ok(stream::iter(rows.into_iter().map(Ok)).boxed()),
                Value::Null => Ok(stream::empty().boxed()),
                other => {
                    let kind = kind_of(&other);
                    Err(failed(format!("`over` must be a list, not {kind}")))
                }
            },
            RowSource::Query {
                interface,
                sql,
                parameters,
                ..
            } => {
                let interface = self.project.interface(interface).map_err(failed)?;
                let parameters = match parameters.value(scope).map_err(failed)? {
                    Value::Array(list) => list.iter().map(parameters_of).collect(),
                    _ => Err("`parameters` must be a list".to_owned()),
                };
                let ids = interface.ids(sql, parameters.map_err(failed)?, None).await;
                let ids = ids.map_err(|error| failed(error.to_string()))?;
                // Pages are received as rows are needed; meanwhile the source waits.
                let pages = stream::unfold(ids, |mut ids| async {
                    ids.recv().await.map(|page| (page, ids))
                });
                let rows = pages.flat_map(|page| {
                    let rows: Vec<Result<Value, String>> = match page {
                        Ok(page) => page.ids.into_iter().map(|id| Ok(Value::from(id))).collect(),
                        Err(error) => vec![Err(error.to_string())],
                    };
                    stream::iter(rows)
                });
                Ok(rows.boxed())
            }
        }
    }
}
