#!/usr/bin/env bash
# setup.sh: what the tests and the demo need beyond Go: Debian packages, and the binaries of the control plane, of
# Helm and of cert-manager.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

hack/packages.sh initdb=postgresql strace=strace jq=jq curl=curl openssl=openssl
hack/controlplane/assets.sh >/dev/null
hack/helm/assets.sh >/dev/null
hack/certmanager/assets.sh >/dev/null
