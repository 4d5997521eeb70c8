# Renew a certificate ahead of schedule. The page's cert_abc is an id that issuing answered.
old=$(issued early.svc.cluster.local)
new=$(printed cert_abc "$(jq -r .id <<<"$old")" <<'PRINTED'
curl -X POST https://scaivault.scailabs.ai/v1/pki/certificates/cert_abc/renew \
  -H "Authorization: Bearer $TOKEN"
PRINTED
)
equal "$(jq -r .id <<<"$old")" "$(jq -r .replaces <<<"$new")" "what it replaces"
equal early.svc.cluster.local "$(jq -r .common_name <<<"$new")" "its name"
[ "$(jq -r .serial_number <<<"$old")" != "$(jq -r .serial_number <<<"$new")" ] || { echo "the same serial number"; exit 1; }
[ "$(jq -r .private_key <<<"$old")" != "$(jq -r .private_key <<<"$new")" ] || { echo "the same key"; exit 1; }
equal active "$(get "/v1/pki/certificates/$(jq -r .id <<<"$old")" | jq -r .status)" "the old one"
equal 404 "$(status -X POST https://scaivault.scailabs.ai/v1/pki/certificates/cert_abc/renew)" "the page's own id"
