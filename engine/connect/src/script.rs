//! The scripts that jobs may run: executable files in `scripts/` of the deployed project.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, access};
use weft_lang::names::nearest;
use weft_node::job::DefinitionError;

const FOLDER: &str = "scripts";
/// The most scripts that are read for suggestions.
const MAX_SUGGESTIONS: usize = 10_000;
/// The most scripts that a hint lists.
const SHOWN: usize = 5;
/// Permissions that let others than the owner write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A script that may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// The absolute path, without links.
    pub path: PathBuf,
    /// The name for messages, e.g. `scripts/load.sh`.
    pub label: String,
}

impl Script {
    /// Finds a script in the project that is unpacked in `project`.
    ///
    /// # Errors
    /// The name or the file is unusable.
    pub(crate) fn find(project: &Path, name: &str) -> Result<Self, DefinitionError> {
        let inside = path_in_folder(name)?;
        let label = format!("{FOLDER}/{}", inside.display());
        // The operator controls the path to the data folder; the path inside the project is checked part by part.
        let mut path = fs::canonicalize(project).map_err(|error| DefinitionError {
            message: format!("the deployed project cannot be read: {error}"),
            hint: None,
        })?;
        let mut metadata = check_part(&path, &label, project)?;
        for part in Path::new(FOLDER).components().chain(inside.components()) {
            if !metadata.is_dir() {
                return Err(unknown(project, &label));
            }
            path.push(part);
            metadata = check_part(&path, &label, project)?;
        }
        if !metadata.is_file() {
            return Err(refused(format!("{label} is not a file"), None));
        }
        if access(&path, Access::EXEC_OK).is_err() {
            let hint = format!("chmod +x {label} and deploy the project again");
            return Err(refused(format!("{label} is not executable"), Some(hint)));
        }
        Ok(Self { path, label })
    }
}

/// Parses the name of a script into a path below `scripts/`.
fn path_in_folder(name: &str) -> Result<PathBuf, DefinitionError> {
    let hint = || Some("name a file in the folder scripts/ of the deployed project".to_owned());
    let path = Path::new(name);
    if path.is_absolute() {
        return Err(refused(format!("`{name}` is an absolute path"), hint()));
    }
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let has_dots = name.split('/').any(|part| part == "." || part == "..");
    if has_dots || name.contains('\0') || !path.components().all(is_plain) {
        return Err(refused(
            format!("`{name}` leaves the folder scripts/"),
            hint(),
        ));
    }
    let inside = path.strip_prefix(FOLDER).unwrap_or(path);
    if inside.as_os_str().is_empty() {
        return Err(refused(format!("`{name}` does not name a script"), hint()));
    }
    Ok(inside.to_owned())
}

/// Checks one part of the path to a script. A user who can replace it could run any program as this node.
fn check_part(path: &Path, label: &str, project: &Path) -> Result<Metadata, DefinitionError> {
    let metadata = fs::symlink_metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unknown(project, label),
        _ => refused(format!("{label} cannot be read: {error}"), None),
    })?;
    let what = || path.display();
    if metadata.is_symlink() {
        return Err(refused(format!("{} is a symbolic link", what()), None));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        let hint = format!("chmod go-w {}", what());
        return Err(refused(
            format!("{} can be written by others (mode {mode:o})", what()),
            Some(hint),
        ));
    }
    Ok(metadata)
}

fn unknown(project: &Path, label: &str) -> DefinitionError {
    let mut known = Vec::new();
    list(&project.join(FOLDER), FOLDER, &mut known);
    known.sort();
    let labels = || known.iter().map(String::as_str);
    let bare = |text: &str| text.strip_prefix("scripts/").unwrap_or(text).to_owned();
    // Compared without the folder, which is the same in all names and would make them look similar.
    let bares: Vec<String> = labels().map(bare).collect();
    let near = nearest(&bare(label), bares.iter().map(String::as_str));
    let hint = match (near, known.len()) {
        (Some(near), _) => format!("did you mean `{FOLDER}/{near}`?"),
        (None, 0) => "put it into the folder scripts/ and deploy the project again".to_owned(),
        (None, count) => {
            let shown = labels().take(SHOWN).collect::<Vec<_>>().join(", ");
            let more = if count > SHOWN { ", …" } else { "" };
            format!("there are {shown}{more}")
        }
    };
    refused(format!("the deployed project has no {label}"), Some(hint))
}

fn list(folder: &Path, label: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if found.len() >= MAX_SUGGESTIONS {
            return;
        }
        let name = entry.file_name();
        let (Some(name), Ok(kind)) = (name.to_str(), entry.file_type()) else {
            continue;
        };
        let label = format!("{label}/{name}");
        if kind.is_dir() {
            list(&entry.path(), &label, found);
        } else if kind.is_file() {
            found.push(label);
        }
    }
}

