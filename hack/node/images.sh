#!/usr/bin/env bash
# images.sh DIR: builds the images that the end-to-end suite runs, without a container engine, and writes them to DIR as
# archives: our own, as the Dockerfile says, under the name that config/ gives it and tag e2e; the sandbox's; the probe's.
set -euo pipefail
dir=$1
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd hack/node/image && go build -o "$work/image" .)
image() { # DOCKERFILE REF PACKAGE...
  local dockerfile=$1 ref=$2 name out
  name=$(basename "${ref%:*}") out=$work/$(basename "${ref%:*}")
  shift 2
  mkdir "$out"
  CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=e2e' -o "$out/" "$@"
  "$work/image" -dockerfile "$dockerfile" -files "$out" -ref "$ref" -out "$dir/$name.tar"
}
programs=$(sed -n 's/^RUN for b in \([a-z -]*\); do .*/\1/p' Dockerfile) # those that the stage before builds
[ -n "$programs" ] || { echo "images: the Dockerfile no longer says \"RUN for b in PROGRAM...; do\"" >&2; exit 1; }
# shellcheck disable=SC2046,SC2086 # a list of words
image Dockerfile ghcr.io/scailabs/scaivault:e2e $(printf './cmd/%s ' $programs)
image hack/node/pause/Dockerfile local.test/pause:1 ./hack/node/pause
image test/e2e/probe/Dockerfile local.test/probe:1 ./test/e2e/probe
