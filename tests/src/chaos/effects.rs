//! What scripts have left outside of the system, in the order in which they did.

use std::path::Path;

use anyhow::Context;

/// One run of the script of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The entity.
    pub id: String,
    /// The fence of its chunk.
    pub fence: i64,
    /// The batch.
    pub batch: String,
    /// When the script began, in milliseconds since the start of the machine, to 10 ms.
    pub at_ms: i64,
    /// The data folder of the node.
    pub node: String,
}

/// One run of the script of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The UID of the job.
    pub uid: String,
    /// The fence of the job.
    pub fence: i64,
    /// The idempotency key, the same for all tries of one run.
    pub key: String,
    /// When the script began, in milliseconds since the start of the machine, to 10 ms.
    pub at_ms: i64,
    /// The data folder of the node.
    pub node: String,
}

/// Reads the effects of entities.
///
/// # Errors
/// A line is not as the script writes it.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Effect>> {
    let lines = lines(path)?.into_iter();
    let read = lines.map(|[id, fence, batch, up, folder]| {
        Ok(Effect {
            fence: fence.parse()?,
            at_ms: milliseconds(&up)?,
            node: node_of(&folder)?,
            id,
            batch,
        })
    });
    read.collect()
}

/// Reads the runs of jobs.
///
/// # Errors
/// A line is not as the script writes it.
pub(super) fn read_ticks(path: &Path) -> anyhow::Result<Vec<Tick>> {
    let lines = lines(path)?.into_iter();
    let read = lines.map(|[uid, fence, key, up, folder]| {
        Ok(Tick {
            fence: fence.parse()?,
            at_ms: milliseconds(&up)?,
            node: node_of(&folder)?,
            uid,
            key,
        })
    });
    read.collect()
}

/// Milliseconds since the start of the machine, as the scripts read them.
///
/// # Errors
/// /proc/uptime cannot be read.
pub(super) fn now_ms() -> anyhow::Result<i64> {
    let up = std::fs::read_to_string("/proc/uptime")?;
    milliseconds(up.split(' ').next().unwrap_or_default())
}

fn lines(path: &Path) -> anyhow::Result<Vec<[String; 5]>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let fields = text.lines().map(|line| {
        let fields: Vec<String> = line.splitn(5, ' ').map(str::to_owned).collect();
        let fields = <[String; 5]>::try_from(fields);
        fields
            .ok()
            .with_context(|| format!("{} has the line {line:?}", path.display()))
    });
    fields.collect()
}

fn milliseconds(up: &str) -> anyhow::Result<i64> {
    let (seconds, hundredths) = up.split_once('.').context("an uptime has two decimals")?;
    Ok(seconds.parse::<i64>()? * 1_000 + hundredths.parse::<i64>()? * 10)
}

/// `…/a/runs/run-x` is a folder of the node `a`.
fn node_of(folder: &str) -> anyhow::Result<String> {
    let node = Path::new(folder).iter().rev().nth(2);
    let node = node.and_then(|name| name.to_str());
    Ok(node.context("a working folder of a node")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_script_is_read() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("effects");
        assert_eq!(read(&path)?, []);
        std::fs::write(&path, "V1 3 b1 12.34 /tmp/x/node a/runs/run-1\n")?;
        let effect = Effect {
            id: "V1".to_owned(),
            fence: 3,
            batch: "b1".to_owned(),
            at_ms: 12_340,
            node: "node a".to_owned(),
        };
        assert_eq!(read(&path)?, [effect]);
        std::fs::write(&path, "V1 3\n")?;
        assert!(read(&path).is_err());
        Ok(())
    }
}
