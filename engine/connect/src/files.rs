//! Files below the folders of FILE_ROOTS. The kernel resolves each path beneath its root and refuses paths that leave it,
//! links included.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, flock, fstat,
    openat, openat2, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use uuid::Uuid;

/// The folders below which jobs may read and write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    roots: Vec<PathBuf>,
}

/// A path below a root.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AllowedPath<'r> {
    root: &'r Path,
    inside: PathBuf,
}

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
const HINT: &str = "config.ini names the folders: FILE_ROOTS in section [jobs], absolute paths separated by commas";

impl Files {
    pub(crate) fn new(roots: &[PathBuf]) -> Self {
        Self {
            roots: roots.to_vec(),
        }
    }

    /// Finds the root of a path. A relative path starts in the first root.
    fn allowed(&self, path: &str) -> Result<AllowedPath<'_>, String> {
        let refused = |why: &str| Err(format!("{path} may not be used: {why} ({HINT})"));
        let Some(first) = self.roots.first() else {
            return refused("this node allows no folder");
        };
        let written = Path::new(path);
        let has_steps = path.split('/').any(|part| part == "..");
        if has_steps || path.contains('\0') || path.is_empty() {
            return Err(format!("`{path}` is not a path to a file"));
        }
        let found = match written.is_absolute() {
            false => Some((first, written)),
            true => self.roots.iter().find_map(|root| {
                let inside = written.strip_prefix(root).ok()?;
                Some((root, inside))
            }),
        };
        let Some((root, inside)) = found else {
            return refused("it is not below a folder that this node allows");
        };
        let inside: PathBuf = inside
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        match inside.file_name() {
            Some(_) => Ok(AllowedPath { root, inside }),
            None => Err(format!("`{path}` is a folder")),
        }
    }

    /// Opens the folder of a file, which may not exist yet. Blocks.
    ///
    /// # Errors
    /// A sentence with the path: it is not allowed, or its folder does not exist.
    pub(crate) fn locate(&self, path: &str) -> Result<FileLocation, String> {
        let allowed = self.allowed(path)?;
        let failed = |error: Errno| format!("{path} cannot be written: {}", reason(error));
        let root = open_root(allowed.root)?;
        let folder = match allowed.inside.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                openat2(&root, parent, flags, Mode::empty(), BENEATH).map_err(failed)?
            }
            Some(_) | None => root,
        };
        let name = allowed.inside.file_name().unwrap_or_default().to_owned();
        let path = path.to_owned();
        Ok(FileLocation { path, folder, name })
    }

    /// Reads a file of at most `limit` bytes. Blocks.
    ///
    /// # Errors
    /// A sentence with the path.
    pub(crate) fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, String> {
        let allowed = self.allowed(path)?;
        let failed = |error: Errno| format!("{path} cannot be read: {}", reason(error));
        let root = open_root(allowed.root)?;
        // Opening a pipe would otherwise wait for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = openat2(&root, &allowed.inside, flags, Mode::empty(), BENEATH);
        let opened = opened.map_err(failed)?;
        let status = fstat(&opened).map_err(failed)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(format!("{path} cannot be read: it is not a file"));
        }
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = File::from(opened).take(most).read_to_end(&mut bytes);
        read.map_err(|error| format!("{path} cannot be read: {error}"))?;
        if bytes.len() > limit {
            return Err(format!(
                "{path} cannot be read: it has more than {limit} bytes"
            ));
        }
        Ok(bytes)
    }

    /// Writes a file atomically: readers see the old content or the new one. Blocks.
    ///
    /// # Errors
    /// A sentence with the path. The file is unchanged.
    pub(crate) fn write(
        &self,
        path: &str,
        content: &[u8],
        may_replace: bool,
    ) -> Result<(), String> {
        let failed = |error: Errno| format!("{path} cannot be written: {}", reason(error));
        let FileLocation { folder, name, .. } = self.locate(path)?;
        let temporary = format!(".{}.weft", Uuid::new_v4());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = openat(&folder, &temporary, flags, mode).map_err(failed)?;
        let written = fill(file, content).and_then(|()| {
            let moved = match may_replace {
                true => renameat(&folder, &temporary, &folder, &name),
                false => renameat_with(&folder, &temporary, &folder, &name, RenameFlags::NOREPLACE),
            };
            moved.map_err(failed)
        });
        if let Err(error) = written {
            // If the removal fails as well, the temporary file stays.
            let _ = unlinkat(&folder, &temporary, AtFlags::empty());
            return Err(error);
        }
        rustix::fs::fsync(&folder).map_err(failed)
    }
}

