#!/usr/bin/env bash
# undeploy.sh: frees everything that the operator holds and removes the install from the cluster that kubectl reaches.
# The namespace stays, and in it what holds data: the root key, the server's volume, the certificates.
# RELEASE_WAIT (default 200s) is how long the job may take; VAULT_URL is where this machine reaches the vault, should
# no node run the job.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
namespace=scaivault-system
wait=${RELEASE_WAIT:-200s}

kubectl() { command "${KUBECTL:-kubectl}" "$@"; }
job() { kubectl -n "$namespace" "$@"; }

release() {
  echo "releasing what the operator holds"
  job delete job scaivault-release --ignore-not-found >/dev/null
  kubectl apply -k config/release >/dev/null
  if job wait --for=condition=Complete --timeout="$wait" job/scaivault-release >/dev/null 2>&1; then
    job logs job/scaivault-release
  else
    echo "the job did not complete within $wait; releasing from this machine"
    job delete job scaivault-release --ignore-not-found >/dev/null
    go run ./cmd/scaivault-operator release --namespace "$namespace" --service-account scaivault-operator \
      --kubeconfig "${KUBECONFIG:-$HOME/.kube/config}" --vault-url "${VAULT_URL:-https://scaivault-server.$namespace.svc:8443}"
  fi
  job delete job scaivault-release --ignore-not-found >/dev/null
}

if kubectl get crd vaultpolicies.scaivault.io vaultsecrets.scaivault.io >/dev/null 2>&1; then
  release
fi
echo "removing the install"
kubectl delete -k config/undeploy --ignore-not-found
echo "gone; namespace $namespace keeps the root key, the vault's volume and the certificates"
