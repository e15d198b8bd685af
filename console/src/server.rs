//! Finds the node that a command calls, and its token.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::exit::{Failure, UNREACHABLE};
use crate::folder;

/// The flags that name a node.
#[derive(Clone, Debug, Default, Args)]
pub struct ServerArgs {
    /// Address of a node, e.g. http://127.0.0.1:7420
    #[arg(long, env = "WEFT_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// Folder of `weft dev`, where its address and token are found
    #[arg(long, env = "WEFT_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// File with the token; WEFT_TOKEN may hold the token itself
    #[arg(long, env = "WEFT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// A node and the token for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Its address, without a slash at the end.
    pub url: String,
    /// The token, if one was found.
    pub token: Option<String>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret.
        f.debug_struct("Target")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Finds the node that the flags, the environment or the folder name.
pub fn find(args: &ServerArgs) -> anyhow::Result<Target> {
    let dir = args
        .dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(folder::DEFAULT_DIR));
    let address = address_in(&dir);
    let token = explicit_token(args)?;
    match &args.server {
        Some(server) => {
            let url = url_of(server)?;
            // The token of a folder is sent to the node of that folder only.
            let is_same = address.as_ref() == Some(&url);
            let token = token.or_else(|| is_same.then(|| token_in(&dir)).flatten());
            Ok(Target { url, token })
        }
        None => {
            let url = address.ok_or_else(|| nothing_in(&dir))?;
            let token = token.or_else(|| token_in(&dir));
            Ok(Target { url, token })
        }
    }
}

/// Completes `host:port` to an address; a complete address stays.
fn url_of(written: &str) -> Result<String, Failure> {
    let written = written.trim();
    let url = match written.split_once("://") {
        None => format!("http://{written}"),
        Some(("http", rest)) => format!("http://{}", rest.trim_end_matches('/')),
        Some((scheme, _)) => {
            return Err(Failure::usage(format!(
                "the address `{written}` has the scheme `{scheme}`, only http is supported"
            ))
            .hint("end TLS in front of the node and reach it over a tunnel or on this machine"));
        }
    };
    match reqwest::Url::parse(&url) {
        Ok(parsed) if parsed.host_str().is_some() => Ok(url),
        Ok(_) | Err(_) => {
            Err(Failure::usage(format!("`{written}` is not an address"))
                .hint("write http://HOST:PORT"))
        }
    }
}

fn explicit_token(args: &ServerArgs) -> anyhow::Result<Option<String>> {
    if let Some(file) = &args.token_file {
        return Ok(Some(read_token(file)?));
    }
    let token = std::env::var("WEFT_TOKEN").ok();
    Ok(token
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty()))
}

/// Reads the token of a file.
pub fn read_token(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!(
            "cannot read the token file {}: {error}",
            file.display()
        ))
    })?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::usage(format!("the token file {} is empty", file.display())).into());
    }
    Ok(token.to_owned())
}

fn address_in(dir: &Path) -> Option<String> {
    folder::read_address(dir)
        .and_then(|text| url_of(&text).ok())
        .or_else(|| crate::store::owner_address(&folder::store_path(dir)))
}

fn token_in(dir: &Path) -> Option<String> {
    read_token(&folder::token_path(dir)).ok()
}

fn nothing_in(dir: &Path) -> Failure {
    Failure::new(
        UNREACHABLE,
        format!("no node has written its address to {}", dir.display()),
    )
    .hint("start `weft dev`, or name a node with --server or a folder with --dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed_and_checked() {
        assert_eq!(
            url_of("127.0.0.1:7420"),
            Ok("http://127.0.0.1:7420".to_owned())
        );
        assert_eq!(url_of("http://[::1]:1/\n"), Ok("http://[::1]:1".to_owned()));
        assert!(url_of("https://a").is_err());
        assert!(url_of("http://").is_err());
        assert!(url_of("a b").is_err());
    }

    #[test]
    fn a_folders_token_goes_to_its_own_node_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
        write("address", "127.0.0.1:7420\n").expect("written");
        write("token", "t1\n").expect("written");
        let args = |server: Option<&str>| ServerArgs {
            server: server.map(str::to_owned),
            dir: Some(folder.path().to_owned()),
            token_file: None,
        };
        let token = |server| find(&args(server)).expect("found").token;
        assert_eq!(token(None).as_deref(), Some("t1"));
        assert_eq!(token(Some("http://127.0.0.1:7420/")).as_deref(), Some("t1"));
        assert_eq!(token(Some("http://10.0.0.1:7420")), None);
    }
}
