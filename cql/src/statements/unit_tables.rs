//! The statements on the keyspace of one logical unit.

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use weft_store::StoreResult;

use super::{StatementKind, insert, prepare, select, statements};
use crate::connection::Profiles;

statements! {
    /// The statements on the keyspace of one logical unit.
    UnitStatements {
        put: Write = insert("{unit}.entity",
            "id, batch_id, chunks_count, data, schema_hash, content_hash, sync_version", " USING TIMESTAMP :stamp");
        put_chunk: Write =
            insert("{unit}.entity_chunks", "id, sync_version, chunk, data", " USING TIMESTAMP :stamp");
        drop_chunk: Write =
            "DELETE FROM {unit}.entity_chunks WHERE id = :id AND sync_version = :sync_version AND chunk = :chunk";
        head: Read = select("id, schema_hash, content_hash, sync_version, chunks_count", "{unit}.entity",
            "WHERE id = :id");
        whole: Read = select("id, batch_id, chunks_count, data, schema_hash, content_hash, sync_version",
            "{unit}.entity", "WHERE id = :id");
        chunk: Read = select("data", "{unit}.entity_chunks",
            "WHERE id = :id AND sync_version = :sync_version AND chunk = :chunk");
        first_ids: Read = select("id", "{unit}.entity", "LIMIT :rows");
        // Two ids may share a token, so the page starts at the last token and the known ids are skipped.
        next_ids: Read = select("id", "{unit}.entity", "WHERE token(id) >= token(:id) LIMIT :rows");
    }
}

impl UnitStatements {
    /// Prepares all of them for a keyspace that `Keyspaces::unit` returned.
    ///
    /// # Errors
    /// `StoreError::Schema` if a table is missing.
    pub(crate) async fn prepare(
        session: &Session,
        profiles: &Profiles,
        keyspace: &str,
    ) -> StoreResult<Self> {
        Self::prepare_all(session, profiles, |text| text.replace("{unit}", keyspace)).await
    }
}
