#!/usr/bin/env bash
# Builds tandemd and the benchmark, optimized, and runs the benchmark with the arguments given.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
for tool in nginx wrk h2load openssl taskset setpriv timeout; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || { echo "make bench needs $tool" >&2; exit 1; }
done
# HAPROXY=/path takes another haproxy than Debian's.
[ -x "${HAPROXY:-/usr/sbin/haproxy}" ] || { echo "make bench needs ${HAPROXY:-haproxy}" >&2; exit 1; }
"$CARGO" build --release --locked -p tandemd -p tandem-bench
# A failed check of bars or a missing contender is the program's to report.
exec "$target/release/tandem-bench" "$@"
