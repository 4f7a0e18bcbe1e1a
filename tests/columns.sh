#!/bin/sh
# columns.sh - docs/columns.md holds the tables that analysis/columns.h declares, and
# explains what they measure.
#
# usage: columns.sh [PROGRAM [--write]]
# PROGRAM prints the tables (tests/columns_doc.c); --write puts them into the page.
program=${1:-./tests/columns_doc}
page=${srcdir:-.}/docs/columns.md
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
begin='<!-- tables: written by tests/columns.sh -->'
end='<!-- end of tables -->'

{ echo "$begin"; "$program" || exit 99; echo; echo "$end"; } >"$work/want" || exit 99
for marker in "$begin" "$end"; do
    [ "$(grep -cxF "$marker" "$page")" = 1 ] ||
        { echo "$page must hold one line '$marker'"; exit 1; }
done
if [ "$2" = --write ]; then
    awk -v begin="$begin" -v end="$end" -v want="$work/want" '
        $0 == begin { while ((getline line < want) > 0) print line; inside = 1 }
        !inside { print }
        $0 == end { inside = 0 }' "$page" >"$work/page" && cat "$work/page" >"$page"
    exit
fi

status=0
awk -v begin="$begin" -v end="$end" '
    $0 == begin { inside = 1 }
    inside { print }
    $0 == end { inside = 0 }' "$page" | diff - "$work/want" ||
    { echo "write the tables anew: tests/columns.sh PROGRAM --write"; status=1; }

# What results.csv holds beyond the point's identity stands in backquotes above the
# tables too; of the quantiles of time one stands for all.
awk -v begin="$begin" '$0 == begin { exit } { print }' "$page" >"$work/prose"
# shellcheck disable=SC2016  # backquotes are meant
sed -n '/^### results.csv/,/^### heads.csv/s/^| `\([a-z0-9_]*\)`.*/\1/p' "$work/want" |
    sed '1,/^dv$/d' | grep -v '^time_[a-z_]*p[0-9]*_\|_hot$' >"$work/metrics"
[ -s "$work/metrics" ] || { echo "results.csv has no metrics"; status=1; }
while read -r name; do
    grep -qF "\`$name\`" "$work/prose" || { echo "$name is not explained in $page"; status=1; }
done <"$work/metrics"
exit $status
