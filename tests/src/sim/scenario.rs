//! The scenario of one seed, drawn before the world starts.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weft_model::Bug;
use weft_node::NodeConfig;

use super::cluster::Cluster;
use super::jobs::PlannedJob;
use super::script::Script;
use super::store::FaultPlan;

/// Everything that a seed draws.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The nodes, with the deviation of their wall clocks.
    pub nodes: Vec<(NodeConfig, i64)>,
    /// The batches.
    pub batches: Vec<Planned>,
    /// The jobs.
    pub jobs: Vec<PlannedJob>,
    /// The faults of calls until all faults end.
    pub faults: FaultPlan,
    /// The events for nodes and store, by simulated millisecond.
    pub events: Vec<(u64, Event)>,
    /// The senders of these compare-and-sets die in the middle of them.
    pub ambushes: BTreeSet<u64>,
    /// The node that dies during the run and never comes back.
    pub lost: Option<String>,
    /// An outage of the whole cluster after everything else, with crashes of the first node that starts.
    pub blackout: Option<Blackout>,
    /// When all faults end, in simulated milliseconds.
    pub calm_at: u64,
}

/// All nodes are down; then one starts and dies, several times.
#[derive(Clone, Debug)]
pub struct Blackout {
    /// How long no node runs, before each start, in minutes.
    pub dark_minutes: u64,
    /// After how many milliseconds the node that starts dies, for each start.
    pub crashes_after: Vec<u64>,
}

/// A batch to come.
#[derive(Clone, Debug)]
pub struct Planned {
    /// When it is submitted.
    pub at: u64,
    /// Its work.
    pub script: Script,
    /// GENERATE_ENTITIES_FIRST.
    pub generate_first: bool,
    /// ALLOW_MULTIPLE=false: no other such batch works at the same time.
    pub is_exclusive: bool,
    /// MAX_NODES.
    pub max_nodes: Option<i64>,
    /// MAX_WORKERS_PER_NODE.
    pub max_workers: Option<i64>,
    /// JOB_AFFINITY.
    pub job_affinity: Vec<String>,
    /// How long after its submission it is cancelled.
    pub cancel_after: Option<u64>,
}

/// An event from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// kill -9.
    Kill(String),
    /// SIGTERM.
    Drain(String),
    /// A process of the node starts, if it has none.
    Start(String),
    /// SIGSTOP.
    Freeze(String),
    /// SIGCONT.
    Thaw(String),
    /// The node and the store cannot reach each other.
    Cut(String),
    /// They can reach each other again.
    Join(String),
    /// The store is unavailable.
    Outage,
    /// The store is available again.
    Return,
    /// Nodes that ended by themselves are started again.
    Revive,
    /// The store loses a chunk that is not done, although it has acknowledged it.
    LoseChunk,
    /// The wall clock of the node is set forward by this many milliseconds, or back.
    SetClock(String, i64),
}

impl Event {
    /// Whether it can make entities run again.
    pub fn disturbs(&self) -> bool {
        match self {
            Self::Kill(_)
            | Self::Drain(_)
            | Self::Freeze(_)
            | Self::Cut(_)
            | Self::Outage
            | Self::LoseChunk => true,
            Self::Start(_)
            | Self::Thaw(_)
            | Self::Join(_)
            | Self::Return
            | Self::Revive
            | Self::SetClock(..) => false,
        }
    }
}

