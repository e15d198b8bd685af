//! SET NODE_AFFINITY: logical ids for the node of the console.

use serde_json::json;
use weft_lang::{Spanned, Text};
use weft_node::affinity::merge_ids;
use weft_node::config::is_logical_id;
use weft_node::node_group::{RESET, given_setting};

use super::setting::change;
use crate::commands::Execution;
use crate::commands::literal::literal;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;

/// The logical ids that this node gets besides those of its configuration and its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetNodeAffinity {
    /// These, in addition to those it has.
    Give(Vec<String>),
    /// None any more.
    Forget,
}

needs!(Batch: SetNodeAffinity);

/// Checks the logical ids.
///
/// # Errors
/// One of them is not a logical id.
pub(crate) fn lower(written: &Spanned<Text>) -> Result<SetNodeAffinity, Refusal> {
    let text = literal(written)?.trim();
    if text.is_empty() || text.eq_ignore_ascii_case(RESET) {
        return Ok(SetNodeAffinity::Forget);
    }
    let ids: Vec<String> = text.split(',').map(|id| id.trim().to_owned()).collect();
    match ids.iter().find(|id| !is_logical_id(id)) {
        None => Ok(SetNodeAffinity::Give(ids)),
        Some(id) => Err(
            Refusal::usage(format!("`{id}` is not a logical id with sizes"))
                .at(written.span)
                .hint(format!(
                    "write 'blue', 'blue:4' or 'blue:2:4' (recommended and at most); '{RESET}' removes all of them"
                )),
        ),
    }
}

/// Gives this node logical ids, or takes them away.
///
/// # Errors
/// There is no node here, or the store failed.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<SetNodeAffinity>,
) -> Result<(), Refusal> {
    let Execution {
        services, output, ..
    } = execution;
    let Some(node) = services.nodes.own() else {
        return Err(Refusal::failed(
            "SET NODE_AFFINITY changes the node of the console, and there is none",
        ));
    };
    let name = given_setting(&services.config.guid);
    let by = &permit.principal().name;
    let stored = change(services, &name, by, |before| match permit.request() {
        SetNodeAffinity::Forget => String::new(),
        SetNodeAffinity::Give(ids) => {
            let before: Vec<String> = before.split(',').map(str::to_owned).collect();
            let kept = before.iter().filter(|id| !id.is_empty());
            merge_ids(ids.iter().chain(kept)).join(",")
        }
    })
    .await?;
    let affinity = &node.context().affinity;
    if affinity.set_given(&stored) {
        node.write_row_soon();
        services.wake.affinity_changed();
    }
    let row = vec![
        json!(services.config.guid),
        json!(affinity.given().join(",")),
        json!(affinity.all().join(",")),
    ];
    output
        .one_row(&["Node Id", "Given", "Logical Ids"], row)
        .await;
    Ok(())
}
