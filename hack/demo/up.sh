#!/usr/bin/env bash
# up.sh: `make demo`. Builds everything, starts a real control plane, the vault and the operator on loopback,
# and tells the main job with real output. It stays up; `make demo-down` ends it. A second run starts anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD demo=$PWD/.demo
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
say() { printf '  %s\n' "$*"; }
run() { printf '  $ %s\n' "$*"; "$@" 2>&1 | sed 's/^/    /'; }
millis() { date +%s%3N; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

[ -d "$demo" ] && hack/demo/down.sh
mkdir -p "$demo/logs"
trap 'code=$?; [ $code = 0 ] || { echo "demo: failed; the logs are in .demo/logs, make demo-down ends what still runs" >&2; }' EXIT

free_port() {
  local p
  while :; do
    p=$((20000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo "$p"; return; }
  done
}

background() { # NAME COMMAND...: runs on after this script; logs and pid are kept
  local name=$1
  shift
  setsid nohup "$@" >"$demo/logs/$name.log" 2>&1 </dev/null &
  echo $! >"$demo/$name.pid"
}

until_true() { # SECONDS WHAT COMMAND...: fails with the time and what was waited for
  local end=$(($(millis) + $1 * 1000)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$(millis)" -lt "$end" ] || die "$what did not happen; see .demo/logs"
    read -rt 0.05 <> <(:) || true
  done
}

step "1. Building"
hack/setup.sh
assets=$(hack/controlplane/assets.sh)
make --no-print-directory build
go build -o bin/controlplane ./hack/controlplane
export PATH="$assets:$root/bin:$PATH"

step "2. Starting a control plane, the vault and the operator"
started=$(millis)
KUBEBUILDER_ASSETS=$assets background controlplane bin/controlplane --dir "$demo/controlplane"
until_true 60 "the control plane's start" test -s "$demo/controlplane/ready"
export KUBECONFIG="$demo/controlplane/kubeconfig"
say "Kubernetes $(kubectl version -o json 2>/dev/null | jq -r .serverVersion.gitVersion) is up after $(($(millis) - started)) ms"

kubectl create namespace scaivault-system >/dev/null
kubectl apply -k config/crd >/dev/null
kubectl apply -k config/rbac >/dev/null
kubectl wait --for=condition=Established crd --all --timeout=20s >/dev/null

port=$(free_port)
url="http://127.0.0.1:$port"
token="demo-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')"
background server scaivault-server --dev --listen "127.0.0.1:$port" --dev-token "$token" --data-dir "$demo/data" \
  --kubernetes-auth --kubeconfig "$KUBECONFIG" --operator-service-account scaivault-system/scaivault-operator
until_true 20 "the vault's start" curl -fsS "$url/v1/health/ready"
say "scaivault-server serves $url on embedded SQLite"

# The operator runs with its own ServiceAccount's rights, as it would in the cluster.
operator_token=$(kubectl -n scaivault-system create token scaivault-operator --duration 24h)
kubectl config view --raw --minify -o json |
  jq --arg t "$operator_token" '.users[0].user = {token: $t}' >"$demo/operator.kubeconfig"
background operator scaivault-operator run --kubeconfig "$demo/operator.kubeconfig" --vault-url "$url" \
  --namespace scaivault-system --service-account scaivault-operator \
  --metrics-bind-address 0 --health-probe-bind-address "127.0.0.1:$(free_port)"
say "scaivault-operator runs as ServiceAccount scaivault-system/scaivault-operator"

export SCAIVAULT_URL=$url SCAIVAULT_TOKEN=$token
condition() { kubectl -n billing get vaultsecret billing -o jsonpath="{.status.conditions[?(@.type==\"Ready\")].$1}"; }
is_ready() { [ "$(condition status)" = "$1" ]; }
secret_value() { kubectl -n billing get secret billing -o jsonpath='{.data.DB_URL}' | base64 -d; }
value_is() { [ "$(secret_value)" = "$1" ]; }

step "3. A VaultSecret waits, because nothing allows it yet"
run scaivault secrets write environments/production/billing/database url=postgres://billing:first@db/billing
kubectl apply -f config/samples/namespace.yaml >/dev/null
run kubectl apply -f config/samples/vaultsecret.yaml
until_true 20 "the refusal" is_ready False
say "Ready=$(condition status) reason=$(condition reason)"
say "$(condition message)"

step "4. A VaultPolicy lets ServiceAccount billing:billing-prod read environments/production/billing/**"
kubectl -n billing get vaultsecret billing -w -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}{"\n"}' >"$demo/watch.ready" &
watch=$!
until_true 10 "the watch's start" test -s "$demo/watch.ready"
from=$(millis)
run kubectl apply -f config/samples/vaultpolicy.yaml
until_true 10 "Ready after the policy" grep -qx True "$demo/watch.ready"
say "Ready $(($(millis) - from)) ms after kubectl apply was started"
kill $watch 2>/dev/null && wait $watch 2>/dev/null || true
run kubectl -n billing get vaultsecret,secret

step "5. The secret is changed with the CLI, and the Kubernetes Secret follows"
follow() { # what the Secret says, a line for each change, with the time it was seen
  kubectl -n billing get secret billing -w -o jsonpath='{.data.DB_URL}{"\n"}' |
    while read -r v; do printf '%s %s\n' "$(millis)" "$(base64 -d <<<"$v")"; done
}
for n in second third; do
  follow >"$demo/watch.secret" &
  watch=$!
  until_true 10 "the watch's start" test -s "$demo/watch.secret"
  from=$(millis)
  run scaivault secrets write environments/production/billing/database "url=postgres://billing:$n@db/billing"
  written=$(millis)
  until_true 10 "the Secret's change" grep -q ":$n@" "$demo/watch.secret"
  seen=$(grep -m1 ":$n@" "$demo/watch.secret" | cut -d' ' -f1)
  say "the Secret had the new value $((seen - from)) ms after the CLI was started (the CLI itself took $((written - from)) ms)"
  pkill -P $watch 2>/dev/null || true
  kill $watch 2>/dev/null && wait $watch 2>/dev/null || true
done
say "DB_URL is now $(secret_value)"

step "6. Someone edits the Secret by hand, and it is repaired"
from=$(millis)
run kubectl -n billing patch secret billing --type merge -p '{"stringData":{"DB_URL":"edited by hand"}}'
until_true 10 "the repair" value_is postgres://billing:third@db/billing
say "repaired within $(($(millis) - from)) ms of the edit's start; DB_URL is $(secret_value)"

step "7. The audit trail of it all"
run scaivault audit logs --limit 25
run scaivault audit verify

step "It stays up"
cat <<TXT
  export KUBECONFIG=$KUBECONFIG
  export SCAIVAULT_URL=$url
  export SCAIVAULT_TOKEN=$token
  export PATH=$assets:$root/bin:\$PATH
  make demo-down ends it.
TXT
