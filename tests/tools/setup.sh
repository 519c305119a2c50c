#!/bin/sh
# Installs what a build needs (Debian, when something is missing) and builds into the given folder.
# usage: tests/tools/setup.sh BUILD_DIR [meson options]
set -eu
top=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
build=$1
shift

packages="gcc libc6-dev meson ninja-build pkg-config liblua5.4-dev libcjson-dev libstb-dev libutf8proc-dev libcmocka-dev zlib1g-dev ca-certificates"

missing=""
for p in $packages; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
if [ -n "$missing" ]; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "installing:$missing"
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

if [ -f "$build/build.ninja" ]; then
    [ $# -eq 0 ] || meson setup --reconfigure "$build" "$top" "$@" >/dev/null
else
    meson setup "$build" "$top" "$@" >/dev/null
fi
ninja -C "$build" --quiet
