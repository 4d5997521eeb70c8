#!/usr/bin/env bash
# assets.sh: prints a directory that holds what a node runs: kubelet, kube-scheduler, kube-proxy, containerd with its
# shim and ctr, runc, the CNI plugins (below cni/), coredns. All are built once from their Go modules into a cache
# outside the tree (docs/ci-budget.md says how long that takes). Fails at once, and says what is missing, on a machine
# that could not run them. Progress goes to standard error; standard output is the directory alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ../build.sh
./machine.sh

kube=../controlplane/kube
kube_version=$(version_of $kube k8s.io/kubernetes)
containerd_version=$(version_of containerd github.com/containerd/containerd/v2)
runc_version=$(version_of runc github.com/opencontainers/runc)
cni_version=$(version_of cni github.com/containernetworking/plugins)
coredns_version=$(version_of coredns github.com/coredns/coredns)
cache="$cache_root/node-$kube_version-containerd-$containerd_version-runc-$runc_version-cni-$cni_version-coredns-$coredns_version"
mkdir -p "$cache/cni"

for b in kubelet kube-scheduler kube-proxy; do
  kubernetes $kube "$kube_version" "$b" "$cache"
done
for b in containerd containerd-shim-runc-v2 ctr; do
  build containerd "github.com/containerd/containerd/v2/cmd/$b" "$cache/$b" \
    -tags no_btrfs,no_devmapper,no_zfs,urfave_cli_no_docs \
    -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$containerd_version"
done
# Without seccomp every sandbox fails; with it runc needs cgo and libseccomp. Static, because it runs inside containers.
CGO_ENABLED=1 build runc github.com/opencontainers/runc "$cache/runc" \
  -tags seccomp,netgo,osusergo -ldflags "-s -w -extldflags -static -X main.version=${runc_version#v}"
for p in main/bridge main/loopback ipam/host-local; do
  build cni "github.com/containernetworking/plugins/plugins/$p" "$cache/cni/${p##*/}" -ldflags "-s -w"
done
build coredns . "$cache/coredns" -ldflags "-s -w"
printf '%s\n' "$cache"
