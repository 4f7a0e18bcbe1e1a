#!/bin/sh
# golden.sh - outputs, selections and gradients of the golden files, on ref and cpu.
folder=${SPARSESCOPE_GOLDEN:-${srcdir:-.}/tests/golden}
program=${SPARSESCOPE:-./sparsescope}
status=0
files=$(ls "$folder"/dsa_*.safetensors "$folder"/full_*.safetensors "$folder"/nsa_*.safetensors \
    "$folder"/moba_*.safetensors 2>/dev/null)
[ -n "$files" ] || { echo "no golden files in $folder"; exit 77; }
for backend in ref cpu; do
    # shellcheck disable=SC2086  # a list of files
    "$program" verify --backend $backend $files || status=1
done
exit $status
