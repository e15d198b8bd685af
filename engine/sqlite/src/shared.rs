//! What the whole cluster shares: bundles, the deployed project and the settings.

use rusqlite::{Connection, OptionalExtension, params};
use weft_model::{Deployment, Setting};
use weft_store::Signed;

use super::failure::Failure;
use super::queue::Writing;
use super::rows::{self, DEPLOYMENT, SETTING, json_text, token_bytes};
use super::table::Table;

impl Table for Signed<Deployment> {
    type Slot = ();

    fn load(writing: &mut Writing<'_>, _: &()) -> Result<Option<((), Self)>, Failure> {
        Ok(deployment(writing.connection)?.map(|row| ((), row)))
    }

    fn save(
        writing: &mut Writing<'_>,
        _: &(),
        _: Option<()>,
        row: Option<&Self>,
    ) -> Result<(), Failure> {
        let Some(Signed { token, value }) = row else {
            return Ok(());
        };
        writing
            .connection
            .prepare_cached(&format!(
                "REPLACE INTO deployment (one, {DEPLOYMENT}) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)"
            ))?
            .execute(params![
                token_bytes(token.as_ref()),
                value.seq,
                value.hash,
                value.deployed_at.0,
                value.deployed_by,
                json_text(&value.logical_units)?,
            ])?;
        Ok(())
    }
}

impl Table for Signed<Setting> {
    type Slot = ();

    fn load(writing: &mut Writing<'_>, name: &String) -> Result<Option<((), Self)>, Failure> {
        Ok(setting(writing.connection, name)?.map(|row| ((), row)))
    }

    fn save(
        writing: &mut Writing<'_>,
        _: &String,
        _: Option<()>,
        row: Option<&Self>,
    ) -> Result<(), Failure> {
        let Some(Signed { token, value }) = row else {
            return Ok(());
        };
        writing
            .connection
            .prepare_cached(&format!(
                "REPLACE INTO cluster_setting ({SETTING}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            ))?
            .execute(params![
                token_bytes(token.as_ref()),
                value.name,
                value.seq,
                value.value,
                value.changed_at.0,
                value.changed_by,
            ])?;
        Ok(())
    }
}

/// One setting.
pub(super) fn setting(
    connection: &Connection,
    name: &str,
) -> Result<Option<Signed<Setting>>, Failure> {
    connection
        .prepare_cached(&format!(
            "SELECT {SETTING} FROM cluster_setting WHERE name = ?1"
        ))?
        .query_row([name], |row| Ok(rows::setting(row)))
        .optional()?
        .transpose()
}

/// The deployed project.
pub(super) fn deployment(connection: &Connection) -> Result<Option<Signed<Deployment>>, Failure> {
    connection
        .prepare_cached(&format!(
            "SELECT {DEPLOYMENT} FROM deployment WHERE one = 1"
        ))?
        .query_row([], |row| Ok(rows::deployment(row)))
        .optional()?
        .transpose()
}

/// Stores a bundle; the same one twice is one.
pub(super) fn put_bundle(writing: &Writing<'_>, hash: &str, bytes: &[u8]) -> Result<(), Failure> {
    writing
        .connection
        .prepare_cached("INSERT INTO bundle (hash, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![hash, bytes])?;
    Ok(())
}

/// A stored bundle.
pub(super) fn bundle(connection: &Connection, hash: &str) -> Result<Option<Vec<u8>>, Failure> {
    Ok(connection
        .prepare_cached("SELECT bytes FROM bundle WHERE hash = ?1")?
        .query_row([hash], |row| row.get(0))
        .optional()?)
}
