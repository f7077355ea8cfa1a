#!/usr/bin/env bash
# Builds tandemd and the benchmark, optimized, and runs the benchmark with the arguments given.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
for tool in haproxy nginx wrk openssl taskset setpriv timeout; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || { echo "make bench needs $tool" >&2; exit 1; }
done
"$CARGO" build --release --locked -p tandemd -p tandem-bench
# A failed check of bars or a missing contender is the program's to report.
exec "$target/release/tandem-bench" "$@"
