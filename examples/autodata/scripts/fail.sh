#!/bin/sh
# Exits with the code it is given, to show what a failed job looks like.
echo "about to fail as $WEFT_JOB_NAME, try $WEFT_ATTEMPT"
exit "${1:-1}"
