// How many vehicles there are.
function countIds() {
  return db('idsFile').fetchValue('select count(*) from ids');
}
