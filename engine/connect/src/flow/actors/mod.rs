//! The registry of actors.

mod broadway_job;
pub(super) mod db_command;
mod fabric_command;
mod file;
mod http;
mod inner_flow;
mod javascript;
mod parse;
mod simple;
mod waiting;

#[cfg(test)]
pub(super) mod probe;

use super::actor::Actor;

/// All actors, in the order of the documentation.
pub(super) static ACTORS: &[&dyn Actor] = &[
    &db_command::DbCommand,
    &fabric_command::FabricCommand,
    &inner_flow::InnerFlow,
    &javascript::JavaScript,
    &broadway_job::BroadwayJob,
    &waiting::BatchWait,
    &waiting::JobWait,
    &waiting::JobStop,
    &http::Http,
    &file::FileRead,
    &file::FileWrite,
    &parse::CsvParser,
    &parse::JsonParser,
    &parse::XmlParser,
    &simple::Const,
    &simple::Log,
    &simple::Sleep,
    #[cfg(test)]
    &probe::Probe,
];

/// Finds an actor by its name or an alias, ignoring case.
pub(super) fn find(name: &str) -> Option<&'static dyn Actor> {
    let is_it = |known: &&str| known.eq_ignore_ascii_case(name);
    ACTORS.iter().copied().find(|actor| {
        let spec = actor.spec();
        is_it(&spec.name) || spec.aliases.iter().any(is_it)
    })
}

/// The names of all actors, without aliases.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ACTORS.iter().map(|actor| actor.spec().name)
}

/// The actors with their inputs and outputs, as a table in Markdown.
pub fn actors_markdown() -> String {
    let mut text = "| actor | what it does | inputs | outputs |\n|---|---|---|---|\n".to_owned();
    for actor in ACTORS {
        let spec = actor.spec();
        let inputs = spec.inputs.iter().map(|input| {
            let name = match input.is_required {
                true => format!("**`{}`**", input.name),
                false => format!("`{}`", input.name),
            };
            format!("{name} ({}): {}", input.kind.describe(), input.help)
        });
        let outputs = spec
            .outputs
            .iter()
            .map(|(name, help)| format!("`{name}`: {help}"));
        let aliases = spec.aliases.iter().map(|alias| format!(", `{alias}`"));
        let cells = [
            format!("`{}`{}", spec.name, aliases.collect::<String>()),
            spec.summary.to_owned(),
            inputs.collect::<Vec<_>>().join("<br>"),
            outputs.collect::<Vec<_>>().join("<br>"),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ").replace('\n', " ")));
    }
    text
}
