//! A project as one value: the deployed files, in an order and a form that do not depend on their folder. The SHA-256
//! of the bundle identifies it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// The largest size of a bundle.
pub const BUNDLE_BYTES: usize = 64 * 1024 * 1024;

/// A folder that is older and still has its hidden name belongs to a process that was killed.
const LONGEST_UNPACKING: Duration = Duration::from_secs(3_600);
const HEAD: &str = "weft-bundle 1\n";
const PROJECT_FILE: &str = "project.yaml";
const FOLDERS: [&str; 3] = ["interfaces", "logical_units", "scripts"];
const PROJECT_DIR: &str = "${PROJECT_DIR}";

/// Why a bundle cannot be made, read or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The path of the file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A file cannot be part of a bundle.
    #[error("{path} {reason}")]
    Refused {
        /// The path of the file.
        path: String,
        /// The reason, as the rest of a sentence about the path.
        reason: String,
    },
    /// The bytes are not a bundle, or not the expected one.
    #[error("the bundle cannot be read: {0}")]
    Damaged(String),
}

/// The files of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    files: BTreeMap<String, File>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct File {
    bytes: Vec<u8>,
    executable: bool,
}

impl Bundle {
    /// Packs the project files in `folder`. In the files of interfaces and parsers `${PROJECT_DIR}` becomes the
    /// absolute path of the folder, so that they find data next to the project that is not part of it.
    ///
    /// # Errors
    /// A file cannot be read, is a symbolic link or a special file, or makes the bundle too large.
    pub fn pack(folder: &Path) -> Result<Self, BundleError> {
        let folder = fs::canonicalize(folder).map_err(|source| failed(folder, source))?;
        let mut bundle = Self::default();
        let mut size = 0;
        for name in FOLDERS {
            let path = folder.join(name);
            if fs::symlink_metadata(&path).is_ok() {
                bundle.add(&path, name, &mut size)?;
            }
        }
        let project_file = folder.join(PROJECT_FILE);
        if fs::symlink_metadata(&project_file).is_ok() {
            bundle.add(&project_file, PROJECT_FILE, &mut size)?;
        }
        bundle.name_project_folder(&folder)?;
        Ok(bundle)
    }

    fn add(&mut self, path: &Path, name: &str, size: &mut usize) -> Result<(), BundleError> {
        let refuse = |reason: &str| refused(path, reason);
        let metadata = fs::symlink_metadata(path).map_err(|source| failed(path, source))?;
        if metadata.is_symlink() {
            return Err(refuse("is a symbolic link; a project holds files only"));
        }
        if metadata.is_dir() {
            for entry in fs::read_dir(path).map_err(|source| failed(path, source))? {
                let entry = entry.map_err(|source| failed(path, source))?;
                let file_name = entry.file_name();
                let inner = file_name
                    .to_str()
                    .ok_or_else(|| refuse("has a name that is not UTF-8"))?;
                // Editors and version control create such files. No project file starts with a dot.
                if !inner.starts_with('.') {
                    self.add(&entry.path(), &format!("{name}/{inner}"), size)?;
                }
            }
            return Ok(());
        }
        if !metadata.is_file() {
            return Err(refuse("is neither a file nor a folder"));
        }
        if name.contains('\n') {
            return Err(refuse("has a line break in its name"));
        }
        *size += usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        if *size > BUNDLE_BYTES {
            return Err(refuse("makes the project larger than 64 MiB"));
        }
        let file = File {
            bytes: fs::read(path).map_err(|source| failed(path, source))?,
            executable: metadata.permissions().mode() & 0o100 != 0,
        };
        self.files.insert(name.to_owned(), file);
        Ok(())
    }

    fn name_project_folder(&mut self, folder: &Path) -> Result<(), BundleError> {
        let names_it = |file: &File| contains(&file.bytes, PROJECT_DIR.as_bytes());
        let names_data = |name: &str| name.starts_with("interfaces/") || name.contains("/parsers/");
        let files = self.files.iter_mut();
        for (_, file) in files.filter(|(name, file)| names_data(name) && names_it(file)) {
            let plain = |c: char| c.is_alphanumeric() || "/._-+@~ ".contains(c);
            let Some(path) = folder.to_str().filter(|path| path.chars().all(plain)) else {
                return Err(refused(
                    folder,
                    "has characters that cannot stand for ${PROJECT_DIR}",
                ));
            };
            if let Ok(text) = std::str::from_utf8(&file.bytes) {
                file.bytes = text.replace(PROJECT_DIR, path).into_bytes();
            }
        }
        Ok(())
    }

