#!/bin/sh
# Installs, builds and draws a picture from what this clone holds.
# usage: sh graphs/draw.sh [PROMPT]
set -eu
top=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
build=${WEFT_BUILD:-$top/build}
sh "$top/tests/tools/setup.sh" "$build" -Dtests=disabled
