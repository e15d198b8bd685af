//! Runs one history.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;

use super::effects::{self, Effect};
use super::faults::Kind;
use super::judge::{Crash, JobPlan, Judged, judge_batch, judge_jobs, judge_records};
use super::outcome::{Means, Outcome};
use super::scripts;
use crate::cluster::{Cluster, EntityRecord, LOGICAL_UNIT, Node, Proxy, Summary};

/// The time after which others call a node of a [`Cluster`] dead.
const T_DEAD: Duration = Duration::from_secs(3);
/// A batch ends within this after the last fault.
const END_LIMIT: Duration = Duration::from_secs(120);
/// A node that got SIGTERM ends within this: the grace of a drain, and two seconds.
const DRAIN_LIMIT: Duration = Duration::from_secs(27);
/// A busy machine makes jobs late by at most this.
const BUSY_MS: i64 = 4_000;
/// The distance of the runs of recurring jobs, in seconds.
const INTERVAL: i64 = 3;
const BATCHES: usize = 2;
const ONCE: i64 = 8;
const RECURRING: usize = 2;

/// Runs a history.
///
/// # Errors
/// It could not be carried out; that a rule was broken is no error.
pub async fn run(kind: Kind, seed: u64, means: &Means) -> anyhow::Result<Outcome> {
    let begin = Instant::now();
    let mut history = History::begin(kind, seed, means).await?;
    let carried_out = history.carry_out().await;
    let mut outcome = match carried_out {
        Ok(outcome) => outcome,
        Err(error) => {
            let faults = history.faults.join(", ");
            let folder = history.cluster.keep();
            let place = format!(
                "{} {seed} after {faults}, see {}",
                kind.as_str(),
                folder.display()
            );
            return Err(error.context(place));
        }
    };
    outcome.seconds = begin.elapsed().as_secs();
    history.nodes.clear();
    if outcome.violations.is_empty() {
        history.cluster.end().await?;
    } else {
        outcome.kept = Some(history.cluster.keep());
    }
    Ok(outcome)
}

/// A node and what a history does with it.
struct Place {
    name: String,
    node: Option<Node>,
    proxy: Option<Proxy>,
}

struct History<'m> {
    kind: Kind,
    seed: u64,
    means: &'m Means,
    random: StdRng,
    cluster: Cluster,
    nodes: Vec<Place>,
    batches: Vec<String>,
    jobs: JobPlan,
    crashes: Vec<Crash>,
    faults: Vec<String>,
    drain: Option<Duration>,
    delay_ms: u32,
}

impl<'m> History<'m> {
    /// Starts nodes, batches and jobs.
    async fn begin(kind: Kind, seed: u64, means: &'m Means) -> anyhow::Result<Self> {
        let cluster = match kind {
            Kind::Mixed => {
                Cluster::made_by(means.earlier()?, &means.points, means.entities).await?
            }
            _ => Cluster::new(&means.points, means.entities).await?,
        };
        let mut history = Self {
            kind,
            seed,
            means,
            random: StdRng::seed_from_u64(seed),
            cluster,
            nodes: Vec::new(),
            batches: Vec::new(),
            jobs: JobPlan::default(),
            crashes: Vec::new(),
            faults: Vec::new(),
            drain: None,
            delay_ms: 0,
        };
        let (effects, ticks) = history.files();
        scripts::write(&history.cluster.project(), &effects, &ticks)?;
        for name in ["a", "b", "c"] {
            let place = history.place(name).await?;
            history.nodes.push(place);
        }
        let earlier = kind == Kind::Mixed;
        for index in 0..history.nodes.len() {
            history.start(index, earlier).await?;
        }
        history.cluster.deploy(history.live()?).await?;
        Ok(history)
    }

    fn files(&self) -> (PathBuf, PathBuf) {
        let folder = self.cluster.folder();
        (folder.join("effects"), folder.join("ticks"))
    }

    async fn place(&self, name: &str) -> anyhow::Result<Place> {
        // A driver finds several servers by itself, so a proxy stands before one only.
        let has_proxy = matches!(self.kind, Kind::Cut | Kind::Outage);
        let proxy = match has_proxy && !self.means.points.contains(',') {
            true => Some(Proxy::to(&self.means.points).await?),
            false => None,
        };
        Ok(Place {
            name: name.to_owned(),
            node: None,
            proxy,
        })
    }

