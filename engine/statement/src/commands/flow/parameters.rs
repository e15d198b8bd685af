//! The parameters of BROADWAY: which are inputs of the flow and which are settings of the run.

use std::time::Duration;

use serde_json::{Map, Value};
use weft_lang::{Assignment, Broadway, Span};
use weft_node::flow::{FlowName, FlowPart, FlowRefusal, SETTINGS};

use super::{FlowRequest, RecoveryRequest, ResultStructure};
use crate::commands::Lowering;
use crate::commands::literal::literal;
use crate::refusal::Refusal;

/// A year.
const MAX_TTL_SECONDS: u64 = 366 * 24 * 3_600;
const MAX_TRIES: u64 = 1_000_000;

/// The settings of a run, each with the parameter that it comes from.
#[derive(Default)]
struct Settings<'a> {
    structure: ResultStructure,
    recovery_id: Option<String>,
    time_to_live: Option<(&'a Assignment, Duration)>,
    max_tries: Option<(&'a Assignment, u64)>,
}

pub(crate) async fn lower(
    command: &Broadway,
    context: Lowering<'_>,
) -> Result<FlowRequest, Refusal> {
    let mut inputs = Map::new();
    let mut settings = Settings::default();
    for parameter in &command.parameters {
        let text = literal(&parameter.value)?;
        match setting(&parameter.name.value) {
            Some(name) => settings.read(name, parameter, text)?,
            None => {
                inputs.insert(parameter.name.value.clone(), Value::from(text));
            }
        }
    }
    let structure = settings.structure;
    let recovery = settings.recovery()?;
    let name = FlowName {
        logical_unit: command.lu.value.clone(),
        flow: command.flow.value.clone(),
    };
    let checked = context.services.flows.check(&name, &inputs).await;
    Ok(FlowRequest {
        name: checked.map_err(|refusal| placed(refusal, command))?,
        inputs,
        structure,
        recovery,
    })
}

impl<'a> Settings<'a> {
    fn read(&mut self, name: &str, parameter: &'a Assignment, text: &str) -> Result<(), Refusal> {
        match name {
            "RESULT_STRUCTURE" => self.structure = read_structure(parameter, text)?,
            "recoveryId" if text.is_empty() => {
                return Err(Refusal::usage("recoveryId is empty").at(parameter.value.span));
            }
            "recoveryId" => self.recovery_id = Some(text.to_owned()),
            "recoveryTtl" => {
                let seconds = read_number(parameter, text, MAX_TTL_SECONDS)?;
                self.time_to_live = Some((parameter, Duration::from_secs(seconds)));
            }
            "recoveryMaxTries" => {
                self.max_tries = Some((parameter, read_number(parameter, text, MAX_TRIES)?));
            }
            other => return Err(Refusal::not_available(other).at(parameter.name.span)),
        }
        Ok(())
    }

    fn recovery(self) -> Result<Option<RecoveryRequest>, Refusal> {
        let of_recovery = self
            .time_to_live
            .map(|(parameter, _)| parameter)
            .or(self.max_tries.map(|(parameter, _)| parameter));
        if let (None, Some(parameter)) = (&self.recovery_id, of_recovery) {
            let message = format!("{} has no meaning without recoveryId", parameter.name.value);
            return Err(Refusal::usage(message).at(parameter.name.span));
        }
        Ok(self.recovery_id.map(|id| RecoveryRequest {
            id,
            time_to_live: self.time_to_live.map(|(_, time)| time),
            max_tries: self.max_tries.map(|(_, tries)| tries),
        }))
    }
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

fn read_number(parameter: &Assignment, text: &str, most: u64) -> Result<u64, Refusal> {
    let number = text.trim().parse().ok();
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| {
            let name = &parameter.name.value;
            let message = format!("{name} is a whole number from 1 to {most}, not `{text}`");
            Refusal::usage(message).at(parameter.value.span)
        })
}

/// A refused call with the place that the refusal is about.
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
