//! BROADWAY: which of its parameters are the flow's and which are settings of the run.

use std::time::Duration;

use serde_json::{Map, Value};
use weft_lang::{Assignment, Broadway, Span};
use weft_node::flow::{FlowName, FlowPart, FlowRefusal, SETTINGS};

use super::super::flow_request::{FlowRequest, RecoveryRequest, ResultStructure};
use super::super::request::Request;
use super::values::literal;
use super::{Refusal, Surroundings, not_available};

/// A year: what is older is no recovery any more.
const LONGEST_SECONDS: u64 = 366 * 24 * 3_600;

pub(super) async fn lower(
    command: &Broadway,
    surroundings: Surroundings<'_>,
) -> Result<Request, Refusal> {
    let mut inputs = Map::new();
    let mut structure = ResultStructure::default();
    let mut recovery_id = None;
    let (mut time_to_live, mut max_tries) = (None, None);
    for parameter in &command.parameters {
        let text = literal(&parameter.value)?;
        match setting(&parameter.name.value) {
            None => {
                inputs.insert(parameter.name.value.clone(), Value::from(text));
            }
            Some("RESULT_STRUCTURE") => structure = read_structure(parameter, text)?,
            Some("recoveryId") if text.is_empty() => {
                return Err(Refusal::usage("recoveryId is empty").at(parameter.value.span));
            }
            Some("recoveryId") => recovery_id = Some(text.to_owned()),
            Some("recoveryTtl") => {
                let seconds = whole(parameter, text, LONGEST_SECONDS)?;
                time_to_live = Some((parameter, Duration::from_secs(seconds)));
            }
            Some("recoveryMaxTries") => {
                max_tries = Some((parameter, whole(parameter, text, 1_000_000)?));
            }
            Some(other) => return Err(not_available(other).at(parameter.name.span)),
        }
    }
    let alone = time_to_live
        .map(|(parameter, _)| parameter)
        .or(max_tries.map(|(parameter, _)| parameter));
    if let (None, Some(parameter)) = (&recovery_id, alone) {
        let message = format!("{} has no meaning without recoveryId", parameter.name.value);
        return Err(Refusal::usage(message).at(parameter.name.span));
    }
    let name = FlowName {
        logical_unit: command.lu.value.clone(),
        flow: command.flow.value.clone(),
    };
    let checked = surroundings.flows.check(&name, &inputs).await;
    let name = checked.map_err(|refusal| placed(refusal, command))?;
    Ok(Request::Broadway(Box::new(FlowRequest {
        name,
        inputs,
        structure,
        recovery: recovery_id.map(|id| RecoveryRequest {
            id,
            time_to_live: time_to_live.map(|(_, time)| time),
            max_tries: max_tries.map(|(_, tries)| tries),
        }),
    })))
}

fn setting(name: &str) -> Option<&'static str> {
    SETTINGS
        .into_iter()
        .find(|setting| setting.eq_ignore_ascii_case(name))
}

fn read_structure(parameter: &Assignment, text: &str) -> Result<ResultStructure, Refusal> {
    let known = ResultStructure::ALL.map(ResultStructure::as_str);
    let found = ResultStructure::ALL
        .into_iter()
        .find(|structure| structure.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let message = format!("RESULT_STRUCTURE is {}, not `{text}`", known.join(", "));
        Refusal::usage(message)
            .at(parameter.value.span)
            .near(text, known)
    })
}

fn whole(parameter: &Assignment, text: &str, most: u64) -> Result<u64, Refusal> {
    let number = text.trim().parse().ok();
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| {
            let name = &parameter.name.value;
            let message = format!("{name} is a whole number from 1 to {most}, not `{text}`");
            Refusal::usage(message).at(parameter.value.span)
        })
}

/// A refused call with the place that it is about.
fn placed(refusal: FlowRefusal, command: &Broadway) -> Refusal {
    let of_input = |name: &str| -> Option<Span> {
        let mut parameters = command.parameters.iter();
        let parameter = parameters.find(|parameter| parameter.name.value == name)?;
        Some(parameter.name.span)
    };
    let whole = command.lu.span.to(command.flow.span);
    let placed = match &refusal.part {
        FlowPart::LogicalUnit => Refusal::not_found(refusal.message).at(command.lu.span),
        FlowPart::Flow => Refusal::not_found(refusal.message).at(command.flow.span),
        FlowPart::Input(name) => {
            Refusal::usage(refusal.message).at(of_input(name).unwrap_or(whole))
        }
        FlowPart::Call => Refusal::failed(refusal.message).at(whole),
    };
    match refusal.hint {
        Some(hint) => placed.hint(hint),
        None => placed,
    }
}
