//! Files below the folders that the node's configuration allows, and no others: the kernel follows each path beneath its
//! root and refuses what leads out, links included.

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

/// Folders under which jobs may read and write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    roots: Vec<PathBuf>,
}

/// A path that lies under a root.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed<'r> {
    root: &'r Path,
    inside: PathBuf,
}

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
const HINT: &str = "config.ini names the folders: FILE_ROOTS in section [jobs], absolute paths separated by commas";

impl Files {
    /// Allows what lies under these folders.
    pub(crate) fn new(roots: &[PathBuf]) -> Self {
        Self {
            roots: roots.to_vec(),
        }
    }

    /// Which root a path is under. A path that is not absolute begins in the first root.
    fn allowed(&self, path: &str) -> Result<Allowed<'_>, String> {
        let refused = |why: &str| Err(format!("{path} may not be used: {why} ({HINT})"));
        let Some(first) = self.roots.first() else {
            return refused("this node allows no folder");
        };
        let written = Path::new(path);
        let has_steps = path.split('/').any(|part| part == "..");
        if has_steps || path.contains('\0') || path.is_empty() {
            return Err(format!("`{path}` is no path to a file"));
        }
        let found = match written.is_absolute() {
            false => Some((first, written)),
            true => self.roots.iter().find_map(|root| {
                let inside = written.strip_prefix(root).ok()?;
                Some((root, inside))
            }),
        };
        let Some((root, inside)) = found else {
            return refused("it is not under a folder that this node allows");
        };
        let inside: PathBuf = inside
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        match inside.file_name() {
            Some(_) => Ok(Allowed { root, inside }),
            None => Err(format!("`{path}` is a folder")),
        }
    }

    /// Where a file is, or will be. Blocks.
    ///
    /// # Errors
    /// A sentence with the path: it may not be used, or its folder is not there.
    pub(crate) fn place(&self, path: &str) -> Result<Place, String> {
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
        Ok(Place { path, folder, name })
    }

    /// The whole of a file of at most `limit` bytes. Blocks.
    ///
    /// # Errors
    /// A sentence with the path.
    pub(crate) fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, String> {
        let allowed = self.allowed(path)?;
        let failed = |error: Errno| format!("{path} cannot be read: {}", reason(error));
        let root = open_root(allowed.root)?;
        // A pipe or a device would wait for somebody.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = openat2(&root, &allowed.inside, flags, Mode::empty(), BENEATH);
        let opened = opened.map_err(failed)?;
        let status = fstat(&opened).map_err(failed)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(format!("{path} cannot be read: it is no file"));
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

    /// Writes a file as a whole: whoever reads it sees all of it or what was there before. Blocks.
    ///
    /// # Errors
    /// A sentence with the path; nothing was changed.
    pub(crate) fn write(
        &self,
        path: &str,
        content: &[u8],
        may_replace: bool,
    ) -> Result<(), String> {
        let failed = |error: Errno| format!("{path} cannot be written: {}", reason(error));
        let Place { folder, name, .. } = self.place(path)?;
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
            // What cannot be removed either is left to whoever mends the folder.
            let _ = unlinkat(&folder, &temporary, AtFlags::empty());
            return Err(error);
        }
        rustix::fs::fsync(&folder).map_err(failed)
    }
}

/// Where a file is, or will be: its folder is open, so nothing outside it can be met from here.
#[derive(Debug)]
pub(crate) struct Place {
    path: String,
    folder: OwnedFd,
    name: OsString,
}

