#!/usr/bin/env bash
# Builds tandemd and its VRRP benchmark, optimized, and runs the benchmark with the arguments given. Needs root.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
for tool in keepalived nginx wrk unshare nsenter ip; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || { echo "make bench-vrrp needs $tool" >&2; exit 1; }
done
"$CARGO" build --release --locked -p tandemd -p tandem-tests --bins
exec "$target/release/tandem-vrrp-bench" "$@"
