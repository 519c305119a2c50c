#!/bin/sh
# Writes docs/nodes.md from the node table.
# usage: tests/tools/nodes_doc.sh WEFT > docs/nodes.md
set -eu
echo "# Node types"
echo
echo "Made by \`tests/tools/nodes_doc.sh\` from the node table; \`weft nodes CLASS\` prints the same. Classes that Weft knows"
echo "but cannot run are left out."
"$1" nodes | grep -v '(not executable here)$' | awk -F '  +' '{print $1}' | while read -r class; do
    echo
    echo "## $class"
    echo
    echo '```'
    "$1" nodes "$class"
    echo '```'
done
