#!/bin/sh
# Syncs the first vehicles and prints the result: a PROCESS job that runs a BATCH.
#
#   STARTJOB PROCESS NAME='sync_first.sh' ARGS='{"0":"100"}' EXEC_INTERVAL='0 2 * * *';
#
# weft console reads WEFT_SERVER and WEFT_TOKEN, which belong to the node that runs this script and are valid while it runs.
# `weft` must be in the PATH of the node. The run fails if the console does (exit code 3: some entities failed).
set -eu
count=${1:?how many vehicles}
summary=$(weft console --output csv -e "BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids limit $count') FABRIC_COMMAND='sync_instance AUTODATA_DELTA.?';")
printf '%s\n' "$summary" | cut -d, -f1-5
