//! The numbers that rows use in place of ids: of batches, nodes and logical units.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use weft_model::{BatchId, NodeId};

use super::failure::Failure;

/// Looked up once and kept. A number is never assigned twice, so only a rollback invalidates it.
#[derive(Debug, Default)]
pub(super) struct Names {
    batches: HashMap<BatchId, i64>,
    nodes: HashMap<NodeId, i64>,
    logical_units: HashMap<String, i64>,
}

/// Batches whose numbers are kept in memory.
const KEPT: usize = 10_000;

impl Names {
    /// Forgets the numbers that a rolled back group may have assigned.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The number of a batch, if it has one.
    pub(super) fn batch(
        &mut self,
        connection: &Connection,
        id: BatchId,
    ) -> Result<Option<i64>, Failure> {
        if let Some(number) = self.batches.get(&id) {
            return Ok(Some(*number));
        }
        let found = connection
            .prepare_cached("SELECT no FROM batch_number WHERE bid = ?1")?
            .query_row([id.to_string()], |row| row.get(0))
            .optional()?;
        if let Some(number) = found {
            if self.batches.len() >= KEPT {
                self.batches.clear();
            }
            self.batches.insert(id, number);
        }
        Ok(found)
    }

    /// The number of a batch, assigned now if it had none.
    pub(super) fn batch_or_new(
        &mut self,
        connection: &Connection,
        id: BatchId,
    ) -> Result<i64, Failure> {
        if let Some(number) = self.batch(connection, id)? {
            return Ok(number);
        }
        let number = connection
            .prepare_cached("INSERT INTO batch_number (bid) VALUES (?1) RETURNING no")?
            .query_row([id.to_string()], |row| row.get(0))?;
        self.batches.insert(id, number);
        Ok(number)
    }

    /// The number of a node, assigned now if it had none.
    pub(super) fn node_or_new(
        &mut self,
        connection: &Connection,
        node: &NodeId,
    ) -> Result<i64, Failure> {
        if let Some(number) = self.nodes.get(node) {
            return Ok(*number);
        }
        let number = number_or_new(
            connection,
            "SELECT no FROM node_number WHERE guid = ?1",
            "INSERT INTO node_number (guid) VALUES (?1) RETURNING no",
            &node.0,
        )?;
        self.nodes.insert(node.clone(), number);
        Ok(number)
    }

    /// The number of a logical unit, assigned now if it had none.
    pub(super) fn logical_unit_or_new(
        &mut self,
        connection: &Connection,
        name: &str,
    ) -> Result<i64, Failure> {
        if let Some(number) = self.logical_units.get(name) {
            return Ok(*number);
        }
        let number = number_or_new(
            connection,
            "SELECT no FROM logical_unit_number WHERE name = ?1",
            "INSERT INTO logical_unit_number (name) VALUES (?1) RETURNING no",
            name,
        )?;
        self.logical_units.insert(name.to_owned(), number);
        Ok(number)
    }
}

fn number_or_new(
    connection: &Connection,
    select: &str,
    insert: &str,
    name: &str,
) -> Result<i64, Failure> {
    let found = connection
        .prepare_cached(select)?
        .query_row([name], |row| row.get(0))
        .optional()?;
    match found {
        Some(number) => Ok(number),
        None => Ok(connection
            .prepare_cached(insert)?
            .query_row([name], |row| row.get(0))?),
    }
}
