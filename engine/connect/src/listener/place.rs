//! One look at the place where files appear.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::{MatchOptions, Pattern};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::definition::Place;
use crate::http::Http;
use crate::on_thread::on_thread;
use crate::parser::{FileRoots, modified};

/// The most files that one place may have at a time.
const FILES: usize = 100_000;
/// The longest name, in bytes.
const NAME_BYTES: usize = 1_000;
/// The longest answer of a listing.
const LISTING_BYTES: usize = 32 * 1024 * 1024;
/// What is still being written is called so.
const UNFINISHED: [&str; 2] = [".tmp", ".part"];

/// What tells a file from what it was before.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// When it was changed last, as its place says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<String>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
}

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// By name.
    pub(super) files: BTreeMap<String, Stamp>,
    /// What fits the pattern and cannot be handled, and why.
    pub(super) left_out: BTreeMap<String, String>,
}

/// Where files appear, and how to look there.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Folder {
        roots: FileRoots,
        path: PathBuf,
        pattern: Pattern,
    },
    Listing {
        http: Arc<Http>,
        url: Url,
        call: Map<String, Value>,
        pattern: Pattern,
        key: Uuid,
    },
}

/// An entry of a listing that is JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Name(String),
    File {
        name: String,
        #[serde(default)]
        size: Option<u64>,
        #[serde(default)]
        modified: Option<Value>,
    },
}

impl Source {
    pub(super) fn new(
        place: &Place,
        pattern: &Pattern,
        roots: &FileRoots,
        http: &Arc<Http>,
        key: Uuid,
    ) -> Self {
        let pattern = pattern.clone();
        match place {
            Place::Folder(path) => Self::Folder {
                roots: roots.clone(),
                path: PathBuf::from(path),
                pattern,
            },
            Place::Listing { url, call } => Self::Listing {
                http: Arc::clone(http),
                url: url.clone(),
                call: call.clone(),
                pattern,
                key,
            },
        }
    }

    /// The folder; none where it is a listing, whose address may hold a secret.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder { path, .. } => Some(path),
            Self::Listing { .. } => None,
        }
    }

    /// Which files are there now.
    ///
    /// # Errors
    /// A sentence: the place cannot be read, or has too many files.
    pub(super) async fn look(&self) -> Result<Look, String> {
        match self {
            Self::Folder {
                roots,
                path,
                pattern,
            } => {
                let (roots, path, pattern) = (roots.clone(), path.clone(), pattern.clone());
                let look = on_thread("weft-listener", move || in_folder(&roots, &path, &pattern));
                look.await
            }
            Self::Listing {
                http,
                call,
                pattern,
                key,
                ..
            } => {
                let call = http.read(call).map_err(|check| check.message)?;
                let answer = http.send(&call, *key, LISTING_BYTES).await;
                let answer = answer.map_err(|failure| failure.message)?;
                if let Some(message) = answer.not_expected {
                    return Err(message);
                }
                if let Some(failure) = answer.broke_off {
                    return Err(failure.message);
                }
                let label = call.label();
                if answer.is_cut {
                    return Err(format!("{label} answered more than {LISTING_BYTES} bytes"));
                }
                in_listing(&answer.body, pattern).map_err(|what| format!("{label} {what}"))
            }
        }
    }

    /// What a file is now that is about to be handled; none where it is gone or may not be read any more. A listing is
    /// not asked again.
    pub(super) async fn again(&self, name: &str, seen: &Stamp) -> Option<Stamp> {
        let Self::Folder { roots, path, .. } = self else {
            return Some(seen.clone());
        };
        let (roots, path) = (roots.clone(), path.join(name));
        let again = on_thread("weft-listener", move || {
            roots.check_inside(&path)?;
            let metadata = fs::metadata(&path).map_err(|error| error.to_string())?;
            Ok(Stamp::of(&metadata))
        });
        again.await.ok()
    }

    /// What a flow is given to find the file by.
    pub(super) fn path_of(&self, name: &str) -> String {
        match self {
            Self::Folder { path, .. } => path.join(name).display().to_string(),
            Self::Listing { url, .. } => {
                let mut url = url.clone();
                url.set_query(None);
                url.set_fragment(None);
                if let Ok(mut segments) = url.path_segments_mut() {
                    segments.pop().push(name);
                }
                url.into()
            }
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: Some(modified(metadata)),
            size: Some(metadata.len()),
        }
    }
}

/// Whether a name is one of those that are listened for.
fn counts(name: &str, pattern: &Pattern) -> bool {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let is_unfinished = UNFINISHED.iter().any(|end| name.ends_with(end));
    !name.starts_with('.') && !is_unfinished && pattern.matches_with(name, options)
}

fn unusable(name: &str) -> Option<&'static str> {
    match name {
        _ if name.contains(char::is_control) => Some("its name has control characters"),
        _ if name.len() > NAME_BYTES => Some("its name has more than 1000 bytes"),
        _ if name.contains('/') => Some("its name has a `/`"),
        _ => None,
    }
}

