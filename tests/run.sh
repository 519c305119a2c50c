#!/bin/sh
# Installs, builds and runs every test; the last line counts them.
# usage: sh tests/run.sh [SUITE...]   (base, kernels, workflows, ...; all when none is named)
set -eu
top=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
build=${WEFT_BUILD:-$top/build}
sh "$top/tests/tools/setup.sh" "$build" -Dtests=enabled
log=$build/meson-logs/testlog.txt
status=0
meson test -C "$build" --no-rebuild --print-errorlogs "$@" || status=$?
passed=$(sed -n 's/^Ok: *\([0-9]*\).*/\1/p' "$log" | tail -n 1)
failed=$(sed -n 's/^Fail: *\([0-9]*\).*/\1/p' "$log" | tail -n 1)
skipped=$(sed -n 's/^Skipped: *\([0-9]*\).*/\1/p' "$log" | tail -n 1)
timeout=$(sed -n 's/^Timeout: *\([0-9]*\).*/\1/p' "$log" | tail -n 1)
echo "${passed:-0} passed, $((${failed:-0} + ${timeout:-0})) failed, ${skipped:-0} skipped"
exit "$status"
