#!/usr/bin/env bash
# machine.sh: makes sure that this machine can run a node. Installs Debian packages where it may; says everything else
# that is missing, and how to get it, and fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

problems=()
lacks() { problems+=("$1"); } # WHAT IS MISSING AND HOW TO GET IT
tell() {
  [ ${#problems[@]} -gt 0 ] || return 0
  echo "node: this machine cannot run pods yet:" >&2
  printf 'node: - %s\n' "${problems[@]}" >&2
  exit 1
}

[ "$(uname -s)" = Linux ] || lacks "it runs $(uname -s): a node needs Linux; use a virtual machine"
[ "$(id -u)" = 0 ] || lacks "you are not root: run sudo -E make e2e"
tell

../packages.sh ip=iproute2 iptables=iptables gcc=gcc /usr/include/stdlib.h=libc6-dev /usr/include/seccomp.h=libseccomp-dev

isolated() { unshare --mount --net --pid --fork bash -ec "$1" >/dev/null 2>&1; }
isolated true || {
  lacks "root may not make namespaces here: run in a virtual machine, or in a container with all capabilities (--privileged)"
  tell
}
isolated 'ip link add pods0 type bridge; ip link add eth9 type veth peer name eth8' ||
  lacks "the kernel makes no bridge or veth devices: modprobe bridge veth"
isolated 'iptables -t nat -A POSTROUTING -m comment --comment x -m conntrack --ctstate NEW -m statistic --mode random --probability 0.5 -j MASQUERADE' ||
  lacks "iptables cannot do what kube-proxy asks: modprobe nf_tables nft_compat nf_nat xt_comment xt_conntrack xt_statistic xt_MASQUERADE"
isolated 'mount -t tmpfs t /run; mkdir /run/{a,b,c,d}; mount -t overlay o -o lowerdir=/run/a,upperdir=/run/b,workdir=/run/c /run/d' ||
  lacks "the kernel cannot mount overlay: modprobe overlay"

for controller in cpu memory pids; do
  grep -qs "\b$controller\b" /sys/fs/cgroup/cgroup.controllers || grep -q "^cgroup .*[ ,]$controller[, ]" /proc/mounts ||
    lacks "no cgroup controls $controller: mount it below /sys/fs/cgroup (Debian: cgroupfs-mount), or boot without cgroup_disable=$controller"
done
[ -w /sys/fs/cgroup ] && { [ ! -e /sys/fs/cgroup/cgroup.controllers ] || [ -w /sys/fs/cgroup/cgroup.procs ]; } ||
  lacks "/sys/fs/cgroup is read-only: mount -o remount,rw /sys/fs/cgroup"
available=$(awk '/^MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)
[ "$available" -ge 2000 ] || lacks "$available MiB of memory are available, a node with ScaiVault takes 2000"
tell