    /// The paths of the files, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The content of a file.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|file| file.bytes.as_slice())
    }

    /// Serialises the bundle. The same files always give the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::from(HEAD);
        for (path, file) in &self.files {
            let mode = if file.executable { 'x' } else { '-' };
            let head = format!("{} {mode} {path}\n", file.bytes.len());
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(&file.bytes);
        }
        bytes
    }

    /// SHA-256 of [`to_bytes`](Self::to_bytes), in hex.
    pub fn hash(&self) -> String {
        hash(&self.to_bytes())
    }

    /// Reads a bundle whose hash has to be `expected`.
    ///
    /// # Errors
    /// The bytes have another hash, or are not a bundle.
    pub fn from_bytes(bytes: &[u8], expected: &str) -> Result<Self, BundleError> {
        let found = hash(bytes);
        if found != expected {
            let message = format!("its hash is {found}, not {expected}");
            return Err(BundleError::Damaged(message));
        }
        let damaged = || BundleError::Damaged("it ends early".to_owned());
        let mut rest = bytes.strip_prefix(HEAD.as_bytes()).ok_or_else(damaged)?;
        let mut bundle = Self::default();
        while !rest.is_empty() {
            let end = rest
                .iter()
                .position(|byte| *byte == b'\n')
                .ok_or_else(damaged)?;
            let head = std::str::from_utf8(&rest[..end]).map_err(|_| damaged())?;
            rest = &rest[end + 1..];
            let mut parts = head.splitn(3, ' ');
            let (Some(length), Some(mode), Some(path)) = (parts.next(), parts.next(), parts.next())
            else {
                return Err(damaged());
            };
            let length: usize = length.parse().map_err(|_| damaged())?;
            if length > rest.len() || !stays_inside(path) {
                return Err(damaged());
            }
            let (content, behind) = rest.split_at(length);
            let file = File {
                bytes: content.to_vec(),
                executable: mode == "x",
            };
            bundle.files.insert(path.to_owned(), file);
            rest = behind;
        }
        Ok(bundle)
    }

    /// Writes the files to `projects/<hash>`, read-only, and returns that folder. An existing folder is used if its
    /// files are the files of the bundle, and replaced otherwise.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn unpack_to(&self, projects: &Path) -> Result<PathBuf, BundleError> {
        static ATTEMPT: AtomicU64 = AtomicU64::new(0);
        let hash = self.hash();
        let target = projects.join(&hash);
        if target.is_dir() {
            if Self::pack(&target).is_ok_and(|found| found.hash() == hash) {
                return Ok(target);
            }
            remove(&target)?;
        }
        let attempt = ATTEMPT.fetch_add(1, Ordering::Relaxed);
        let making = projects.join(format!(".{hash}-{}-{attempt}", std::process::id()));
        for (path, file) in &self.files {
            write(&making.join(path), file)?;
        }
        fs::create_dir_all(&making).map_err(|source| failed(&making, source))?;
        remove_unfinished(projects, &making);
        seal_folders(&making)?;
        match fs::rename(&making, &target) {
            Ok(()) => Ok(target),
            // Another process was faster, with the same files.
            Err(_) if target.is_dir() => remove(&making).map(|()| target),
            Err(source) => Err(failed(&target, source)),
        }
    }
}

fn write(path: &Path, file: &File) -> Result<(), BundleError> {
    let failed = |source| failed(path, source);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut written = fs::File::create_new(path).map_err(failed)?;
    written.write_all(&file.bytes).map_err(failed)?;
    // A power failure after the rename must not leave empty files under the final name.
    written.sync_all().map_err(failed)?;
    let mode = if file.executable { 0o555 } else { 0o444 };
    written
        .set_permissions(fs::Permissions::from_mode(mode))
        .map_err(failed)
}

fn seal_folders(folder: &Path) -> Result<(), BundleError> {
    let failed = |source| failed(folder, source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            seal_folders(&path)?;
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).map_err(failed)
}

fn remove(folder: &Path) -> Result<(), BundleError> {
    open_folders(folder)?;
    fs::remove_dir_all(folder).map_err(|source| failed(folder, source))
}

/// Removes the folders that killed processes left half made. Failures do not matter: the next unpacking tries again.
fn remove_unfinished(projects: &Path, making: &Path) {
    let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
    let Ok(now) = changed(making) else {
        return;
    };
    for entry in fs::read_dir(projects).into_iter().flatten().flatten() {
        let is_unfinished = entry.file_name().to_string_lossy().starts_with('.');
        let age = changed(&entry.path()).map(|then| now.duration_since(then).unwrap_or_default());
        if is_unfinished && age.is_ok_and(|age| age > LONGEST_UNPACKING) {
            let _ = remove(&entry.path());
        }
    }
}

fn open_folders(folder: &Path) -> Result<(), BundleError> {
    let failed = |source| failed(folder, source);
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}

fn stays_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failed(path: &Path, source: std::io::Error) -> BundleError {
    let path = path.display().to_string();
    BundleError::File { path, source }
}