impl Place {
    /// Opens the part of this name in the folder, beside the file, to write; makes it if it is not there. None where
    /// somebody else is writing it. Blocks.
    ///
    /// # Errors
    /// A sentence with the path.
    pub(crate) fn part(&self, part: &str) -> Result<Option<File>, String> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(0o644);
        let opened = openat2(&self.folder, part, flags, mode, BENEATH);
        let opened = opened.map_err(|error| self.failed(error))?;
        let status = fstat(&opened).map_err(|error| self.failed(error))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(format!(
                "{} cannot be written: {part} beside it is no file",
                self.path
            ));
        }
        match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(File::from(opened))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// That the file can take its place here: there is none, or one that can be replaced. Blocks.
    ///
    /// # Errors
    /// A sentence with the path.
    pub(crate) fn check(&self) -> Result<(), String> {
        match statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Directory => {
                Err(format!("`{}` is a folder", self.path))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Whether the file is there and has so many bytes. Blocks.
    pub(crate) fn has(&self, bytes: u64) -> bool {
        statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|status| u64::try_from(status.st_size) == Ok(bytes))
    }

    /// The part becomes the file, in the place of what was there. False where there is no such part. Blocks.
    ///
    /// # Errors
    /// A sentence with the path.
    pub(crate) fn finish(&self, part: &str) -> Result<bool, String> {
        match renameat(&self.folder, part, &self.folder, &self.name) {
            Ok(()) => (),
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(self.failed(error)),
        }
        rustix::fs::fsync(&self.folder).map_err(|error| self.failed(error))?;
        Ok(true)
    }

    /// Removes a part; one that is not there is no mistake. Blocks.
    ///
    /// # Errors
    /// A sentence with the path.
    pub(crate) fn remove(&self, part: &str) -> Result<(), String> {
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
        Errno::NOENT => "it is not there".to_owned(),
        Errno::XDEV => "it leads out of the folder that is allowed".to_owned(),
        Errno::EXIST => "it is there already".to_owned(),
        Errno::NOSYS => "this needs Linux 5.6 or newer".to_owned(),
        error => io::Error::from(error).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        files: Files,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        for name in ["in/deep", "out"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("in/a.txt"), "hello").unwrap();
        fs::write(folder.path().join("out/secret.txt"), "secret").unwrap();
        let files = Files::new(&[folder.path().join("in")]);
        Place { folder, files }
    }

    impl Place {
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
    fn only_what_lies_below_a_root_is_read_and_written() {
        let place = place();
        assert_eq!(place.files.read("a.txt", 5).unwrap(), b"hello");
        assert_eq!(
            place.files.read(&place.path("in/a.txt"), 5).unwrap(),
            b"hello"
        );
        place.refused(
            &place.path("out/secret.txt"),
            "not under a folder that this node allows",
        );
        place.refused("../out/secret.txt", "is no path to a file");
        place.refused(&place.path("in/../out/secret.txt"), "is no path to a file");
        place.refused("", "is no path to a file");
        place.refused(&place.path("in"), "is a folder");
        place.refused("nowhere/a.txt", "it is not there");
        let none = Files::default();
        let error = none.read("a.txt", 5).unwrap_err();
        assert!(error.contains("allows no folder") && error.contains("FILE_ROOTS"));
    }

    #[test]
    fn no_link_leads_out() {
        let place = place();
        let link = |to: &str, name: &str| symlink(to, place.folder.path().join("in").join(name));
        link("../out", "out").unwrap();
        link(&place.path("out"), "absolute").unwrap();
        link("a.txt", "inside").unwrap();
        link("../out/secret.txt", "file").unwrap();
        place.refused("out/secret.txt", "leads out");
        place.refused("absolute/secret.txt", "leads out");
        assert_eq!(place.files.read("inside", 5).unwrap(), b"hello");
        assert!(
            place
                .files
                .read("file", 100)
                .unwrap_err()
                .contains("leads out")
        );
        // A write takes the place of the link and does not go through it.
        place.files.write("file", b"mine", true).unwrap();
        assert_eq!(fs::read(place.path("out/secret.txt")).unwrap(), b"secret");
        assert_eq!(place.files.read("file", 100).unwrap(), b"mine");
    }

    #[test]
    fn a_file_is_there_as_a_whole_or_not_at_all() {
        let place = place();
        place.files.write("deep/b.txt", b"first", false).unwrap();
        let error = place
            .files
            .write("deep/b.txt", b"second", false)
            .unwrap_err();
        assert!(error.ends_with("it is there already"), "{error}");
        assert_eq!(place.files.read("deep/b.txt", 9).unwrap(), b"first");
        place.files.write("deep/b.txt", b"third", true).unwrap();
        assert_eq!(place.files.read("deep/b.txt", 9).unwrap(), b"third");
        assert!(place.files.write("deep", b"x", true).is_err());
        let left = fs::read_dir(place.path("in/deep")).unwrap().count();
        assert_eq!(left, 1, "nothing temporary is left behind");
    }

    #[test]
    fn what_is_too_long_or_no_file_is_not_read() {
        let place = place();
        let error = place.files.read("a.txt", 4).unwrap_err();
        assert!(error.ends_with("it has more than 4 bytes"), "{error}");
        assert!(
            place
                .files
                .read("deep", 4)
                .unwrap_err()
                .ends_with("it is no file")
        );
        let pipe = place.folder.path().join("in/pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(
            place
                .files
                .read("pipe", 4)
                .unwrap_err()
                .ends_with("it is no file")
        );
    }
}
