//! Scans the location where files appear.

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

use super::definition::Location;
use crate::file_roots::{FileRoots, modified};
use crate::http::{Answer, Http};
use crate::on_thread::on_thread;

/// The most files that a location may have.
const FILES: usize = 100_000;
/// The longest name, in bytes.
const NAME_BYTES: usize = 1_000;
/// The longest listing, in bytes.
const LISTING_BYTES: usize = 32 * 1024 * 1024;
/// The extensions of files that are still being written.
const UNFINISHED: [&str; 2] = [".tmp", ".part"];

/// Distinguishes the versions of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct FileVersion {
    /// The modification time, as the location has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<String>,
    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
}

/// The result of one scan.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// By name.
    pub(super) files: BTreeMap<String, FileVersion>,
    /// Files that match the pattern and cannot be handled, and why.
    pub(super) skipped: BTreeMap<String, String>,
}

/// Scans one location.
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

/// An entry of a JSON listing.
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
        location: &Location,
        pattern: &Pattern,
        roots: &FileRoots,
        http: &Arc<Http>,
        key: Uuid,
    ) -> Self {
        let pattern = pattern.clone();
        match location {
            Location::Folder(path) => Self::Folder {
                roots: roots.clone(),
                path: PathBuf::from(path),
                pattern,
            },
            Location::Listing { url, call } => Self::Listing {
                http: Arc::clone(http),
                url: url.clone(),
                call: call.clone(),
                pattern,
                key,
            },
        }
    }

    /// The folder; none for a listing, whose address may contain a secret.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder { path, .. } => Some(path),
            Self::Listing { .. } => None,
        }
    }

    /// Finds the files that exist now.
    ///
    /// # Errors
    /// A sentence: the location cannot be read, or has too many files.
    pub(super) async fn scan(&self) -> Result<Scan, String> {
        match self {
            Self::Folder {
                roots,
                path,
                pattern,
            } => {
                let (roots, path, pattern) = (roots.clone(), path.clone(), pattern.clone());
                let scan = move || scan_folder(&roots, &path, &pattern);
                on_thread("weft-listener", scan).await
            }
            Self::Listing {
                http,
                call,
                pattern,
                key,
                ..
            } => {
                let call = http.read(call).map_err(|error| error.message)?;
                let answer = http.send(&call, *key, LISTING_BYTES).await;
                let answer = answer.and_then(Answer::checked);
                let answer = answer.map_err(|failure| failure.message)?;
                let label = call.label();
                if answer.is_cut {
                    return Err(format!("{label} answered more than {LISTING_BYTES} bytes"));
                }
                scan_listing(&answer.body, pattern).map_err(|what| format!("{label} {what}"))
            }
        }
    }

    /// The version of a file directly before it is handled; none if it is gone or must not be read any more. A listing
    /// is not requested again, so its files keep the version of the scan.
    pub(super) async fn current_version(
        &self,
        name: &str,
        scanned: &FileVersion,
    ) -> Option<FileVersion> {
        let Self::Folder { roots, path, .. } = self else {
            return Some(scanned.clone());
        };
        let (roots, path) = (roots.clone(), path.join(name));
        let version = on_thread("weft-listener", move || {
            roots.check_inside(&path)?;
            let metadata = fs::metadata(&path).map_err(|error| error.to_string())?;
            Ok(FileVersion::of(&metadata))
        });
        version.await.ok()
    }

    /// The path or URL by which a flow finds a file.
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

impl FileVersion {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: Some(modified(metadata)),
            size: Some(metadata.len()),
        }
    }
}

/// Whether a file is to be handled.
fn is_selected(name: &str, pattern: &Pattern) -> bool {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let is_unfinished = UNFINISHED.iter().any(|end| name.ends_with(end));
    !name.starts_with('.') && !is_unfinished && pattern.matches_with(name, options)
}

/// Why a name cannot be handled.
fn name_error(name: &str) -> Option<&'static str> {
    match name {
        _ if name.contains(char::is_control) => Some("its name contains control characters"),
        _ if name.len() > NAME_BYTES => Some("its name has more than 1000 bytes"),
        _ if name.contains('/') => Some("its name contains `/`"),
        _ => None,
    }
}

