#!/bin/sh
# Draws the pictures of docs/lua.md: the workflows with scripts, and plain guidance with the same seed and prompt.
# usage: sh graphs/lua_pictures.sh [MODELS] [SIDE] [SET...]      SET is passed on as --set SET
set -eu
top=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
weft=${WEFT_BUILD:-$top/build}/engine/cli/weft
models=${1:-$top/tests/data/models}
side=${2:-128}
[ $# -gt 2 ] && shift 2 || shift $#
more=
for set in "$@"; do more="$more --set $set"; done
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
draw() {
    graph=$1
    shift
    # shellcheck disable=SC2086
    "$weft" run "$top/graphs/$graph.json" --models "$models" --output "$out" --quiet "$@" $more
}
mkdir -p "$top/docs/pictures"
draw flux2_klein_cfg --set 6.width="$side" --set 6.height="$side" --set 22.width="$side" --set 22.height="$side"
draw flux2_klein_lua_tvcfg --set 6.width="$side" --set 6.height="$side"
draw flux2_klein_lua_sampler --set 6.width="$side" --set 6.height="$side"
draw flux2_klein_lua_seed_loop --set 31.megapixels=0.05
for file in "$out"/*.png; do
    name=$(basename "$file" _.png)
    cp "$file" "$top/docs/pictures/${name#flux2_klein_}.png"
done
ls "$top/docs/pictures"
