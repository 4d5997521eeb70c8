#!/usr/bin/env bash
# assets.sh: prints a directory that holds cert-manager: its controllers and its admission webhook, built once from its
# Go module into a cache outside the tree, and install.yaml, what its chart installs beside them: definitions, rights,
# and the webhook's registration, which names 127.0.0.1. Progress goes to standard error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ../build.sh

module=github.com/cert-manager/cert-manager
version=$(version_of . $module)
cache="$cache_root/cert-manager-$version"
mkdir -p "$cache"
for b in controller webhook; do
  build . "./$b" "$cache/cert-manager-$b" -ldflags "-s -w -X $module/pkg/util.AppVersion=$version"
done
if [ ! -e "$cache/install.yaml" ]; then
  chart=$(go list -m -f '{{.Dir}}' $module)/deploy/charts/cert-manager
  "$(../helm/assets.sh)/helm4" template cert-manager "$chart" --namespace cert-manager --set crds.enabled=true \
    --set cainjector.enabled=false --set startupapicheck.enabled=false --set webhook.url.host=127.0.0.1 >"$cache/install.yaml.new"
  mv "$cache/install.yaml.new" "$cache/install.yaml"
fi
printf '%s\n' "$cache"
