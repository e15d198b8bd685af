#!/bin/sh
# Handles one entity of a batch, whose id is the first argument:
#
#   BATCH AUTODATA_DELTA FROM idsFile USING ('select id from ids limit 10') FABRIC_COMMAND="process notify.sh ?";
#
# An entity may run again when its node dies. A receiver that keeps WEFT_IDEMPOTENCY_KEY ignores the second time, and one
# that keeps WEFT_FENCE ignores a node that was replaced.
set -eu
id=${1:?the id of an entity}
case $id in
    V*) echo "notified $id under fence $WEFT_FENCE" ;;
    *) echo "$id is no vehicle" >&2 && exit 4 ;;
esac
