# What recipes share: seeding by curl, and assertions that say what they wanted.

put() { # PATH JSON: writes a secret
  curl -f -o /dev/null -X PUT -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
    -d "$2" "https://scaivault.scailabs.ai/v1/secrets/$1"
}

get() { # PATH-AND-QUERY: answers the body
  curl -H "Authorization: Bearer $TOKEN" "https://scaivault.scailabs.ai$1"
}

status() { # CURL-ARGUMENTS...: answers the status alone
  curl -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $TOKEN" "$@"
}

equal() { # WANT GOT WHAT
  [ "$1" = "$2" ] || { echo "$3: want '$1', got '$2'"; exit 1; }
}

has_line() { # LINE TEXT WHAT
  grep -qxF -- "$1" <<<"$2" || { echo "$3: no line '$1' in:"; echo "$2"; exit 1; }
}

post() { # PATH JSON: answers the body
  curl -f -X POST -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d "$2" "https://scaivault.scailabs.ai$1"
}

printed() { # PLACEHOLDER VALUE: runs the lines of standard input as the page prints them, but for a placeholder of the page
  local text
  text=$(cat)
  bash -euo pipefail -c "${text//"$1"/"$2"}"
}

issued() { # answers a new certificate of svc-mtls
  post /v1/pki/issue/svc-mtls "{\"common_name\": \"${1:-billing.svc.cluster.local}\"}"
}

seed() {
  put environments/production/billing/database '{"data":{"url":"postgres://billing"},"secret_type":"json"}'
  put environments/production/billing/stripe '{"data":{"key":"sk_test"},"metadata":{"tags":["payments"]}}'
  put environments/production/billing/sendgrid '{"data":{"key":"sg_test"}}'
  put app/db/password '{"data":{"password":"one"}}'
  put app/db/password '{"data":{"password":"two"}}'
  put app/db/password '{"data":{"password":"three"}}'
  put app/config '{"data":{"a":1},"secret_type":"json"}'
  put old/path '{"data":{"k":"v"}}'
  put environments/staging/tagged '{"data":{"k":"v"},"metadata":{"tags":["a"],"description":"kept"}}'
  put environments/staging/untagged '{"data":{"k":"v"}}'
  put never/read '{"data":{"k":"v"}}'
  post /v1/pki/ca '{"name":"root","common_name":"Cookbook Root","ca_type":"root","key_type":"ec"}' >/dev/null
  post /v1/pki/ca '{"name":"services","common_name":"Cookbook Services","ca_type":"intermediate","parent_ca_id":"root","key_type":"ec"}' >/dev/null
  post /v1/pki/roles '{"name":"svc-mtls","ca_id":"services","allowed_domains":["*.svc.cluster.local"],"max_ttl":"720h"}' >/dev/null
}
