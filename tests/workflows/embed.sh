#!/bin/sh
# embed.sh - the README's example as a program: it draws from a folder with a workflow and models.
# usage: embed.sh PROGRAM SOURCE_ROOT
set -e
program=$(realpath "$1")
source=$(realpath "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ln -s "$source/tests/data/models" "$folder/models"
cd "$folder"
if "$program" 2>message; then echo "no workflow, but status 0"; exit 1; fi
grep -q workflow.json message
cp "$source/tests/data/workflows/klein_t2i_template.json" workflow.json
"$program"
ls output/*.png
