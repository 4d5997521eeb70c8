#!/usr/bin/env bash
# assets.sh: prints a directory that holds etcd, kube-apiserver, kube-controller-manager and kubectl.
# In this order: KUBEBUILDER_ASSETS as it is, what setup-envtest already has or can download, else
# built once from their Go modules into a cache outside the tree (about nine minutes on two cores).
# Progress goes to standard error; standard output is the directory alone.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"

kube_version=$(cd kube && go list -m -f '{{.Version}}' k8s.io/kubernetes)
etcd_version=$(cd etcd && go list -m -f '{{.Version}}' go.etcd.io/etcd/server/v3)
say() { printf 'controlplane: %s\n' "$*" >&2; }

complete() { # DIR: does it hold all that the suites start?
  local b
  for b in etcd kube-apiserver kube-controller-manager kubectl; do [ -x "$1/$b" ] || return 1; done
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && complete "$KUBEBUILDER_ASSETS"; then
  printf '%s\n' "$KUBEBUILDER_ASSETS"
  exit 0
fi

cache="${SCAIVAULT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/scaivault}/controlplane-${kube_version}-etcd-${etcd_version}"
mkdir -p "$cache"
if complete "$cache"; then
  printf '%s\n' "$cache"
  exit 0
fi

# setup-envtest ships etcd, kube-apiserver and kubectl but no controller-manager; what it lacks is built below.
if command -v setup-envtest >/dev/null 2>&1; then
  say "asking setup-envtest for $kube_version"
  if dir=$(setup-envtest use -p path "${kube_version#v}" 2>/dev/null); then cp -n "$dir"/* "$cache"/; fi
fi

flags() { # the version that the binaries report; an apiserver without it serves v0.0.0
  local v=$kube_version p out="-s -w"
  local major minor
  major=$(cut -d. -f1 <<<"${v#v}") minor=$(cut -d. -f2 <<<"$v")
  for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    out+=" -X $p.gitVersion=$v -X $p.gitMajor=$major -X $p.gitMinor=$minor -X $p.gitTreeState=clean"
    out+=" -X $p.gitCommit=0000000000000000000000000000000000000000 -X $p.buildDate=2026-01-01T00:00:00Z"
  done
  printf '%s' "$out"
}

build() { # DIR PACKAGE BINARY LDFLAGS
  [ -x "$cache/$3" ] && return 0
  say "building $3 (once; kept in $cache)"
  local start=$SECONDS
  (cd "$1" && CGO_ENABLED=0 go build -trimpath -ldflags "$4" -o "$cache/.$3.new" "$2")
  mv "$cache/.$3.new" "$cache/$3"
  say "built $3 in $((SECONDS - start)) s"
}

build etcd go.etcd.io/etcd/server/v3 etcd "-s -w"
for b in kube-apiserver kube-controller-manager kubectl; do
  build kube "k8s.io/kubernetes/cmd/$b" "$b" "$(flags)"
done
printf '%s\n' "$cache"
