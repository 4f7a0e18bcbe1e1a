#!/bin/sh
# report.sh - the report of a fixed result folder: its rows and figures byte for byte (but
# for the gnuplot version in <desc>), and a page that is well-formed and stands alone.
#
# usage: report.sh [--write]
# --write records the rows, the figures and gnuplot's version anew: look at them first.
top=$(cd "${srcdir:-.}" && pwd) || exit 99
program=${SPARSESCOPE:-./sparsescope}
gnuplot=${GNUPLOT:-gnuplot}
golden=$top/tests/golden_csv
drawn="error-density heads recall-tokens stages-time" # the others differ in columns only
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
export SPARSESCOPE_DATADIR="$top" GNUPLOT="$gnuplot"

version=$("$gnuplot" --version 2>/dev/null) || { echo "no gnuplot"; exit 77; }
"$program" report "$golden" -o "$work/report.html" >/dev/null || exit 1
plain() { sed 's|<desc>.*</desc>|<desc></desc>|' "$1"; }

if [ "$1" = --write ]; then
    mkdir -p "$golden/plots" && echo "$version" >"$golden/plots/gnuplot-version"
    cp "$work"/plots/*.csv "$golden/plots/"
    for figure in $drawn; do
        plain "$work/plots/$figure-1.svg" >"$golden/plots/$figure-1.svg"
    done
    exit
fi

status=0
for want in "$golden"/plots/*.csv; do
    cmp "$want" "$work/plots/${want##*/}" || status=1
done
if [ "$version" = "$(cat "$golden/plots/gnuplot-version")" ]; then
    for figure in $drawn; do
        plain "$work/plots/$figure-1.svg" | cmp - "$golden/plots/$figure-1.svg" ||
            { echo "figure differs: $figure"; status=1; }
    done
else
    echo "figures not compared: $version, recorded with $(cat "$golden/plots/gnuplot-version")"
fi

# The command that the page shows makes the same figure again.
(cd "$work" && cp plots/heads-1.svg first.svg && rm plots/heads-1.svg &&
    "$gnuplot" -d -c plots/heads.gp plots/heads-1.csv plots/heads-1.svg \
        'made-up, 1024 keys, 512 rows, prefill, cpu, bf16' &&
    cmp first.svg plots/heads-1.svg) || { echo "the command does not repeat"; status=1; }

if ! command -v python3 >/dev/null; then
    echo "page not checked: no python3"
    exit $status
fi
python3 - "$work/report.html" <<'END' || status=1
"""Elements closed in order, ids once, links inside the page that lead somewhere, and
nothing loaded from elsewhere."""
import html.parser
import sys

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Check(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.ids, self.refs, self.bad, self.svgs = [], set(), set(), [], 0

    def see(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                if value in self.ids:
                    self.bad.append(f"id twice: {value}")
                self.ids.add(value)
            if name in ("href", "xlink:href", "src"):
                if not value.startswith("#"):
                    self.bad.append(f"<{tag}> loads {value}")
                self.refs.add(value[1:])
        self.svgs += tag == "svg"

    def handle_starttag(self, tag, attributes):
        self.see(tag, attributes)
        if tag not in VOID:
            self.open.append((tag, self.getpos()))

    def handle_startendtag(self, tag, attributes):
        self.see(tag, attributes)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1][0] != tag:
            self.bad.append(f"</{tag}> at {self.getpos()} closes {self.open[-1:]}")
        else:
            self.open.pop()


check = Check()
check.feed(open(sys.argv[1], encoding="utf-8").read())
check.bad += [f"never closed: {e}" for e in check.open]
check.bad += [f"leads nowhere: #{r}" for r in check.refs - check.ids]
if check.svgs != 7:
    check.bad.append(f"{check.svgs} figures, not 7")
if check.bad:
    print("\n".join(check.bad[:20]))
sys.exit(bool(check.bad))
END
exit $status
