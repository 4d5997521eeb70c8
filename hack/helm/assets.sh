#!/usr/bin/env bash
# assets.sh: prints a directory that holds helm3 and helm4, with which the chart is tested: built once from their
# Go modules into a cache outside the tree. Progress goes to standard error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ../build.sh

cache="$cache_root/helm-$(version_of v3 helm.sh/helm/v3)-$(version_of v4 helm.sh/helm/v4)"
mkdir -p "$cache"
for major in 3 4; do
  build "v$major" "helm.sh/helm/v$major/cmd/helm" "$cache/helm$major" -ldflags "-s -w"
done
printf '%s\n' "$cache"
