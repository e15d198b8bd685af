//! FileRead and FileWrite: files below the folders of FILE_ROOTS.

use async_trait::async_trait;
use serde_json::{Map, json};
use weft_node::flow::FlowFailure;

use crate::flow::actor::{Actor, ActorResult, ActorRun, ActorSpec, OUTPUT_BYTES};
use crate::flow::input::{InputKind, Inputs, optional, required};
use crate::flow::value::text_of;
use crate::on_thread::on_thread;

const THREAD: &str = "weft-files";
const PATH: &str =
    "the path, below a folder of FILE_ROOTS; a relative path starts in the first of them";

#[derive(Debug)]
pub(super) struct FileRead;

const READ: ActorSpec = ActorSpec {
    name: "FileRead",
    aliases: &[],
    summary: "reads a text file of up to 8 MiB",
    inputs: &[required("path", InputKind::Text, PATH)],
    outputs: &[("text", "the text"), ("bytes", "its length in bytes")],
};

#[async_trait]
impl Actor for FileRead {
    fn spec(&self) -> &'static ActorSpec {
        &READ
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let failed = |error: String| FlowFailure::new("File", error);
        let files = run.tools.files.clone();
        let path = inputs.text("path").to_owned();
        let label = path.clone();
        let read = on_thread(THREAD, move || files.read(&path, OUTPUT_BYTES)).await;
        let bytes = read.map_err(failed)?;
        let count = bytes.len();
        let text = String::from_utf8(bytes)
            .map_err(|_| failed(format!("{label} cannot be read: it is not UTF-8")))?;
        Ok(Map::from_iter([
            ("text".to_owned(), json!(text)),
            ("bytes".to_owned(), json!(count)),
        ]))
    }
}

#[derive(Debug)]
pub(super) struct FileWrite;

const WRITE: ActorSpec = ActorSpec {
    name: "FileWrite",
    aliases: &[],
    summary: "writes a file atomically: readers see the old content or the new one",
    inputs: &[
        required("path", InputKind::Text, PATH),
        required(
            "content",
            InputKind::Any,
            "a text; a list or a map is written as JSON",
        ),
        optional(
            "replace",
            InputKind::Flag,
            "false fails if the file exists; true by default",
        ),
    ],
    outputs: &[("path", "the path"), ("bytes", "the length in bytes")],
};

#[async_trait]
impl Actor for FileWrite {
    fn spec(&self) -> &'static ActorSpec {
        &WRITE
    }

    async fn act(&self, inputs: Inputs, run: ActorRun<'_>) -> ActorResult {
        let files = run.tools.files.clone();
        let path = inputs.text("path").to_owned();
        let label = path.clone();
        let content = text_of(inputs.value("content"));
        let may_replace = inputs.value("replace").is_null() || inputs.flag("replace");
        let bytes = content.len();
        let written = on_thread(THREAD, move || {
            files.write(&path, content.as_bytes(), may_replace)
        })
        .await;
        written.map_err(|error| FlowFailure::new("File", error))?;
        Ok(Map::from_iter([
            ("path".to_owned(), json!(label)),
            ("bytes".to_owned(), json!(bytes)),
        ]))
    }
}
