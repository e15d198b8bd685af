//! SET: values of the session.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use weft_lang::{Assignment, Spanned, Text};
use weft_project::sync::SyncMode;

use crate::commands::instance::InstanceName;
use crate::commands::literal::literal;
use crate::commands::{Execution, Lowering};
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;
use crate::secret::masked;

const NODE_AFFINITY: &str = "NODE_AFFINITY";
/// Limits of a session, which travels with every statement.
const SESSION_VALUES: usize = 200;
const SESSION_VALUE_BYTES: usize = 4 * 1024;

/// Values for the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetRequest {
    /// Names and values, in order; an empty value removes the name. Without any, the values are listed.
    values: Vec<(String, String)>,
    /// Instances to attach without a sync.
    attached: Vec<InstanceName>,
}

needs!(None: SetRequest);

/// The value of SET NODE_AFFINITY, which is about the node, not about the session.
pub(crate) fn node_affinity(assignments: &[Assignment]) -> Option<&Spanned<Text>> {
    match assignments {
        [Assignment { name, value }] if name.value.eq_ignore_ascii_case(NODE_AFFINITY) => {
            Some(value)
        }
        _ => None,
    }
}

pub(crate) async fn lower(
    assignments: &[Assignment],
    context: Lowering<'_>,
) -> Result<SetRequest, Refusal> {
    let mut request = SetRequest::default();
    for Assignment { name, value } in assignments {
        let text = literal(value)?;
        if name.value.eq_ignore_ascii_case("FROM") {
            set_from(text, value, &mut request, context).await?;
            continue;
        }
        check(name, text, context)?;
        request.values.push((name.value.clone(), text.to_owned()));
    }
    Ok(request)
}

fn check(name: &Spanned<String>, text: &str, context: Lowering<'_>) -> Result<(), Refusal> {
    let upper = name.value.to_ascii_uppercase();
    let refused = |message: String| Err(Refusal::usage(message).at(name.span));
    if upper == "SYNC" && !text.is_empty() {
        let scope = BTreeMap::from([(upper, text.to_owned())]);
        SyncMode::from_session_scope(&scope)
            .map_err(|reason| Refusal::usage(reason).at(name.span))?;
    } else if upper == NODE_AFFINITY {
        return refused(
            "SET NODE_AFFINITY is a statement of its own: it is about the node, not about the session"
                .to_owned(),
        );
    } else if upper == "CLUSTER_DISTRIBUTE_AFFINITY" {
        return Err(Refusal::not_available(&format!("SET {upper}")).at(name.span));
    }
    if text.len() > SESSION_VALUE_BYTES {
        return refused(format!(
            "a value of the session has at most {SESSION_VALUE_BYTES} bytes"
        ));
    }
    if context.session.scope.len() >= SESSION_VALUES {
        return refused(format!("a session has at most {SESSION_VALUES} values"));
    }
    Ok(())
}

/// `set from '{"scope": {…}, "attached": {…}}'`
async fn set_from(
    text: &str,
    place: &Spanned<Text>,
    request: &mut SetRequest,
    context: Lowering<'_>,
) -> Result<(), Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct From {
        scope: BTreeMap<String, String>,
        attached: BTreeMap<String, String>,
    }
    let from: From = serde_json::from_str(text).map_err(|error| {
        Refusal::usage(format!("SET FROM cannot be read: {error}"))
            .at(place.span)
            .hint(r#"write '{"scope": {"sync": "on"}, "attached": {"Customer": "1"}}'"#)
    })?;
    for (name, value) in from.scope {
        check(&Spanned::new(name.clone(), place.span), &value, context)?;
        request.values.push((name, value));
    }
    if !from.attached.is_empty() {
        let project = context.services.project().await?;
        for (lu, id) in from.attached {
            let known = project.logical_unit(&lu);
            let known = known.map_err(|error| Refusal::from(error).at(place.span))?;
            request.attached.push(InstanceName {
                logical_unit: known.name.clone(),
                id,
            });
        }
    }
    Ok(())
}

/// Sets values of the session, or lists them.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<SetRequest>,
) -> Result<(), Refusal> {
    let Execution {
        session, output, ..
    } = execution;
    let (_, request) = permit.open();
    if request.values.is_empty() && request.attached.is_empty() {
        output.columns(&["Name", "Value"]).await;
        for (name, value) in &session.scope {
            output
                .row(vec![json!(name), json!(masked(name, value))])
                .await;
        }
    }
    for (name, value) in request.values {
        // The case of a name does not matter.
        session
            .scope
            .retain(|known, _| !known.eq_ignore_ascii_case(&name));
        if !value.is_empty() {
            session.scope.insert(name, value);
        }
    }
    let attached = request.attached.into_iter();
    session
        .attached
        .extend(attached.map(|instance| (instance.logical_unit, instance.id)));
    Ok(())
}
