#!/usr/bin/env bash
# assets.sh: prints a directory that holds etcd, kube-apiserver, kube-controller-manager and kubectl.
# In this order: KUBEBUILDER_ASSETS as it is, what setup-envtest already has or can download, else
# built once from their Go modules into a cache outside the tree (about nine minutes on two cores).
# Progress goes to standard error; standard output is the directory alone.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
. ../build.sh

kube_version=$(version_of kube k8s.io/kubernetes)
etcd_version=$(version_of etcd go.etcd.io/etcd/server/v3)

complete() { # DIR: does it hold all that the suites start?
  local b
  for b in etcd kube-apiserver kube-controller-manager kubectl; do [ -x "$1/$b" ] || return 1; done
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && complete "$KUBEBUILDER_ASSETS"; then
  printf '%s\n' "$KUBEBUILDER_ASSETS"
  exit 0
fi

cache="$cache_root/controlplane-${kube_version}-etcd-${etcd_version}"
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

build etcd go.etcd.io/etcd/server/v3 "$cache/etcd" -ldflags "-s -w"
for b in kube-apiserver kube-controller-manager kubectl; do
  kubernetes kube "$kube_version" "$b" "$cache"
done
printf '%s\n' "$cache"
