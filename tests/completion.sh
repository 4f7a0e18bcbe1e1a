#!/bin/sh
# completion.sh - what bash completion offers is what the program takes.
command -v bash >/dev/null || { echo "no bash"; exit 77; }
exec bash -c '
source "$1/completion/sparsescope" || exit 99
program=$2 status=0

offers() # EXPECTED WORD...: the last word is the one being completed
{
    local expected=$1
    shift
    COMP_WORDS=("$program" "$@") COMP_CWORD=$#
    COMPREPLY=()
    _sparsescope
    [[ " ${COMPREPLY[*]} " == *" $expected "* ]] && return
    echo "after \"$*\": no $expected among \"${COMPREPLY[*]}\""
    status=1
}

offers run r
offers methods ""
offers --help --h
offers --dry-run run x.yaml --d
offers --resume run x.yaml -
offers moba methods m
offers nsa methods ""
offers needle datasets ""
offers needle generate n
COMP_WORDS=("$program" run exp) COMP_CWORD=2 COMPREPLY=()
_sparsescope
[ ${#COMPREPLY[@]} = 0 ] || { echo "in place of file names: ${COMPREPLY[*]}"; status=1; }
exit $status
' completion "${srcdir:-.}" "${SPARSESCOPE:-./sparsescope}"
