#!/bin/sh
# options.sh - the man page names every command and option that --help shows, and no
# other.  In the page a command is a .SS below COMMANDS, an option a line after .TP;
# -h and --help stand once, below OPTIONS.
page=${srcdir:-.}/docs/man/sparsescope.1
program=${SPARSESCOPE:-./sparsescope}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# "COMMAND OPTION" lines of one command's --help on stdin; $1: the command's name.
help_options() {
    grep -E '^  +-' | sed -E 's/^ +//; s/  .*//' | grep -oE '(^|[ ,|])-{1,2}[A-Za-z][A-Za-z-]*' |
        tr -d ' ,|' | grep -vxE -e '-h|--help' | sed "s/^/$1 /"
}

"$program" --help >"$work/main" || { echo "$program --help fails"; exit 1; }
commands=$(sed -nE 's/^  ([a-z]+)( .*)?$/\1/p' "$work/main")
[ -n "$commands" ] || { echo "$program --help lists no command"; exit 1; }
help_options - <"$work/main" >"$work/help"
for command in $commands; do
    echo "$command" >>"$work/help"
    "$program" "$command" --help >"$work/one" || { echo "$command --help fails"; exit 1; }
    help_options "$command" <"$work/one" >>"$work/help"
done

sed 's/\\-/-/g; s/\\f[BIRP]//g' "$page" | awk '
    /^\.SH/ { section = $2; command = "-" }
    /^\.SS/ && section == "COMMANDS" { command = $2; gsub(/"/, "", command); print command }
    tag && (section == "COMMANDS" || section == "OPTIONS") {
        gsub(/[",|]/, " ")
        for (i = 2; i <= NF; i++)
            if ($i ~ /^--?[A-Za-z][A-Za-z-]*$/ && $i !~ /^(-h|--help)$/) print command, $i
    }
    { tag = /^\.TP/ }' | sort -u >"$work/page"
sort -u "$work/help" | diff - "$work/page" | sed -n '
    s/^< \(.*\)/in --help, not in the man page: \1/p
    s/^> \(.*\)/in the man page, not in --help: \1/p' >"$work/diff"
cat "$work/diff"
[ ! -s "$work/diff" ]
