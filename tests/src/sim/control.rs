//! The control of one simulated process, which can be frozen, cut off and ended, and its clocks.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use weft_model::clock::{Clock, Timestamp};
use weft_node::NodeHandle;

/// The wall clock at simulated time zero.
pub const BASE: Timestamp = Timestamp(1_760_000_000_000);
/// The monotonic clock at simulated time zero, as on a machine that has been up for a while.
const UPTIME: Duration = Duration::from_secs(5_000);

/// Controls one process.
///
/// A frozen process is an approximation of SIGSTOP: its store calls and its entities pause and its
/// clocks show the time of the freeze, while its timers continue. On thaw its clocks jump, and the calls that it
/// had begun go out first.
#[derive(Debug)]
pub struct Control {
    started: Instant,
    // A watch channel wakes its waiters in an order that no seed controls; this wakes them in turn.
    thawed: Notify,
    frozen_at: Mutex<Option<Duration>>,
    cut: AtomicBool,
    dead: AtomicBool,
    freezes: AtomicU64,
    handle: OnceLock<NodeHandle>,
}

impl Control {
    /// A process that runs; `started` is simulated time zero.
    pub fn new(started: Instant) -> Arc<Self> {
        Arc::new(Self {
            started,
            thawed: Notify::new(),
            frozen_at: Mutex::new(None),
            cut: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            freezes: AtomicU64::new(0),
            handle: OnceLock::new(),
        })
    }

    /// Stops it, as SIGSTOP does.
    pub fn freeze(&self) {
        *self.lock() = Some(self.started.elapsed());
        self.freezes.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether it was ever stopped: then what it does late is no fault.
    pub fn was_frozen(&self) -> bool {
        self.freezes.load(Ordering::Acquire) > 0
    }

    /// Resumes it, as SIGCONT does.
    pub fn thaw(&self) {
        *self.lock() = None;
        self.thawed.notify_waiters();
    }

    /// Cuts it off from the store, or reconnects it.
    pub fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Release);
    }

    /// It cannot reach the store.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// The node that runs in it.
    pub fn holds(&self, handle: NodeHandle) {
        // A process gets its node once.
        let _ = self.handle.set(handle);
    }

    /// Ends it as kill -9 does.
    pub fn die(&self) {
        self.dead.store(true, Ordering::Release);
        if let Some(handle) = self.handle.get() {
            handle.kill();
        }
    }

    /// It has ended.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Resolves when the process may do something: at once, after a thaw, or never.
    pub async fn running(&self) {
        loop {
            let thawed = self.thawed.notified();
            if self.is_dead() {
                std::future::pending::<()>().await;
            }
            if self.lock().is_none() {
                return;
            }
            thawed.await;
        }
    }

    fn elapsed(&self) -> Duration {
        let frozen_at = *self.lock();
        frozen_at.unwrap_or_else(|| self.started.elapsed())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.frozen_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clocks of one process: simulated time, seen through its skew and its freezes.
#[derive(Debug)]
pub struct SimClock {
    control: Arc<Control>,
    skew_ms: Arc<AtomicI64>,
}

impl SimClock {
    /// The clocks of the process; its wall clock deviates by this much, which may change.
    pub fn new(control: Arc<Control>, skew_ms: Arc<AtomicI64>) -> Arc<Self> {
        Arc::new(Self { control, skew_ms })
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp(BASE.0 + self.skew_ms.load(Ordering::Acquire)).plus(self.control.elapsed())
    }

    fn monotonic(&self) -> Duration {
        UPTIME + self.control.elapsed()
    }
}
