//! The files in the data folder of a node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The folder of `weft dev` unless another one is named.
pub const DEFAULT_DIR: &str = ".weft";

const ADDRESS_FILE: &str = "address";
const TOKEN_FILE: &str = "token";
const STORE_FILE: &str = "weft.db";

/// The file with the token of the node.
pub fn token_path(dir: &Path) -> PathBuf {
    dir.join(TOKEN_FILE)
}

/// The store of `weft dev`.
pub fn store_path(dir: &Path) -> PathBuf {
    dir.join(STORE_FILE)
}

/// The address in the address file, if there is one.
pub fn read_address(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join(ADDRESS_FILE)).ok()
}

/// The file with the address of the node, removed when this is dropped.
#[derive(Debug)]
pub struct AddressFile(PathBuf);

impl AddressFile {
    /// Writes the address.
    pub fn write(dir: &Path, url: &str) -> anyhow::Result<Self> {
        let path = dir.join(ADDRESS_FILE);
        fs::write(&path, format!("{url}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // Without the file no client tries to reach a process that has gone.
        let _ = fs::remove_file(&self.0);
    }
}