/// The name of a file in an open folder. No operation on it leaves the folder.
#[derive(Debug)]
pub(crate) struct FileLocation {
    path: String,
    folder: OwnedFd,
    name: OsString,
}

impl FileLocation {
    /// Opens a partial file beside the file for writing, or creates it. None if another process is writing it. Blocks.
    ///
    /// # Errors
    /// A sentence with the path.
    pub(crate) fn open_part(&self, part: &str) -> Result<Option<File>, String> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(0o644);
        let opened = openat2(&self.folder, part, flags, mode, BENEATH);
        let opened = opened.map_err(|error| self.failed(error))?;
        let status = fstat(&opened).map_err(|error| self.failed(error))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(format!(
                "{} cannot be written: {part} beside it is not a file",
                self.path
            ));
        }
        match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(File::from(opened))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Checks that the file can be created or replaced. Blocks.
    ///
    /// # Errors
    /// A sentence with the path.
    pub(crate) fn check_writable(&self) -> Result<(), String> {
        match statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Directory => {
                Err(format!("`{}` is a folder", self.path))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Whether the file exists and has this length. Blocks.
    pub(crate) fn has_length(&self, bytes: u64) -> bool {
        statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|status| u64::try_from(status.st_size) == Ok(bytes))
    }

    /// Renames a partial file to the file, which it replaces. False if there is no such partial file. Blocks.
    ///
    /// # Errors
    /// A sentence with the path.
    pub(crate) fn finish_part(&self, part: &str) -> Result<bool, String> {
        match renameat(&self.folder, part, &self.folder, &self.name) {
            Ok(()) => (),
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(self.failed(error)),
        }
        rustix::fs::fsync(&self.folder).map_err(|error| self.failed(error))?;
        Ok(true)
    }

    /// Removes a partial file if it exists. Blocks.
    ///
    /// # Errors
    /// A sentence with the path.
    pub(crate) fn remove_part(&self, part: &str) -> Result<(), String> {
        match unlinkat(&self.folder, part, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: Errno) -> String {
        format!("{} cannot be written: {}", self.path, reason(error))
    }
}

fn fill(file: OwnedFd, content: &[u8]) -> Result<(), String> {
    let mut file = File::from(file);
    let written: io::Result<()> = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(|error| format!("it cannot be written: {error}"))
}

fn open_root(root: &Path) -> Result<OwnedFd, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, root, flags, Mode::empty()).map_err(|error| {
        let root = root.display();
        format!(
            "the folder {root} of FILE_ROOTS cannot be opened: {}",
            reason(error)
        )
    })
}

