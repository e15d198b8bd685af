//! Runs the binary, and a fake node that gives prepared answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// The result of a run of the binary.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("stdout is text"),
            err: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }
}

/// The binary in a folder of its own, with an empty environment.
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub fn weft(folder: &Path, args: &[&str]) -> Run {
    command(folder, args)
        .output()
        .expect("the binary runs")
        .into()
}

/// Runs the binary with a text on stdin.
pub fn weft_with_stdin(folder: &Path, args: &[&str], stdin: &str) -> Run {
    let mut child = command(folder, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    // The binary may have ended without reading; the caller checks that.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    child.wait_with_output().expect("the binary ends").into()
}

/// A request that the node received.
#[derive(Debug)]
pub struct Seen {
    pub head: String,
    pub body: serde_json::Value,
}

/// A node that gives the prepared answers, one for each request, and reports the requests. An answer is a status and a
/// body; a body that ends in `…` is never finished.
pub fn node(answers: Vec<(u16, String)>) -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).expect("a head") == 0 {
                    break;
                }
            }
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")?
                        .trim()
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            let mut bytes = vec![0; length];
            reader.read_exact(&mut bytes).expect("a body");
            let seen = Seen {
                head,
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            };
            let _ = sender.send(seen);
            let is_open = body.ends_with('…');
            let body = body.trim_end_matches('…');
            let head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body.as_bytes());
            if is_open {
                held.push(stream);
            }
        }
        // Unfinished answers stay open until the test ends.
        std::mem::forget(held);
    });
    (url, receiver)
}

/// The last frame of a statement that succeeded.
pub const OK: &str = r#"{"frame":"end","status":"ok","session":{}}"#;

/// A node in a process of its own; killed when dropped.
#[derive(Debug)]
pub struct Running {
    pub child: std::process::Child,
    pub url: String,
    /// Its stderr after the line with the address.
    pub err: BufReader<std::process::ChildStderr>,
}

impl Running {
    /// Starts the binary and waits until it listens.
    #[allow(
        clippy::zombie_processes,
        reason = "it is waited for when dropped; a failed assertion ends the test"
    )]
    pub fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = command(folder, args)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut err = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let length = err.read_line(&mut line).expect("a line");
            assert!(length > 0, "it ended before it listened: {said}");
            if let Some(url) = line.strip_prefix("Listening on ") {
                let url = url.trim().to_owned();
                return Self { child, url, err };
            }
            said.push_str(&line);
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end; answers the exit code and the rest of stderr.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.err.read_to_string(&mut said).expect("the rest");
        (self.child.wait().expect("it ends").code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
