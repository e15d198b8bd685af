//! The statements on the row of the schema lock, which work before any other table exists.

use scylla::statement::Statement;

use crate::connection::Profiles;
use crate::keyspaces::Keyspaces;

fn statement(text: &str, keyspaces: &Keyspaces) -> Statement {
    Statement::new(text.replace("{system}", &keyspaces.system))
}

fn compare_and_set(text: &str, keyspaces: &Keyspaces, profiles: &Profiles) -> Statement {
    let mut statement = statement(text, keyspaces);
    statement.set_execution_profile_handle(Some(profiles.compare_and_set.clone()));
    statement.set_is_idempotent(false);
    statement
}

/// Reads the row at the serial level.
pub(crate) fn read(keyspaces: &Keyspaces, profiles: &Profiles) -> Statement {
    let mut statement = statement(
        "SELECT fence, holder, beat, version FROM {system}.schema_lock WHERE name = 'schema'",
        keyspaces,
    );
    statement.set_consistency(profiles.serial);
    statement.set_is_idempotent(true);
    statement
}

/// Takes the lock if it is free or if the counter of its holder has not advanced.
pub(crate) fn acquire(keyspaces: &Keyspaces, profiles: &Profiles) -> Statement {
    compare_and_set(
        "UPDATE {system}.schema_lock SET fence = :to_fence, holder = :holder, beat = 0, op_token = :op_token \
         WHERE name = 'schema' IF fence = :fence AND beat = :beat AND holder = :seen_holder \
         AND op_token != :op_token",
        keyspaces,
        profiles,
    )
}

/// Advances the counter by which a holder shows that it is alive.
pub(crate) fn heartbeat(keyspaces: &Keyspaces, profiles: &Profiles) -> Statement {
    compare_and_set(
        "UPDATE {system}.schema_lock SET beat = :to_beat, op_token = :op_token WHERE name = 'schema' \
         IF fence = :fence AND beat = :beat AND op_token != :op_token",
        keyspaces,
        profiles,
    )
}

/// Releases the lock and records the completed schema version.
pub(crate) fn release(keyspaces: &Keyspaces, profiles: &Profiles) -> Statement {
    compare_and_set(
        "UPDATE {system}.schema_lock SET holder = null, version = :version, op_token = :op_token \
         WHERE name = 'schema' IF fence = :fence AND holder = :holder AND op_token != :op_token",
        keyspaces,
        profiles,
    )
}