fn refused(message: String, hint: Option<String>) -> DefinitionError {
    DefinitionError { message, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project as a node unpacks it, but writable so that it can be removed.
    fn project(files: &[(&str, u32)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, mode) in files {
            let path = folder.path().join(path);
            for folder in path
                .ancestors()
                .skip(1)
                .take_while(|path| *path != folder.path())
            {
                fs::create_dir_all(folder).unwrap();
                fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
            }
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        folder
    }

    fn message(project: &Path, name: &str) -> String {
        let check = Script::find(project, name).unwrap_err();
        let hint = check
            .hint
            .map(|hint| format!(" | {hint}"))
            .unwrap_or_default();
        let folder = fs::canonicalize(project).unwrap().display().to_string();
        format!("{}{hint}", check.message).replace(&folder, "P")
    }

    #[test]
    fn a_script_is_found_with_and_without_the_folder() {
        let folder = project(&[("scripts/x.sh", 0o555), ("scripts/a/y.sh", 0o755)]);
        let path = fs::canonicalize(folder.path()).unwrap();
        for (name, label) in [
            ("x.sh", "scripts/x.sh"),
            ("scripts/x.sh", "scripts/x.sh"),
            ("a/y.sh", "scripts/a/y.sh"),
            ("scripts/a/y.sh", "scripts/a/y.sh"),
            ("scripts//a/y.sh", "scripts/a/y.sh"),
        ] {
            let script = Script::find(folder.path(), name).unwrap();
            assert_eq!(
                (script.label.as_str(), script.path),
                (label, path.join(label)),
                "{name}"
            );
        }
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        let folder = project(&[("scripts/x.sh", 0o555), ("y.sh", 0o555)]);
        let hint = "name a file in the folder scripts/ of the deployed project";
        for name in ["/bin/sh", "//bin/sh"] {
            assert_eq!(
                message(folder.path(), name),
                format!("`{name}` is an absolute path | {hint}")
            );
        }
        for name in [
            "../y.sh",
            "scripts/../y.sh",
            "a/../../y.sh",
            "./x.sh",
            "a/./x.sh",
            "..",
            "x.sh\0",
        ] {
            assert_eq!(
                message(folder.path(), name),
                format!("`{name}` leaves the folder scripts/ | {hint}")
            );
        }
        for name in ["", "scripts", "scripts/"] {
            assert_eq!(
                message(folder.path(), name),
                format!("`{name}` does not name a script | {hint}")
            );
        }
    }

    #[test]
    fn an_unknown_script_gets_the_nearest_as_a_hint() {
        let folder = project(&[("scripts/load.sh", 0o555), ("scripts/deep/clean.py", 0o555)]);
        let check = |name: &str, expected: &str| assert_eq!(message(folder.path(), name), expected);
        check(
            "laod.sh",
            "the deployed project has no scripts/laod.sh | did you mean `scripts/load.sh`?",
        );
        check(
            "scripts/deep/claen.py",
            "the deployed project has no scripts/deep/claen.py | did you mean `scripts/deep/clean.py`?",
        );
        check(
            "something",
            "the deployed project has no scripts/something | there are scripts/deep/clean.py, scripts/load.sh",
        );
        check(
            "load.sh/x",
            "the deployed project has no scripts/load.sh/x | did you mean `scripts/load.sh`?",
        );
        assert_eq!(
            message(project(&[("y.sh", 0o555)]).path(), "y.sh"),
            "the deployed project has no scripts/y.sh | put it into the folder scripts/ and deploy the project again"
        );
    }

    #[test]
    fn scripts_that_others_could_change_or_that_cannot_run_are_refused() {
        let folder = project(&[
            ("scripts/plain.txt", 0o644),
            ("scripts/group.sh", 0o575),
            ("scripts/world.sh", 0o557),
            ("scripts/open/x.sh", 0o555),
        ]);
        let open = folder.path().join("scripts/open");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let check = |name: &str, expected: &str| assert_eq!(message(folder.path(), name), expected);
        check(
            "plain.txt",
            "scripts/plain.txt is not executable | chmod +x scripts/plain.txt and deploy the project again",
        );
        check(
            "group.sh",
            "P/scripts/group.sh can be written by others (mode 575) | chmod go-w P/scripts/group.sh",
        );
        check(
            "world.sh",
            "P/scripts/world.sh can be written by others (mode 557) | chmod go-w P/scripts/world.sh",
        );
        check(
            "open/x.sh",
            "P/scripts/open can be written by others (mode 777) | chmod go-w P/scripts/open",
        );
        check(
            "scripts/open",
            "P/scripts/open can be written by others (mode 777) | chmod go-w P/scripts/open",
        );
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        check("open", "scripts/open is not a file");
    }

    #[test]
    fn links_are_not_followed() {
        let folder = project(&[("scripts/x.sh", 0o555), ("secret/y.sh", 0o555)]);
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, folder.path().join(name)).unwrap();
        };
        link("/bin/sh", "scripts/sh");
        link("../secret", "scripts/folder");
        link("x.sh", "scripts/same");
        assert_eq!(
            message(folder.path(), "sh"),
            "P/scripts/sh is a symbolic link"
        );
        assert_eq!(
            message(folder.path(), "folder/y.sh"),
            "P/scripts/folder is a symbolic link"
        );
        assert_eq!(
            message(folder.path(), "same"),
            "P/scripts/same is a symbolic link"
        );
    }
}
