#!/bin/sh
# cli.sh - what commands print, to the letter, and how they exit.
#
# Each tests/cli/NAME.sh runs in an empty folder with $sparsescope and $src set; what it
# prints on either stream must equal NAME.out.  RECORD=1 rewrites the .out files.
src=$(cd "${srcdir:-.}" && pwd) || exit 99
sparsescope=${SPARSESCOPE:-$src/sparsescope}
export src sparsescope
unset SPARSESCOPE_DATADIR
work=$(mktemp -d) || exit 99
export XDG_CACHE_HOME="$work/cache" # no calibration
trap 'rm -rf "$work"' EXIT
status=0

for case in "$src"/tests/cli/*.sh; do
    name=$(basename "$case" .sh)
    mkdir "$work/$name"
    (cd "$work/$name" && sh "$case" 2>&1; echo "exit $?") |
        sed "s|$src|SRC|g; s|$work|WORK|g" >"$work/$name.out"
    if [ -n "${RECORD-}" ]; then
        cp "$work/$name.out" "$src/tests/cli/$name.out"
    elif ! diff -u "$src/tests/cli/$name.out" "$work/$name.out"; then
        echo "FAIL $name"
        status=1
    fi
done
exit $status
