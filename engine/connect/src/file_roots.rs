//! Files that jobs only read, found by patterns below the folders of FILE_ROOTS.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

/// The most files that a pattern may match.
const FILES: usize = 100_000;
/// The folders below which files may be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileRoots(Vec<PathBuf>);

/// A file that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundFile {
    pub(crate) path: String,
    /// In bytes.
    pub(crate) size: u64,
    /// See [`modified`].
    pub(crate) modified: String,
}

/// The files that match a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// In the order of the bytes of their paths.
    pub(crate) files: Vec<FoundFile>,
    /// Paths that may not be read, and why.
    pub(crate) refused: Vec<(String, String)>,
}

impl FileRoots {
    pub(crate) fn new(roots: &[PathBuf]) -> Self {
        Self(roots.to_vec())
    }

    /// Checks the syntax of a pattern, which does not depend on the node.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn check_form(pattern: &str) -> Result<(), String> {
        if !pattern.starts_with(['/', '$']) {
            return Err(format!(
                "`{pattern}` is not an absolute path; `${{PROJECT_DIR}}/…` is a path next to the project"
            ));
        }
        if pattern.split('/').any(|part| part == "..") {
            return Err(format!("`{pattern}` leaves its folder with `..`"));
        }
        Pattern::new(pattern)
            .map(drop)
            .map_err(|error| format!("`{pattern}`: {error}"))
    }

    /// Checks that a pattern is below an allowed folder. Links are not followed.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn check_pattern(&self, pattern: &str) -> Result<(), String> {
        Self::check_form(pattern)?;
        let is_plain = |part: &Component<'_>| {
            let part = part.as_os_str().to_string_lossy();
            !part.contains(['*', '?', '['])
        };
        let fixed: PathBuf = Path::new(pattern)
            .components()
            .take_while(is_plain)
            .collect();
        self.check_below(pattern, &fixed)
    }

    /// Checks that a folder is allowed or below an allowed one. Links are not followed.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn check_folder(&self, folder: &str) -> Result<(), String> {
        if !folder.starts_with('/') || folder.contains('\0') {
            return Err(format!("`{folder}` is not an absolute path"));
        }
        if folder.split('/').any(|part| part == "..") {
            return Err(format!("`{folder}` leaves its folder with `..`"));
        }
        self.check_below(folder, Path::new(folder))
    }

    fn check_below(&self, written: &str, fixed: &Path) -> Result<(), String> {
        if self.0.iter().any(|root| fixed.starts_with(root)) {
            return Ok(());
        }
        let allowed: Vec<String> = self
            .0
            .iter()
            .map(|root| root.display().to_string())
            .collect();
        Err(match allowed.is_empty() {
            true => format!("{written} may not be read: this node allows no folders"),
            false => format!(
                "{written} is in none of the folders that this node allows: {}",
                allowed.join(", ")
            ),
        })
    }

    /// Finds the files that match a pattern. Names that start with a dot are skipped.
    ///
    /// # Errors
    /// A sentence: a folder cannot be read, or there are too many files.
    pub(crate) fn find(&self, pattern: &str) -> Result<Listing, String> {
        self.check_pattern(pattern)?;
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let paths = glob::glob_with(pattern, options).map_err(|error| error.to_string())?;
        let mut listing = Listing::default();
        for path in paths {
            let path = path.map_err(|error| error.to_string())?;
            let failed = |error: io::Error| format!("{}: {error}", path.display());
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                // Removed since the folder was read, or a broken link.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            if !metadata.is_file() {
                continue;
            }
            let Some(text) = path.to_str() else {
                let name = path.display().to_string();
                listing
                    .refused
                    .push((name, "its name is not UTF-8".to_owned()));
                continue;
            };
            if let Err(reason) = self.check_inside(&path) {
                listing.refused.push((text.to_owned(), reason));
                continue;
            }
            if listing.files.len() == FILES {
                return Err(format!("{pattern} matches more than {FILES} files"));
            }
            listing.files.push(FoundFile {
                path: text.to_owned(),
                size: metadata.len(),
                modified: modified(&metadata),
            });
        }
        listing
            .files
            .sort_by(|one, other| one.path.cmp(&other.path));
        Ok(listing)
    }

    /// Opens a file and checks that the opened file is below an allowed folder.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn open(&self, path: &str) -> Result<(File, FoundFile), String> {
        let failed = |error: io::Error| format!("{path}: {error}");
        // Opening a pipe would otherwise wait for a writer forever.
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        let flags = i32::try_from(flags).unwrap_or(0);
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path);
        let file = file.map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(format!("{path} is not a file"));
        }
        self.check_opened(path, &file)?;
        let found = FoundFile {
            path: path.to_owned(),
            size: metadata.len(),
            modified: modified(&metadata),
        };
        Ok((file, found))
    }

    /// Resolves a path and checks that the result is below an allowed folder.
    ///
    /// # Errors
    /// A sentence: the path does not exist, or leads out of the allowed folders.
    pub(crate) fn check_inside(&self, path: &Path) -> Result<PathBuf, String> {
        let real =
            fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.check_real(path, &real)?;
        Ok(real)
    }

    /// Asks the kernel where the opened file is: meanwhile the path may lead to another file.
    fn check_opened(&self, path: &str, file: &File) -> Result<(), String> {
        let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
        let real = fs::read_link(&opened).map_err(|error| {
            format!("{path}: its location is unknown because {opened} cannot be read: {error}")
        })?;
        self.check_real(Path::new(path), &real)
    }

    fn check_real(&self, path: &Path, real: &Path) -> Result<(), String> {
        let inside = self
            .0
            .iter()
            .any(|root| fs::canonicalize(root).is_ok_and(|root| real.starts_with(root)));
        match inside {
            true => Ok(()),
            false => Err(format!(
                "{} leads out of the folders that this node allows",
                path.display()
            )),
        }
    }
}