impl Scenario {
    /// The scenario of a seed. Every tenth is without faults, every other tenth has only calls that fail.
    pub fn of(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed ^ 0x5eed);
        let heartbeat = Duration::from_millis(pick(&mut chance, &[200, 400, 600, 1_000]));
        let poll = Duration::from_millis(pick(&mut chance, &[100, 250, 500, 1_000]));
        let nodes: Vec<(NodeConfig, i64)> = (1..=3)
            .map(|number| node(number, heartbeat, poll, &mut chance))
            .collect();
        let calm = seed.is_multiple_of(10);
        let only_calls = seed % 10 == 1;
        let faults = if calm || (!only_calls && chance.random_bool(0.2)) {
            FaultPlan::none()
        } else {
            FaultPlan::weighted(chance.random_range(0.2..4.0))
        };
        let mut events = Vec::new();
        if !calm && !only_calls {
            let dead_after = nodes[0].0.dead_after();
            for _ in 0..chance.random_range(0..=8) {
                disturb(&mut events, dead_after, &mut chance);
            }
        }
        let mut ambushes = BTreeSet::new();
        if !calm && !only_calls && chance.random_bool(0.6) {
            for _ in 0..chance.random_range(1..=6) {
                ambushes.insert(chance.random_range(1..250));
            }
            let every = chance.random_range(300..6_000);
            events.extend((1..16_000 / every).map(|turn| (turn * every, Event::Revive)));
        }
        let lost = (!calm && !only_calls && chance.random_bool(0.3))
            .then(|| format!("n{}", chance.random_range(1..=3)));
        if let Some(name) = &lost {
            events.retain(|(_, event)| *event != Event::Start(name.clone()));
            let at = chance.random_range(1_000..14_000);
            events.push((at, Event::Kill(name.clone())));
        }
        events.sort_by_key(|(at, _)| *at);
        let last = events.last().map_or(0, |(at, _)| *at);
        let batches = (0..chance.random_range(1..=4))
            .map(|_| planned(calm, lost.as_ref(), &mut chance))
            .collect();
        let jobs = (0..chance.random_range(0..=4))
            .map(|_| PlannedJob::drawn(calm, &mut chance))
            .collect();
        let scenario = Self {
            nodes,
            batches,
            jobs,
            faults,
            events,
            ambushes,
            lost,
            blackout: None,
            calm_at: last.max(15_000) + 1_000,
        };
        match seed % 10 {
            0 | 1 => scenario,
            2 => scenario.with_outages_only(seed),
            _ => scenario
                .with_wrong_clocks_and_lost_hints(seed)
                .with_bad_entities(seed),
        }
    }

    /// Leaves nothing but short outages of the store, during which no node may count as dead.
    fn with_outages_only(mut self, seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed ^ 0x0a7);
        self.faults = FaultPlan::none();
        self.ambushes.clear();
        self.events.clear();
        self.lost = None;
        let dead_after = self.nodes[0].0.dead_after();
        let dead_ms = u64::try_from(dead_after.as_millis()).unwrap_or(u64::MAX);
        let mut at = 1_000;
        for _ in 0..chance.random_range(1..=3) {
            at += chance.random_range(dead_ms..dead_ms * 2);
            let span = chance.random_range(dead_ms / 4..dead_ms * 3 / 5);
            self.events.push((at, Event::Outage));
            self.events.push((at + span, Event::Return));
            at += span;
        }
        self.calm_at = at.max(15_000) + 1_000;
        self
    }

    /// Adds entities that hang until their batch is cancelled, entities that end their process, and lost chunks.
    fn with_bad_entities(mut self, seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed ^ 0xbad);
        for planned in &mut self.batches {
            let ids: Vec<String> = planned
                .script
                .ids()
                .into_iter()
                .map(str::to_owned)
                .collect();
            if ids.is_empty() {
                continue;
            }
            let bad = ids[chance.random_range(0..ids.len())].clone();
            if planned.cancel_after.is_some() && chance.random_bool(0.4) {
                planned.script.hanging.insert(bad);
            } else if chance.random_bool(0.05) {
                planned.script.aborting.insert(bad);
            }
        }
        // A late copy of what was lost would bring it back beside its successor. Only with planted faults: a takeover of the
        // list while it is filled again counts as lost what is there already, and may fail the batch (seed 235).
        let loses = chance.random_bool(0.5) && self.faults == FaultPlan::none();
        if loses && Bug::IN_BUILD {
            let at = chance.random_range(1_000..12_000);
            self.events.push((at, Event::LoseChunk));
            self.events.sort_by_key(|(at, _)| *at);
        }
        self
    }

    /// Nothing in it makes a node die.
    pub fn kills_no_node(&self) -> bool {
        let is_short = |(_, event): &(u64, Event)| matches!(event, Event::Outage | Event::Return);
        self.faults == FaultPlan::none() && self.events.iter().all(is_short)
    }

    /// Adds what hides jobs from nodes, drawn apart from the rest.
    fn with_wrong_clocks_and_lost_hints(mut self, seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed ^ 0xc10c);
        if chance.random_bool(0.25) {
            for _ in 0..chance.random_range(1..=4) {
                let name = format!("n{}", chance.random_range(1..=3));
                let size = pick(
                    &mut chance,
                    &[900, 1_600, 4_000, 70_000, 600_000, 3_600_000],
                );
                let step = if chance.random_bool(0.5) { size } else { -size };
                let at = chance.random_range(200..15_000);
                self.events.push((at, Event::SetClock(name, step)));
            }
            self.events.sort_by_key(|(at, _)| *at);
        }
        if chance.random_bool(0.25) {
            self.blackout = Some(Blackout {
                dark_minutes: chance.random_range(1..90),
                crashes_after: (0..chance.random_range(1..=3))
                    .map(|_| chance.random_range(1..4_000))
                    .collect(),
            });
        }
        if chance.random_bool(0.15) {
            self.faults.hint_lost = 0.05;
            for (config, _) in &mut self.nodes {
                config.job_round_interval = Duration::from_secs(90);
            }
        }
        self
    }

    /// How often entities may have to run again.
    pub fn disturbances(&self) -> usize {
        let events = self.events.iter().filter(|(_, event)| event.disturbs());
        let crashes = self.blackout.as_ref().map_or(0, |blackout| {
            self.nodes.len() + blackout.crashes_after.len()
        });
        events.count() + crashes
    }

    /// It has no faults.
    pub fn is_calm(&self) -> bool {
        self.faults == FaultPlan::none() && self.events.is_empty()
    }
}

