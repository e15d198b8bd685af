//! The token of a node: generated in a file of its own, or set explicitly.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use weft_project::interface::Secret;

const MIN_TOKEN_CHARS: usize = 16;
const MAX_TOKEN_CHARS: usize = 1_024;

/// A token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The text cannot be a token.
    #[error(
        "{origin}: a token has {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} letters, digits or one of -._~+/="
    )]
    Unusable {
        /// The file or the variable that it came from.
        origin: String,
    },
    /// Others can read or replace the token.
    #[error("{path} {problem}\nhint: {hint}")]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The file cannot be read or created.
    #[error("cannot {action} the token file {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
}

/// The token that callers of the HTTP API of a node must send.
#[derive(Clone, Debug)]
pub struct LocalToken(Secret);

impl LocalToken {
    /// Reads the token of `path`. If the file does not exist, creates it with a random token.
    ///
    /// # Errors
    /// Others can read or replace the file, or it cannot be read or created.
    pub fn load_or_create(path: &Path) -> Result<Self, TokenError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| io_error("create the folder of", path, source))?;
        check_folder(folder)?;
        match read(path, 0o077) {
            Err(TokenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path, folder)?;
                // Another process may have created it first; its token counts.
                read(path, 0o077)
            }
            other => other,
        }
    }

    /// The token of `WEFT_TOKEN`, if it is set and not blank.
    ///
    /// # Errors
    /// Its text cannot be a token.
    pub fn from_env() -> Result<Option<Self>, TokenError> {
        match std::env::var("WEFT_TOKEN") {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Self::from_text(&text, "WEFT_TOKEN").map(Some),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(TokenError::Unusable {
                origin: "WEFT_TOKEN".to_owned(),
            }),
        }
    }

    /// The token of a file that was named explicitly (`--token-file`). Others may read the file, because container
    /// secrets are mounted so, and may not write it.
    ///
    /// # Errors
    /// Others can write the file, it cannot be read, or its text cannot be a token.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        read_text(path, OFlags::empty(), 0o022, false)
    }

    /// A token with this text. Errors name `origin`.
    ///
    /// # Errors
    /// The text cannot be a token.
    pub fn from_text(text: &str, origin: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let fits = (MIN_TOKEN_CHARS..=MAX_TOKEN_CHARS).contains(&text.len());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !fits || !text.bytes().all(allowed) {
            return Err(TokenError::Unusable {
                origin: origin.to_owned(),
            });
        }
        Ok(Self(Secret::new(text)))
    }

    /// The token itself, for a client on the same machine.
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// Whether `presented` is the token. Compares digests, so the time taken does not reveal how much of it is right.
    pub fn matches(&self, presented: &str) -> bool {
        is_same(&digest_of(self.0.expose()), &digest_of(presented))
    }
}

/// The digest of a token, which is compared instead of the token.
pub(crate) type Digest = [u8; 32];

pub(crate) fn digest_of(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}

/// Compares in constant time.
pub(crate) fn is_same(one: &Digest, other: &Digest) -> bool {
    let difference = one
        .iter()
        .zip(other)
        .fold(0_u8, |difference, (a, b)| black_box(difference | (a ^ b)));
    black_box(difference) == 0
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> TokenError {
    TokenError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Refuses a folder in which every user can replace files. A writable group is common (umask 002) and harmless, because
/// a file of another owner is refused.
fn check_folder(folder: &Path) -> Result<(), TokenError> {
    let metadata =
        fs::metadata(folder).map_err(|source| io_error("inspect the folder of", folder, source))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o002 == 0 {
        return Ok(());
    }
    Err(TokenError::Exposed {
        path: folder.to_owned(),
        problem: format!("can be written by every user (mode {mode:o})"),
        hint: format!("chmod 700 {}", folder.display()),
    })
}

fn read(path: &Path, forbidden_mode: u32) -> Result<LocalToken, TokenError> {
    read_text(path, OFlags::NOFOLLOW, forbidden_mode, true)
}

fn read_text(
    path: &Path,
    flags: OFlags,
    forbidden_mode: u32,
    own: bool,
) -> Result<LocalToken, TokenError> {
    // NONBLOCK, because a named pipe at this path must not block the start.
    let flags = (flags | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags).unwrap_or_default())
        .open(path)
        .map_err(|source| io_error("open", path, source))?;
    // Of the open file, which cannot be replaced between the check and the read.
    let metadata = file
        .metadata()
        .map_err(|source| io_error("inspect", path, source))?;
    let exposed = |problem: String, hint: String| TokenError::Exposed {
        path: path.to_owned(),
        problem,
        hint,
    };
    if !metadata.is_file() {
        return Err(exposed(
            "is not a file".to_owned(),
            "name a plain file".to_owned(),
        ));
    }
    if own && metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(exposed(
            "belongs to another user".to_owned(),
            "remove it, or name another data folder".to_owned(),
        ));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & forbidden_mode != 0 {
        return Err(exposed(
            format!("is open to others (mode {mode:o})"),
            format!(
                "chmod 600 {}, and remove it if others may have read it",
                path.display()
            ),
        ));
    }
    let mut text = String::new();
    file.take(4_096)
        .read_to_string(&mut text)
        .map_err(|source| io_error("read", path, source))?;
    LocalToken::from_text(&text, &path.display().to_string())
}

/// Writes the token under another name and links it. The file is never seen half written, and of two processes one
/// wins.
fn create(path: &Path, folder: &Path) -> Result<(), TokenError> {
    let draft = folder.join(format!(".token-{}", random_text(path)?.expose()));
    let token = random_text(path)?;
    let written = write_draft(&draft, &token).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    // The draft is not needed any more, with or without the link.
    let _ = fs::remove_file(&draft);
    written
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|source| io_error("create", path, source))
}

fn write_draft(draft: &Path, token: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    writeln!(file, "{}", token.expose())?;
    file.sync_all()
}

fn random_text(path: &Path) -> Result<Secret, TokenError> {
    random_token().map_err(|error| io_error("generate random bytes for", path, error))
}

/// 32 random bytes as text.
pub(crate) fn random_token() -> io::Result<Secret> {
    let mut bytes = [0_u8; 32];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(io::Error::other)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
