#!/bin/sh
# Ends with the exit code that it is given: to see what a failed job looks like.
echo "about to fail as $WEFT_JOB_NAME, try $WEFT_ATTEMPT"
exit "${1:-1}"
