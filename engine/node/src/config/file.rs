//! Reads configuration files, and creates node.id if it is missing.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use weft_model::ids::Ids;

use super::load::SourceText;
use super::node_id;

/// The name of the identity file in a data folder.
pub const NODE_ID_FILE: &str = "node.id";

/// The text of a file, if the file exists.
///
/// # Errors
/// The file exists and cannot be read.
pub fn read_optional(path: &Path) -> io::Result<Option<SourceText>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(SourceText {
            path: path.to_owned(),
            text,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The node.id of a data folder. If it is missing, it is created with a new uuid.
///
/// # Errors
/// The folder cannot be written.
pub fn make_node_id(data: &Path, ids: &Ids) -> io::Result<SourceText> {
    let path = data.join(NODE_ID_FILE);
    if let Some(found) = read_optional(&path)? {
        return Ok(found);
    }
    fs::create_dir_all(data)?;
    // Write a temporary file and link it: a crash leaves no partial file, and one of two concurrent starts wins.
    let uuid = ids.uuid();
    let temporary = data.join(format!(".{NODE_ID_FILE}.{uuid}"));
    let text = node_id::new_text(&uuid.to_string());
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, &path);
    fs::remove_file(&temporary)?;
    match linked {
        Ok(()) => Ok(SourceText { path, text }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read_optional(&path)?.ok_or(error)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_node_id_is_private_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("deep/data");
        let first = make_node_id(&data, &Ids::seeded(1)).expect("made");
        let second = make_node_id(&data, &Ids::seeded(2)).expect("found");
        assert_eq!(first, second);
        assert!(first.text.contains("uuid: "));
        let mode = fs::metadata(data.join(NODE_ID_FILE))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data).expect("a folder").count(), 1);
    }
}
