#!/bin/sh
# summary.sh - add up test results in one line, "N passed, N failed, N skipped".
#
# usage: summary.sh FILE...
# FILE is automake's test-suite.log, or a .trs file.  The log is the better one: it
# counts the tests of the last run only, not files that older tests left behind.
# XFAIL counts as passed; XPASS and ERROR as failed; so does a file that is not there
# or holds no result.  Exit status 1 if anything failed.
for file in "$@"; do
    if [ -r "$file" ]; then cat "$file"; fi
    echo "end of results: $file"
done | awk '
function add(kind, n) {
    if (kind == "PASS" || kind == "XFAIL") passed += n
    else if (kind == "SKIP") skipped += n
    else failed += n
    seen += n
}
/^:test-result: (PASS|FAIL|SKIP|XFAIL|XPASS|ERROR)/ { add($2, 1) }
/^# (PASS|FAIL|SKIP|XFAIL|XPASS|ERROR): +[0-9]+$/ && !whole[$2]++ { sub(":", "", $2); add($2, $3) }
/^end of results: / {
    if (!seen) { failed++; print substr($0, 17) ": no results" | "cat 1>&2" }
    seen = 0
    split("", whole)
}
END {
    close("cat 1>&2")
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    exit failed > 0
}'
