#!/bin/sh
# golden.sh - outputs, selections and gradients of the golden files, on ref and cpu: those
# of tests/golden, and those of the folder that SPARSESCOPE_GOLDEN names.  Every tensor must
# be compared: a SKIP is a failure.
own=${srcdir:-.}/tests/golden
program=${SPARSESCOPE:-./sparsescope}
status=0
files=
for folder in "$own" ${SPARSESCOPE_GOLDEN:+"$SPARSESCOPE_GOLDEN"}; do
    here=$(ls "$folder"/dsa_*.safetensors "$folder"/full_*.safetensors \
        "$folder"/nsa_*.safetensors "$folder"/moba_*.safetensors 2>/dev/null)
    [ -n "$here" ] || { echo "no golden files in $folder"; exit 77; }
    files="$files $here"
done
for backend in ref cpu; do
    # shellcheck disable=SC2086  # a list of files
    lines=$("$program" verify --backend $backend $files) || status=1
    echo "$lines"
    case $lines in *SKIP*) status=1 ;; esac
done
exit $status
