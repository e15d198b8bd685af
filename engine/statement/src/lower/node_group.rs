//! SET_GLOBAL AFFINITY_RULES and SET NODE_AFFINITY.

use weft_lang::{Spanned, Text};
use weft_node::config::is_logical_id;
use weft_node::node_group::{AffinityRules, RESET};

use super::values::literal;
use super::{Refusal, Request};
use crate::node_groups::{SetAffinityRules, SetNodeAffinity};

/// SET_GLOBAL AFFINITY_RULES and RESET_AFFINITY_RULES.
///
/// # Errors
/// The rules cannot be read.
pub(super) fn rules(rules: Option<&Spanned<Text>>) -> Result<Request, Refusal> {
    let text = match rules {
        None => "",
        Some(written) => {
            let text = literal(written)?;
            AffinityRules::parse(text).map_err(|error| {
                Refusal::usage(error.to_string())
                    .at(written.span)
                    .hint(error.hint)
            })?;
            text.trim()
        }
    };
    Ok(Request::SetAffinityRules(SetAffinityRules(text.to_owned())))
}

/// SET NODE_AFFINITY.
///
/// # Errors
/// One of them is no logical id.
pub(super) fn node_affinity(written: &Spanned<Text>) -> Result<Request, Refusal> {
    let text = literal(written)?.trim();
    if text.is_empty() || text.eq_ignore_ascii_case(RESET) {
        return Ok(Request::SetNodeAffinity(SetNodeAffinity::Forget));
    }
    let ids: Vec<String> = text.split(',').map(|id| id.trim().to_owned()).collect();
    match ids.iter().find(|id| !is_logical_id(id)) {
        None => Ok(Request::SetNodeAffinity(SetNodeAffinity::Give(ids))),
        Some(id) => Err(Refusal::usage(format!("`{id}` is no logical id with sizes"))
            .at(written.span)
            .hint(format!(
                "write 'blue', 'blue:4' or 'blue:2:4' (recommended and at most); '{RESET}' takes all of them away"
            ))),
    }
}