    async fn start(&mut self, index: usize, earlier: bool) -> anyhow::Result<()> {
        let place = &self.nodes[index];
        let points = place.proxy.as_ref().map(|proxy| proxy.address.as_str());
        let points = points.unwrap_or(&self.means.points);
        let node = match earlier {
            false => self.cluster.start_at(&place.name, points, &[]).await?,
            true => {
                self.cluster
                    .start_binary(self.means.earlier()?, &place.name, points, &[])
                    .await?
            }
        };
        self.nodes[index].node = Some(node);
        Ok(())
    }

    /// A node that runs.
    fn live(&self) -> anyhow::Result<&Node> {
        let mut live = self.nodes.iter().filter_map(|place| place.node.as_ref());
        live.next().context("a node runs")
    }

    async fn carry_out(&mut self) -> anyhow::Result<Outcome> {
        self.submit().await?;
        self.disturb().await?;
        let mut summaries = Vec::new();
        for batch in &self.batches {
            summaries.push(self.until_ended(batch).await?);
        }
        self.until_jobs_are_over().await?;
        self.judge(&summaries).await
    }

    async fn submit(&mut self) -> anyhow::Result<()> {
        let (now, up) = (Utc::now(), effects::now_ms()?);
        // Work of 0 to 30 ms, beside the start of a shell.
        self.delay_ms = self.random.random_range(0_u32..4) * 10;
        for _ in 0..BATCHES {
            let batch = self.submit_batch(self.live()?).await?;
            self.batches.push(batch);
        }
        for number in 0..ONCE {
            let due = now + TimeDelta::milliseconds(3_000 + number * 1_500);
            let due_text = due.format("%Y-%m-%d %H:%M:%S").to_string();
            let whole = due.timestamp_millis() / 1_000 * 1_000;
            let uid = format!("once-{number}");
            self.start_job(&uid, &due_text).await?;
            let at = up + whole - now.timestamp_millis();
            self.jobs.once.insert(uid, at);
        }
        for number in 0..RECURRING {
            let uid = format!("recurring-{number}");
            self.start_job(&uid, &format!("0/{INTERVAL} * * * * ?"))
                .await?;
            self.jobs.recurring.insert(uid, INTERVAL * 1_000);
        }
        self.jobs.span.0 = effects::now_ms()?;
        Ok(())
    }

    async fn submit_batch(&self, node: &Node) -> anyhow::Result<String> {
        let delay = f64::from(self.delay_ms) / 1_000.0;
        let entity = match self.kind {
            // The earlier version has no scripts for entities.
            Kind::Mixed => "ECHO ? DELAY_MS=20".to_owned(),
            _ => format!("process {} ? {delay}", scripts::ENTITY),
        };
        let statement = format!(
            "BATCH {LOGICAL_UNIT} FROM idsFile USING ('select id from ids limit {}') \
             FABRIC_COMMAND=\"{entity}\" with ASYNC='true' ALLOW_MULTIPLE='true';",
            self.means.entities
        );
        node.submit(&statement).await
    }

    async fn start_job(&self, uid: &str, schedule: &str) -> anyhow::Result<()> {
        let statement = format!(
            "STARTJOB PROCESS NAME='{}' UID='{uid}' EXEC_INTERVAL='{schedule}';",
            scripts::JOB
        );
        self.live()?.run(&statement).await?;
        Ok(())
    }

    /// Lets things go wrong while the batches run.
    async fn disturb(&mut self) -> anyhow::Result<()> {
        if matches!(self.kind, Kind::Rolling | Kind::Mixed) {
            self.pause(500, 1_500).await;
            return self.roll().await;
        }
        let faults = self.random.random_range(1..=4);
        for _ in 0..faults {
            self.pause(300, 2_500).await;
            let begin = Instant::now();
            match self.kind {
                Kind::Kill => self.kill().await?,
                Kind::Pause => self.stop_and_continue().await?,
                Kind::Outage => self.outage().await?,
                Kind::Cut => self.cut().await?,
                Kind::Join => self.join().await?,
                Kind::Rolling | Kind::Mixed => (),
            }
            self.jobs.lateness_ms += milliseconds(begin.elapsed());
            if self.have_ended().await? {
                break;
            }
        }
        Ok(())
    }

