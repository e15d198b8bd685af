//! What one run measured: a line of JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gauge::Reading;
use crate::place::Place;
use crate::work::Work;

/// Who wrote the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Engine,
    Bare,
    Latency,
}

/// One process, one measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub kind: Kind,
    /// `sqlite` or `cassandra`.
    pub store: String,
    /// `noop` or `sync`.
    pub work: String,
    pub ids: usize,
    pub seconds: f64,
    pub rate: f64,
    /// CPU of this process during the measurement, per entity.
    pub cpu_us: f64,
    /// CPU of the server during the measurement, per entity.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server_cpu_us: Option<f64>,
    /// Peak resident memory of this process, and what it was before the measurement.
    pub peak_kib: u64,
    pub start_kib: u64,
    /// How much of both cores others used meanwhile, from 0 to 1.
    pub others_cpu_frac: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cost: Option<StoreCost>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency: Option<Latency>,
}

/// What the store was asked for one batch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoreCost {
    pub chunks: u64,
    pub compare_and_sets: u64,
    pub calls: u64,
    pub compare_and_sets_by_verb: BTreeMap<String, u64>,
    pub calls_by_verb: BTreeMap<String, u64>,
}

impl StoreCost {
    /// The most compare-and-sets that a batch may cost (docs/design/bounds.md).
    pub fn bound(&self) -> u64 {
        12 + 8 * self.chunks
    }
}

/// Milliseconds from an accepted submission to the first entity.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Latency {
    pub batches: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Run {
    /// The figures that every measurement has.
    pub fn of(kind: Kind, place: &Place, work: Work, ids: usize, reading: &Reading) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "millions at most")]
        let count = ids as f64;
        Self {
            kind,
            store: place.name().to_owned(),
            work: work.name().to_owned(),
            ids,
            seconds: reading.seconds,
            rate: count / reading.seconds,
            cpu_us: reading.cpu_us / count,
            server_cpu_us: reading.server_cpu_us.map(|cpu| cpu / count),
            peak_kib: 0,
            start_kib: reading.start_kib,
            others_cpu_frac: reading.others_cpu_frac,
            cost: None,
            latency: None,
        }
    }
}
