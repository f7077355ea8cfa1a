#!/usr/bin/env bash
# Builds the fuzz targets with coverage and runs each for SECONDS (default 60), two at a time; further arguments name targets.
# Finds are written to fuzz/artifacts/; what is interesting is kept in fuzz/corpus/ for the next run.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -gt 0 ] && shift
CARGO=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
platform=x86_64-unknown-linux-gnu
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do
    targets+=("$(basename "$file" .rs)")
  done
fi
# The options of libFuzzer's instrumentation that a stable compiler has.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
  "$CARGO" build --release --locked --manifest-path fuzz/Cargo.toml --target "$platform" --target-dir "$target/fuzz"
run() {
  mkdir -p "fuzz/corpus/$1" "fuzz/artifacts/$1"
  local seeds=()
  [ -d "fuzz/seeds/$1" ] && seeds=("fuzz/seeds/$1")
  if "$target/fuzz/$platform/release/$1" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="fuzz/artifacts/$1/" "fuzz/corpus/$1" "${seeds[@]}" >"fuzz/artifacts/$1/log" 2>&1; then
    echo "$1: $(grep -o 'number_of_executed_units: [0-9]*' "fuzz/artifacts/$1/log" | grep -o '[0-9]*') inputs, nothing found"
  else
    echo "$1: FOUND" >&2
    tail -n 40 "fuzz/artifacts/$1/log" >&2
    return 1
  fi
}
failed=0
for ((at = 0; at < ${#targets[@]}; at += 2)); do
  run "${targets[at]}" &
  first=$!
  if [ $((at + 1)) -lt ${#targets[@]} ]; then
    run "${targets[at + 1]}" || failed=1
  fi
  wait "$first" || failed=1
done
exit "$failed"
