#!/usr/bin/env bash
# The long tests: ten minutes of mixed load that must leave nothing behind, 1,000 reloads and 200 killed processes under load.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
"$CARGO" build --locked --release --workspace --bins
export TANDEM_BIN_DIR="$(cd "$target" && pwd)/release"
export TANDEM_RELOADS=${TANDEM_RELOADS:-1000}
export TANDEM_KILLS=${TANDEM_KILLS:-200}
export TANDEM_SOAK_SECONDS=${TANDEM_SOAK_SECONDS:-600}
"$CARGO" test --locked --release -p tandem-tests --test failures -- --exact soak::nothing_leaks --nocapture
"$CARGO" test --locked --release -p tandem-tests --test kills -- --nocapture
"$CARGO" test --locked --release -p tandem-tests --test reloads -- --test-threads=1 --nocapture "$@"