fn reason(error: Errno) -> String {
    match error {
        Errno::NOENT => "it does not exist".to_owned(),
        Errno::XDEV => "it leads out of the allowed folder".to_owned(),
        Errno::EXIST => "it already exists".to_owned(),
        Errno::NOSYS => "this needs Linux 5.6 or newer".to_owned(),
        error => io::Error::from(error).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Fixture {
        folder: tempfile::TempDir,
        files: Files,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        for name in ["in/deep", "out"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("in/a.txt"), "hello").unwrap();
        fs::write(folder.path().join("out/secret.txt"), "secret").unwrap();
        let files = Files::new(&[folder.path().join("in")]);
        Fixture { folder, files }
    }

    impl Fixture {
        fn path(&self, inside: &str) -> String {
            self.folder.path().join(inside).display().to_string()
        }

        fn refused(&self, path: &str, part: &str) {
            for error in [
                self.files.read(path, 100).unwrap_err(),
                self.files.write(path, b"x", true).unwrap_err(),
            ] {
                assert!(error.contains(part), "{path}: {error}");
            }
        }
    }

    #[test]
    fn only_files_below_a_root_are_read_and_written() {
        let fixture = fixture();
        assert_eq!(fixture.files.read("a.txt", 5).unwrap(), b"hello");
        assert_eq!(
            fixture.files.read(&fixture.path("in/a.txt"), 5).unwrap(),
            b"hello"
        );
        fixture.refused(
            &fixture.path("out/secret.txt"),
            "not below a folder that this node allows",
        );
        fixture.refused("../out/secret.txt", "is not a path to a file");
        fixture.refused(
            &fixture.path("in/../out/secret.txt"),
            "is not a path to a file",
        );
        fixture.refused("", "is not a path to a file");
        fixture.refused(&fixture.path("in"), "is a folder");
        fixture.refused("nowhere/a.txt", "it does not exist");
        let none = Files::default();
        let error = none.read("a.txt", 5).unwrap_err();
        assert!(error.contains("allows no folder") && error.contains("FILE_ROOTS"));
    }

    #[test]
    fn no_link_leads_out() {
        let fixture = fixture();
        let link = |to: &str, name: &str| symlink(to, fixture.folder.path().join("in").join(name));
        link("../out", "out").unwrap();
        link(&fixture.path("out"), "absolute").unwrap();
        link("a.txt", "inside").unwrap();
        link("../out/secret.txt", "file").unwrap();
        fixture.refused("out/secret.txt", "leads out");
        fixture.refused("absolute/secret.txt", "leads out");
        assert_eq!(fixture.files.read("inside", 5).unwrap(), b"hello");
        assert!(
            fixture
                .files
                .read("file", 100)
                .unwrap_err()
                .contains("leads out")
        );
        // A write replaces the link and does not follow it.
        fixture.files.write("file", b"mine", true).unwrap();
        assert_eq!(fs::read(fixture.path("out/secret.txt")).unwrap(), b"secret");
        assert_eq!(fixture.files.read("file", 100).unwrap(), b"mine");
    }

    #[test]
    fn a_file_is_written_as_a_whole_or_not_at_all() {
        let fixture = fixture();
        fixture.files.write("deep/b.txt", b"first", false).unwrap();
        let error = fixture
            .files
            .write("deep/b.txt", b"second", false)
            .unwrap_err();
        assert!(error.ends_with("it already exists"), "{error}");
        assert_eq!(fixture.files.read("deep/b.txt", 9).unwrap(), b"first");
        fixture.files.write("deep/b.txt", b"third", true).unwrap();
        assert_eq!(fixture.files.read("deep/b.txt", 9).unwrap(), b"third");
        assert!(fixture.files.write("deep", b"x", true).is_err());
        let left = fs::read_dir(fixture.path("in/deep")).unwrap().count();
        assert_eq!(left, 1, "no temporary file is left");
    }

    #[test]
    fn long_files_and_other_things_are_not_read() {
        let fixture = fixture();
        let error = fixture.files.read("a.txt", 4).unwrap_err();
        assert!(error.ends_with("it has more than 4 bytes"), "{error}");
        assert!(
            fixture
                .files
                .read("deep", 4)
                .unwrap_err()
                .ends_with("it is not a file")
        );
        let pipe = fixture.folder.path().join("in/pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(
            fixture
                .files
                .read("pipe", 4)
                .unwrap_err()
                .ends_with("it is not a file")
        );
    }
}
