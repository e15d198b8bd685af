# Folders, messages and lookups that the scripts share. Sourced, never run.
# shellcheck shell=bash

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034
work=${WEFT_WORK:-$repo/.work}

# Data goes to stdout, messages for people go to stderr.
say() { printf '%s\n' "$@" >&2; }
fail() {
    say "error: $1"
    shift
    local hint
    for hint in "$@"; do say "hint: $hint"; done
    exit 1
}

# Prints the comment block at the top of a script as its help.
print_help() { sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$1"; }

# Prints cargo's target folder.
target_folder() {
    cargo metadata --no-deps --format-version 1 --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# Prints the path of a Java 17: Cassandra 5 does not run on later versions, so the default Java may be too new.
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
