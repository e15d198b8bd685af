//! The settings of `dev` and `node`: read from files, environment and flags, checked, and shown.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use weft_model::ids::Ids;
use weft_node::config::{
    Flag, Loaded, NODE_ID_FILE, SourceText, Sources, load, make_node_id, read_optional,
};

use crate::exit::{Failure, USAGE};
use crate::output::{Format, TableWriter, stderr, stdout};

const CONFIG_FILE: &str = "config.ini";

/// The flags for settings, which `dev` and `node` share.
#[derive(Clone, Debug, Default, Args)]
pub struct SettingArgs {
    /// Address that an IP in an affinity is compared with (effective_ip of node.id)
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<String>,
    /// Set a key of config.ini or node.id; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// File with settings [default: config.ini in the data folder, if there]
    #[arg(long, env = "WEFT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check the settings, print each with its origin, and leave
    #[arg(long)]
    pub check: bool,
}

/// The sources of settings besides the environment.
#[derive(Debug)]
pub struct SettingSources<'a> {
    /// The data folder.
    pub data: &'a Path,
    /// A node.id elsewhere; it must exist.
    pub node_id: Option<&'a Path>,
    /// The flags.
    pub args: &'a SettingArgs,
    /// The address of this machine, if there is a better one than the default.
    pub detected_ip: Option<String>,
    /// A folder that jobs may read by default.
    pub file_root: Option<PathBuf>,
}

/// Reads and checks all settings. Makes node.id if the data folder has none, except with `--check`.
pub fn read(sources: &SettingSources<'_>, ids: &Ids) -> anyhow::Result<Loaded> {
    let detected = sources.detected_ip.iter().map(|ip| {
        let [section, key] = ["node", "effective_ip"].map(str::to_owned);
        (section, key, ip.clone())
    });
    let file_root = sources.file_root.iter().filter_map(|folder| {
        let [section, key] = ["jobs", "FILE_ROOTS"].map(str::to_owned);
        // A path with a comma would allow other folders, so it is left out.
        let folder = folder.to_str().filter(|folder| !folder.contains(','))?;
        Some((section, key, folder.to_owned()))
    });
    let sources = Sources {
        data: sources.data.to_owned(),
        detected: detected.chain(file_root).collect(),
        config_ini: config_ini(sources)?,
        node_id: Some(node_id(sources, ids)?),
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        flags: flags(sources.args)?,
    };
    let loaded = load(&sources).map_err(|problems| {
        for problem in &problems.0 {
            stderr::error(&problem.to_string());
        }
        Failure::silent(USAGE)
    })?;
    for warning in &loaded.warnings {
        stderr::warning(&warning.to_string());
    }
    Ok(loaded)
}

/// Prints every effective value with its origin.
pub fn show(loaded: &Loaded) {
    let mut table = TableWriter::new(Format::Table, None);
    let columns = ["Section", "Key", "Value", "Origin"];
    stdout::data(&table.columns(columns.map(str::to_owned).to_vec()));
    for value in &loaded.effective {
        let origin = value.origin.to_string();
        let cells = [value.section, value.key, &value.value, &origin];
        stdout::data(&table.row(cells.map(|text| Value::String(text.to_owned())).to_vec()));
    }
    stdout::data(&table.end());
}

fn config_ini(sources: &SettingSources<'_>) -> anyhow::Result<Option<SourceText>> {
    match &sources.args.config {
        Some(path) => required(path).map(Some),
        None => {
            let path = sources.data.join(CONFIG_FILE);
            read_optional(&path).with_context(|| format!("cannot read {}", path.display()))
        }
    }
}

fn node_id(sources: &SettingSources<'_>, ids: &Ids) -> anyhow::Result<SourceText> {
    if let Some(path) = sources.node_id {
        return required(path);
    }
    let path = sources.data.join(NODE_ID_FILE);
    if !sources.args.check {
        return make_node_id(sources.data, ids)
            .with_context(|| format!("cannot make {}", path.display()));
    }
    let found = read_optional(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(found.unwrap_or_else(|| SourceText {
        path,
        text: "uuid: made-at-first-start".to_owned(),
    }))
}

fn required(path: &Path) -> anyhow::Result<SourceText> {
    let found = read_optional(path).map_err(|error| cannot_read(path, &error.to_string()))?;
    found.ok_or_else(|| cannot_read(path, "there is no such file").into())
}

fn cannot_read(path: &Path, why: &str) -> Failure {
    Failure::usage(format!("cannot read {}: {why}", path.display()))
}

fn flags(args: &SettingArgs) -> Result<Vec<Flag>, Failure> {
    let mut flags = Vec::new();
    if let Some(ip) = &args.node_ip {
        flags.push(Flag {
            flag: "--node-ip".to_owned(),
            section: "node".to_owned(),
            key: "effective_ip".to_owned(),
            value: ip.clone(),
        });
    }
    for written in &args.set {
        let parts = written
            .split_once('=')
            .and_then(|(name, value)| Some((name.split_once('.')?, value)));
        let Some(((section, key), value)) = parts else {
            return Err(Failure::usage(format!("`--set {written}` cannot be read"))
                .hint("write --set SECTION.KEY=VALUE"));
        };
        flags.push(Flag {
            flag: format!("--set {section}.{key}"),
            section: section.trim().to_owned(),
            key: key.trim().to_owned(),
            value: value.to_owned(),
        });
    }
    Ok(flags)
}

/// The address of this machine towards `host`. Sends nothing.
pub fn address_towards(host: &str) -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    let (name, _) = host.rsplit_once(':').unwrap_or((host, ""));
    socket.connect((name, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}
