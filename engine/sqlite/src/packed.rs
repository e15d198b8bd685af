//! The rows of a flush on their way to the writer thread: one text for all rows instead of five per row.

use weft_model::{EntityRow, EntityStatus, NodeId};

/// The rows of one flush.
#[derive(Debug)]
pub(super) struct PackedRows {
    text: String,
    nodes: Vec<NodeId>,
    rows: Vec<PackedRow>,
}

/// The ends of a row's texts in the common text, and its numbers.
#[derive(Debug)]
struct PackedRow {
    id: usize,
    result: Option<usize>,
    error: Option<usize>,
    node: u32,
    failed: bool,
    attempt: i32,
    start_time: i64,
    lasted_ms: i64,
    duration_us: i64,
    fence: i64,
}

/// One row, read from the common text.
pub(super) struct RowView<'p> {
    pub(super) id: &'p str,
    pub(super) result: Option<&'p str>,
    pub(super) error: Option<&'p str>,
    /// Position in [`PackedRows::nodes`].
    pub(super) node: usize,
    pub(super) failed: bool,
    pub(super) attempt: i32,
    pub(super) start_time: i64,
    pub(super) lasted_ms: i64,
    pub(super) duration_us: i64,
    pub(super) fence: i64,
}

impl PackedRows {
    pub(super) fn of(entities: &[EntityRow]) -> Self {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let mut text = String::with_capacity(
            entities
                .iter()
                .map(|row| row.id.len() + length(&row.result) + length(&row.error))
                .sum(),
        );
        let mut nodes: Vec<NodeId> = Vec::new();
        let mut rows = Vec::with_capacity(entities.len());
        for entity in entities {
            // A flush comes from one worker, so there is hardly ever a second node.
            let node = nodes
                .iter()
                .position(|node| *node == entity.node)
                .unwrap_or_else(|| {
                    nodes.push(entity.node.clone());
                    nodes.len() - 1
                });
            let mut push = |part: &str| {
                text.push_str(part);
                text.len()
            };
            rows.push(PackedRow {
                id: push(&entity.id),
                result: entity.result.as_deref().map(&mut push),
                error: entity.error.as_deref().map(&mut push),
                node: u32::try_from(node).unwrap_or(u32::MAX),
                failed: entity.status == EntityStatus::Failed,
                attempt: entity.attempt,
                start_time: entity.start_time.0,
                lasted_ms: entity.end_time.0.saturating_sub(entity.start_time.0),
                duration_us: entity.duration_us,
                fence: entity.fence,
            });
        }
        Self { text, nodes, rows }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = RowView<'_>> {
        let mut from = 0;
        self.rows.iter().map(move |row| {
            let mut until = |end: usize| {
                let part = &self.text[from..end];
                from = end;
                part
            };
            RowView {
                id: until(row.id),
                result: row.result.map(&mut until),
                error: row.error.map(&mut until),
                node: row.node as usize,
                failed: row.failed,
                attempt: row.attempt,
                start_time: row.start_time,
                lasted_ms: row.lasted_ms,
                duration_us: row.duration_us,
                fence: row.fence,
            }
        })
    }
}
