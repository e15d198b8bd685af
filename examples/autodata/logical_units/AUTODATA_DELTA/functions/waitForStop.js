// Does nothing until STOPJOB.
function waitForStop() {
  while (!isAborted()) {
    sleep(60000);
  }
  log.info('told to stop');
}
