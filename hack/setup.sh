#!/usr/bin/env bash
# setup.sh: what the tests and the demo need beyond Go. Installs Debian packages where it may
# (root and apt-get), else says which are missing; then makes sure of the binaries of the control plane and of Helm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A package_of=([initdb]=postgresql [strace]=strace [jq]=jq [curl]=curl)
missing=()
have() { command -v "$1" >/dev/null 2>&1 || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null; }
for program in "${!package_of[@]}"; do
  have "$program" || missing+=("${package_of[$program]}")
done

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: install these first: ${missing[*]} (Debian: apt-get install ${missing[*]})" >&2
    exit 1
  fi
  echo "setup: installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
hack/controlplane/assets.sh >/dev/null
hack/helm/assets.sh >/dev/null
