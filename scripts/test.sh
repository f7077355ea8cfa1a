#!/usr/bin/env bash
# Unit tests of all crates, then the end-to-end tests, which share namespaces and clocks and so run one at a time. All is built
# with the optional features.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
"$CARGO" build --locked --workspace --all-targets --features tandemd/dbus
export TANDEM_BIN_DIR="$(cd "$target" && pwd)/debug"
echo "== unit tests"
"$CARGO" test --locked --no-fail-fast --workspace --exclude tandem-tests --features tandemd/dbus
echo "== end-to-end tests"
"$CARGO" test --locked --no-fail-fast -p tandem-tests -- --test-threads=1 "$@"
