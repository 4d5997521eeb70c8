#!/usr/bin/env bash
# assets.sh: prints a directory that holds helm3 and helm4, with which the chart is tested: built once from their
# Go modules into a cache outside the tree. Progress goes to standard error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'helm: %s\n' "$*" >&2; }
version_of() { (cd "v$1" && go list -m -f '{{.Version}}' "helm.sh/helm/v$1"); }
cache="${SCAIVAULT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scaivault}/helm-$(version_of 3)-$(version_of 4)"
mkdir -p "$cache"

for major in 3 4; do
  [ -x "$cache/helm$major" ] && continue
  say "building helm $(version_of $major) (once; kept in $cache)"
  start=$SECONDS
  (cd "v$major" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$cache/.helm$major.new" "helm.sh/helm/v$major/cmd/helm")
  mv "$cache/.helm$major.new" "$cache/helm$major"
  say "built helm$major in $((SECONDS - start)) s"
done
printf '%s\n' "$cache"
