//! The clock of a node, compared with the clock of the store.
//!
//! Due hints and times of jobs are wall-clock times that all nodes read. A machine whose clock is wrong by minutes would run
//! jobs early, and would write hints where no node reads. So a node compares its clock with the store's when it starts and
//! every minute. Beyond [`FAR_OFF`] it starts no job at a time of its own choice, and takes the time of the store for
//! everything that it writes.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tracing::{debug, error, info, warn};
use weft_model::Bug;
use weft_model::clock::{Clock, SharedClock, Timestamp};
use weft_store::{SelfFence, SharedStore, Store, StoreResult};

use crate::Wake;
use crate::lock::lock;

/// Deviations from here on are reported.
pub const NOTEWORTHY: Duration = Duration::from_secs(1);
/// From this deviation on a node does not start jobs at their times.
pub const FAR_OFF: Duration = Duration::from_secs(5);
/// How often a node compares the clocks.
const EVERY: Duration = Duration::from_secs(60);
/// How often it checks whether its own clock was set, which calls for a comparison at once.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// A wall clock that leaves the monotonic clock by more than this since the last comparison was set.
const STEP_MS: i64 = 1_000;

/// The clocks of the machine, with the wall clock corrected where it is far off.
#[derive(Debug)]
pub struct NodeClock {
    machine: SharedClock,
    measured: Mutex<Option<Measured>>,
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// The wall clock of the machine at the comparison.
    wall: Timestamp,
    /// The monotonic clock then.
    monotonic: Duration,
    /// What to add to the wall clock to get the time of the store.
    offset_ms: i64,
}

impl NodeClock {
    /// Creates the clock of a node. Until the first comparison it shows the machine's.
    pub fn new(machine: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            machine,
            measured: Mutex::new(None),
        })
    }

    /// How far the store's clock is ahead of the machine's, in milliseconds, at the last comparison; `None` before the first.
    pub fn offset_ms(&self) -> Option<i64> {
        self.lock().map(|measured| measured.offset_ms)
    }

    /// Whether the clock of the machine is near enough to the store's to start jobs at their times.
    pub fn is_near(&self) -> bool {
        self.lock()
            .is_none_or(|measured| !is_far_off(measured.offset_ms))
    }

    /// Why jobs do not start at their times on this node; `None` if they do.
    pub fn problem(&self) -> Option<String> {
        let offset_ms = self
            .offset_ms()
            .filter(|offset_ms| is_far_off(*offset_ms))?;
        Some(format!(
            "the clock of this machine is {}: no job starts at its time here",
            describe(offset_ms)
        ))
    }

    /// Compares the clock with the store's.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn measure(&self, store: &dyn Store) -> StoreResult<i64> {
        let mut measured = self.measure_once(store).await?;
        if measured.offset_ms.abs() >= millis(NOTEWORTHY) {
            // One server of the store may be wrong. The median of three asks others as well.
            let mut all = [
                measured,
                self.measure_once(store).await?,
                self.measure_once(store).await?,
            ];
            all.sort_by_key(|measured| measured.offset_ms);
            measured = all[1];
        }
        *self.lock() = Some(measured);
        metrics::gauge!("clock_offset_ms").set(measured.offset_ms as f64);
        Ok(measured.offset_ms)
    }

    async fn measure_once(&self, store: &dyn Store) -> StoreResult<Measured> {
        let (wall, before) = (self.machine.now(), self.machine.monotonic());
        let found = store.store_time().await?;
        let took = millis(self.machine.monotonic().saturating_sub(before));
        // The store read its clock at some moment of the call.
        let offset_ms = found.millis_since(wall) - took / 2;
        let certain = offset_ms.abs().saturating_sub(took / 2).max(0);
        Ok(Measured {
            wall,
            monotonic: before,
            offset_ms: certain * offset_ms.signum(),
        })
    }

    /// Whether the wall clock was set since the last comparison.
    fn was_set(&self) -> bool {
        let measured = *self.lock();
        measured.is_some_and(|measured| self.step_since(&measured).abs() > STEP_MS)
    }

    /// By how much the wall clock was set since the last comparison, in milliseconds.
    fn step_since(&self, measured: &Measured) -> i64 {
        let passed = self.machine.monotonic().saturating_sub(measured.monotonic);
        self.machine.now().millis_since(measured.wall.plus(passed))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Measured>> {
        lock(&self.measured)
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let now = self.machine.now();
        let Some(measured) = *self.lock() else {
            return now;
        };
        let step = self.step_since(&measured);
        // A step is not believed before the next comparison.
        let steady = now.0 - if step.abs() > STEP_MS { step } else { 0 };
        let correction = match is_far_off(measured.offset_ms) {
            true => measured.offset_ms,
            false => 0,
        };
        Timestamp(steady + correction)
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }
}

