#!/usr/bin/env bash
# Helps to keep daemon/vrrp.ld, the list of functions that the vrrp process runs all the time.
#
#   vrrp-sections.sh check BINARY        lines of the list that match no function of an optimized tandemd: the function was
#                                        renamed, moved, inlined or dropped. A function of one's own that still runs all the
#                                        time is worth a new line.
#   vrrp-sections.sh lines < SYMBOLS     makes such lines of symbols, one mangled name in each line of input. A trace gives
#                                        them, for instance of 25 s of a master of many instances:
#                                          perf record -p PID -- sleep 25
#                                          perf script -F ip,sym --no-demangle | awk '{print $2}' | vrrp-sections.sh lines
#                                        Sampling finds what costs most; single-stepping (gdb, ptrace) finds all that runs.
set -eu
list=$(dirname "$0")/../daemon/vrrp.ld

# The patterns of the list, one a line.
patterns() { sed -n 's/^ *\*(\.text\.\(unlikely\.\)\{0,1\}\(.*\))$/\2/p' "$list"; }

case "${1:-}" in
  check)
    names=$(mktemp)
    trap 'rm -f "$names"' EXIT
    nm "${2:?the binary is missing}" | awk '$2 ~ /^[tTwW]$/ { print $3 }' | sort -u >"$names"
    [ -s "$names" ] || { echo "$2 has no names of functions" >&2; exit 1; }
    missing=0
    while read -r pattern; do
      expression=$(printf '%s' "$pattern" | sed 's/[].$^\\[]/\\&/g; s/\*/.*/g; s/?/./g')
      grep -qx -- "$expression" "$names" || { echo "$pattern"; missing=$((missing + 1)); }
    done < <(patterns)
    echo "$missing of $(patterns | wc -l) lines match nothing" >&2
    ;;
  lines)
    # Hashes of the compiler and of crates change with every release of either.
    sed -E 's/17h[0-9a-f]{16}E.*/17h*E*/; s/Cs[0-9A-Za-z]{7,}_([0-9])/Cs*_\1/g; s/\.llvm\.[0-9]+$/*/' |
      grep -E '^_(ZN|R)' | sort -u | sed 's/.*/    *(.text.&)/'
    ;;
  *)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
    ;;
esac
