# Checks for everything that the build and its tests need, and installs it with apt-get if run as root.
# shellcheck shell=bash

apt_is_fresh=''

# require WHAT CHECK PACKAGE…: installs the packages unless the check succeeds.
require() {
    local what=$1 check=$2
    shift 2
    if eval "$check" >/dev/null 2>&1; then return 0; fi
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        fail "$what is missing" "sudo apt-get install $*"
    fi
    say "Installing $what: $*"
    if [[ -z $apt_is_fresh ]]; then
        apt-get update -q >&2 || fail "apt-get update failed, and $what is missing"
        apt_is_fresh=yes
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2 ||
        fail "apt-get could not install $*, needed for $what"
    eval "$check" >/dev/null 2>&1 || fail "$what is still missing after apt-get install $*"
}

check_rust() {
    command -v cargo >/dev/null || fail "cargo is missing" "install Rust from https://rustup.rs"
    # In this folder rustup reads rust-toolchain.toml and installs that version if it is missing.
    cargo --version >&2 || fail "cargo does not run" "rustup show"
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt >&2 || fail "rustfmt is missing"
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy >&2 || fail "clippy is missing"
    require "a C compiler (for the bundled SQLite)" "command -v cc" gcc libc6-dev
    require "make (for the bundled allocator)" "command -v make" make
}

check_prerequisites() {
    check_rust
    require "Python 3 with venv" "python3 -c 'import ensurepip, venv'" python3 python3-venv
    require "sqlite3" "command -v sqlite3" sqlite3
}

check_prerequisites_of_cassandra() {
    require "flock" "command -v flock" util-linux
    require "Java 17" java17 openjdk-17-jre-headless
    require "Maven" "command -v mvn" maven
}
