# Shared by the scripts: where things are, and how they speak. Sourced, never run.
# shellcheck shell=bash

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034
work=${WEFT_WORK:-$repo/.work}

# Data goes to stdout, everything said to a person to stderr.
say() { printf '%s\n' "$@" >&2; }
fail() {
    say "error: $1"
    shift
    local hint
    for hint in "$@"; do say "hint: $hint"; done
    exit 1
}

# Prints the comment block at the top of a script: the help lives where the code is.
print_help() { sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$1"; }

# Cassandra 5 runs on Java 17 and on no later one, so a newer default Java does not do.
java17() {
    local candidate
    for candidate in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} "$(command -v java || true)" \
        /usr/lib/jvm/*17*/bin/java; do
        [[ -x $candidate ]] || continue
        if "$candidate" -version 2>&1 | grep -q 'version "17[."]'; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}
