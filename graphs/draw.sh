#!/bin/sh
# Installs, builds and draws a picture from what this clone holds; prints where it is.
# usage: sh graphs/draw.sh [PROMPT]
set -eu
top=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
build=${WEFT_BUILD:-$top/build}
sh "$top/tests/tools/setup.sh" "$build" -Dtests=disabled
prompt=${1:-a lighthouse on a cliff at dusk}
exec "$build/engine/cli/weft" run "$top/graphs/flux2_klein_text_to_image.json" \
    --models "$top/tests/data/models" --output "$top/output" --show \
    --set "4.text=$prompt" --set 6.width=256 --set 6.height=256 --set 22.width=256 --set 22.height=256
