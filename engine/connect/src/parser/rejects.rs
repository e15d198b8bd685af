//! The file in which a run collects the records that it could not read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::records::Reject;

/// The most rejects that one run writes. More are only counted.
const REJECTS: u64 = 10_000;
/// The number of reject files that are kept.
const KEPT: usize = 50;

/// A reject file. The first reject creates it.
#[derive(Debug)]
pub(super) struct RejectFile {
    path: PathBuf,
    file: Option<File>,
    written: u64,
}

impl RejectFile {
    /// The file of a run, in the folder of its parser.
    pub(super) fn new(data: &Path, parser: &str, run: &str) -> Self {
        let folder = data.join("rejects").join(parser);
        Self {
            path: folder.join(format!("{run}.jsonl")),
            file: None,
            written: 0,
        }
    }

    /// The path, if the file has been created.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.is_some().then_some(self.path.as_path())
    }

    /// Appends rejects of `source`, up to the limit.
    ///
    /// # Errors
    /// A sentence: the file cannot be written.
    pub(super) fn write(&mut self, source: &str, rejects: &[Reject]) -> Result<(), String> {
        if rejects.is_empty() || self.written > REJECTS {
            return Ok(());
        }
        let mut lines = String::new();
        for reject in rejects {
            self.written += 1;
            let line = match self.written > REJECTS {
                true => {
                    json!({"reason": format!("more than {REJECTS} rejects; the rest is only counted")})
                }
                false => json!({
                    "file": source,
                    "line": reject.line,
                    "reason": reject.reason,
                    "head": reject.head,
                }),
            };
            lines.push_str(&line.to_string());
            lines.push('\n');
            if self.written > REJECTS {
                break;
            }
        }
        let written = self
            .file()
            .and_then(|file| file.write_all(lines.as_bytes()));
        written.map_err(|error| format!("{}: {error}", self.path.display()))
    }

    fn file(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                    remove_old(folder)?;
                }
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.path)?
            }
        };
        Ok(self.file.insert(file))
    }
}

/// Removes the oldest files.
fn remove_old(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let too_many = files.len().saturating_sub(KEPT - 1);
    for (_, path) in files.into_iter().take(too_many) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_are_bounded_and_old_files_are_removed() {
        let data = tempfile::tempdir().unwrap();
        let reject = Reject {
            line: 3,
            reason: "bad".to_owned(),
            head: "a\"b".to_owned(),
        };
        let mut file = RejectFile::new(data.path(), "LU.p", "run");
        file.write("in.csv", &[]).unwrap();
        assert_eq!(file.path(), None);
        file.write("in.csv", std::slice::from_ref(&reject)).unwrap();
        let path = data.path().join("rejects/LU.p/run.jsonl");
        assert_eq!(file.path(), Some(path.as_path()));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"file\":\"in.csv\",\"line\":3,\"reason\":\"bad\",\"head\":\"a\\\"b\"}\n"
        );
        for _ in 0..12 {
            file.write("in.csv", &vec![reject.clone(); 1_000]).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 10_001);
        assert!(text.lines().last().unwrap().contains("only counted"));
        for run in 0..60 {
            let mut file = RejectFile::new(data.path(), "LU.p", &format!("run{run}"));
            file.write("in.csv", std::slice::from_ref(&reject)).unwrap();
        }
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 50);
    }
}