/// Compares the clocks until the node fences itself.
pub async fn run(
    node_clock: Arc<NodeClock>,
    store: SharedStore,
    wake: Wake,
    self_fence: SelfFence,
) {
    let mut measured_at = node_clock.monotonic();
    while self_fence.wait(CHECK_EVERY).await {
        let now = node_clock.monotonic();
        if now.saturating_sub(measured_at) < EVERY && !node_clock.was_set() {
            continue;
        }
        let was_near = node_clock.is_near();
        let before = node_clock.offset_ms();
        match node_clock.measure(store.as_ref()).await {
            Ok(offset_ms) => {
                measured_at = now;
                report(before, offset_ms);
                if !was_near && node_clock.is_near() {
                    // The jobs that it passed on to other nodes may start here again.
                    wake.affinity_changed();
                }
            }
            Err(error) => debug!(error = %error, "Cannot read the clock of the store: {error}"),
        }
    }
}

/// Logs a deviation when it appears, changes in kind, or has gone.
pub(crate) fn report(before: Option<i64>, offset_ms: i64) {
    let kind = |offset_ms: i64| (is_far_off(offset_ms), offset_ms.abs() >= millis(NOTEWORTHY));
    let kind_before = before.map_or((false, false), kind);
    if kind(offset_ms) == kind_before {
        return;
    }
    let text = describe(offset_ms);
    match kind(offset_ms) {
        (true, _) => error!(
            clock_offset_ms = offset_ms,
            "The clock of this machine is {text}: no job starts at its time on this node until the clock is set"
        ),
        (false, true) => warn!(
            clock_offset_ms = offset_ms,
            "The clock of this machine is {text}"
        ),
        (false, false) => info!(
            clock_offset_ms = offset_ms,
            "The clock of this machine is right again"
        ),
    }
}

fn is_far_off(offset_ms: i64) -> bool {
    offset_ms.abs() >= millis(FAR_OFF) && !Bug::WrongClockFires.is_planted()
}

fn describe(offset_ms: i64) -> String {
    let seconds = offset_ms.unsigned_abs() as f64 / 1_000.0;
    let direction = if offset_ms < 0 { "ahead of" } else { "behind" };
    format!("{seconds:.1} s {direction} the clock of the store")
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::*;

    /// The wall and the monotonic clock of a machine, in milliseconds.
    #[derive(Debug, Default)]
    struct Machine {
        wall: AtomicI64,
        monotonic: AtomicU64,
    }

    impl Machine {
        fn pass(&self, ms: u32) {
            self.wall.fetch_add(i64::from(ms), Ordering::Relaxed);
            self.monotonic.fetch_add(u64::from(ms), Ordering::Relaxed);
        }
    }

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            Timestamp(self.wall.load(Ordering::Relaxed))
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.monotonic.load(Ordering::Relaxed))
        }
    }

    fn clock_with(offset_ms: i64) -> (Arc<Machine>, Arc<NodeClock>) {
        let machine = Arc::new(Machine::default());
        machine.pass(100_000);
        let clock = NodeClock::new(machine.clone());
        *clock.lock() = Some(Measured {
            wall: machine.now(),
            monotonic: machine.monotonic(),
            offset_ms,
        });
        (machine, clock)
    }

    #[test]
    fn a_near_clock_is_not_corrected() {
        for offset_ms in [0, 900, -1_500, 4_999, -4_999] {
            let (machine, clock) = clock_with(offset_ms);
            machine.pass(700);
            assert_eq!(clock.now(), Timestamp(100_700), "{offset_ms}");
            assert!(clock.is_near() && clock.problem().is_none());
        }
    }

    #[test]
    fn a_clock_that_is_far_off_shows_the_time_of_the_store() {
        for offset_ms in [5_000, -5_000, -3_600_000] {
            let (machine, clock) = clock_with(offset_ms);
            machine.pass(700);
            assert_eq!(clock.now(), Timestamp(100_700 + offset_ms));
            assert!(!clock.is_near());
        }
        let (_, clock) = clock_with(-3_600_000);
        assert_eq!(
            clock.problem().as_deref(),
            Some(
                "the clock of this machine is 3600.0 s ahead of the clock of the store: no job starts at its time here"
            )
        );
    }

    #[test]
    fn a_step_is_not_believed_before_the_next_comparison() {
        for step in [-5_000, 3_600_000] {
            let (machine, clock) = clock_with(0);
            machine.wall.fetch_add(step, Ordering::Relaxed);
            machine.pass(700);
            assert_eq!(clock.now(), Timestamp(100_700));
            assert!(clock.was_set());
        }
        let (machine, clock) = clock_with(0);
        machine.wall.fetch_add(-900, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(99_100), "a small one is");
        assert!(!clock.was_set());
    }
}
