// Syncs the first vehicles, a few at a time; checks for STOPJOB between two batches.
function syncFirst(count = 10, atATime = 5) {
  const rows = db('idsFile').fetch('select id from ids order by id limit ?', Number(count));
  const ids = rows.map((row) => row.id);
  let synced = 0;
  while (synced < ids.length) {
    if (isAborted()) {
      log.warn('told to stop after', synced);
      break;
    }
    const part = ids.slice(synced, synced + Number(atATime));
    const marks = part.map(() => '?').join(',');
    const [result] = fabric().fetch(
      `BATCH AUTODATA_DELTA.(${marks}) FABRIC_COMMAND="sync_instance AUTODATA_DELTA.?"`,
      ...part,
    );
    log.info(part[0], 'to', part.at(-1), 'added', result.Added, 'updated', result.Updated);
    synced += part.length;
  }
  return { synced, of: ids.length };
}
