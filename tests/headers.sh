#!/bin/sh
# headers.sh - every header compiles alone, as C11 and as C++17 (nvcc reads it so).
cd "${srcdir:-.}" || exit 99
status=0

# Compile an #include of every header; $1: language, the rest: compiler and flags.
each_alone() {
    language=$1
    shift
    # shellcheck disable=SC2044  # our names hold no blanks
    for header in $(find base kernels datasets analysis sim -name '*.h' ! -path '*/cuda/*'); do
        printf '#include "%s"\n' "$header" |
            "$@" -I. -Wall -Wextra -Werror -fsyntax-only -x "$language" - ||
            { echo "    $header does not stand alone ($language)"; status=1; }
    done
}

# shellcheck disable=SC2086  # CC and CXX may carry flags
each_alone c ${CC:-cc} -std=c11
# shellcheck disable=SC2086
if echo 'int i;' | ${CXX:-c++} -fsyntax-only -x c++ - 2>/dev/null; then
    each_alone c++ ${CXX:-c++} -std=c++17
else
    echo "no C++ compiler: C++17 not tried"
fi
exit $status
