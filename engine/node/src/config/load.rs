//! Merges the sources of the configuration, and collects all problems.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::entry::Entry;
use super::keys::{self, Draft, KEYS, Key, UNUSED_KEYS};
use super::problem::{Origin, Problem, Problems};
use super::{ini_file, node_id};
use crate::NodeConfig;

/// The similarity from which a known name is suggested for an unknown one.
const MIN_SIMILARITY: f64 = 0.8;

/// The text of a file and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// The file.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

/// A value given by a flag of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The flag as written, e.g. `--node-ip`.
    pub flag: String,
    /// The section of the key it sets.
    pub section: String,
    /// The key it sets.
    pub key: String,
    /// The value.
    pub value: String,
}

/// The sources of the configuration of a node, the weakest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The data folder.
    pub data: PathBuf,
    /// What was detected about this machine, as section, key and value.
    pub detected: Vec<(String, String, String)>,
    /// config.ini, if it exists.
    pub config_ini: Option<SourceText>,
    /// node.id, if it exists.
    pub node_id: Option<SourceText>,
    /// The environment. Only names of the form `WEFT_SECTION__KEY` count.
    pub environment: Vec<(String, String)>,
    /// Flags.
    pub flags: Vec<Flag>,
}

/// One effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its section.
    pub section: &'static str,
    /// Its key.
    pub key: &'static str,
    /// The value as written.
    pub value: String,
    /// Where it was written.
    pub origin: Origin,
}

/// A configuration without errors.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration of the node.
    pub node: NodeConfig,
    /// `cluster_id` of node.id.
    pub cluster_id: Option<String>,
    /// Every key with its value and origin.
    pub effective: Vec<Effective>,
    /// Problems that do not stop the node: unknown keys, and keys without effect.
    pub warnings: Vec<Problem>,
}

/// Reads all sources, merges them and checks every value, also values that a stronger source replaces.
///
/// # Errors
/// All problems at once.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let (entries, mut errors) = gather(sources);
    let mut warnings = Vec::new();
    let mut chosen: BTreeMap<(&str, &str), Entry> = BTreeMap::new();
    for entry in entries {
        let Some(key) = keys::find(&entry.section, &entry.key) else {
            // Files and environments may be shared with other programs; a flag is meant for this one.
            let is_flag = matches!(entry.origin, Origin::Flag(_));
            let problems = if is_flag { &mut errors } else { &mut warnings };
            problems.push(without_effect(entry));
            continue;
        };
        if entry.value.is_empty() {
            continue;
        }
        if key.kind.read(&entry.value).is_none() {
            errors.push(not_allowed(key, entry));
            continue;
        }
        chosen.insert((key.section, key.name), entry);
    }
    if !errors.is_empty() {
        return Err(Problems(errors));
    }
    let loaded = fill(sources, chosen, warnings);
    if loaded.node.guid.0.is_empty() {
        return Err(Problems(vec![missing_uuid(sources)]));
    }
    Ok(loaded)
}

fn gather(sources: &Sources) -> (Vec<Entry>, Vec<Problem>) {
    let mut entries: Vec<_> = sources.detected.iter().map(detected).collect();
    let mut errors = Vec::new();
    let files = [
        sources
            .config_ini
            .as_ref()
            .map(|source| ini_file::parse(&source.path, &source.text)),
        sources
            .node_id
            .as_ref()
            .map(|source| node_id::parse(&source.path, &source.text)),
    ];
    for (found, problems) in files.into_iter().flatten() {
        entries.extend(found);
        errors.extend(problems);
    }
    let environment = sources.environment.iter().filter_map(|(name, value)| {
        let (section, key) = name.strip_prefix("WEFT_")?.split_once("__")?;
        Some(Entry {
            section: section.to_ascii_lowercase(),
            key: key.to_owned(),
            value: value.trim().to_owned(),
            origin: Origin::Environment(name.clone()),
        })
    });
    entries.extend(environment);
    entries.extend(sources.flags.iter().map(|flag| Entry {
        section: flag.section.clone(),
        key: flag.key.clone(),
        value: flag.value.trim().to_owned(),
        origin: Origin::Flag(flag.flag.clone()),
    }));
    (entries, errors)
}

