//! FileRead and FileWrite: files below the folders that the node allows.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use crate::flow::actor::{
    Actor, ActorError, ActorRun, ActorSpec, InputKind, Inputs, OUTPUT_BYTES, optional, required,
};
use crate::flow::expression::text_of;
use crate::on_thread::on_thread;

const THREAD: &str = "weft-files";
const PATH: &str =
    "the path, below a folder of FILE_ROOTS; one that is not absolute begins in the first of them";

#[derive(Debug)]
pub(super) struct FileRead;

const READ: ActorSpec = ActorSpec {
    name: "FileRead",
    aliases: &[],
    summary: "reads a text file of up to 8 MiB",
    inputs: &[required("path", InputKind::Text, PATH)],
    outputs: &[("text", "what it says"), ("bytes", "how long it is")],
};

#[async_trait]
impl Actor for FileRead {
    fn spec(&self) -> &'static ActorSpec {
        &READ
    }

    async fn act(
        &self,
        inputs: Inputs,
        run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let failed = |error: String| ActorError::new("File", error);
        let files = run.runner.tools.files.clone();
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
    summary: "writes a file as a whole: whoever reads it sees all of it or what was there before",
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
            "false refuses where there is a file already; true where it is left out",
        ),
    ],
    outputs: &[("path", "the path"), ("bytes", "how long it is")],
};

#[async_trait]
impl Actor for FileWrite {
    fn spec(&self) -> &'static ActorSpec {
        &WRITE
    }

    async fn act(
        &self,
        inputs: Inputs,
        run: ActorRun<'_>,
    ) -> Result<Map<String, Value>, ActorError> {
        let files = run.runner.tools.files.clone();
        let path = inputs.text("path").to_owned();
        let label = path.clone();
        let content = text_of(inputs.value("content"));
        let may_replace = inputs.value("replace").is_null() || inputs.flag("replace");
        let bytes = content.len();
        let written = on_thread(THREAD, move || {
            files.write(&path, content.as_bytes(), may_replace)
        })
        .await;
        written.map_err(|error| ActorError::new("File", error))?;
        Ok(Map::from_iter([
            ("path".to_owned(), json!(label)),
            ("bytes".to_owned(), json!(bytes)),
        ]))
    }
}
