//! What a stretch of time cost: wall clock, CPU of this process and of a server, peak memory.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Ticks of /proc per second, on every Linux.
const TICKS: f64 = 100.0;

/// Started where the measurement starts.
pub struct Gauge {
    began: Instant,
    cpu: Duration,
    server: Option<(u32, f64)>,
    /// CPU of the whole machine, in seconds.
    machine: f64,
    start_kib: u64,
}

/// From the start of a gauge to its reading.
pub struct Reading {
    pub seconds: f64,
    pub cpu_us: f64,
    pub server_cpu_us: Option<f64>,
    pub others_cpu_frac: f64,
    pub start_kib: u64,
}

impl Gauge {
    pub fn start(server: Option<u32>) -> Result<Self> {
        Ok(Self {
            start_kib: status_kib("VmRSS:")?,
            server: server
                .map(|pid| anyhow::Ok((pid, server_seconds(pid)?)))
                .transpose()?,
            machine: machine_seconds()?,
            cpu: own_cpu(),
            began: Instant::now(),
        })
    }

    pub fn read(&self) -> Result<Reading> {
        let seconds = self.began.elapsed().as_secs_f64();
        let cpu = own_cpu().saturating_sub(self.cpu).as_secs_f64();
        let server = self
            .server
            .map(|(pid, before)| anyhow::Ok(server_seconds(pid)? - before))
            .transpose()?;
        let others = machine_seconds()? - self.machine - cpu - server.unwrap_or(0.0);
        let cores = std::thread::available_parallelism()?.get();
        #[expect(clippy::cast_precision_loss, reason = "a few cores")]
        let all = seconds * cores as f64;
        Ok(Reading {
            seconds,
            cpu_us: cpu * 1e6,
            server_cpu_us: server.map(|seconds| seconds * 1e6),
            others_cpu_frac: (others / all).clamp(0.0, 1.0),
            start_kib: self.start_kib,
        })
    }
}

/// The most memory that this process ever had.
pub fn peak_kib() -> Result<u64> {
    status_kib("VmHWM:")
}

fn own_cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(used.tv_sec).unwrap_or(0),
        u32::try_from(used.tv_nsec).unwrap_or(0),
    )
}

fn status_kib(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number
        .context("/proc/self/status has no such line")?
        .parse()?)
}

fn server_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // Behind the name, which may have blanks: utime and stime are the 12th and 13th.
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).context("short stat")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

/// User, nice, system, interrupts: everything but idle, waiting and stolen time.
fn machine_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks = line
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<Vec<f64>, _>>()?;
    let busy = [0, 1, 2, 5, 6].into_iter().filter_map(|at| ticks.get(at));
    Ok(busy.sum::<f64>() / TICKS)
}