impl Scan {
    fn add(&mut self, name: &str, version: FileVersion) -> Result<(), String> {
        if let Some(reason) = name_error(name) {
            self.skip(name, reason.to_owned());
            return Ok(());
        }
        if self.files.len() == FILES {
            return Err(format!("more than {FILES} files"));
        }
        self.files.insert(name.to_owned(), version);
        Ok(())
    }

    fn skip(&mut self, name: &str, reason: String) {
        // Bounded, because a folder may have any number of such files.
        if self.skipped.len() < 1_000 {
            let name = name.chars().take(200).collect();
            self.skipped.insert(name, reason);
        }
    }
}

fn scan_folder(roots: &FileRoots, folder: &Path, pattern: &Pattern) -> Result<Scan, String> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    roots.check_inside(folder)?;
    let mut scan = Scan::default();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            scan.skip(&name.to_string_lossy(), "its name is not UTF-8".to_owned());
            continue;
        };
        if !is_selected(name, pattern) {
            continue;
        }
        let path = entry.path();
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // Removed since the folder was read, or a broken link.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                scan.skip(name, error.to_string());
                continue;
            }
        };
        if !metadata.is_file() {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_symlink()
            && let Err(reason) = roots.check_inside(&path)
        {
            scan.skip(name, reason);
            continue;
        }
        scan.add(name, FileVersion::of(&metadata))
            .map_err(|what| format!("{} has {what}", folder.display()))?;
    }
    Ok(scan)
}

fn scan_listing(body: &[u8], pattern: &Pattern) -> Result<Scan, String> {
    let text =
        std::str::from_utf8(body).map_err(|_| "answered text that is not UTF-8".to_owned())?;
    let text = text.trim();
    let mut scan = Scan::default();
    let mut add = |name: &str, version| match is_selected(name, pattern) {
        true => scan
            .add(name, version)
            .map_err(|what| format!("answered {what}")),
        false => Ok(()),
    };
    if text.starts_with('[') {
        // By way of values: serde buffers what an untagged enum reads, and numbers with all their digits do not survive that.
        let entries: Result<Vec<Entry>, _> =
            serde_json::from_str(text).and_then(serde_json::from_value::<Vec<Entry>>);
        let entries = entries.map_err(|error| {
            format!("did not answer a list of names, or of objects with name, size and modified: {error}")
        })?;
        for entry in entries {
            match entry {
                Entry::Name(name) => add(&name, FileVersion::default())?,
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
                    add(&name, FileVersion { modified, size })?;
                }
            }
        }
    } else if text.starts_with(['<', '{']) {
        let message = "answered HTML or a JSON object; a listing is a JSON array, or a text with a name on each line";
        return Err(message.to_owned());
    } else {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            add(line, FileVersion::default())?;
        }
    }
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scan: &Scan) -> Vec<&str> {
        scan.files.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_listing_is_a_json_array_or_lines() {
        let all = Pattern::new("*.csv").unwrap();
        let scan = scan_listing(
            br#"["b.csv", {"name":"a.csv","size":3,"modified":17}, {"name":"c.txt","etag":"x"}, ".d.csv", "../e.csv"]"#,
            &all,
        )
        .unwrap();
        assert_eq!(names(&scan), ["a.csv", "b.csv"]);
        let version = &scan.files["a.csv"];
        assert_eq!(
            (version.size, version.modified.as_deref()),
            (Some(3), Some("17"))
        );
        // `../e.csv` starts with a dot.
        assert!(scan.skipped.is_empty(), "{scan:?}");
        let scan = scan_listing(b"a.csv\r\n\n  b.csv  \nx/c.csv\nd.csv.part\n", &all).unwrap();
        assert_eq!(names(&scan), ["a.csv", "b.csv"]);
        for wrong in [
            "<html><a href=a.csv>a.csv</a>",
            "{\"files\":[]}",
            "[1]",
            "[{\"nam\":\"a.csv\"}]",
        ] {
            let error = scan_listing(wrong.as_bytes(), &all).unwrap_err();
            assert!(error.contains("answer"), "{error}");
        }
        assert!(scan_listing(b"", &all).unwrap().files.is_empty());
    }

    #[test]
    fn files_of_a_listing_are_beside_it() {
        let source = |url: &str| Source::Listing {
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
            assert_eq!(source(url).path_of("a b.csv"), expected);
        }
        assert_eq!(
            source("http://h/in/").path_of("http:x"),
            "http://h/in/http:x"
        );
    }
}