/// The modification time of a file, in seconds with nanoseconds.
pub(crate) fn modified(metadata: &Metadata) -> String {
    format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, FileRoots) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("in/b.csv", "b"),
            ("in/a.csv", "a"),
            ("in/.hidden.csv", "h"),
            ("in/deep/c.csv", "c"),
            ("in/x.txt", "x"),
            ("secret/s.csv", "s"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let roots = FileRoots::new(&[folder.path().join("in")]);
        (folder, roots)
    }

    fn names(found: &Listing) -> Vec<&str> {
        let names = found.files.iter();
        names
            .map(|found| found.path.rsplit('/').next().unwrap_or(""))
            .collect()
    }

    #[test]
    fn files_are_found_in_order_without_hidden_ones() {
        let (folder, roots) = folder();
        let pattern = |text: &str| format!("{}/{text}", folder.path().display());
        assert_eq!(
            names(&roots.find(&pattern("in/*.csv")).unwrap()),
            ["a.csv", "b.csv"]
        );
        assert_eq!(
            names(&roots.find(&pattern("in/**/*.csv")).unwrap()),
            ["a.csv", "b.csv", "c.csv"]
        );
        assert_eq!(names(&roots.find(&pattern("in/a.csv")).unwrap()), ["a.csv"]);
        assert_eq!(
            roots.find(&pattern("in/none*.csv")).unwrap(),
            Listing::default()
        );
    }

    #[test]
    fn nothing_outside_is_found_or_opened() {
        let (folder, roots) = folder();
        let pattern = |text: &str| format!("{}/{text}", folder.path().display());
        for outside in ["secret/*.csv", "*/s.csv", "*.csv", "inside/*.csv"] {
            let error = roots.find(&pattern(outside)).unwrap_err();
            assert!(error.contains("none of the folders"), "{error}");
        }
        assert!(
            roots
                .find(&pattern("in/../secret/*.csv"))
                .unwrap_err()
                .contains("`..`")
        );
        assert!(
            roots
                .find("in/*.csv")
                .unwrap_err()
                .contains("not an absolute path")
        );
        assert!(
            FileRoots::default()
                .find("/etc/*")
                .unwrap_err()
                .contains("allows no folders")
        );
        // A link that leads out, to a file and to a folder.
        std::os::unix::fs::symlink(
            folder.path().join("secret/s.csv"),
            folder.path().join("in/link.csv"),
        )
        .unwrap();
        let found = roots.find(&pattern("in/*.csv")).unwrap();
        assert_eq!(names(&found), ["a.csv", "b.csv"]);
        assert!(
            found.refused[0].1.contains("link.csv leads out"),
            "{found:?}"
        );
        let error = roots.open(&pattern("in/link.csv")).unwrap_err();
        assert!(error.contains("leads out"), "{error}");
        fs::remove_file(folder.path().join("in/link.csv")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), folder.path().join("in/door"))
            .unwrap();
        let found = roots.find(&pattern("in/*/*.csv")).unwrap();
        assert_eq!(names(&found), ["c.csv"]);
        assert!(found.refused[0].1.contains("s.csv leads out"), "{found:?}");
        // A link that stays inside is allowed.
        fs::remove_file(folder.path().join("in/door")).unwrap();
        std::os::unix::fs::symlink("a.csv", folder.path().join("in/same.csv")).unwrap();
        assert_eq!(
            names(&roots.find(&pattern("in/*.csv")).unwrap()),
            ["a.csv", "b.csv", "same.csv"]
        );
        assert!(roots.open(&pattern("in/same.csv")).is_ok());
    }

    #[test]
    fn the_opened_file_is_checked_and_not_its_path() {
        let (folder, roots) = folder();
        let (door, secret) = (
            folder.path().join("in/door"),
            folder.path().join("secret/s.csv"),
        );
        std::os::unix::fs::symlink(&secret, &door).unwrap();
        let opened = File::open(&door).unwrap();
        fs::remove_file(&door).unwrap();
        fs::write(&door, "plain").unwrap();
        let path = door.to_str().unwrap();
        assert!(roots.open(path).is_ok());
        let refused = roots.check_opened(path, &opened).unwrap_err();
        assert!(refused.contains("leads out"), "{refused}");
    }
}
