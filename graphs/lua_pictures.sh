#!/bin/sh
# Draws the pictures of docs/lua.md with the small model: workflows with scripts, and plain guidance with the same seed.
# usage: sh graphs/lua_pictures.sh        $WEFT_BUILD: the build folder
set -eu
top=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
weft=${WEFT_BUILD:-$top/build}/engine/cli/weft
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mkdir -p "$top/docs/pictures"
for name in plain tvcfg sampler seed_loop; do
    "$weft" run "$top/graphs/mini_lua_$name.json" --models "$top/graphs/mini/models" --output "$out" --quiet
done
for file in "$out"/*.png; do
    cp "$file" "$top/docs/pictures/$(basename "$file" _.png).png"
done
ls "$out"
