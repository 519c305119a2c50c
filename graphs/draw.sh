#!/bin/sh
# Installs, builds and draws a picture with the small model of this clone; prints where it is.
# usage: sh graphs/draw.sh [PROMPT]
set -eu
top=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
build=${WEFT_BUILD:-$top/build}
sh "$top/tests/tools/setup.sh" "$build" -Dtests=disabled
exec "$build/engine/cli/weft" run "$top/graphs/mini_text_to_image.json" \
    --models "$top/graphs/mini/models" --output "$top/output" --show \
    --set "4.text=${1:-a red house with a blue roof under the sun}"
