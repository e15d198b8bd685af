//! All CQL of the store. Only this module turns text into statements.
//!
//! A marker has the name of the value that it binds; a marker that occurs twice is bound once. The condition of a
//! compare-and-set names a token that it writes itself and the fence or sequence that it advances, so it cannot apply
//! twice.

pub(crate) mod cluster_queries;
pub(crate) mod parser_table;
mod schema_file;
pub(crate) mod schema_lock;
mod store_tables;
mod unit_tables;

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use weft_store::{Freshness, StoreResult};

use crate::connection::Profiles;
use crate::driver_error;

pub(crate) use parser_table::ParserTableStatements;
pub(crate) use schema_file::{schema_change, schema_changes};
pub(crate) use store_tables::Statements;
pub(crate) use unit_tables::UnitStatements;

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StatementKind {
    /// Sent once, without retries by the driver.
    CompareAndSet,
    /// A plain idempotent write.
    Write,
    /// A plain read.
    Read,
    /// A read at the serial level, which completes compare-and-sets that are under way.
    SerialRead,
}

/// A read in the levels of both kinds of freshness.
#[derive(Debug)]
pub(crate) struct FreshnessRead {
    committed: PreparedStatement,
    serial: PreparedStatement,
}

impl FreshnessRead {
    pub(crate) fn at(&self, freshness: Freshness) -> &PreparedStatement {
        match freshness {
            Freshness::Committed => &self.committed,
            Freshness::Serial => &self.serial,
        }
    }
}

/// Rows in a page of a paged read.
const PAGE_ROWS: i32 = 1_000;

fn insert(table: &str, columns: &str, tail: &str) -> String {
    let markers: Vec<String> = columns
        .split(',')
        .map(|column| format!(":{}", column.trim()))
        .collect();
    format!(
        "INSERT INTO {table} ({columns}) VALUES ({}){tail}",
        markers.join(", ")
    )
}

fn select(columns: &str, table: &str, tail: &str) -> String {
    format!("SELECT {columns} FROM {table} {tail}")
}

macro_rules! statements {
    (
        $(#[$outer:meta])*
        $group:ident { $($name:ident: $kind:ident = $text:expr;)* }
        $(at_freshness { $($read:ident = $read_text:expr;)* })?
    ) => {
        $(#[$outer])*
        #[derive(Debug)]
        pub(crate) struct $group {
            $(pub(crate) $name: PreparedStatement,)*
            $($(pub(crate) $read: FreshnessRead,)*)?
        }

        impl $group {
            async fn prepare_all(
                session: &Session,
                profiles: &Profiles,
                fill: impl Fn(&str) -> String,
            ) -> StoreResult<Self> {
                let texts = [
                    $((StatementKind::$kind, fill(&String::from($text))),)*
                    $($(
                        (StatementKind::Read, fill(&String::from($read_text))),
                        (StatementKind::SerialRead, fill(&String::from($read_text))),
                    )*)?
                ];
                let prepared = futures::future::try_join_all(
                    texts.into_iter().map(|(kind, text)| prepare(session, profiles, kind, text)),
                )
                .await?;
                let mut prepared = prepared.into_iter();
                let mut next = || prepared.next().expect("each text has a prepared statement");
                Ok(Self {
                    $($name: next(),)*
                    $($($read: FreshnessRead { committed: next(), serial: next() },)*)?
                })
            }
        }
    };
}

use statements;

async fn prepare(
    session: &Session,
    profiles: &Profiles,
    kind: StatementKind,
    text: String,
) -> StoreResult<PreparedStatement> {
    let mut prepared = session
        .prepare(text)
        .await
        .map_err(driver_error::from_prepare)?;
    prepared.set_page_size(PAGE_ROWS);
    match kind {
        StatementKind::CompareAndSet => {
            prepared.set_execution_profile_handle(Some(profiles.compare_and_set.clone()));
            // The driver must not send it twice. It must not decode the answer with cached columns either: a
            // refusal has other columns than a success.
            prepared.set_is_idempotent(false);
            prepared.set_use_cached_result_metadata(false);
        }
        StatementKind::Write | StatementKind::Read => {
            prepared.set_execution_profile_handle(Some(profiles.plain.clone()));
            prepared.set_is_idempotent(true);
        }
        StatementKind::SerialRead => {
            prepared.set_execution_profile_handle(Some(profiles.plain.clone()));
            prepared.set_consistency(profiles.serial);
            prepared.set_is_idempotent(true);
        }
    }
    Ok(prepared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_binds_its_columns() {
        assert_eq!(
            insert("t", "a, b", " IF NOT EXISTS"),
            "INSERT INTO t (a, b) VALUES (:a, :b) IF NOT EXISTS"
        );
    }
}