    /// Whether all batches are DONE, as far as a node answers.
    async fn have_ended(&self) -> anyhow::Result<bool> {
        for batch in &self.batches {
            let summary = self.live()?.summary(batch).await;
            if !summary.is_ok_and(|summary| summary.status == "DONE") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits for the end of a batch. A node whose connections were cut refuses statements until it has new ones.
    async fn until_ended(&self, batch: &str) -> anyhow::Result<Summary> {
        let node = self.live()?;
        let deadline = Instant::now() + END_LIMIT;
        loop {
            let last = node.summary(batch).await;
            if let Ok(summary) = &last
                && ["DONE", "FAILED", "CANCELLED"].contains(&summary.status.as_str())
            {
                return last;
            }
            let said = || format!("{batch} does not end, {last:?}, {}", node.said());
            ensure!(Instant::now() < deadline, "{}", said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn pause(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        let pause = Duration::from_millis(self.random.random_range(from_ms..to_ms));
        tokio::time::sleep(pause).await;
        pause
    }

    fn noted(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Kills one node, in one of four cases two, and starts them again.
    async fn kill(&mut self) -> anyhow::Result<()> {
        let count = if self.random.random_range(0..4) == 0 {
            2
        } else {
            1
        };
        let first = self.random.random_range(0..self.nodes.len());
        let victims: Vec<usize> = (0..count)
            .map(|step| (first + step) % self.nodes.len())
            .collect();
        for victim in &victims {
            let place = &mut self.nodes[*victim];
            let node = place.node.take().context("a victim runs")?;
            node.kill()?;
            self.crashes.push(Crash {
                node: place.name.clone(),
                at_ms: effects::now_ms()?,
            });
        }
        let down = self.pause(0, 7_000).await;
        for victim in &victims {
            self.start(*victim, false).await?;
        }
        self.noted(format!("kill {victims:?} for {down:?}"));
        Ok(())
    }

    /// Stops a node, or a server if the history has its own, and lets it continue.
    async fn stop_and_continue(&mut self) -> anyhow::Result<()> {
        let server = self.random.random_range(0..3) == 0;
        if let (true, Some(servers)) = (server, self.means.servers.clone()) {
            let which = self.random.random_range(1..=servers.count);
            servers.control("stop", which).await?;
            let stopped = self.pause(100, 9_000).await;
            servers.control("cont", which).await?;
            self.noted(format!("server {which} stopped for {stopped:?}"));
            return Ok(());
        }
        let victim = self.random.random_range(0..self.nodes.len());
        let node = self.nodes[victim].node.as_ref().context("it runs")?;
        node.signal(Signal::STOP)?;
        let stopped = self.pause(300, 9_000).await;
        let node = self.nodes[victim].node.as_ref().context("it runs")?;
        node.signal(Signal::CONT)?;
        self.noted(format!("node {victim} stopped for {stopped:?}"));
        self.until_all_ready().await
    }

    /// All nodes lose the store.
    async fn outage(&mut self) -> anyhow::Result<()> {
        let proxies = self.nodes.iter().all(|place| place.proxy.is_some());
        if let (false, Some(servers)) = (
            proxies && self.random.random_range(0..2) == 0,
            self.means.servers.clone(),
        ) {
            let which = self.random.random_range(1..=servers.count);
            servers.control("kill", which).await?;
            let down = self.pause(0, 4_000).await;
            servers.control("start", which).await?;
            self.noted(format!("server {which} killed for {down:?} and its start"));
        } else {
            ensure!(proxies, "an outage of three servers needs servers to kill");
            self.proxies().for_each(Proxy::cut);
            let cut = self.pause(500, 9_000).await;
            self.proxies().for_each(Proxy::mend);
            self.noted(format!("store away for {cut:?}"));
        }
        self.until_all_ready().await
    }

    fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.nodes.iter().filter_map(|place| place.proxy.as_ref())
    }

    /// One node loses the store.
    async fn cut(&mut self) -> anyhow::Result<()> {
        let victim = self.random.random_range(0..self.nodes.len());
        let proxy = self.proxies().nth(victim).map(Proxy::cut);
        proxy.context("this kind needs a single server")?;
        let cut = self.pause(300, 8_000).await;
        self.proxies().for_each(Proxy::mend);
        self.noted(format!("node {victim} cut off for {cut:?}"));
        self.until_all_ready().await
    }

    /// A node joins and leaves.
    async fn join(&mut self) -> anyhow::Result<()> {
        let name = format!("joined-{}", self.faults.len());
        let place = self.place(&name).await?;
        self.nodes.push(place);
        self.start(self.nodes.len() - 1, false).await?;
        let beside = self.pause(500, 4_000).await;
        let mut place = self.nodes.pop().context("it was pushed")?;
        let node = place.node.take().context("it was started")?;
        let took = node.terminate(DRAIN_LIMIT).await?;
        self.drain = self.drain.max(Some(took));
        self.noted(format!("a node beside them for {beside:?}"));
        Ok(())
    }

    /// Replaces all nodes, one after the other. With [`Kind::Mixed`], the schema is migrated before, while the earlier
    /// version runs. No node of the earlier version can start afterwards: it refuses a newer schema.
    async fn roll(&mut self) -> anyhow::Result<()> {
        let first = self.random.random_range(0..self.nodes.len());
        if self.kind == Kind::Mixed {
            self.cluster.migrate()?;
            self.noted("schema migrated".to_owned());
            self.pause(0, 1_000).await;
        }
        for step in 0..self.nodes.len() {
            let index = (first + step) % self.nodes.len();
            let begin = Instant::now();
            let node = self.nodes[index].node.take().context("it runs")?;
            let took = node.terminate(DRAIN_LIMIT).await?;
            self.drain = self.drain.max(Some(took));
            self.start(index, false).await?;
            self.noted(format!("node {index} replaced after {took:?}"));
            self.jobs.lateness_ms += milliseconds(begin.elapsed());
            if self.kind == Kind::Mixed && step == 0 {
                // Nodes of the earlier version work on a batch of this one.
                let node = self.nodes[index].node.as_ref().context("it was started")?;
                let batch = self.submit_batch(node).await?;
                self.batches.push(batch);
            }
            self.pause(0, 1_500).await;
        }
        Ok(())
    }

    async fn until_all_ready(&self) -> anyhow::Result<()> {
        for place in &self.nodes {
            if let Some(node) = &place.node {
                node.until_ready().await?;
            }
        }
        Ok(())
    }

    /// Waits until every job that runs once has run, or is missed.
    async fn until_jobs_are_over(&mut self) -> anyhow::Result<()> {
        self.jobs.lateness_ms += milliseconds(T_DEAD) + BUSY_MS;
        self.jobs.may_repeat = !self.kind.repeats_nothing();
        let last = self.jobs.once.values().max().copied().unwrap_or_default();
        let (_, ticks) = self.files();
        loop {
            let seen = effects::read_ticks(&ticks)?;
            let is_there = |uid: &String| seen.iter().any(|tick| tick.uid == *uid);
            let now = effects::now_ms()?;
            if self.jobs.once.keys().all(is_there) || now > last + self.jobs.lateness_ms {
                self.jobs.span.1 = now;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn judge(&self, summaries: &[Summary]) -> anyhow::Result<Outcome> {
        let (effects, ticks) = self.files();
        let (effects, ticks) = (effects::read(&effects)?, effects::read_ticks(&ticks)?);
        let jobs = judge_jobs(&self.jobs, &ticks);
        let mut outcome = Outcome {
            kind: self.kind.as_str().to_owned(),
            seed: self.seed,
            entities: self.means.entities * self.batches.len(),
            records: 0,
            repeated: 0,
            repeated_jobs: jobs.repeated,
            job_runs: ticks.len(),
            takeover_ms: None,
            drain_ms: self.drain.map(|drain| drain.as_millis()),
            faults: self.faults.clone(),
            seconds: 0,
            violations: jobs.violations,
            kept: None,
        };
        let mut by_batch: BTreeMap<&str, Vec<Effect>> = BTreeMap::new();
        for effect in &effects {
            let of_batch = by_batch.entry(&effect.batch).or_default();
            of_batch.push(effect.clone());
        }
        for (batch, summary) in self.batches.iter().zip(summaries) {
            let effects = by_batch.remove(batch.as_str()).unwrap_or_default();
            let records = self.cluster.keyspaces.records(batch).await?;
            outcome.records += records.len();
            let judged = self.judge_one(summary, &records, &effects);
            outcome.repeated += judged.repeated;
            outcome.takeover_ms = outcome.takeover_ms.max(judged.takeover_ms);
            let violations = judged.violations.into_iter();
            outcome
                .violations
                .extend(violations.map(|text| format!("{batch}: {text}")));
        }
        Ok(outcome)
    }

    fn judge_one(&self, summary: &Summary, records: &[EntityRecord], effects: &[Effect]) -> Judged {
        let crashes = (self.kind == Kind::Kill || self.kind.repeats_nothing())
            .then_some(self.crashes.as_slice());
        let count = self.means.entities;
        if self.kind == Kind::Mixed {
            return judge_records(count, summary, records);
        }
        judge_batch(count, summary, records, effects, crashes)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
