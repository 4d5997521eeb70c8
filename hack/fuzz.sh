#!/usr/bin/env bash
# fuzz.sh [TIME]: the differential policy fuzz for TIME (default 60s), then every other fuzz target for five seconds.
# A finding stays in the package's testdata/fuzz; commit it with its fix.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
long=${1:-60s}

run() { # PACKAGE TARGET TIME
  echo "fuzz $1 $2 for $3"
  go test -run '^$' -fuzz "^$2\$" -fuzztime "$3" "$1"
}

run ./internal/policy FuzzDecide "$long"
git grep --untracked -noE '^func Fuzz[A-Za-z0-9]+' -- '*_test.go' | while IFS=: read -r file _ func; do
  target=${func#func }
  [ "$target" = FuzzDecide ] || run "./$(dirname "$file")" "$target" 5s
done
