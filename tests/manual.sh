#!/bin/sh
# manual.sh - what the manual shows works: links lead somewhere, the example method
# compiles, the program takes the example experiments.
root=$(cd "${srcdir:-.}" && pwd) || exit 99
program=${SPARSESCOPE:-./sparsescope}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
status=0

# The fenced blocks of a language in a page; $1: page, $2: language.
blocks() {
    awk -v open="^\`\`\`$2\$" '/^```$/ { on = 0 } on; $0 ~ open { on = 1 }' "$root/$1"
}

for page in "$root"/*.md "$root"/docs/*.md; do
    # shellcheck disable=SC2013  # links hold no blanks
    for link in $(grep -oE '\]\([^) ]+' "$page" | cut -c3- | grep -v -e : -e '^#'); do
        [ -e "$(dirname "$page")/${link%%#*}" ] ||
            { echo "${page#"$root"/}: $link does not exist"; status=1; }
    done
done

blocks docs/adding-a-method.md c >"$work/strided.c"
# shellcheck disable=SC2086  # CC may carry flags
${CC:-cc} -std=gnu11 -Wall -Wextra -Werror -I"$root" -fsyntax-only "$work/strided.c" ||
    { echo "docs/adding-a-method.md: the example does not compile"; status=1; }

blocks README.md yaml >"$work/first.yaml"
"$program" run "$work/first.yaml" --dry-run >/dev/null ||
    { echo "README.md: the example experiment is refused"; status=1; }
exit $status
