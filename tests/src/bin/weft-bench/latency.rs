//! How long an idle node takes from an accepted submission to the first entity.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weft_model::clock::{SharedClock, SystemClock};

use crate::PlaceArguments;
use crate::engine::Serving;
use crate::gauge::{Gauge, peak_kib};
use crate::run::{Kind, Latency, Run};
use crate::work::{NoopFactory, Work, check_done};

/// Ids of each batch.
const IDS: usize = 4;
/// Batches that warm up and are not counted.
const WARM_UP: usize = 10;
/// Between batches, so that the node is idle.
const IDLE: Duration = Duration::from_millis(30);

pub async fn measure(arguments: &PlaceArguments, batches: usize) -> Result<Run> {
    let place = arguments.place()?;
    let clock: SharedClock = Arc::new(SystemClock);
    let store = place.open().await?;
    let factory = Arc::new(NoopFactory::noting_first(IDS));
    let serving = Serving::start(
        Arc::clone(&store),
        clock,
        Arc::clone(&factory) as _,
        &place.folder,
    )
    .await;
    let gauge = Gauge::start(arguments.server)?;
    let mut millis = Vec::with_capacity(batches);
    for round in 0..WARM_UP + batches {
        let submit = serving.submission(Work::Noop, IDS);
        serving.submit(&submit).await?;
        let accepted = Instant::now();
        let (batch, _) = serving.end_of(submit.batch.id).await?;
        check_done(&batch, IDS)?;
        let first = factory.take_first().context("an entity was entered")?;
        if round >= WARM_UP {
            millis.push(first.saturating_duration_since(accepted).as_secs_f64() * 1e3);
        }
        tokio::time::sleep(IDLE).await;
    }
    let reading = gauge.read()?;
    serving.end().await?;
    let peak_kib = peak_kib()?;
    drop(store);
    place.remove().await?;
    millis.sort_by(f64::total_cmp);
    let at = |percent: usize| millis[(millis.len() * percent / 100).min(millis.len() - 1)];
    let latency = Latency {
        batches,
        p50_ms: at(50),
        p99_ms: at(99),
        max_ms: at(100),
    };
    Ok(Run {
        latency: Some(latency),
        peak_kib,
        ..Run::of(Kind::Latency, &place, Work::Noop, batches, &reading)
    })
}