fn detected((section, key, value): &(String, String, String)) -> Entry {
    Entry {
        section: section.clone(),
        key: key.clone(),
        value: value.clone(),
        origin: Origin::Detected,
    }
}

fn fill(
    sources: &Sources,
    mut chosen: BTreeMap<(&str, &str), Entry>,
    warnings: Vec<Problem>,
) -> Loaded {
    let mut draft = Draft::new(sources.data.clone());
    let mut effective = Vec::with_capacity(KEYS.len());
    for key in KEYS {
        let (text, origin) = match chosen.remove(&(key.section, key.name)) {
            Some(entry) => (entry.value, entry.origin),
            None => (key.default.to_owned(), Origin::Default),
        };
        if let Some(value) = key.kind.read(&text).filter(|_| !text.is_empty()) {
            (key.set)(&mut draft, value);
        }
        effective.push(Effective {
            section: key.section,
            key: key.name,
            value: text,
            origin,
        });
    }
    if !draft.ips_given {
        draft.node.ips = vec![draft.node.effective_ip.clone()];
    }
    Loaded {
        node: draft.node,
        cluster_id: draft.cluster_id,
        effective,
        warnings,
    }
}

fn not_allowed(key: &Key, entry: Entry) -> Problem {
    Problem {
        origin: entry.origin,
        key: key.label(),
        message: format!("`{}` is not allowed", entry.value),
        hint: Some(format!("write {}", key.kind.allowed())),
    }
}

fn missing_uuid(sources: &Sources) -> Problem {
    let path = match &sources.node_id {
        Some(source) => source.path.clone(),
        None => sources.data.join(super::NODE_ID_FILE),
    };
    Problem {
        origin: Origin::File { path, line: 0 },
        key: "uuid".to_owned(),
        message: "is missing".to_owned(),
        hint: Some("write `uuid: <a name that no other node has>`".to_owned()),
    }
}

/// The problem of a key that is not used: a key of Fabric, a key of another section, or an unknown key.
fn without_effect(entry: Entry) -> Problem {
    let (message, hint) = explain(&entry.section, &entry.key);
    Problem {
        key: keys::label(&entry.section, &entry.key),
        origin: entry.origin,
        message,
        hint,
    }
}

fn explain(section: &str, name: &str) -> (String, Option<String>) {
    if let Some(unused) = keys::find_unused(section, name) {
        return (
            "is known from Fabric and has no effect here".to_owned(),
            Some(unused.reason.to_owned()),
        );
    }
    if let Some(key) = KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name)) {
        let hint = format!("it belongs to section [{}]", key.section);
        return ("is not a key of this section".to_owned(), Some(hint));
    }
    if let Some(unused) = UNUSED_KEYS
        .iter()
        .find(|key| key.name.eq_ignore_ascii_case(name))
    {
        return (
            "is known from Fabric and has no effect here".to_owned(),
            Some(unused.reason.to_owned()),
        );
    }
    let hint = nearest(section, name).map(|key| format!("did you mean `{}`?", key.label()));
    ("is not a known key".to_owned(), hint)
}

fn nearest(section: &str, name: &str) -> Option<&'static Key> {
    let similarity = |key: &Key| {
        let same_section = f64::from(u8::from(key.section.eq_ignore_ascii_case(section)));
        let name = strsim::jaro_winkler(&key.name.to_ascii_uppercase(), &name.to_ascii_uppercase());
        // The section only breaks ties.
        (name, name + same_section * 0.01)
    };
    KEYS.iter()
        .filter(|key| similarity(key).0 >= MIN_SIMILARITY)
        .max_by(|one, other| similarity(one).1.total_cmp(&similarity(other).1))
}
