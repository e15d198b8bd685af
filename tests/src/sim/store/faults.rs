//! What can go wrong with a call, and how often.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

/// Chances per call, and bounds. All zero: a store that answers everything at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// A compare-and-set takes effect and the answer is lost.
    pub unknown_applied: f64,
    /// A compare-and-set never takes effect, and there is no answer.
    pub unknown_dropped: f64,
    /// A compare-and-set takes effect later, if its condition then holds.
    pub unknown_later: f64,
    /// A call is refused before anything can take effect.
    pub unavailable: f64,
    /// A read fails. SERIAL reads fail three times as often.
    pub read_failure: f64,
    /// A plain write fails although it took effect, at once or later.
    pub plain_unsure: f64,
    /// A read of the nodes, or of a hint just written, is stale.
    pub stale: f64,
    /// A hint is acknowledged and lost.
    pub hint_lost: f64,
    /// A call takes long.
    pub slow: f64,
    /// How long a slow call takes at most.
    pub slowest: Duration,
    /// How long a committed read may miss an attempt that was not acknowledged.
    pub staleness: Duration,
    /// How late a compare-and-set may arrive.
    pub latest: Duration,
}

impl FaultPlan {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything at once, as often as `weight` says (1 = about every tenth call).
    pub fn weighted(weight: f64) -> Self {
        Self {
            unknown_applied: 0.03 * weight,
            unknown_dropped: 0.02 * weight,
            unknown_later: 0.02 * weight,
            unavailable: 0.02 * weight,
            read_failure: 0.01 * weight,
            plain_unsure: 0.02 * weight,
            stale: 0.05 * weight,
            hint_lost: 0.0,
            slow: 0.02 * weight,
            slowest: Duration::from_millis(400),
            staleness: Duration::from_millis(1_500),
            latest: Duration::from_secs(4),
        }
    }
}

/// What becomes of one compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives and its answer comes back.
    Answered,
    /// It arrives and its answer is lost.
    Applied,
    /// It is lost.
    Dropped,
    /// It arrives this many milliseconds later.
    Later(u64),
    /// It is refused.
    Refused,
}

/// The course of one call.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Milliseconds until it arrives.
    pub before: u64,
    /// Milliseconds until the answer is back.
    pub after: u64,
    /// What becomes of it.
    pub fate: Fate,
    /// If the caller dies meanwhile, it still arrives, this many milliseconds later.
    pub orphan: Option<u64>,
    /// Milliseconds for which committed reads may miss it.
    pub hidden: u64,
}

impl FaultPlan {
    /// Draws the course of a compare-and-set.
    pub fn draw_swap(&self, chance: &mut StdRng) -> Draw {
        let fate = self.draw_fate(chance);
        let (before, after) = self.latency(chance);
        let after = match fate {
            // A caller notices only later that an answer is lost.
            Fate::Applied | Fate::Dropped | Fate::Later(_) => after + chance.random_range(0..300),
            Fate::Answered | Fate::Refused => after,
        };
        let hidden = match fate {
            Fate::Answered | Fate::Dropped | Fate::Refused => after,
            Fate::Applied | Fate::Later(_) => after.max(up_to(chance, self.staleness)),
        };
        Draw {
            before,
            after,
            fate,
            orphan: self.orphan(chance),
            hidden,
        }
    }

    /// Draws the course of a plain write.
    pub fn draw_plain(&self, chance: &mut StdRng) -> Draw {
        let (before, after) = self.latency(chance);
        let roll: f64 = chance.random();
        let fate = if roll < self.plain_unsure {
            match chance.random_range(0..2) {
                0 => Fate::Applied,
                _ => Fate::Later(up_to(chance, self.latest)),
            }
        } else if roll < self.plain_unsure + self.unavailable {
            Fate::Refused
        } else {
            Fate::Answered
        };
        let late = chance.random_bool(self.stale.min(1.0));
        Draw {
            before,
            after,
            fate,
            orphan: self.orphan(chance),
            hidden: if late {
                up_to(chance, self.staleness)
            } else {
                after
            },
        }
    }

    /// Draws the course of a read.
    pub fn draw_read(&self, serial: bool, chance: &mut StdRng) -> Draw {
        let (before, after) = self.latency(chance);
        let failure = self.read_failure * if serial { 3.0 } else { 1.0 };
        let fails = chance.random_bool(failure.min(1.0));
        Draw {
            before,
            after,
            fate: if fails { Fate::Refused } else { Fate::Answered },
            orphan: None,
            hidden: 0,
        }
    }

    fn draw_fate(&self, chance: &mut StdRng) -> Fate {
        let mut roll: f64 = chance.random();
        let mut below = |part: f64| {
            let hit = roll < part;
            roll -= part;
            hit
        };
        if below(self.unknown_applied) {
            Fate::Applied
        } else if below(self.unknown_dropped) {
            Fate::Dropped
        } else if below(self.unknown_later) {
            Fate::Later(up_to(chance, self.latest))
        } else if below(self.unavailable) {
            Fate::Refused
        } else {
            Fate::Answered
        }
    }

    fn latency(&self, chance: &mut StdRng) -> (u64, u64) {
        let slow = chance.random_bool(self.slow.min(1.0));
        let before = if slow {
            1 + up_to(chance, self.slowest)
        } else {
            chance.random_range(1..3)
        };
        (before, chance.random_range(0..3))
    }

    fn orphan(&self, chance: &mut StdRng) -> Option<u64> {
        chance
            .random_bool(0.5)
            .then(|| up_to(chance, self.latest.max(Duration::from_millis(5))))
    }
}

fn up_to(chance: &mut StdRng, limit: Duration) -> u64 {
    let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    if limit == 0 {
        return 0;
    }
    chance.random_range(1..=limit)
}
