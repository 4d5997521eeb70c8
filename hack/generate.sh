#!/usr/bin/env bash
# generate.sh: writes the generated files (deepcopy, CRDs, RBAC, OpenAPI, the API reference, the chart's copies). With
# --check it writes them elsewhere and fails if what is committed differs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
out=$root
if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
  mkdir -p "$out"/{api/v1alpha1,config/crd,config/rbac,docs/spec}
fi

tool() { go tool -modfile="$root/hack/tools/go.mod" "$@"; }
controller_gen() { tool controller-gen "$@"; }
controller_gen object:headerFile=hack/boilerplate.go.txt paths=./api/... output:object:dir="$out/api/v1alpha1"
controller_gen crd paths=./api/... output:crd:dir="$out/config/crd"
controller_gen rbac:roleName=scaivault-operator paths=./controllers/... output:rbac:dir="$out/config/rbac"
go run ./hack/genopenapi >"$out/docs/spec/openapi.json"
tool crd-ref-docs --log-level=ERROR --source-path=./api/v1alpha1 --config=hack/apidocs.yaml --renderer=markdown --output-path="$out/docs/spec/api.md"
go run ./hack/chart "$out" # after CRDs and RBAC: it copies them

[ "$out" = "$root" ] && exit 0
status=0
while read -r f; do
  cmp -s "$out/$f" "$root/$f" || { echo "$f is stale: run make generate" >&2; status=1; }
done < <(cd "$out" && find . -type f | sed 's|^\./||')
while read -r f; do # no copy of what config no longer has
  [ -e "$out/$f" ] || { echo "$f is left over: run make generate" >&2; status=1; }
done < <(find charts/scaivault/files -type f)
exit $status
