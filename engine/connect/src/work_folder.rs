//! Working folders: each run has its own, below the data folder, until it ends.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::oneshot;
use tracing::warn;

/// The removal of a folder fails while a script creates files in it, so it is repeated.
const ATTEMPTS: usize = 5;

/// The parent of the working folders.
#[derive(Clone, Debug)]
pub(crate) struct WorkFolders(PathBuf);

impl WorkFolders {
    /// Working folders below this data folder.
    pub(crate) fn new(data: &Path) -> Self {
        Self(data.join("runs"))
    }

    /// Removes the folders that a killed process has left.
    pub(crate) fn remove_leftovers(&self) {
        if fs::symlink_metadata(&self.0).is_ok() {
            // A failure is only logged: new folders can be made beside the old ones.
            remove(&self.0);
        }
    }

    /// Makes a new folder.
    pub(crate) fn make(&self) -> io::Result<WorkFolder> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        // The script is started inside the folder, so the path must be absolute.
        let parent = fs::canonicalize(&self.0)?;
        let folder = tempfile::Builder::new()
            .prefix("run-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        Ok(WorkFolder(folder))
    }
}

/// The working folder of one run.
#[derive(Debug)]
pub(crate) struct WorkFolder(TempDir);

impl WorkFolder {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Removes the folder, on its own thread after `before`: a run may have left many files. The receiver resolves when
    /// the folder is gone, and may be dropped.
    pub(crate) fn remove_after(
        self,
        before: impl FnOnce() + Send + 'static,
    ) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let path = self.0.keep();
        let work = move || {
            before();
            remove(&path);
            // The receiver may be gone.
            let _ = sender.send(());
        };
        let started = std::thread::Builder::new()
            .name("weft-run-end".to_owned())
            .spawn(work);
        if let Err(error) = started {
            // The next start of the process removes the folder.
            warn!("Cannot start a thread to remove the folder of a run: {error}");
        }
        receiver
    }
}

fn remove(path: &Path) {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => last = Some(error),
        }
        // A script may have made its own folders read-only.
        make_writable(path);
    }
    if let Some(error) = last {
        warn!("Cannot remove {}: {error}", path.display());
    }
}

fn make_writable(folder: &Path) {
    let is_folder = fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir());
    if !is_folder || fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).is_err() {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        make_writable(&entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_private_and_is_removed_with_its_content() {
        let data = tempfile::tempdir().unwrap();
        let outside = data.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("stays"), "").unwrap();
        let folders = WorkFolders::new(data.path());
        let folder = folders.make().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/b/c"), "").unwrap();
        std::os::unix::fs::symlink(&outside, path.join("a/link")).unwrap();
        fs::set_permissions(path.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
        folder.remove_after(|| ()).await.unwrap();
        assert!(!path.exists() && outside.join("stays").exists());
    }

    #[test]
    fn leftovers_are_removed() {
        let data = tempfile::tempdir().unwrap();
        let folders = WorkFolders::new(data.path());
        folders.remove_leftovers();
        let _ = folders.make().unwrap().0.keep();
        folders.remove_leftovers();
        assert!(!data.path().join("runs").exists());
    }
}