fn node(
    number: usize,
    heartbeat_interval: Duration,
    poll_interval: Duration,
    chance: &mut StdRng,
) -> (NodeConfig, i64) {
    let config = NodeConfig {
        heartbeat_interval,
        poll_interval,
        max_workers_per_node: chance.random_range(1..=4),
        max_chunk_size: pick(chance, &[4, 8, 16, 32]),
        cancel_grace: Duration::from_millis(chance.random_range(200..3_000)),
        reconcile_interval: Duration::from_secs(chance.random_range(15..60)),
        pace_window: Duration::from_secs(chance.random_range(1..10)),
        ..Cluster::quick_config(&format!("n{number}"))
    };
    let skew = chance.random_range(-2_000..2_000);
    (config, skew)
}

fn disturb(events: &mut Vec<(u64, Event)>, dead_after: Duration, chance: &mut StdRng) {
    let name = format!("n{}", chance.random_range(1..=3));
    let at = chance.random_range(200..15_000);
    let dead_ms = u64::try_from(dead_after.as_millis()).unwrap_or(u64::MAX);
    let span = chance.random_range(dead_ms / 10..dead_ms * 3);
    let (begin, end) = match chance.random_range(0..10) {
        0..=3 => (Event::Kill(name.clone()), Event::Start(name)),
        4 => (Event::Drain(name.clone()), Event::Start(name)),
        5..=6 => (Event::Freeze(name.clone()), Event::Thaw(name)),
        7..=8 => (Event::Cut(name.clone()), Event::Join(name)),
        _ => (Event::Outage, Event::Return),
    };
    events.push((at, begin));
    events.push((at + span, end));
}

/// A batch whose job does not insist on the node that is lost for good.
fn planned(calm: bool, lost: Option<&String>, chance: &mut StdRng) -> Planned {
    let count = match chance.random_range(0..10) {
        0 => 0,
        1 => chance.random_range(1..4),
        2..=7 => chance.random_range(4..60),
        _ => chance.random_range(60..120),
    };
    let cancel = !calm && chance.random_bool(0.25);
    let mut affinity = Vec::new();
    if chance.random_bool(0.15) {
        affinity.push(format!("n{}", chance.random_range(1..=3)));
    }
    affinity.retain(|name| Some(name) != lost);
    Planned {
        at: chance.random_range(0..9_000),
        script: script(count, calm, chance),
        generate_first: chance.random_bool(0.2),
        is_exclusive: !calm && chance.random_bool(0.3),
        max_nodes: chance.random_bool(0.15).then(|| chance.random_range(1..3)),
        max_workers: chance.random_bool(0.15).then(|| chance.random_range(1..3)),
        job_affinity: affinity,
        cancel_after: cancel.then(|| chance.random_range(0..8_000)),
    }
}

fn script(count: usize, calm: bool, chance: &mut StdRng) -> Script {
    let duplicates = chance.random_bool(0.3);
    let mut ids: Vec<String> = (0..count).map(|number| format!("e{number}")).collect();
    if duplicates && count > 0 {
        for _ in 0..chance.random_range(1..10) {
            let again = ids[chance.random_range(0..count)].clone();
            ids.insert(chance.random_range(0..=ids.len()), again);
        }
    }
    let page = chance.random_range(1..40);
    let slow_source = chance.random_bool(0.4);
    let pages = ids
        .chunks(page)
        .map(|ids| {
            let wait = if slow_source {
                chance.random_range(0..900)
            } else {
                0
            };
            (wait, ids.to_vec())
        })
        .collect();
    let longest = pick(chance, &[0, 5, 40, 150, 900]);
    Script {
        pages,
        fails: !calm && chance.random_bool(0.1),
        aborts: false,
        has_positions: chance.random_bool(0.5),
        entity_ms: (0, longest),
        failing_percent: pick(chance, &[0, 0, 10]),
        aborting: BTreeSet::new(),
        hanging: BTreeSet::new(),
    }
}

fn pick<T: Copy>(chance: &mut StdRng, from: &[T]) -> T {
    from[chance.random_range(0..from.len())]
}
