#!/usr/bin/env bash
# run.sh: the rows of docs/benchmarks.md, each next to the floor program (a bare net/http JSON handler) in the
# same run on the same machine. BENCH_SECONDS (60) is the length of a row; BENCH_ENTRIES (1000000) the audit entries
# that are there before anything is measured; BENCH_SECRETS (100000) the secrets. With BENCH_OPENBAO_ADDR and
# BENCH_OPENBAO_TOKEN the same calls go to OpenBao (KV v2 mounted at `kv`). BENCH_OBJECTS ("2000 10000") are the sizes of
# the operator's rows, BENCH_CERTIFICATES (1000) those of the certificates' row, BENCH_CHANGES (400) the changes of a mounted
# file. BENCH_ROWS=server|jobs|webhooks|rotation|pki|operator|certificates|pod runs one part;
# pod needs root and what `make e2e` needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
seconds=${BENCH_SECONDS:-60} entries=${BENCH_ENTRIES:-1000000} secrets=${BENCH_SECRETS:-100000}
work=$(mktemp -d)
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null && wait "$p" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
say() { printf '%s\n' "$*" >&2; }
free_port() {
  local p
  while :; do
    p=$((20000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo "$p"; return; }
  done
}
until_ready() { # URL
  local i
  for i in $(seq 1 200); do
    curl -fsS "$1" >/dev/null 2>&1 && return
    read -rt 0.05 <> <(:) || true
  done
  say "bench: $1 does not answer"
  exit 1
}
rss() { awk '/VmRSS/ {printf "%.0f", $2 / 1024}' "/proc/$1/status"; }

say "building"
go build -o "$work/load" ./test/bench/load
go build -o "$work/floor" ./test/bench/floor

load() { "$work/load" "$@" || true; }
row() { # NAME RESULT [FLOOR]
  jq -r --arg name "$1" --arg floor "${3:-0}" '
    "| \($name) | \(.rate | floor) | \(if ($floor | tonumber) > 0 then (.rate / ($floor | tonumber) * 100 | round / 100 | tostring) else "" end) | \(.p50_ms) | \(.p99_ms) | \(.failed) |"' <<<"$2"
}

# One background job from its schedule to its end, with and without 100 000 that are not due.
jobs_rows() {
  go test ./server/jobs -run '^$' -bench Turn -benchtime "${BENCH_JOBS:-2000}x"
}

# A change to its first arrival at 80 receivers, while 20 others hang.
webhook_rows() {
  go test ./server/events/webhooks -run '^$' -bench FirstAttempt -benchtime "${BENCH_EVENTS:-60}x"
}

# Secrets that a policy rotates every second: as many as the server gets through, each with a generated value, a new
# version, audit entry, events and history. Beside them are BENCH_SECRETS whose rotation is not due.
rotation_rows() {
  local port url token=bench-token before after
  port=$(free_port) url="http://127.0.0.1:$port"
  bin/scaivault-server --dev --listen "127.0.0.1:$port" --dev-token $token --data-dir "$work/rotation" >"$work/rotation.log" 2>&1 &
  pids+=("$!")
  until_ready "$url/v1/health/ready"
  local p
  for p in '{"name":"slow","interval":"365d","auto_generate":true}' '{"name":"fast","interval":"1s","grace_period":"1s","auto_generate":true}'; do
    curl -fsS -o /dev/null -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d "$p" "$url/v1/rotation/policies"
  done
  say "writing $secrets secrets that are not due, and 3000 that are due each second"
  load -method PUT -url "$url/v1/secrets/slow/d{seq}/db" -token $token -count "$secrets" -body '{"data":{"password":"x"},"options":{"rotation_policy_id":"slow"}}' >/dev/null
  load -method PUT -url "$url/v1/secrets/fast/d{seq}/db" -token $token -count 3000 -body '{"data":{"password":"x"},"options":{"rotation_policy_id":"fast"}}' >/dev/null
  rotations() {
    curl -fsS -H "Authorization: Bearer $token" "$url/v1/metrics" | awk '/^scaivault_jobs_runs_total\{kind="rotation",result="done"\}/ {print int($2)}'
  }
  before=$(rotations)
  read -rt "$seconds" <> <(:) || true
  after=$(rotations)
  echo "| generated rotations on SQLite | per second |"
  echo "|---|---|"
  echo "| beside $secrets secrets that are not due | $(((after - before) / seconds)) |"
  echo
}

# Certificates issued, and what is said of one by OCSP from memory; then a list of 100 000 entries, and the certificates
# that expire within 30 days among a million.
pki_rows() {
  local floor_port port url token=bench-token f ca serial request
  floor_port=$(free_port) port=$(free_port) url="http://127.0.0.1:$port"
  "$work/floor" -listen "127.0.0.1:$floor_port" &
  pids+=("$!")
  bin/scaivault-server --dev --listen "127.0.0.1:$port" --dev-token $token --data-dir "$work/pki" --public-url "$url" >"$work/pki.log" 2>&1 &
  pids+=("$!")
  until_ready "$url/v1/health/ready"
  until_ready "http://127.0.0.1:$floor_port/"
  post() { curl -fsS -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d "$2" "$url/v1/pki/$1"; }
  ca=$(post ca '{"name":"root","common_name":"Root","ca_type":"root","key_type":"ec"}' | jq -r .id)
  post roles "{\"name\":\"web\",\"ca_id\":\"$ca\",\"allowed_domains\":[\"*.example.com\"]}" >/dev/null
  serial=$(post issue/web '{"common_name":"a.example.com"}' | jq -r '.serial_number | gsub(":"; "")')
  curl -fsS -o "$work/ca.der" "$url/v1/pki/ca/$ca/certificate.der"
  openssl x509 -inform der -in "$work/ca.der" -out "$work/ca.pem"
  openssl ocsp -no_nonce -issuer "$work/ca.pem" -serial "0x$serial" -reqout "$work/request.der"
  request=$(base64 -w0 "$work/request.der" | tr +/ -_ | tr -d =)
  say "certificates ($seconds s a row)"
  f=$(load -url "http://127.0.0.1:$floor_port/" -d "${seconds}s" | jq .rate)
  echo "| row | per second | of the floor | p50 ms | p99 ms | failed |"
  echo "|---|---|---|---|---|---|"
  row "OCSP from memory" "$(load -url "$url/v1/pki/ca/$ca/ocsp/$request" -d "${seconds}s")" "$f"
  row "P-256 certificate, linted, stored, audited" "$(load -method POST -url "$url/v1/pki/issue/web" -token $token -body '{"common_name":"h{seq}.example.com"}' -d "${seconds}s")" "$f"
  echo
  go test ./server/pki/revocation -run '^$' -bench 'List|Expiring' -benchtime "${BENCH_LISTS:-20}x" -timeout 30m
}

server_rows() {
  local floor_port port url token=bench-token floor
  floor_port=$(free_port)
  "$work/floor" -listen "127.0.0.1:$floor_port" &
  pids+=($!)
  port=$(free_port) url="http://127.0.0.1:$port"
  bin/scaivault-server --dev --listen "127.0.0.1:$port" --dev-token $token --data-dir "$work/data" >"$work/server.log" 2>&1 &
  local server=$!
  pids+=("$server")
  until_ready "$url/v1/health/ready"
  until_ready "http://127.0.0.1:$floor_port/"
  local idle
  idle=$(rss $server)

  say "writing $secrets secrets"
  load -method PUT -url "$url/v1/secrets/bench/d{seq}/db" -token $token -count "$secrets" \
    -body '{"data":{"url":"postgres://bench","password":"correct-horse-battery-staple"}}' >/dev/null
  # The page of 100 that the list row asks for.
  load -method PUT -url "$url/v1/secrets/page/s{seq}" -token $token -count 100 -body '{"data":{"k":"v"}}' >/dev/null
  say "making $entries audit entries"
  load -url "$url/v1/secrets/bench/d{n}/db" -span 1000 -token $token -count "$entries" >/dev/null

  say "measuring ($seconds s a row)"
  floor=$(load -url "http://127.0.0.1:$floor_port/" -d "${seconds}s")
  local f
  f=$(jq .rate <<<"$floor")
  echo "| row | per second | of the floor | p50 ms | p99 ms | failed |"
  echo "|---|---|---|---|---|---|"
  row "floor (bare net/http handler)" "$floor"
  row "secret read, audited" "$(load -url "$url/v1/secrets/bench/d{n}/db" -span 1000 -token $token -d "${seconds}s")" "$f"
  row "secret read over all $secrets secrets" "$(load -url "$url/v1/secrets/bench/d{n}/db" -span "$secrets" -token $token -d "${seconds}s")" "$f"
  row "secret write, durable and audited" "$(load -method PUT -url "$url/v1/secrets/bench/w{n}/db" -span 10000 -token $token -d "${seconds}s" \
    -body '{"data":{"url":"postgres://bench","password":"correct-horse-battery-staple","n":"{seq}"}}')" "$f"
  row "list of 100" "$(load -url "$url/v1/secrets?prefix=page/&limit=100" -token $token -d "${seconds}s")" "$f"
  row "floor again" "$(load -url "http://127.0.0.1:$floor_port/" -d "${seconds}s")"
  echo
  echo "| memory | MiB |"
  echo "|---|---|"
  echo "| server RSS idle, just started | $idle |"
  echo "| server RSS after all of the above, $secrets secrets | $(rss $server) |"
  echo
  openbao_rows "$f"
}

openbao_rows() { # FLOOR-RATE
  [ -n "${BENCH_OPENBAO_ADDR:-}" ] && [ -n "${BENCH_OPENBAO_TOKEN:-}" ] || { say "no BENCH_OPENBAO_ADDR and BENCH_OPENBAO_TOKEN: no rows of OpenBao"; return 0; }
  local kv="$BENCH_OPENBAO_ADDR/v1/kv" t=$BENCH_OPENBAO_TOKEN
  load -method PUT -url "$kv/data/bench/d{seq}/db" -token "$t" -count 1000 -body '{"data":{"url":"postgres://bench","password":"correct-horse-battery-staple"}}' >/dev/null
  load -method PUT -url "$kv/data/page/s{seq}" -token "$t" -count 100 -body '{"data":{"k":"v"}}' >/dev/null
  echo "| OpenBao row | per second | of the floor | p50 ms | p99 ms | failed |"
  echo "|---|---|---|---|---|---|"
  row "OpenBao read" "$(load -url "$kv/data/bench/d{n}/db" -span 1000 -token "$t" -d "${seconds}s")" "$1"
  row "OpenBao write" "$(load -method PUT -url "$kv/data/bench/w{n}/db" -span 10000 -token "$t" -d "${seconds}s" -body '{"data":{"url":"postgres://bench","n":"{seq}"}}')" "$1"
  row "OpenBao list of 100" "$(load -method LIST -url "$kv/metadata/page/" -token "$t" -d "${seconds}s")" "$1"
  echo
}

operator_rows() {
  local n
  for n in ${BENCH_OBJECTS:-2000 10000}; do
    say "operator rows, $n objects (a real control plane)"
    SCAIVAULT_BIN="$root/bin" go run ./test/bench/operator -objects "$n"
    echo
  done
}

# pod_rows are the steps of `make e2e` that measure a file in a pod, with more changes.
pod_rows() {
  say "a file in a running pod (a real kubelet with default settings)"
  echo "| write over /v1 to the file in a pod | p50, p99 |"
  echo "|---|---|"
  E2E_CHANGES=${BENCH_CHANGES:-400} go test -tags e2e -count=1 -timeout 40m -v \
    -run '^TestKustomize$/^(install|samples|a_team.*|a_file.*)$' ./test/e2e >"$work/pod.log" 2>&1 ||
    { tail -40 "$work/pod.log" >&2; return 1; }
  sed -nE 's/.*write → ([^:]*): (.*)/| \1 | \2 |/p' "$work/pod.log"
}

# certificate_rows are the operator's test of many Certificates, with the real cert-manager.
certificate_rows() {
  say "${BENCH_CERTIFICATES:-1000} Certificates of cert-manager through a PKIIssuer (a real control plane)"
  echo "| Certificates through a PKIIssuer | all Ready after | from approved to signed |"
  echo "|---|---|---|"
  KUBEBUILDER_ASSETS="$(hack/controlplane/assets.sh)" BENCH_CERTIFICATES="${BENCH_CERTIFICATES:-1000}" \
    go test -count=1 -timeout 40m -v -run '^TestManyCertificates$' ./test/operator >"$work/certificates.log" 2>&1 ||
    { tail -40 "$work/certificates.log" >&2; return 1; }
  sed -nE 's/.*bench: ([0-9]+) Certificates[^:]*: all Ready after (.*) \| from approved to signed: (.*)/| \1 | \2 | \3 |/p' "$work/certificates.log"
}

case "${BENCH_ROWS:-all}" in
  server) server_rows ;;
  operator) operator_rows ;;
  pod) pod_rows ;;
  jobs) jobs_rows ;;
  webhooks) webhook_rows ;;
  rotation) rotation_rows ;;
  pki) pki_rows ;;
  certificates) certificate_rows ;;
  *) server_rows; jobs_rows; webhook_rows; rotation_rows; pki_rows; operator_rows; certificate_rows; pod_rows ;;
esac
