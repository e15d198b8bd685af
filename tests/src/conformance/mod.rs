//! One suite for every store: a list of named cases, each a claim about the `Store` trait.
//!
//! Cases share a store and may run at the same time, so each case uses ids of its own and never assumes an empty store.
//! It settles every compare-and-set as the engine does, so a store may answer Unknown at any time.

mod batches;
mod becomes;
mod checkpoints;
mod chunks;
mod cleanup;
mod deployment;
mod fixture;
mod flush;
mod instances;
mod job_hints;
mod job_requests;
mod jobs;
mod limits;
mod listings;
mod meaning;
mod nodes;
mod parsed;
mod settings;
mod tokens;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use weft_store::{SharedStore, SubmitBatch};

/// The time limit of a case.
const LONGEST_CASE: Duration = Duration::from_secs(180);

/// One claim about the `Store` trait.
#[derive(Clone, Copy)]
pub struct Case {
    /// The claim as a function name.
    pub name: &'static str,
    /// Checks the claim; panics if it does not hold.
    pub run: fn(SharedStore) -> BoxFuture<'static, ()>,
}

/// Provides the store of each case.
#[async_trait]
pub trait Harness: Send + Sync {
    /// A store with a schema, either a new one or one that cases share.
    async fn store(&self) -> anyhow::Result<SharedStore>;
}

/// Lists cases by the names of their functions.
macro_rules! claims {
    ($($name:ident),* $(,)?) => {
        pub(super) const CASES: &[crate::conformance::Case] = &[$(crate::conformance::Case {
            name: stringify!($name),
            run: |store| Box::pin($name(store)),
        }),*];
    };
}
use claims;

/// All cases, by module.
pub fn cases() -> impl Iterator<Item = Case> {
    [
        jobs::CASES,
        job_requests::CASES,
        job_hints::CASES,
        batches::CASES,
        listings::CASES,
        chunks::CASES,
        flush::CASES,
        tokens::CASES,
        meaning::CASES,
        nodes::CASES,
        instances::CASES,
        deployment::CASES,
        checkpoints::CASES,
        parsed::CASES,
        settings::CASES,
        limits::CASES,
        cleanup::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// A submission of a new batch, for tests outside the suite.
pub fn submission() -> SubmitBatch {
    fixture::submission()
}

/// Runs the cases in sequence and returns their number.
///
/// If `WEFT_REPORT_DIR` is set, the number is also written to `conformance-<store>.txt` there. If `WEFT_CASE` is set,
/// only cases whose name contains it run.
///
/// # Panics
/// If a case fails; the message lists all that failed.
pub async fn run_suite(store_name: &str, harness: &dyn Harness) -> usize {
    let only = std::env::var("WEFT_CASE").unwrap_or_default();
    let mut count = 0;
    let mut failures = Vec::new();
    for case in cases().filter(|case| case.name.contains(&only)) {
        count += 1;
        if let Err(reason) = run_case(case, harness).await {
            eprintln!("{store_name}: {} FAILED: {reason}", case.name);
            failures.push(case.name);
        }
    }
    eprintln!(
        "{store_name}: {} of {count} conformance cases hold",
        count - failures.len()
    );
    if let Some(folder) = std::env::var_os("WEFT_REPORT_DIR") {
        let file = std::path::Path::new(&folder).join(format!("conformance-{store_name}.txt"));
        std::fs::write(&file, format!("{count}\n")).expect("the report folder can be written");
    }
    assert!(
        failures.is_empty(),
        "{store_name} does not conform: {}",
        failures.join(", ")
    );
    count
}

async fn run_case(case: Case, harness: &dyn Harness) -> Result<(), String> {
    let store = harness
        .store()
        .await
        .map_err(|error| format!("no store: {error:#}"))?;
    let outcome = tokio::time::timeout(
        LONGEST_CASE,
        AssertUnwindSafe((case.run)(store)).catch_unwind(),
    )
    .await;
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(panic)) => Err(text_of(panic.as_ref())),
        Err(_) => Err(format!("not finished after {LONGEST_CASE:?}")),
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without text".to_owned())
}
