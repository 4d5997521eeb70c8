# List certs expiring in 30 days.
post /v1/pki/issue/svc-mtls '{"common_name": "soon.svc.cluster.local", "ttl": "24h"}' >soon.json
soon=$(curl -H "Authorization: Bearer $TOKEN" \
     "https://scaivault.scailabs.ai/v1/pki/certificates?expiring_within=30d" \
  | jq -r '.data[] | "\(.common_name) \(.valid_until)"')
has_line "soon.svc.cluster.local $(jq -r .valid_until soon.json)" "$soon" "ends tomorrow"
equal "" "$(get "/v1/pki/certificates?expiring_within=1h" | jq -r '.data[].common_name' | grep soon || true)" "ends within the hour"
scaivault pki certificates list --expiring-within 30d | grep -q ' soon.svc.cluster.local ' || { echo "not in the CLI's list"; exit 1; }