impl Look {
    fn add(&mut self, name: &str, stamp: Stamp) -> Result<(), String> {
        if let Some(reason) = unusable(name) {
            self.leave_out(name, reason.to_owned());
            return Ok(());
        }
        if self.files.len() == FILES {
            return Err(format!("more than {FILES} files"));
        }
        self.files.insert(name.to_owned(), stamp);
        Ok(())
    }

    fn leave_out(&mut self, name: &str, reason: String) {
        // As many as can be counted without holding a whole folder of them.
        if self.left_out.len() < 1_000 {
            let name = name.chars().take(200).collect();
            self.left_out.insert(name, reason);
        }
    }
}

fn in_folder(roots: &FileRoots, folder: &Path, pattern: &Pattern) -> Result<Look, String> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    roots.check_inside(folder)?;
    let mut look = Look::default();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            look.leave_out(&name.to_string_lossy(), "its name is not UTF-8".to_owned());
            continue;
        };
        if !counts(name, pattern) {
            continue;
        }
        let path = entry.path();
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // Gone since its folder was read, or a link that leads nowhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                look.leave_out(name, error.to_string());
                continue;
            }
        };
        if !metadata.is_file() {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_symlink()
            && let Err(reason) = roots.check_inside(&path)
        {
            look.leave_out(name, reason);
            continue;
        }
        look.add(name, Stamp::of(&metadata))
            .map_err(|what| format!("{} has {what}", folder.display()))?;
    }
    Ok(look)
}

fn in_listing(body: &[u8], pattern: &Pattern) -> Result<Look, String> {
    let text = std::str::from_utf8(body).map_err(|_| "answered what is not UTF-8".to_owned())?;
    let text = text.trim();
    let mut look = Look::default();
    let mut add = |name: &str, stamp| match counts(name, pattern) {
        true => look
            .add(name, stamp)
            .map_err(|what| format!("answered {what}")),
        false => Ok(()),
    };
    if text.starts_with('[') {
        let entries: Vec<Entry> = serde_json::from_str(text).map_err(|error| {
            format!("answered no list of names or of objects with name, size and modified: {error}")
        })?;
        for entry in entries {
            match entry {
                Entry::Name(name) => add(&name, Stamp::default())?,
                Entry::File {
                    name,
                    size,
                    modified,
                } => {
                    let modified = modified.filter(|modified| !modified.is_null());
                    let modified = modified.map(|modified| match modified {
                        Value::String(text) => text,
                        other => other.to_string(),
                    });
                    add(&name, Stamp { modified, size })?;
                }
            }
        }
    } else if text.starts_with(['<', '{']) {
        let message = "answered HTML or a JSON object; a listing is a JSON array, or a text with a name on each line";
        return Err(message.to_owned());
    } else {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            add(line, Stamp::default())?;
        }
    }
    Ok(look)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(look: &Look) -> Vec<&str> {
        look.files.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_listing_is_a_json_array_or_lines() {
        let all = Pattern::new("*.csv").unwrap();
        let look = in_listing(
            br#"["b.csv", {"name":"a.csv","size":3,"modified":17}, {"name":"c.txt","etag":"x"}, ".d.csv", "../e.csv"]"#,
            &all,
        )
        .unwrap();
        assert_eq!(names(&look), ["a.csv", "b.csv"]);
        let stamp = &look.files["a.csv"];
        assert_eq!(
            (stamp.size, stamp.modified.as_deref()),
            (Some(3), Some("17"))
        );
        // `..` in front is a dot in front.
        assert!(look.left_out.is_empty(), "{look:?}");
        let look = in_listing(b"a.csv\r\n\n  b.csv  \nx/c.csv\nd.csv.part\n", &all).unwrap();
        assert_eq!(names(&look), ["a.csv", "b.csv"]);
        for wrong in [
            "<html><a href=a.csv>a.csv</a>",
            "{\"files\":[]}",
            "[1]",
            "[{\"nam\":\"a.csv\"}]",
        ] {
            let error = in_listing(wrong.as_bytes(), &all).unwrap_err();
            assert!(error.starts_with("answered "), "{error}");
        }
        assert!(in_listing(b"", &all).unwrap().files.is_empty());
    }

    #[test]
    fn a_file_of_a_listing_is_found_beside_it() {
        let place = |url: &str| Source::Listing {
            http: Arc::new(Http::new(
                &[],
                weft_project::interface::Environment::from_map([].into()),
            )),
            url: Url::parse(url).unwrap(),
            call: Map::new(),
            pattern: Pattern::new("*").unwrap(),
            key: Uuid::nil(),
        };
        for (url, expected) in [
            ("http://h/listing?x=1", "http://h/a%20b.csv"),
            ("http://h/in/", "http://h/in/a%20b.csv"),
            ("http://h", "http://h/a%20b.csv"),
        ] {
            assert_eq!(place(url).path_of("a b.csv"), expected);
        }
        assert_eq!(
            place("http://h/in/").path_of("http:x"),
            "http://h/in/http:x"
        );
    }
}
