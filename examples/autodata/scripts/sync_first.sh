#!/bin/sh
# Syncs the first vehicles and says how it went: a PROCESS job that runs a BATCH.
#
#   STARTJOB PROCESS NAME='sync_first.sh' ARGS='{"0":"100"}' EXEC_INTERVAL='0 2 * * *';
#
# WEFT_SERVER and WEFT_TOKEN, which weft console reads, are those of the node that runs it, for as long as it runs. `weft` has to
# be in the PATH of the node. The run fails where the console does (3: some entities failed).
set -eu
count=${1:?how many vehicles}
summary=$(weft console --output csv -e "BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids limit $count') FABRIC_COMMAND='sync_instance AUTODATA_DELTA.?';")
printf '%s\n' "$summary" | cut -d, -f1-5
