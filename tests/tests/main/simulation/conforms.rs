//! The conformance suite on the simulated store, calm and at its nastiest.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use weft_store::SharedStore;
use weft_tests::conformance::{Harness, run_suite};
use weft_tests::sim::store::{FaultPlan, SimStore};
use weft_tests::sim::{Control, in_simulated_time};

/// A fresh store per case, each of another seed.
struct Simulated {
    faults: FaultPlan,
    seed: AtomicU64,
}

#[async_trait]
impl Harness for Simulated {
    async fn store(&self) -> anyhow::Result<SharedStore> {
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let store = SimStore::new(seed, false);
        store.inner().faults = self.faults.clone();
        let control = Control::new(store.started());
        Ok(store.handle("suite", control))
    }
}

fn conforms(name: &str, faults: FaultPlan) {
    let harness = Simulated {
        faults,
        seed: AtomicU64::new(0),
    };
    let count = in_simulated_time(run_suite(name, &harness));
    assert!(count >= 60 || std::env::var_os("WEFT_CASE").is_some());
}

#[test]
fn simulated_conforms() {
    conforms("sim", FaultPlan::none());
}

#[test]
fn simulated_conforms_while_answers_are_lost() {
    // Reads and plain writes are not settled by the suite, so only compare-and-sets fail.
    let faults = FaultPlan {
        unknown_applied: 0.2,
        unknown_dropped: 0.1,
        ..FaultPlan::none()
    };
    conforms("sim-unknown", faults);
}
