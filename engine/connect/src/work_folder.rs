//! A folder of its own for every run, below the data folder, gone when the run has ended.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::oneshot;
use tracing::warn;

/// A folder in which a script just made a file cannot be removed at once; nobody makes files for ever.
const ATTEMPTS: usize = 5;

/// Where the folders of runs are.
#[derive(Clone, Debug)]
pub(crate) struct WorkFolders(PathBuf);

impl WorkFolders {
    /// Below this data folder.
    pub(crate) fn new(data: &Path) -> Self {
        Self(data.join("runs"))
    }

    /// Removes what a process that was killed has left.
    pub(crate) fn remove_leftovers(&self) {
        if fs::symlink_metadata(&self.0).is_ok() {
            // The log says why if it fails; new folders can be made beside the old ones.
            remove(&self.0);
        }
    }

    /// Makes a folder that nobody else has.
    pub(crate) fn make(&self) -> io::Result<WorkFolder> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        // A script is started inside: its path must hold from there.
        let parent = fs::canonicalize(&self.0)?;
        let folder = tempfile::Builder::new()
            .prefix("run-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        Ok(WorkFolder(folder))
    }
}

/// The folder of one run.
#[derive(Debug)]
pub(crate) struct WorkFolder(TempDir);

impl WorkFolder {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Removes it on a thread of its own after `before`: a run may have left a great many files. Resolves when it is
    /// gone, and nobody has to wait for that.
    pub(crate) fn remove_after(
        self,
        before: impl FnOnce() + Send + 'static,
    ) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let path = self.0.keep();
        let work = move || {
            before();
            remove(&path);
            // Nobody may be waiting any more.
            let _ = sender.send(());
        };
        let started = std::thread::Builder::new()
            .name("weft-run-end".to_owned())
            .spawn(work);
        if let Err(error) = started {
            // The next start removes it.
            warn!("No thread to remove the folder of a run: {error}");
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
        // A script may have taken the right to write from its own folders.
        open_folders(path);
    }
    if let Some(error) = last {
        warn!("Cannot remove {}: {error}", path.display());
    }
}

fn open_folders(folder: &Path) {
    let is_folder = fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir());
    if !is_folder || fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).is_err() {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        open_folders(&entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_private_and_goes_with_all_that_is_in_it() {
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