fn refused(path: &Path, reason: &str) -> BundleError {
    let (path, reason) = (path.display().to_string(), reason.to_owned());
    BundleError::Refused { path, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in [
            ("project.yaml", "name: test\n"),
            (
                "interfaces/a.yaml",
                "type: csv\npath: ${PROJECT_DIR}/data/a.csv\n",
            ),
            ("logical_units/LU/lu.yaml", "root: ${PROJECT_DIR}\n"),
            ("scripts/run.sh", "#!/bin/sh\n"),
            ("scripts/.hidden", "no"),
            ("data/a.csv", "id\n1\n"),
            ("README.md", "no"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let script = folder.path().join("scripts/run.sh");
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    #[test]
    fn folders_that_killed_processes_left_half_made_are_removed() {
        let (folder, data) = (project(), tempfile::tempdir().unwrap());
        let (old, young) = (data.path().join(".a-1-0"), data.path().join(".b-1-0"));
        for unfinished in [&old, &young] {
            fs::create_dir(unfinished).unwrap();
            fs::write(unfinished.join("project.yaml"), "name: test\n").unwrap();
        }
        let opened = fs::File::open(&old).unwrap();
        let then = opened.metadata().unwrap().modified().unwrap() - 2 * LONGEST_UNPACKING;
        opened.set_modified(then).unwrap();
        let bundle = Bundle::pack(folder.path()).unwrap();
        let target = bundle.unpack_to(data.path()).unwrap();
        assert_eq!((old.exists(), young.exists()), (false, true));
        remove(&target).unwrap();
    }

    #[test]
    fn a_bundle_holds_the_project_files_and_no_others() {
        let folder = project();
        let bundle = Bundle::pack(folder.path()).unwrap();
        let paths: Vec<_> = bundle.paths().collect();
        let expected = [
            "interfaces/a.yaml",
            "logical_units/LU/lu.yaml",
            "project.yaml",
            "scripts/run.sh",
        ];
        assert_eq!(paths, expected);
        let interface = std::str::from_utf8(bundle.file("interfaces/a.yaml").unwrap()).unwrap();
        let absolute = fs::canonicalize(folder.path()).unwrap();
        assert_eq!(
            interface,
            format!("type: csv\npath: {}/data/a.csv\n", absolute.display())
        );
        assert_eq!(
            bundle.file("logical_units/LU/lu.yaml").unwrap(),
            b"root: ${PROJECT_DIR}\n"
        );
    }

    #[test]
    fn a_bundle_is_known_by_its_content() {
        let folder = project();
        let bundle = Bundle::pack(folder.path()).unwrap();
        assert_eq!(Bundle::pack(folder.path()).unwrap().hash(), bundle.hash());
        let bytes = bundle.to_bytes();
        assert_eq!(Bundle::from_bytes(&bytes, &bundle.hash()).unwrap(), bundle);
        fs::write(folder.path().join("data/a.csv"), "id\n2\n").unwrap();
        assert_eq!(Bundle::pack(folder.path()).unwrap().hash(), bundle.hash());
        fs::write(folder.path().join("scripts/more"), "x").unwrap();
        assert_ne!(Bundle::pack(folder.path()).unwrap().hash(), bundle.hash());
    }

    #[test]
    fn damaged_and_hostile_bytes_are_refused() {
        let bytes = Bundle::pack(project().path()).unwrap().to_bytes();
        assert!(Bundle::from_bytes(&bytes, "other").is_err());
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            if let Ok(bundle) = Bundle::from_bytes(cut, &hash(cut)) {
                assert_eq!(bundle.to_bytes(), cut);
            }
        }
        for path in ["../x", "/etc/x", "a/../../x", "", "."] {
            let bytes = format!("{HEAD}1 - {path}\nx").into_bytes();
            assert!(Bundle::from_bytes(&bytes, &hash(&bytes)).is_err(), "{path}");
        }
    }

    #[test]
    fn links_are_refused() {
        let folder = project();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("scripts/passwd")).unwrap();
        let error = Bundle::pack(folder.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("scripts/passwd is a symbolic link; a project holds files only"),
            "{error}"
        );
    }

    #[test]
    fn what_is_unpacked_is_read_only_and_verified() {
        let bundle = Bundle::pack(project().path()).unwrap();
        let data = tempfile::tempdir().unwrap();
        let projects = data.path().join("projects");
        let folder = bundle.unpack_to(&projects).unwrap();
        assert_eq!(folder, projects.join(bundle.hash()));
        let mode = |path: &str| {
            fs::metadata(folder.join(path))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(
            (
                mode("project.yaml"),
                mode("scripts/run.sh"),
                mode("scripts")
            ),
            (0o444, 0o555, 0o555)
        );
        assert_eq!(bundle.unpack_to(&projects).unwrap(), folder);

        let yaml = folder.join("project.yaml");
        fs::set_permissions(&yaml, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&yaml, "name: changed\n").unwrap();
        assert_eq!(bundle.unpack_to(&projects).unwrap(), folder);
        assert_eq!(fs::read(&yaml).unwrap(), b"name: test\n");
        assert_eq!(fs::read_dir(&projects).unwrap().count(), 1);
        remove(&folder).unwrap();
    }
}
